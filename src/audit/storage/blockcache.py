"""Decompressed blocks of sealed segments, least recently used thrown out first, bounded in bytes. Never stale: sealed
events don't change."""

from __future__ import annotations

import threading

from cachetools import LRUCache

__all__ = ["BlockCache"]


class BlockCache:
    """Blocks by segment and number, shared by reader threads."""

    def __init__(self, max_bytes: int) -> None:
        self._lock = threading.Lock()
        self._blocks: LRUCache[tuple[bytes, int], bytes] = LRUCache(max_bytes, getsizeof=len)

    def get(self, place: tuple[bytes, int]) -> bytes | None:
        """Return a block, or None."""
        with self._lock:
            return self._blocks.get(place)

    def put(self, place: tuple[bytes, int], block: bytes) -> None:
        """Keep a block, if it fits at all."""
        with self._lock:
            if len(block) <= self._blocks.maxsize:
                self._blocks[place] = block

    def clear(self) -> None:
        """Forget all blocks."""
        with self._lock:
            self._blocks.clear()
