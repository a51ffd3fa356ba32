"""Who sleeps until which terms are committed. A commit wakes only those whose terms it touches.

No wake-up is lost: going to sleep compares positions under the lock that a publication takes.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence

from audit.codec.cursors import Position

__all__ = ["Sleeper", "Wakeups"]


class Sleeper:
    """One reader asleep, in an event loop or in a thread of its own."""

    __slots__ = ("_event", "_future", "_loop", "woken_at")

    def __init__(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self._loop = loop
        self._future: asyncio.Future[None] | None = None if loop is None else loop.create_future()
        self._event = threading.Event() if loop is None else None
        self.woken_at: Position | None = None
        """Where nothing had matched yet, right before the commit that woke it; None: not woken by a commit."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop to call back into."""
        return self._loop

    def wake(self) -> None:
        """Wake it, in its own loop or from any thread."""
        if self._event is not None:
            self._event.set()
        elif self._future is not None and not self._future.done():
            self._future.set_result(None)

    async def wait(self, timeout_s: float | None) -> None:
        """Sleep until woken or until the time is over."""
        if self._future is not None:
            await asyncio.wait((self._future,), timeout=timeout_s)

    def wait_blocking(self, timeout_s: float | None) -> None:
        """Sleep, blocking, until woken or until the time is over."""
        if self._event is not None:
            self._event.wait(timeout_s)


class Wakeups:
    """The registry of sleepers, by the terms they wait for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_term: dict[bytes, set[Sleeper]] = {}
        self._for_any: set[Sleeper] = set()
        self._closed = False

    def __len__(self) -> int:
        with self._lock:
            return len(self._for_any.union(*self._by_term.values()))

    def sleep(self, sleeper: Sleeper, terms: Sequence[bytes], still: Callable[[], bool]) -> bool:
        """Register a sleeper, unless there is something to see already.

        Args:
            sleeper: Who wants to sleep.
            terms: A commit that touches one of them wakes it; none: every commit does.
            still: Whether nothing was published since the sleeper looked; asked under the lock.

        Returns:
            Whether it is registered and may sleep.
        """
        with self._lock:
            if self._closed or not still():
                return False
            if not terms:
                self._for_any.add(sleeper)
            for term in terms:
                self._by_term.setdefault(term, set()).add(sleeper)
            return True

    def leave(self, sleeper: Sleeper, terms: Sequence[bytes], end: Callable[[], Position]) -> Position:
        """Forget a sleeper, and return up to where nothing has matched while it slept.

        Args:
            sleeper: Who wakes up, for whatever reason.
            terms: What it was registered with.
            end: The end of the log; asked under the lock.
        """
        with self._lock:
            self._for_any.discard(sleeper)
            for term in terms:
                found = self._by_term.get(term)
                if found is not None:
                    found.discard(sleeper)
                    if not found:
                        del self._by_term[term]
            return end() if sleeper.woken_at is None else sleeper.woken_at

    @property
    def closed(self) -> bool:
        """Whether nobody sleeps any more, because the log is closing."""
        return self._closed

    def publish(self, show: Callable[[], None], before: Position, terms: Sequence[tuple[bytes, ...]]) -> None:
        """Make a commit visible and wake those whose terms it touches.

        Args:
            show: Makes it visible; called under the lock.
            before: The end of the log before the commit.
            terms: Terms of each of its events.
        """
        with self._lock:
            show()
            if not self._by_term and not self._for_any:
                return
            woken = set(self._for_any)
            self._for_any.clear()
            if self._by_term:
                for term in self._by_term.keys() & set().union(*terms):
                    woken |= self._by_term[term]
            for sleeper in woken:
                if sleeper.woken_at is None:
                    sleeper.woken_at = before
        _wake(woken)

    def close(self) -> None:
        """Wake everybody; nobody sleeps from now on."""
        with self._lock:
            self._closed = True
            woken = self._for_any.union(*self._by_term.values())
            self._for_any = set()
            self._by_term = {}
        _wake(woken)


def _wake(sleepers: set[Sleeper]) -> None:
    """Wake each in its own way: one call into each event loop, whatever the number of its sleepers."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Sleeper]] = {}
    for sleeper in sleepers:
        if sleeper.loop is None:
            sleeper.wake()
        else:
            by_loop.setdefault(sleeper.loop, []).append(sleeper)
    for loop, some in by_loop.items():
        try:
            loop.call_soon_threadsafe(_wake_all, some)
        except RuntimeError:
            continue


def _wake_all(sleepers: list[Sleeper]) -> None:
    for sleeper in sleepers:
        sleeper.wake()
