"""Waiting for a metric's changes: `LiveMetric` in an event loop, `SyncLiveMetric` in a thread."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final, Self

from audit.log.clock import Clock
from audit.log.live import Follower, Known
from audit.log.measuring import Spend
from audit.log.tail import End
from audit.log.threads import ReaderThreads
from audit.log.wakeups import Sleeper
from audit.metrics.query import MetricResult, MetricUpdate
from audit.model.errors import StoreClosed

__all__ = ["LiveMetric", "SyncLiveMetric"]

_LEAST_TICK_S: Final = 1.0
"""Between two looks that no commit asks for, when updates may follow each commit."""
_MOST_S: Final = 86_400.0


class _Pace:
    """When the next update may be told, and when one is worth looking for."""

    def __init__(self, every_ms: int, clock: Clock) -> None:
        self._every_s = every_ms / 1000
        self._clock = clock
        self._told_ms: int | None = None

    def told(self) -> None:
        """Take note that something is told now."""
        self._told_ms = self._clock.monotonic_ms()

    def rest_s(self) -> float:
        """Return how long nothing may be told yet."""
        if self._told_ms is None:
            return 0.0
        return max(0.0, self._every_s - (self._clock.monotonic_ms() - self._told_ms) / 1000)

    def due_s(self, known: Known) -> float | None:
        """Return after how long time alone may have changed an answer; None: never."""
        if known.due_ms is None:
            return None
        left_s = (known.due_ms - self._clock.wall_ms()) / 1000
        return min(_MOST_S, max(left_s, self._every_s or _LEAST_TICK_S))


class LiveMetric:
    """One reader of a metric that is kept up with the log, in an event loop. For one task at a time."""

    def __init__(
        self,
        follower: Follower,
        threads: ReaderThreads,
        clock: Clock,
        spend: Spend | None = None,
    ) -> None:
        """Read nothing yet; `spend` is told of events that were read, as of `LiveState.answer`, from any thread."""
        self._follower = follower
        self._threads = threads
        self._spend = spend
        self._pace = _Pace(follower.every_ms, clock)
        self._sleeper: Sleeper | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def latest(self) -> MetricResult | None:
        """All that was told, added up, for whoever joins late; None: nothing was told yet."""
        return self._follower.latest

    @property
    def cursor(self) -> str | None:
        """Resumes right after what was told last; None: nothing was told yet."""
        return self._follower.cursor

    async def check(self) -> None:
        """Verify the cursor that it starts from, before anything is read; it would be refused then.

        Raises:
            CursorInvalid: it points at another event than it did.
            Unavailable: the disk is needed and can't be read now.
        """
        await self._threads.run(self._follower.check_start)

    async def snapshot(self) -> MetricResult:
        """Return all windows as of now; what is told later is what changes after it.

        Raises:
            TooLarge: over 500,000 events would have to be read, or there are too many windows or groups.
            Unavailable: the disk is needed and can't be read now.
            StoreClosed: the log is closed.
        """
        await self.check()
        result = self._follower.tell_all(await self._answer())
        self._pace.told()
        return result

    async def changes(self, timeout_s: float | None = None) -> MetricUpdate | End | None:
        """Return what has changed, waiting for a change. Cancelling it loses nothing.

        Told nothing yet, it returns at once: what may have changed since the cursor it was given, or else everything.

        Args:
            timeout_s: Return None when nothing has changed for so long.

        Raises:
            As `snapshot`; and CursorInvalid: the cursor given points at another event than it did.
        """
        follower = self._follower
        loop = asyncio.get_running_loop()
        until = None if timeout_s is None else loop.time() + timeout_s
        while (over := follower.over()) is None:
            rest_s = self._pace.rest_s()
            left_s = None if until is None else until - loop.time()
            if rest_s and (left_s is None or left_s > 0):
                await self._sleep(rest_s if left_s is None else min(rest_s, left_s), until_commit=False)
                continue
            try:
                if follower.fresh:
                    await self.check()
                    known = await self._answer()
                    update = await self._threads.run(lambda known=known: follower.change(known))  # type: ignore[misc]
                else:
                    known = await self._answer()
                    update = follower.change(known)
            except StoreClosed:
                follower.end("shutdown")
                continue
            if update is not None:
                self._pace.told()
                return update
            if left_s is not None and left_s <= 0:
                return None
            waits = [wait_s for wait_s in (self._pace.due_s(known), left_s) if wait_s is not None]
            await self._sleep(min(waits, default=None), until_commit=True)
        return over

    async def _answer(self) -> Known:
        state = self._follower.state
        known = state.answer_nowait()
        return known if known is not None else await self._threads.run(lambda: state.answer(self._spend))

    async def _sleep(self, wait_s: float | None, *, until_commit: bool) -> None:
        sleeper = Sleeper(asyncio.get_running_loop())
        if not self._follower.fall_asleep(sleeper, until_commit=until_commit):
            return
        self._sleeper = sleeper
        try:
            await sleeper.wait(wait_s)
        finally:
            self._sleeper = None
            self._follower.wake_up(sleeper, until_commit=until_commit)

    def close(self) -> None:
        """End it; a `changes` in progress returns `End` with reason `cancelled`."""
        self._follower.end("cancelled")
        if self._sleeper is not None:
            self._sleeper.wake()


class SyncLiveMetric:
    """One reader of a metric that is kept up with the log, in a thread. For one thread at a time."""

    def __init__(self, follower: Follower, clock: Clock) -> None:
        self._follower = follower
        self._clock = clock
        self._pace = _Pace(follower.every_ms, clock)
        self._sleeper: Sleeper | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def latest(self) -> MetricResult | None:
        """All that was told, added up; None: nothing was told yet."""
        return self._follower.latest

    @property
    def cursor(self) -> str | None:
        """Resumes right after what was told last; None: nothing was told yet."""
        return self._follower.cursor

    def snapshot(self) -> MetricResult:
        """Return all windows as of now. See `LiveMetric.snapshot`."""
        self._follower.check_start()
        result = self._follower.tell_all(self._follower.state.answer())
        self._pace.told()
        return result

    def changes(self, timeout_s: float | None = None) -> MetricUpdate | End | None:
        """Return what has changed, waiting for a change. See `LiveMetric.changes`."""
        follower = self._follower
        until_ms = None if timeout_s is None else self._clock.monotonic_ms() + timeout_s * 1000
        while (over := follower.over()) is None:
            rest_s = self._pace.rest_s()
            left_s = None if until_ms is None else (until_ms - self._clock.monotonic_ms()) / 1000
            if rest_s and (left_s is None or left_s > 0):
                self._sleep(rest_s if left_s is None else min(rest_s, left_s), until_commit=False)
                continue
            try:
                if follower.fresh:
                    follower.check_start()
                known = follower.state.answer()
                update = follower.change(known)
            except StoreClosed:
                follower.end("shutdown")
                continue
            if update is not None:
                self._pace.told()
                return update
            if left_s is not None and left_s <= 0:
                return None
            waits = [wait_s for wait_s in (self._pace.due_s(known), left_s) if wait_s is not None]
            self._sleep(min(waits, default=None), until_commit=True)
        return over

    def _sleep(self, wait_s: float | None, *, until_commit: bool) -> None:
        sleeper = Sleeper(None)
        # Known before it is registered: `close`, in another thread, must find whom to wake.
        self._sleeper = sleeper
        try:
            if self._follower.fall_asleep(sleeper, until_commit=until_commit):
                try:
                    sleeper.wait_blocking(wait_s)
                finally:
                    self._follower.wake_up(sleeper, until_commit=until_commit)
        finally:
            self._sleeper = None

    def close(self) -> None:
        """End it, from any thread; a `changes` in progress returns `End` with reason `cancelled`."""
        self._follower.end("cancelled")
        sleeper = self._sleeper
        if sleeper is not None:
            sleeper.wake()
