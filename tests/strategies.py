"""Hypothesis strategies of the log's own values: ids, topics, events."""

import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from hypothesis import strategies as st

from audit import Actor, NewEvent, Target
from audit.model.event import OUTCOMES
from audit.model.ids import MAX_VALUE
from audit.model.topic import MAX_SEGMENT_BYTES, Topic

__all__ = ["HOSTILE", "ids", "json_values", "moments", "names", "new_events", "segments", "topics"]

HOSTILE: Final = (
    ',"salt":"',
    '"],"salt":"x"}',
    "a,b",
    "a",
    "bc",
    "a,bc",
    "constructor",
    "__proto__",
    '\\",',
    "id",
    "\u00e4",
    "\U00010348",
)
"""Segments that would fool whoever compares or cuts text in the wrong place."""


def _fits(text: str) -> bool:
    return len(unicodedata.normalize("NFC", text).encode()) <= MAX_SEGMENT_BYTES


ids: Final = st.integers(0, MAX_VALUE)
_letters: Final = st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="/")
_text: Final = st.characters(exclude_categories=["Cs"])
segments: Final = st.one_of(st.sampled_from(HOSTILE), st.text(_letters, min_size=1, max_size=20).filter(_fits))
topics: Final[st.SearchStrategy[Topic]] = st.lists(segments, min_size=1, max_size=5).map(tuple)
names: Final = st.text(_text, min_size=1, max_size=20)
json_values: Final = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(_text, max_size=20),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=3)),
    max_leaves=8,
)
_zones: Final = st.one_of(st.just(UTC), st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m))))
moments: Final = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=_zones)  # noqa: DTZ001 - given one
_contexts: Final = st.dictionaries(
    st.one_of(st.just("request_id"), names), st.text(names.map(lambda t: t[0]), max_size=9), max_size=3
)

new_events: Final = st.builds(
    NewEvent,
    topics=st.lists(topics, min_size=1, max_size=3),
    action=st.none() | names,
    occurred_at=st.none() | moments,
    actor=st.none() | st.builds(Actor, type=names, id=names, name=st.none() | names),
    targets=st.lists(st.builds(Target, type=names, id=names), max_size=3),
    outcome=st.none() | st.sampled_from(sorted(OUTCOMES)),
    context=_contexts,
    data=json_values,
)
