"""The newest events in memory, sealed or not, as immutable snapshots: what readers see is what has been published.

The sequencer alone publishes. A snapshot's last segment is the head, which grows in place; `size` says how much of it
is published, so that a reader never sees an event whose commit is not on disk.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from audit.codec.cursors import START, Position
from audit.codec.events import event_id_text
from audit.codec.postings import match_positions
from audit.codec.segments import Segment
from audit.codec.terms import Match
from audit.model.ids import format_id
from audit.model.span import Span
from audit.proof.frontier import Frontier
from audit.storage.gather import Gather

__all__ = ["Snapshot", "newest", "search_recent"]


class Snapshot(NamedTuple):
    """The log at one moment.

    Attributes:
        size: Number of events committed.
        last_id: Id of the last one; -1 when there is none.
        segments: The newest ones, oldest first; the last is the head, perhaps empty. All before them is sealed on disk.
        tree: The Merkle tree of just these events.
        erasures: Grows whenever events are erased; who keeps copies of events may keep them as long as it stands.
    """

    size: int
    last_id: int
    segments: tuple[Segment, ...]
    tree: Frontier
    erasures: int = 0

    @property
    def first_index(self) -> int:
        """Index of the first event in memory."""
        return self.segments[0].first_index

    @property
    def first_id(self) -> int:
        """Id below which events are on disk only; beyond every id while nothing is in memory."""
        first = self.segments[0]
        return first.first_id if first.first_index else 0

    @property
    def end(self) -> Position:
        """The place right after the last event."""
        return Position(self.size - 1, self.last_id) if self.size else START

    def visible(self, segment: Segment) -> int:
        """Return how many of a segment's events are published."""
        return min(len(segment.events), self.size - segment.first_index)

    def event_at(self, index: int) -> bytes | None:
        """Return the stored event at an index, or None if it is not in memory."""
        if not self.first_index <= index < self.size:
            return None
        at = bisect_right(self.segments, index, key=lambda segment: segment.first_index) - 1
        segment = self.segments[at]
        return segment.events[index - segment.first_index]

    def event_with(self, event_id: int) -> bytes | None:
        """Return the stored event with an id, or None if it is not in memory."""
        if not self.first_id <= event_id <= self.last_id:
            return None
        text = format_id(event_id).encode()
        segment = self.segments[self.segment_of(event_id)]
        at = bisect_left(segment.events, text, 0, self.visible(segment), key=event_id_text)
        found = at < self.visible(segment) and event_id_text(segment.events[at]) == text
        return segment.events[at] if found else None

    def segment_of(self, event_id: int) -> int:
        """Return the number of the segment in memory that holds or would hold an id; 0 for one before them all."""
        return max(0, bisect_right(self.segments, event_id, key=lambda segment: segment.first_id) - 1)


def newest(segments: tuple[Segment, ...], max_bytes: int) -> tuple[Segment, ...]:
    """Return the newest segments that fit into so many bytes; the last, which is the head, always stays."""
    kept = len(segments)
    room = max_bytes
    while kept and (kept == len(segments) or segments[kept - 1].size_bytes <= room):
        kept -= 1
        room -= segments[kept].size_bytes
    return segments[kept:]


def search_recent(snapshot: Snapshot, match: Match, span: Span, gather: Gather) -> bool:
    """Gather the events in memory that match; return whether to stop there.

    All of memory is searched: a page's worth of it takes microseconds. The caller looks on disk for what lies before.
    """
    segments = snapshot.segments
    if gather.descending:
        start = snapshot.segment_of(span.high - 1)
        bound = span.high_text
        for number in range(start, -1, -1):
            segment = segments[number]
            count = snapshot.visible(segment)
            if count <= 0:
                continue
            if number == start:
                count = bisect_left(segment.events, bound, 0, count, key=event_id_text)
            positions = match_positions(match, segment.postings.get, count)
            if gather.add(_pick(segment, gather.choose(positions))):
                return True
            if event_id_text(segment.events[0]) <= span.low_text:
                return True
        return False
    start = snapshot.segment_of(span.low)
    bound = span.low_text
    for number in range(start, len(segments)):
        segment = segments[number]
        count = snapshot.visible(segment)
        if count <= 0:
            continue
        positions = match_positions(match, segment.postings.get, count)
        if number == start and positions:
            at = bisect_left(segment.events, bound, 0, count, key=event_id_text)
            positions = positions[bisect_left(positions, at) :]
        if gather.add(_pick(segment, gather.choose(positions))):
            return True
    return False


def _pick(segment: Segment, positions: Sequence[int]) -> list[bytes]:
    events = segment.events
    return [events[position] for position in positions]
