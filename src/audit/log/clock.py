"""The clock, and the guard that notices when it jumps.

Wall time is compared with a clock that only runs on. More than an hour between them makes the clock suspect, and
appends are refused until the operator accepts it or it returns to where it should be.
"""

from __future__ import annotations

import time
from typing import Final, Protocol

from audit.model.errors import ClockSuspect
from audit.model.ids import RANDOM_BITS, format_id

__all__ = ["MAX_JUMP_MS", "Clock", "ClockGuard", "SystemClock"]

MAX_JUMP_MS: Final = 3_600_000


class Clock(Protocol):
    """Time as the log reads it; tests bring their own."""

    def wall_ms(self) -> int:
        """Return Unix milliseconds; may jump either way."""
        ...

    def monotonic_ms(self) -> int:
        """Return milliseconds since some moment; only runs on, also while the machine sleeps."""
        ...


class SystemClock:
    """The machine's clock."""

    # CLOCK_MONOTONIC stands still while a laptop sleeps, which would look like a jump on waking.
    _steady = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

    def wall_ms(self) -> int:
        """Return Unix milliseconds."""
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        """Return milliseconds since the machine started."""
        return time.clock_gettime_ns(self._steady) // 1_000_000


class ClockGuard:
    """Compares two clocks from one check to the next; for one thread at a time, apart from `accept`."""

    def __init__(self, clock: Clock, last_id: int, *, accepted: bool = False) -> None:
        """Start from the store's newest id (-1: none), which must not be an hour ahead unless the clock is accepted."""
        self._clock = clock
        self._ahead: int | None = None
        self._base: tuple[int, int] | None = None
        last_ms = last_id >> RANDOM_BITS
        if not accepted and last_id >= 0 and last_ms - clock.wall_ms() > MAX_JUMP_MS:
            self._ahead = last_id
        else:
            self._base = (clock.wall_ms(), clock.monotonic_ms())

    def now_ms(self) -> int:
        """Return wall time.

        Raises:
            ClockSuspect: it is more than an hour from where it should be.
        """
        wall, steady = self._clock.wall_ms(), self._clock.monotonic_ms()
        if self._ahead is not None:
            ahead_ms = (self._ahead >> RANDOM_BITS) - wall
            if ahead_ms > MAX_JUMP_MS:
                raise ClockSuspect(
                    f"the newest event {format_id(self._ahead)} is {_hours(ahead_ms)} ahead of the clock: "
                    "set the clock, or go on with accept_clock=True (--accept-clock)"
                )
            self._ahead = None
        elif self._base is not None:
            jump = (wall - self._base[0]) - (steady - self._base[1])
            if abs(jump) > MAX_JUMP_MS:
                raise ClockSuspect(
                    f"the clock jumped {_hours(abs(jump))} {'ahead' if jump > 0 else 'back'}: "
                    "set the clock, or go on with accept_clock (--accept-clock)"
                )
        self._base = (wall, steady)
        return wall

    def promise_ms(self) -> int:
        """Return a time that no later event will be dated before: now, or 0 while the clock is suspect."""
        try:
            return self.now_ms()
        except ClockSuspect:
            return 0

    def accept(self) -> None:
        """Take the clock as it is now; ids still never go back."""
        self._ahead = None
        self._base = (self._clock.wall_ms(), self._clock.monotonic_ms())


def _hours(ms: int) -> str:
    hours = ms / 3_600_000
    return f"{hours:.1f} hours" if hours < 48 else f"{hours / 24:.1f} days"  # noqa: PLR2004 - two days read better
