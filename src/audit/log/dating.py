"""When the next events are dated, and what readers are promised of that.

Owns the clock's guard. Invariant: no event is dated before a watermark that was told.
"""

from __future__ import annotations

import threading

from audit.log.clock import Clock, ClockGuard
from audit.model.ids import RANDOM_BITS

__all__ = ["Dating"]


class Dating:
    """The writer dates commits, one after the other; any thread may ask for the watermark."""

    def __init__(self, clock: Clock, last_id: int, *, accepted: bool) -> None:
        self._lock = threading.Lock()
        self._guard = ClockGuard(clock, last_id, accepted=accepted)
        self._now_ms = 0
        self._promised_ms = 0
        self._unpublished: int | None = None

    def read(self) -> int:
        """Return the time, as the next commit takes it to be.

        Raises:
            ClockSuspect: the clock jumped.
        """
        with self._lock:
            self._now_ms = self._guard.now_ms()
        return self._now_ms

    def check(self) -> None:
        """Return if the clock can be believed; errors as of `read`."""
        with self._lock:
            self._guard.now_ms()

    def accept(self) -> None:
        """Go on with the clock as it is."""
        self._guard.accept()

    def begin(self, last_id: int) -> int:
        """Return the time for a commit after `last_id`: that which was read, or what was promised since."""
        with self._lock:
            now_ms = max(self._now_ms, self._promised_ms)
            self._unpublished = max(last_id + 1, now_ms << RANDOM_BITS)
        return now_ms

    def end(self) -> None:
        """Forget the commit that was begun: it is published, or it is known not to be in the store."""
        self._unpublished = None

    def watermark(self, last_id: int) -> int:
        """Return an id below which no event will be published any more, `last_id` being that of one that is."""
        with self._lock:
            if self._unpublished is not None:
                return self._unpublished
            # A promise to whoever asks: the next commit is not dated before now.
            self._promised_ms = max(self._promised_ms, self._guard.promise_ms())
            return max(last_id + 1, self._promised_ms << RANDOM_BITS)
