"""How much others take of this machine: while nothing of ours runs, and, on a virtual one, while it does.

A turn beside which others took too much is taken again, once it is quiet: by what the machine says of itself, never by
the turn's figures.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

__all__ = ["QUIET_CORES", "Quiet", "busy_cores"]

QUIET_CORES: Final = 0.15
"""What others may use of the machine, on average."""
_STEAL: Final = 7
_REST_S: Final = 10.0
_PROBE: Final = (sys.executable, "-c", "import time; t = time.monotonic() + 1\nwhile time.monotonic() < t: pass")
"""Others' work shows only while there is some of ours that must wait for it."""

T = TypeVar("T")


def _seconds() -> list[float]:
    """Return user, nice, system, idle, waiting, irq, softirq and stolen seconds of all processors."""
    fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]
    return [int(field) / os.sysconf("SC_CLK_TCK") for field in fields]


def busy_cores(seconds: float) -> float:
    """Return how many processors were busy, on average, while this process slept."""

    def busy_s() -> float:
        user, nice, system, _idle, _wait, irq, softirq, steal = _seconds()
        return user + nice + system + irq + softirq + steal

    before, began = busy_s(), time.monotonic()
    time.sleep(seconds)
    return (busy_s() - before) / (time.monotonic() - began)


def _stolen_s() -> float:
    return _seconds()[_STEAL]


def _probe() -> None:
    for one in [subprocess.Popen(_PROBE) for _ in range(2)]:
        one.wait()


class Quiet:
    """Takes turns, again where others took more than they may, as long as there is patience."""

    def __init__(
        self,
        patience_s: float,
        *,
        stolen_s: Callable[[], float] = _stolen_s,
        now_s: Callable[[], float] = time.monotonic,
        rest: Callable[[float], Any] = time.sleep,
        probe: Callable[[], None] = _probe,
    ) -> None:
        """Begin.

        Args:
            patience_s: Seconds that turns taken again, and waiting for them, may cost in all.
            stolen_s: Returns the seconds that other machines on this host have taken from this one so far.
            now_s: Returns the time.
            rest: Waits for so many seconds.
            probe: Works for a moment.
        """
        self._patience_s = patience_s
        self._stolen_s = stolen_s
        self._now_s = now_s
        self._rest = rest
        self._probe = probe
        self.turns = {"all": 0, "again": 0, "disturbed": 0}
        """Taken so far; those, and runs of all sides, taken again; those that count although they were disturbed."""

    def turn(self, take: Callable[[], T]) -> T:
        """Return what a turn gives that was taken while it was quiet, or when patience had run out."""
        while True:
            found, stolen, took_s = self._watched(take)
            self.turns["all"] += 1
            if stolen <= QUIET_CORES:
                return found
            if not self.again(took_s):
                return found

    def again(self, took_s: float) -> bool:
        """Wait until it is quiet, to take once more what took so long; False: patience has run out, and it counts."""
        self._patience_s -= took_s
        if self.wait():
            self.turns["again"] += 1
            return True
        self.turns["disturbed"] += 1
        return False

    def wait(self) -> bool:
        """Wait until it is quiet; return False when patience runs out before."""
        while self._patience_s > 0:
            _, stolen, took_s = self._watched(self._probe)
            self._patience_s -= took_s
            if stolen <= QUIET_CORES:
                return True
            self._rest(_REST_S)
            self._patience_s -= _REST_S
        return False

    def _watched(self, work: Callable[[], T]) -> tuple[T, float, float]:
        """Return what work gives, the processors that others took meanwhile, and the seconds that it took."""
        began_s, before_s = self._now_s(), self._stolen_s()
        found = work()
        took_s = max(self._now_s() - began_s, 1e-9)
        return found, (self._stolen_s() - before_s) / took_s, took_s
