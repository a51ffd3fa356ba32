"""Queries: which events are asked for, apart from their range: topics (any of them) and a filter (all of it)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from audit.model.errors import InvalidParameter
from audit.model.event import MAX_NAME_BYTES, OUTCOMES, Outcome
from audit.model.topic import Topic, to_topic

__all__ = ["MAX_LIMIT", "MAX_UNION", "Filter", "Query", "check_limit", "to_query"]

MAX_LIMIT: Final = 1_000
MAX_UNION: Final = 64
"""Topics in one union."""


class Filter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Equalities that must all hold; `actor` and `target` are ids."""

    actor: str | None = None
    action: str | None = None
    outcome: Outcome | None = None
    target: str | None = None
    request_id: str | None = None


class Query(msgspec.Struct, frozen=True):
    """Normalised query: sorted topics without those nested in another, and a filter. Two equal questions are equal.

    Attributes:
        topics: Union of topics; `((),)` is everything.
    """

    topics: tuple[Topic, ...]
    filter: Filter


def to_query(topic: object = (), topics: object = None, filter: object = None) -> Query:  # noqa: A002 - the wire's name
    """Return the normalised query.

    Args:
        topic: One topic.
        topics: A union of 1-64 topics, in place of `topic`.
        filter: A `Filter`, or a mapping with its fields.

    Raises:
        InvalidParameter: a malformed topic or filter, or both `topic` and `topics`.
    """
    if topics is None:
        return Query((to_topic(topic),), _to_filter(filter))
    if to_topic(topic):
        raise InvalidParameter("topics", "give either topic or topics, not both")
    if isinstance(topics, (str, bytes)) or not isinstance(topics, Sequence) or not 1 <= len(topics) <= MAX_UNION:
        raise InvalidParameter("topics", f"must be a list of 1-{MAX_UNION} topics, got {topics!r:.80}")
    asked = sorted({to_topic(one, f"topics[{n}]") for n, one in enumerate(topics)})
    # Sorted order puts an ancestor right before what is nested in it.
    kept: list[Topic] = []
    for one in asked:
        if not kept or one[: len(kept[-1])] != kept[-1]:
            kept.append(one)
    return Query(tuple(kept), _to_filter(filter))


_NO_FILTER: Final = Filter()


def _to_filter(value: object) -> Filter:
    if value is None:
        return _NO_FILTER
    if isinstance(value, Mapping):
        known = Filter.__struct_fields__
        for name in value:
            if name not in known:
                raise InvalidParameter(f"filter.{name}", f"is unknown; known are {', '.join(known)}")
        value = Filter(**value)
    if not isinstance(value, Filter):
        raise InvalidParameter("filter", f"must be a Filter or a mapping, got {value!r:.60}")
    for name in Filter.__struct_fields__:
        _check_value(getattr(value, name), f"filter.{name}")
    if value.outcome is not None and value.outcome not in OUTCOMES:
        raise InvalidParameter("filter.outcome", f"must be one of {', '.join(sorted(OUTCOMES))}, got {value.outcome!r}")
    return value


def _check_value(value: Any, parameter: str) -> None:
    if value is None:
        return
    if not isinstance(value, str):
        raise InvalidParameter(parameter, f"must be a string, got {value!r:.60}")
    try:
        size = len(value.encode())
    except UnicodeEncodeError as error:
        raise InvalidParameter(parameter, "must be valid UTF-8, holds a lone surrogate") from error
    # A request id is a context field, and those may be longer than names.
    bound = 1024 if parameter == "filter.request_id" else MAX_NAME_BYTES
    if size > bound:
        raise InvalidParameter(parameter, f"must be at most {bound} bytes of UTF-8, has {size}")


def check_limit(limit: object) -> int:
    """Return `limit` when it is an integer of 1-1,000.

    Raises:
        InvalidParameter: it is not.
    """
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= MAX_LIMIT:
        raise InvalidParameter("limit", f"must be an integer of 1-{MAX_LIMIT}, got {limit!r:.40}")
    return limit
