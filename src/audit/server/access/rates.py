"""Token buckets: how often, in the long run, with a little saved up. Pure: time comes in."""

from __future__ import annotations

from math import ceil
from typing import Final

__all__ = ["Bucket"]

_SAVED_S: Final = 2.0
"""Seconds' worth that may be spent at once."""


class Bucket:
    """So much a second; what is not used is saved for two seconds, and at least one whole call."""

    __slots__ = ("_left", "_most", "_rate", "_since_ms")

    def __init__(self, per_second: float, now_ms: int) -> None:
        self._rate = per_second / 1000
        self._most = max(1.0, per_second * _SAVED_S)
        self._left = self._most
        self._since_ms = now_ms

    def take(self, amount: float, now_ms: int) -> int | None:
        """Take an amount; return None if it was there, else the milliseconds until it will be: nothing is taken then.

        An amount larger than all that can be saved is given once the bucket is full, and leaves a debt.
        """
        self._refill(now_ms)
        needed = min(amount, self._most)
        if self._left >= needed:
            self._left -= amount
            return None
        return ceil((needed - self._left) / self._rate) if self._rate > 0 else 2**31

    def spend(self, amount: float, now_ms: int) -> None:
        """Take an amount that was used already, though it leaves a debt."""
        self._refill(now_ms)
        self._left -= amount

    def _refill(self, now_ms: int) -> None:
        if now_ms > self._since_ms:
            self._left = min(self._most, self._left + (now_ms - self._since_ms) * self._rate)
            self._since_ms = now_ms
