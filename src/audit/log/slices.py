"""Events as they are stored, decoded when somebody asks: what pages and batches are made of."""

from __future__ import annotations

from audit.codec.events import decode_events
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
        slices = self.slices
        if not slices:
            return b"[]"
        # Brackets on the first and the last: around the whole, each would copy a page's bytes once more.
        parts = slices.copy()
        parts[0] = b"[" + parts[0]
        parts[-1] += b"]"
        return b",".join(parts)

    def __len__(self) -> int:
        return len(self.slices)
