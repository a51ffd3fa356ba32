"""Decompressed blocks of sealed segments, those of the segment not used for longest thrown out first; bounded in bytes.

Once that begins, a segment must be asked for a second time to come in: what is read once, as by who reads on and on,
pushes nothing out, and is spared the cost of being kept. Kept as lists of events, so that a page of what is kept is a
page of references: nothing is cut or copied. Never stale: sealed events don't change. A few lines of our own rather
than a library's cache, in which putting a block took longer than decompressing it: see note 18 of
docs/design/decisions.md.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

__all__ = ["BlockCache", "Blocks"]

_EVENT_BYTES: Final = 41
"""What an event in a list costs beyond its bytes, in CPython."""
_SEGMENT_BYTES: Final = 500
_SEEN: Final = 64
"""Segments that are remembered as asked for, at least; else as many as are kept."""

Blocks = list[Sequence[bytes]]
"""The blocks of one segment, by number; an empty one is not kept."""


class BlockCache:
    """Blocks by segment and number, shared by the event loop and reader threads."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._lock = threading.Lock()
        self._segments: OrderedDict[bytes, Blocks] = OrderedDict()
        self._sizes: dict[bytes, int] = {}
        self._bytes = 0
        self._crowded = False
        """Whether anything was ever thrown out."""
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        """Segments that were asked for once since, and not kept; the last one last."""

    def __contains__(self, segment: bytes) -> bool:
        """Return whether any block of a segment is kept."""
        return segment in self._segments

    @property
    def size_bytes(self) -> int:
        """What all that is kept takes."""
        return self._bytes

    def wants(self, segment: bytes) -> bool:
        """Return whether blocks of a segment that is asked for may be here, or are to be put here."""
        if not self._crowded:
            return self.max_bytes > 0
        if segment in self._segments:
            return True
        with self._lock:
            if segment in self._seen:
                del self._seen[segment]
                return True
            self._seen[segment] = None
            if len(self._seen) > max(_SEEN, len(self._segments)):
                self._seen.popitem(last=False)
        return False

    def get(self, segment: bytes) -> Blocks | None:
        """Return the blocks of a segment that are kept, to be looked at only; None: there is none."""
        blocks = self._segments.get(segment)
        if blocks is not None:
            try:
                self._segments.move_to_end(segment)
            except KeyError:
                # Thrown out by another thread just now; still good.
                return blocks
        return blocks

    def put(self, segment: bytes, number: int, events: list[bytes]) -> None:
        """Keep the events of a block, if they fit at all."""
        size = sum(map(len, events)) + _EVENT_BYTES * len(events)
        if size + _SEGMENT_BYTES > self.max_bytes:
            return
        with self._lock:
            blocks = self._segments.get(segment)
            if blocks is None:
                self._segments[segment] = blocks = []
                self._sizes[segment] = _SEGMENT_BYTES
                self._bytes += _SEGMENT_BYTES
            if number >= len(blocks):
                blocks.extend([()] * (number + 1 - len(blocks)))
            elif blocks[number]:
                return
            blocks[number] = events
            self._sizes[segment] += size
            self._bytes += size
            while self._bytes > self.max_bytes:
                dropped, _ = self._segments.popitem(last=False)
                self._bytes -= self._sizes.pop(dropped)
                self._crowded = True

    def clear(self) -> None:
        """Forget all blocks."""
        with self._lock:
            self._segments.clear()
            self._sizes.clear()
            self._seen.clear()
            self._bytes = 0
            self._crowded = False
