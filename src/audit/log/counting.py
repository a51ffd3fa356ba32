"""Counts without reading events: from rollups for what is sealed, from posting lists in memory for what is not.

Exact, and of one moment: the rollups say how many events they are of, and memory adds those after. Whatever part of a
span does not begin or end with a minute is left to be read.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final, NamedTuple

from audit.codec.events import event_value
from audit.codec.rollups import DAY, HOUR, MINUTE, Level
from audit.codec.terms import term_of_topic
from audit.log.handle import Handle
from audit.log.recent import Snapshot
from audit.metrics.plan import Plan
from audit.model.ids import RANDOM_BITS
from audit.model.query import Filter
from audit.model.topic import Topic
from audit.storage.port import RollupRange

__all__ = ["Covered", "count_topic", "cover", "has_rollups"]

_NO_FILTER: Final = Filter()


class Covered(NamedTuple):
    """How a span is counted.

    Attributes:
        ranges: What rollups say, level by level.
        low_ms: Where that begins; what lies before is read.
        high_ms: Where it ends; what follows is read.
    """

    ranges: list[RollupRange]
    low_ms: int
    high_ms: int


def has_rollups(plan: Plan) -> bool:
    """Whether a plan asks for nothing but events of one topic by time of recording."""
    query = plan.query
    return (
        plan.measure in ("count", "rate")
        and plan.group_by is None
        and not plan.occurred
        and len(query.topics) == 1
        and query.filter == _NO_FILTER
    )


def cover(low_ms: int, high_ms: int, pane_ms: int) -> Covered:
    """Return how to count a span in panes.

    Args:
        low_ms: Where it begins.
        high_ms: Where it ends.
        pane_ms: Each range's units divide it; 0: one pane, whose units may be any.
    """
    levels = [level for level in (MINUTE, HOUR, DAY) if pane_ms % level.unit_ms == 0]
    if not levels:
        return Covered([], low_ms, low_ms)
    low = -(-low_ms // MINUTE.unit_ms) * MINUTE.unit_ms
    high = high_ms // MINUTE.unit_ms * MINUTE.unit_ms
    if high <= low:
        return Covered([], low_ms, low_ms)
    ranges: list[RollupRange] = []
    _split(low, high, levels, ranges)
    return Covered(sorted(ranges, key=lambda one: (one.level.unit_ms, one.low_ms)), low, high)


def _split(low: int, high: int, levels: Sequence[Level], ranges: list[RollupRange]) -> None:
    """Take the coarsest level for as much as it has whole units of, finer ones for what is left at both ends."""
    *finer, level = levels
    first = -(-low // level.unit_ms) * level.unit_ms
    last = high // level.unit_ms * level.unit_ms
    if last > first:
        ranges.append(RollupRange(level, first, last))
        if finer and low < first:
            _split(low, first, finer, ranges)
        if finer and last < high:
            _split(last, high, finer, ranges)
    elif finer:
        _split(low, high, finer, ranges)


def count_topic(handle: Handle, topic: Topic, covered: Covered, snapshot: Snapshot) -> dict[int, int] | None:
    """Return a topic's events by the start of a minute, hour or day; None: more is sealed by now than was published.

    Blocks on the disk.
    """
    found = handle.read(lambda storage: storage.rollups(topic, covered.ranges))
    if found.sealed > snapshot.size:
        return None
    counts = found.counts
    for ms in _in_memory(topic, found.sealed, snapshot):
        if covered.low_ms <= ms < covered.high_ms:
            start = ms - ms % MINUTE.unit_ms
            counts[start] = counts.get(start, 0) + 1
    return counts


def _in_memory(topic: Topic, first_index: int, snapshot: Snapshot) -> list[int]:
    """Return the times of a topic's events from an index on; all of them are in memory."""
    term = term_of_topic(topic)
    found: list[int] = []
    for segment in snapshot.segments:
        count = snapshot.visible(segment)
        start = max(0, first_index - segment.first_index)
        if start >= count:
            continue
        positions = segment.postings.get(term, ()) if topic else range(count)
        events = segment.events
        # Later events may be added meanwhile: the copy is of those that are there now.
        some = list(positions)
        some = some[bisect_left(some, start) : bisect_left(some, count)]
        found += [event_value(events[position]) >> RANDOM_BITS for position in some]
    return found
