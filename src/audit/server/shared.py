"""Batches encoded once for all who get the same ones: subscribers of one query that stand at one place."""

from __future__ import annotations

from typing import Final

from audit.codec.events import event_id_text
from audit.log.tail import Batch
from audit.protocol.frames import batch_tail

__all__ = ["SharedBatches"]

_MAX_BYTES: Final = 8 * 1024 * 1024


class SharedBatches:
    """The batches sent last, without the names of their subscriptions. All is dropped whenever it is full."""

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._tails: dict[tuple[str, bytes, int], bytes] = {}

    def tail(self, batch: Batch) -> bytes:
        """Return what follows the subscription's name in a batch's notification."""
        # The cursor names query and last event; with the first one and the number, there is just one such batch.
        place = (batch.cursor, event_id_text(batch.slices[0]), len(batch.slices))
        tail = self._tails.get(place)
        if tail is None:
            tail = batch_tail(batch.slices, batch.cursor)
            self._bytes += len(tail)
            if self._bytes > self._max_bytes:
                # What is sent next is newer; a clear costs less than keeping an order.
                self._tails.clear()
                self._bytes = len(tail)
            self._tails[place] = tail
        return tail
