"""Events as they are stored, decoded when somebody asks: what pages and batches are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from audit.codec.events import decode_events
from audit.model.event import Event

__all__ = ["Decoded", "Slices"]


class Decoded(NamedTuple):
    """Events that came decoded already.

    Attributes:
        events: All of them.
        cut: Returns the stored JSON of each, for those who ask for it after all.
    """

    events: list[Event]
    cut: Callable[[], list[bytes]]


class Slices:
    """Some events, in order.

    Attributes:
        cursor: Continues right after the last of them.
    """

    __slots__ = ("_decoded", "_events", "_slices", "cursor")

    def __init__(self, events: list[bytes] | Decoded, cursor: str) -> None:
        self.cursor = cursor
        self._decoded: Decoded | None = None
        self._events: list[Event] | None = None
        self._slices: list[bytes] | None = None
        if isinstance(events, Decoded):
            self._decoded = events
            self._events = events.events
        else:
            self._slices = events

    @property
    def slices(self) -> list[bytes]:
        """The stored JSON of each event."""
        if self._slices is None:
            assert self._decoded is not None  # noqa: S101 - it has one or the other
            self._slices = self._decoded.cut()
        return self._slices

    @property
    def events(self) -> list[Event]:
        """The events, decoded once."""
        if self._events is None:
            self._events = decode_events(self.slices)
        return self._events

    @property
    def raw(self) -> bytes:
        """The events as one JSON array of the stored bytes."""
        slices = self.slices
        if not slices:
            return b"[]"
        # Brackets on the first and the last: around the whole, each would copy a page's bytes once more.
        parts = slices.copy()
        parts[0] = b"[" + parts[0]
        parts[-1] += b"]"
        return b",".join(parts)

    def __len__(self) -> int:
        return len(self.slices if self._events is None else self._events)
