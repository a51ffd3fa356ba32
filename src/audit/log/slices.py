"""Events as they are stored, decoded when somebody asks: what pages and batches are made of."""

from __future__ import annotations

from audit.codec.events import decode_events, join_events
from audit.model.event import Event

__all__ = ["Slices"]


class Slices:
    """Some events, in order.

    Attributes:
        slices: The stored JSON of each event.
        cursor: Continues right after the last of them.
    """

    __slots__ = ("_events", "cursor", "slices")

    def __init__(self, slices: list[bytes], cursor: str) -> None:
        self.slices = slices
        self.cursor = cursor
        self._events: list[Event] | None = None

    @property
    def events(self) -> list[Event]:
        """The events, decoded once."""
        if self._events is None:
            self._events = decode_events(self.slices)
        return self._events

    @property
    def raw(self) -> bytes:
        """The events as one JSON array of the stored bytes."""
        return join_events(self.slices)

    def __len__(self) -> int:
        return len(self.slices)
