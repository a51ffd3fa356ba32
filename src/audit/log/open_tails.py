"""The tails that are open, and how far each is behind. Holds none of them: dropping a tail still frees it at once."""

from __future__ import annotations

import threading
from typing import NamedTuple
from weakref import WeakSet

from audit.log.tail import TailCore

__all__ = ["Lag", "OpenTails"]


class Lag(NamedTuple):
    """How far all tails together are behind.

    Attributes:
        tails: How many are open.
        most: Events that the slowest has not looked at yet.
        total: The same, summed over all.
    """

    tails: int
    most: int
    total: int


class OpenTails:
    """The open tails of one log; any thread may add one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tails: WeakSet[TailCore] = WeakSet()

    def add(self, tail: TailCore) -> TailCore:
        """Count a tail from now on, and return it."""
        with self._lock:
            self._tails.add(tail)
        return tail

    def lag(self) -> Lag:
        """Return how far the tails are behind; looks at each of them."""
        with self._lock:
            behind = [tail.lag for tail in self._tails if not tail.ended]
        return Lag(len(behind), max(behind, default=0), sum(behind))
