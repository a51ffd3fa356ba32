"""Waiting for a tail's next notice: `Tail` in an event loop, `SyncTail` in a thread. Dropping one frees it at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Self, overload

from audit.log.clock import Clock
from audit.log.tail import BATCH_EVENTS, Batch, End, Notice, Step, TailCore
from audit.log.threads import ReaderThreads
from audit.log.wakeups import Sleeper
from audit.model.errors import InvalidParameter, StoreClosed
from audit.model.event import Event

__all__ = ["SyncTail", "Tail"]


class _Events:
    """The events of the batch that is being handed out one by one."""

    def __init__(self, core: TailCore) -> None:
        self._core = core
        self._batch: Batch | None = None
        self._next = 0

    def pop(self) -> Event | None:
        batch = self._batch
        if batch is None or self._next >= len(batch):
            self._batch = None
            return None
        self._next += 1
        return batch.events[self._next - 1]

    def rest(self, max_events: int) -> Batch | None:
        """Return what is left of the batch, as a batch of its own."""
        batch = self._batch
        if batch is None or self._next >= len(batch):
            return None
        some = batch.slices[self._next : self._next + max_events]
        self._next += len(some)
        return Batch(some, self.cursor, batch.erasures)

    def push(self, batch: Batch) -> None:
        self._batch = batch
        self._next = 0

    @property
    def cursor(self) -> str:
        """The cursor after the event handed out last, not after the batch."""
        batch = self._batch
        if batch is None or self._next >= len(batch):
            return self._core.cursor
        return self._core.cursor_after(batch.slices[self._next - 1])


class Tail:
    """A tail in an event loop: an asynchronous iterator of events, or of notices by `read`. For one task at a time."""

    def __init__(self, core: TailCore, threads: ReaderThreads, clock: Clock) -> None:
        self._core = core
        self._threads = threads
        self._clock = clock
        self._events = _Events(core)
        self._sleeper: Sleeper | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        while True:
            event = self._events.pop()
            if event is not None:
                return event
            notice = await self.read()
            if isinstance(notice, Batch):
                self._events.push(notice)
            elif isinstance(notice, End):
                raise StopAsyncIteration

    @property
    def cursor(self) -> str:
        """Resumes right after the event, batch or notice handed out last."""
        return self._events.cursor

    @property
    def core(self) -> TailCore:
        """The tail without its waiting."""
        return self._core

    async def check(self) -> None:
        """Verify the cursor that the tail starts from, before anything is read; it would be refused then.

        Raises:
            CursorInvalid: it points at another event than it did.
            Unavailable: the disk is needed and can't be read now.
        """
        if not self._core.check_start(disk=False):
            await self._threads.run(lambda: self._core.check_start(disk=True))

    @overload
    async def read(self, max_events: int = ..., *, timeout_s: None = ...) -> Notice: ...

    @overload
    async def read(self, max_events: int = ..., *, timeout_s: float | None) -> Notice | None: ...

    async def read(self, max_events: int = BATCH_EVENTS, *, timeout_s: float | None = None) -> Notice | None:
        """Return the next notice, waiting for one. Cancelling it loses nothing.

        Args:
            max_events: Events in a batch at most; it also ends at 960 KiB.
            timeout_s: Return None when there was nothing to tell for so long; `cursor` has moved on, if the log has.

        Raises:
            CursorInvalid: the cursor it started from points at another event than it did.
            Unavailable: the disk is needed and can't be read now; `read` again to go on.
            StoreCorrupt: a record is damaged or missing.
        """
        _check_max_events(max_events)
        core = self._core
        rest = self._events.rest(max_events)
        if rest is not None:
            return rest
        # Even a tail that finds all in memory lets others run between two batches.
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        until = None if timeout_s is None else loop.time() + timeout_s
        while True:
            step = core.step(max_events)
            if step is Step.SLEEP:
                left_s = None if until is None else until - loop.time()
                if left_s is not None and left_s <= 0:
                    return None
                await self._sleep(left_s)
            elif step is Step.READ_DISK:
                try:
                    window, snapshot = await self._threads.run(core.read_disk)
                except StoreClosed:
                    core.end("shutdown")
                    continue
                batch = core.take(window, snapshot)
                if batch is not None:
                    return batch
            else:
                return step

    async def _sleep(self, left_s: float | None) -> None:
        sleeper = Sleeper(asyncio.get_running_loop())
        if not self._core.fall_asleep(sleeper):
            return
        self._sleeper = sleeper
        try:
            limits = [t for t in (left_s, self._core.timeout_s(self._clock.wall_ms())) if t is not None]
            await sleeper.wait(min(limits, default=None))
        finally:
            self._sleeper = None
            self._core.wake_up(sleeper)

    def close(self) -> None:
        """End the tail; a `read` in progress returns `End` with reason `cancelled`."""
        self._core.end("cancelled")
        if self._sleeper is not None:
            self._sleeper.wake()


class SyncTail:
    """A tail in a thread: an iterator of events, or of notices by `read`. For one thread at a time."""

    def __init__(self, core: TailCore, clock: Clock) -> None:
        self._core = core
        self._clock = clock
        self._events = _Events(core)
        self._sleeper: Sleeper | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        while True:
            event = self._events.pop()
            if event is not None:
                return event
            notice = self.read()
            if isinstance(notice, Batch):
                self._events.push(notice)
            elif isinstance(notice, End):
                raise StopIteration

    @property
    def cursor(self) -> str:
        """Resumes right after the event, batch or notice handed out last."""
        return self._events.cursor

    def read(self, max_events: int = BATCH_EVENTS, timeout_s: float | None = None) -> Notice | None:
        """Return the next notice, or None when there was none in time; errors as of `Tail.read`."""
        _check_max_events(max_events)
        core = self._core
        rest = self._events.rest(max_events)
        if rest is not None:
            return rest
        until = None if timeout_s is None else self._clock.monotonic_ms() + timeout_s * 1000
        while True:
            step = core.step(max_events)
            if step is Step.SLEEP:
                left_s = None if until is None else (until - self._clock.monotonic_ms()) / 1000
                if left_s is not None and left_s <= 0:
                    return None
                self._sleep(left_s)
            elif step is Step.READ_DISK:
                try:
                    window, snapshot = core.read_disk()
                except StoreClosed:
                    core.end("shutdown")
                    continue
                batch = core.take(window, snapshot)
                if batch is not None:
                    return batch
            else:
                return step

    def _sleep(self, left_s: float | None) -> None:
        sleeper = Sleeper(None)
        # Known before it is registered: `close`, in another thread, must find whom to wake.
        self._sleeper = sleeper
        try:
            if self._core.fall_asleep(sleeper):
                try:
                    limits = [t for t in (left_s, self._core.timeout_s(self._clock.wall_ms())) if t is not None]
                    sleeper.wait_blocking(min(limits, default=None))
                finally:
                    self._core.wake_up(sleeper)
        finally:
            self._sleeper = None

    def close(self) -> None:
        """End the tail, from any thread; a `read` in progress returns `End` with reason `cancelled`."""
        self._core.end("cancelled")
        sleeper = self._sleeper
        if sleeper is not None:
            sleeper.wake()


def _check_max_events(max_events: object) -> None:
    if not isinstance(max_events, int) or not 1 <= max_events <= BATCH_EVENTS:
        raise InvalidParameter("max_events", f"must be 1-{BATCH_EVENTS}, got {max_events!r:.40}")
