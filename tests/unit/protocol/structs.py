"""A Hypothesis strategy for any struct of the wire, by its annotations."""

import types
from datetime import datetime
from typing import Any, Final, Literal, NewType, Union, get_args, get_origin, get_type_hints

import msgspec
from hypothesis import strategies as st

from audit.model.topic import Topic
from tests.strategies import json_values, moments, topics

__all__ = ["structs"]

_PLAIN: Final[dict[Any, st.SearchStrategy[Any]]] = {
    str: st.text(max_size=30),
    int: st.integers(-(2**63), 2**63 - 1),
    bool: st.booleans(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    msgspec.UnsetType: st.just(msgspec.UNSET),
    type(None): st.none(),
    datetime: moments,
    Any: json_values,
    Topic: topics,
}


def structs(kind: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for values of a type: a struct, or what its members may be."""
    if isinstance(kind, NewType):
        return structs(kind.__supertype__)
    if kind in _PLAIN:
        return _PLAIN[kind]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return st.builds(
            kind, **{name: structs(one) for name, one in get_type_hints(kind).items() if name in kind.__struct_fields__}
        )
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (Union, types.UnionType):
        return st.one_of([structs(one) for one in arguments])
    if origin is tuple:
        return st.tuples(*map(structs, arguments))
    if origin is list:
        return st.lists(structs(arguments[0]), max_size=3)
    if origin is dict:
        return st.dictionaries(structs(arguments[0]), structs(arguments[1]), max_size=3)
    raise TypeError(f"no strategy for {kind}")
