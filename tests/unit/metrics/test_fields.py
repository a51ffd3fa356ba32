"""What is decoded of events is what all of each event says at the same paths, whatever is asked for beside it."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from audit.metrics.fields import Columns, parse_path

NAMES = st.sampled_from(["ms", "0", "1", "a b", "id", "occurred_at", "ü", "__class__"])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
EVENTS = st.fixed_dictionaries(
    {"topics": st.just([["a", "b"]])},
    optional={"action": st.just("act"), "actor": st.just({"type": "user", "id": "u-7"}), "data": VALUES},
)
PATHS = st.sets(
    st.sampled_from(["action", "actor.id", "actor.name", "topics.0.1", "topics.x", "data"])
    | st.lists(NAMES, min_size=1, max_size=3).map(lambda names: ".".join(["data", *names])),
    max_size=5,
)


def at(event: Any, path: tuple[str, ...]) -> Any:
    for part in path:
        if isinstance(event, dict):
            event = event.get(part)
        elif isinstance(event, list) and part in {"0", "1"} and int(part) < len(event):
            event = event[int(part)]
        else:
            return None
    return event


@given(st.lists(EVENTS, max_size=4), PATHS, st.data())
def test_a_column_is_what_each_whole_event_says(
    events: list[dict[str, Any]], texts: set[str], data: st.DataObject
) -> None:
    paths = [parse_path(text, "field") for text in sorted(texts)]
    columns = Columns([msgspec.json.encode({"id": "…", "index": 0, **event}) for event in events], frozenset(paths))
    places = data.draw(st.lists(st.integers(0, len(events) - 1), unique=True)) if events else []
    picked = columns.pick(places)
    for path in paths:
        expected = [at(event, path) for event in events]
        assert list(map(repr, columns.column(path))) == list(map(repr, expected))
        assert picked.column(path) == [expected[place] for place in places]
        assert columns.numbers(path) == [one for one in expected if type(one) in {int, float}]
