"""Batches encoded once for all who get the same ones: subscribers of one query that stand at one place."""

from __future__ import annotations

from typing import Final

from audit.codec.events import event_id_text
from audit.log.tail import Batch
from audit.protocol.frames import batch_tail, encode_batch
from audit.server.link import frame_of

__all__ = ["SharedBatches"]

_MAX_BYTES: Final = 8 * 1024 * 1024


class SharedBatches:
    """The frames sent last. All are dropped whenever there are too many: what is sent next is newer anyway."""

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._frames: dict[tuple[str, str, bytes, int, str | None], bytes] = {}
        self._erasures = 0

    def frame(self, subscription: str, batch: Batch, checkpoint: str | None) -> bytes:
        """Return the frame of a batch's notification.

        Args:
            subscription: Its name, which most connections count from 1: so most get the very same bytes.
            batch: The cursor names its query and last event; with the first and their number, there is just one such.
            checkpoint: The newest signed one, or None.
        """
        slices = batch.slices
        if batch.erasures != self._erasures:
            # What is kept may hold what was erased since.
            self.clear()
            self._erasures = batch.erasures
        place = (subscription, batch.cursor, event_id_text(slices[0]), len(slices), checkpoint)
        frame = self._frames.get(place)
        if frame is None:
            frame = frame_of(encode_batch(subscription, batch_tail(slices, batch.cursor, checkpoint)))
            self._bytes += len(frame)
            if self._bytes > self._max_bytes:
                self._frames.clear()
                self._bytes = len(frame)
            self._frames[place] = frame
        return frame

    def clear(self) -> None:
        """Forget all frames; from any thread."""
        self._frames = {}
        self._bytes = 0
