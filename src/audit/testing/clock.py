"""A clock that stands still until told otherwise."""

from __future__ import annotations

from typing import Final

__all__ = ["START_MS", "FakeClock"]

START_MS: Final = 1_767_225_600_000
"""2026-01-01T00:00:00Z."""


class FakeClock:
    """Both of the log's clocks. Implements `audit.log.clock.Clock`; any thread may read it while one turns it."""

    def __init__(self, wall_ms: int = START_MS, monotonic_ms: int = 0) -> None:
        self._wall_ms = wall_ms
        self._monotonic_ms = monotonic_ms

    def wall_ms(self) -> int:
        """Return Unix milliseconds."""
        return self._wall_ms

    def monotonic_ms(self) -> int:
        """Return milliseconds since the clock was made."""
        return self._monotonic_ms

    def advance(self, ms: int) -> None:
        """Let time pass.

        Raises:
            ValueError: time does not run backwards; `step` does.
        """
        if ms < 0:
            raise ValueError(f"ms must be at least 0, got {ms}: use step to put the wall clock back")
        self._wall_ms += ms
        self._monotonic_ms += ms

    def step(self, ms: int) -> None:
        """Set the wall clock ahead, or back when `ms` is negative, while no time passes."""
        self._wall_ms += ms
