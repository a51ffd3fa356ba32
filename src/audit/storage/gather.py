"""Gathering a page: events go in segment by segment; it cuts at the far bound, at the limit and at the bytes allowed.

Sealed segments and those in memory are gathered alike, so that a page that spans both stops by one rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from audit.codec.cursors import Position
from audit.codec.events import event_id_text, event_index, event_value
from audit.model.span import Span

__all__ = ["Gather", "position_of"]


def position_of(event: bytes) -> Position:
    """Return the place right after a stored event, in either order."""
    return Position(event_index(event), event_value(event))


@lru_cache(64)
def _text_below(value: int) -> bytes:
    """Return the text below which all ids below a value are; most pages end at one of few bounds."""
    return Span(0, value).high_text


class Gather:
    """Events in the order asked for, until full (`stopped` says where) or past the far bound (`ended`)."""

    def __init__(self, span: Span, *, descending: bool, limit: int, max_bytes: int) -> None:
        self.events: list[bytes] = []
        self.ended = False
        self.stopped: Position | None = None
        self.descending = descending
        self._far = _text_below(span.low if descending else span.high)
        self._limit = limit
        self._max_bytes = max_bytes
        self._bytes = 0

    @property
    def room(self) -> tuple[int, int]:
        """Events and bytes that still fit."""
        return self._limit - len(self.events), self._max_bytes - self._bytes

    def choose(self, positions: Sequence[int]) -> Sequence[int]:
        """Return the positions of a segment that are worth reading, in order."""
        room = self._limit - len(self.events)
        return positions[::-1][:room] if self.descending else positions[:room]

    def add(self, events: list[bytes]) -> bool:
        """Take the events of one segment; return whether to stop."""
        if not events:
            return False
        far, descending = self._far, self.descending
        last = event_id_text(events[-1])
        if last < far if descending else last >= far:
            events = [e for e in events if (event_id_text(e) >= far if descending else event_id_text(e) < far)]
            self.ended = True
        size = sum(map(len, events))
        if self._bytes + size > self._max_bytes:
            self._add_fitting(events)
            if self.stopped is not None:
                return True
        else:
            self._bytes += size
            self.events += events
        if self.ended:
            return True
        if len(self.events) >= self._limit:
            self.stopped = position_of(self.events[-1])
            return True
        return False

    def _add_fitting(self, events: list[bytes]) -> None:
        for event in events:
            self._bytes += len(event)
            # The first event of all always fits, or nobody would ever get past a large one.
            if self._bytes > self._max_bytes and self.events:
                self.stopped = position_of(self.events[-1])
                self.ended = False
                return
            self.events.append(event)
