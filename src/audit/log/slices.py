"""Events as they are stored, decoded when somebody asks: what pages and batches are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from audit.codec.events import decode_events
from audit.model.errors import ProtocolViolation
from audit.model.event import Event

__all__ = ["Framed", "Slices"]


class Framed(NamedTuple):
    """Events that came together, in one frame.

    Attributes:
        decode: Returns all of them.
        cut: Returns the stored JSON of each, for those who ask for it.
    """

    decode: Callable[[], list[Event]]
    cut: Callable[[], list[bytes]]


class Slices:
    """Some events, in order.

    Attributes:
        cursor: Continues right after the last of them.
    """

    __slots__ = ("_events", "_framed", "_slices", "cursor")

    def __init__(self, events: list[bytes] | Framed, cursor: str) -> None:
        self.cursor = cursor
        self._framed: Framed | None = None
        self._events: list[Event] | None = None
        self._slices: list[bytes] | None = None
        if isinstance(events, Framed):
            self._framed = events
        else:
            self._slices = events

    @property
    def slices(self) -> list[bytes]:
        """The stored JSON of each event."""
        if self._slices is None:
            assert self._framed is not None  # noqa: S101 - it has one or the other
            self._slices = self._framed.cut()
        return self._slices

    @property
    def events(self) -> list[Event]:
        """The events, decoded once."""
        if self._events is None:
            self._events = decode_events(self.slices) if self._framed is None else self._framed.decode()
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
        if self._slices is not None:
            return len(self._slices)
        try:
            return len(self.events)
        except ProtocolViolation:
            # Some are none that this version knows: they can be counted all the same.
            return len(self.slices)
