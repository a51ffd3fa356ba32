"""Pieces: the next events after an index, while they are in memory, with the posting lists that they have there.

So which of them match is looked up, not read, and counting them needs no event at all.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import Final, NamedTuple

from audit.codec.cursors import Position
from audit.codec.events import event_value
from audit.codec.postings import match_positions
from audit.codec.segments import Segment
from audit.codec.terms import Match
from audit.log.recent import Snapshot
from audit.metrics.fields import recorded_ms

__all__ = ["Piece", "next_piece"]

_EVENTS: Final = 2_000
_BYTES: Final = 1 << 20
"""A piece ends with the segment that reaches one of these: folding it takes some milliseconds."""


class _Part(NamedTuple):
    """Events `start` to `stop` of a segment."""

    segment: Segment
    start: int
    stop: int

    def positions(self, match: Match) -> Sequence[int]:
        found = match_positions(match, self.segment.postings.get, self.stop)
        return found[bisect_left(found, self.start) :] if self.start else found


class Piece:
    """Consecutive events in memory."""

    def __init__(self, parts: Sequence[_Part]) -> None:
        self._parts = parts
        self.size = sum([part.stop - part.start for part in parts])

    @cached_property
    def events(self) -> list[bytes]:
        """All of them."""
        return [event for segment, start, stop in self._parts for event in segment.events[start:stop]]

    @property
    def end(self) -> Position:
        """The last one."""
        segment, _, stop = self._parts[-1]
        return Position(segment.first_index + stop - 1, event_value(segment.events[stop - 1]))

    def places(self, match: Match) -> Sequence[int]:
        """Return which of the events match, counted from the first of the piece."""
        if match.everything:
            return range(self.size)
        places: list[int] = []
        before = 0
        for part in self._parts:
            shift = before - part.start
            places += [shift + position for position in part.positions(match)]
            before += part.stop - part.start
        return places

    def pick(self, places: Sequence[int]) -> list[bytes]:
        """Return the events at some places."""
        events = self.events
        return events if len(places) == self.size else [events[place] for place in places]

    def count(self, match: Match, unit_ms: int) -> dict[int, int]:
        """Return how many events match in each unit of time, by a time in it: no event is looked at in most cases."""
        counts: Counter[int] = Counter()
        for part in self._parts:
            positions = part.positions(match)
            if not positions:
                continue
            events = part.segment.events
            first, last = recorded_ms(events[positions[0]]), recorded_ms(events[positions[-1]])
            if first // unit_ms == last // unit_ms:
                counts[first] += len(positions)
            else:
                counts.update([recorded_ms(events[position]) for position in positions])
        return counts


def next_piece(snapshot: Snapshot, index: int) -> Piece | None:
    """Return the next events from an index on, at least one; None: they are not in memory."""
    if not snapshot.first_index <= index < snapshot.size:
        return None
    parts: list[_Part] = []
    events = size = 0
    for segment in snapshot.segments:
        start, stop = max(0, index - segment.first_index), snapshot.visible(segment)
        if start >= stop:
            continue
        parts.append(_Part(segment, start, stop))
        events += stop - start
        size += segment.size_bytes
        if events >= _EVENTS or size >= _BYTES:
            break
    return Piece(parts)
