"""Calls back after a delay. One thread for all who wait, which exists only while somebody does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

__all__ = ["Alarm"]


class Alarm:
    """Any thread may set it; it rings in a thread of its own. What it calls must neither raise nor take long."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._thread: threading.Thread | None = None

    def set(self, delay_s: float, ring: Callable[[], None]) -> None:
        """Have `ring` called after a delay."""
        with self._changed:
            heappush(self._due, (time.monotonic() + delay_s, next(self._order), ring))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="audit-alarm", daemon=True)
                self._thread.start()
            else:
                self._changed.notify()

    def hasten(self) -> None:
        """Let everything ring that is set, now."""
        with self._changed:
            self._due = [(0.0, order, ring) for _, order, ring in sorted(self._due)]
            self._changed.notify()

    def close(self) -> None:
        """Ring no more, and wait for the thread, unless this is it."""
        with self._changed:
            self._due = []
            thread = self._thread
            self._changed.notify()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                while self._due and (left_s := self._due[0][0] - time.monotonic()) > 0:
                    self._changed.wait(left_s)
                if not self._due:
                    self._thread = None
                    return
                _, _, ring = heappop(self._due)
            ring()
            del ring  # it may be all that holds what it rings for
