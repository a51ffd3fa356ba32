"""Decompressed blocks of sealed segments, least recently used thrown out first, bounded in bytes.

Never stale: sealed events don't change. A few lines of our own rather than a library's cache, in which putting a block
took longer than decompressing it: see note 18 of docs/design/decisions.md.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

__all__ = ["BlockCache"]


class BlockCache:
    """Blocks by segment and number, shared by reader threads."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._blocks: OrderedDict[tuple[bytes, int], bytes] = OrderedDict()
        self._bytes = 0

    def get(self, place: tuple[bytes, int]) -> bytes | None:
        """Return a block, or None."""
        block = self._blocks.get(place)
        if block is not None:
            with self._lock:
                if place in self._blocks:
                    self._blocks.move_to_end(place)
        return block

    def put(self, place: tuple[bytes, int], block: bytes) -> None:
        """Keep a block, if it fits at all."""
        if len(block) > self._max_bytes:
            return
        with self._lock:
            if place in self._blocks:
                return
            self._blocks[place] = block
            self._bytes += len(block)
            while self._bytes > self._max_bytes:
                _, dropped = self._blocks.popitem(last=False)
                self._bytes -= len(dropped)

    def clear(self) -> None:
        """Forget all blocks."""
        with self._lock:
            self._blocks.clear()
            self._bytes = 0
