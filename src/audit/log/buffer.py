"""Events that wait for the log, of all recordings that may not fail: bounded, and in the order they were dispatched.

One call is on its way at a time, with all that gathered since the one before; only so does a retry keep the order. It
waits for room inside the log's own queue, and after a failure for the alarm: nothing is polled. Every event has an
idempotency key, so a retry after an unknown outcome makes no duplicate. What finds no room is counted.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Final, NamedTuple, Protocol

from audit.log.alarm import Alarm
from audit.log.clock import Clock
from audit.log.incidents import dropped, rejected
from audit.log.prepare import PreparedCall
from audit.log.queue import COMMIT_BYTES, COMMIT_EVENTS, Receipts
from audit.model.errors import AuditError, Conflict, InvalidParameter, OutcomeUnknown, StoreClosed, StoreForked
from audit.storage.forks import abandon_after_fork

__all__ = ["BUFFER_BYTES", "BUFFER_EVENTS", "Buffer", "Names", "Put", "Share", "refuse"]

BUFFER_EVENTS: Final = 10_000
"""Events that one recording may have waiting."""
BUFFER_BYTES: Final = 64 * 1024 * 1024
"""Encoded bytes of all that wait."""
_RETRY_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0)
_log = logging.getLogger("audit")


class Put(Protocol):
    """Queues calls for the writer."""

    def __call__(self, call: PreparedCall, *, wait: bool) -> Future[Receipts]:
        """Queue a call.

        Raises:
            Overloaded: there is no room, and it may not wait.
            StoreClosed, StoreForked: no call is accepted any more.
        """
        ...


def refuse(call: PreparedCall, *, wait: bool) -> Future[Receipts]:  # noqa: ARG001
    """Stand in for the log, once it is closed, for whoever outlives it."""
    raise StoreClosed("the log is closed")


class Names(NamedTuple):
    """What a recording is called in what is recorded and logged about it."""

    source: str
    event_type: str

    def __str__(self) -> str:
        return f"{self.event_type} of {self.source}"


class Share:
    """One recording's part of the buffer. Belongs to the buffer's lock."""

    __slots__ = ("events", "gap", "max_events", "names", "warned")

    def __init__(self, names: Names, max_events: int) -> None:
        self.names = names
        self.max_events = max_events
        self.events = 0
        self.gap: _Gap | None = None
        self.warned = False


class _Item(NamedTuple):
    share: Share
    call: PreparedCall
    events: int = 1
    """Events of the share that it takes the place of."""


class _Gap:
    """Events of one share, in a row, that were dropped; stands where they are missing."""

    __slots__ = ("count", "first_ms", "last_ms", "share")

    def __init__(self, share: Share, now_ms: int) -> None:
        self.share = share
        self.count = 0
        self.first_ms = self.last_ms = now_ms

    def record(self) -> _Item:
        """Return what is recorded about it; it does not grow from now on."""
        self.share.gap = None
        return _Item(self.share, dropped(*self.share.names, self.count, self.first_ms, self.last_ms), 0)


class Buffer:
    """What waits. Any thread may add; answers come in the writer's thread."""

    def __init__(self, put: Put, clock: Clock) -> None:
        self._put = put
        self._clock = clock
        self._alarm = Alarm()
        self._changed = threading.Condition()
        self._waiting: deque[_Item | _Gap] = deque()
        self._under_way: list[_Item] = []
        """What is in the log's queue, or waits for the alarm to go there again."""
        self._queued = False
        self._size_bytes = 0
        self._one_by_one = 0
        self._failures = 0
        self._closing = False
        self._hopeless = False
        self._ended: AuditError | None = None
        abandon_after_fork(self)

    def __len__(self) -> int:
        with self._changed:
            return len(self._waiting) + len(self._under_way)

    def add(self, share: Share, call: PreparedCall) -> None:
        """Take a call of one event; never waits, never fails.

        When the buffer is full the event is dropped; once the log is closed it is lost, and the loss logged.
        """
        if self._closing or self._ended is not None:
            if not share.warned:
                share.warned = True
                _log.error("%s, dispatched after the log was closed, is lost, as is what follows", share.names)
            return
        with self._changed:
            if share.events >= share.max_events or self._size_bytes + call.size_bytes > BUFFER_BYTES:
                self._drop(share)
            else:
                share.gap = None
                self._waiting.append(self._counted(_Item(share, call)))
            if not self._under_way:
                self._send_next()

    def _counted(self, item: _Item) -> _Item:
        item.share.events += item.events
        self._size_bytes += item.call.size_bytes
        return item

    def _uncount(self, item: _Item) -> None:
        item.share.events -= item.events
        self._size_bytes -= item.call.size_bytes

    def _drop(self, share: Share) -> None:
        now_ms = self._clock.wall_ms()
        if share.gap is None:
            share.gap = _Gap(share, now_ms)
            self._waiting.append(share.gap)
        share.gap.count += 1
        share.gap.last_ms = now_ms

    # -- sending, under the lock -----------------------------------------------------------------------------------

    def _send_next(self) -> None:
        """Send what waits, as much as one commit holds."""
        limit = 1 if self._one_by_one else COMMIT_EVENTS
        size = 0
        while self._waiting and len(self._under_way) < limit:
            item = self._waiting[0]
            if isinstance(item, _Gap):
                item = self._waiting[0] = self._counted(item.record())
            if self._under_way and size + item.call.size_bytes > COMMIT_BYTES:
                break
            size += item.call.size_bytes
            self._under_way.append(item)
            self._waiting.popleft()
        if self._under_way:
            self._send()
        else:
            self._changed.notify_all()

    def _send(self) -> None:
        """Send what is under way, for the first time or again."""
        events = [event for item in self._under_way for event in item.call.events]
        size = sum(item.call.size_bytes for item in self._under_way)
        try:
            future = self._put(PreparedCall(events, size, None, b"", keyed=True), wait=True)
        except AuditError as error:
            self._end(error)
            return
        self._queued = True
        future.add_done_callback(self._answered)

    def _send_again(self) -> None:
        with self._changed:
            if self._under_way and not self._queued and self._ended is None:
                self._send()

    def _answered(self, future: Future[Receipts]) -> None:
        error = future.exception()
        with self._changed:
            self._queued = False
            if error is None:
                self._committed()
            elif self._ended is not None:
                self._lose_under_way(error)
            elif isinstance(error, (InvalidParameter, Conflict)):
                self._refused(error)
            elif isinstance(error, (StoreClosed, StoreForked)):
                self._end(error)
            elif self._closing and not isinstance(error, OutcomeUnknown):
                # The log has tried for as long as it ever does; closing waits no longer.
                self._hopeless = True
                self._changed.notify_all()
            else:
                self._wait_and_retry(error)

    def _wait_and_retry(self, error: BaseException) -> None:
        if not self._failures:
            _log.warning("%d recorded events wait for the log: %s", len(self), error)
        delay_s = _RETRY_S[min(self._failures, len(_RETRY_S) - 1)]
        self._failures += 1
        self._alarm.set(delay_s, self._send_again)

    def _committed(self) -> None:
        self._failures = 0
        self._one_by_one = max(0, self._one_by_one - 1)
        for item in self._under_way:
            self._uncount(item)
        self._under_way = []
        if self._ended is None:
            self._send_next()

    def _refused(self, error: Exception) -> None:
        """One event is at fault, and only its key can be: alone, it is replaced by the record of its rejection."""
        items, self._under_way = self._under_way, []
        if len(items) > 1:
            self._one_by_one = len(items)
            self._waiting.extendleft(reversed(items))
            self._send_next()
            return
        self._uncount(items[0])
        share = items[0].share
        self._under_way = [self._counted(_Item(share, rejected(*share.names, error)))]
        self._send()

    # -- closing ---------------------------------------------------------------------------------------------------

    def close(self, timeout_s: float) -> None:
        """Take nothing from now on, and commit what waits, giving up where the log is unavailable rather than busy."""
        until_s = time.monotonic() + timeout_s
        with self._changed:
            self._closing = True
        self._alarm.hasten()
        with self._changed:
            self._changed.wait_for(
                lambda: not self._under_way or self._hopeless or self._ended is not None,
                max(0.0, until_s - time.monotonic()),
            )
            if self._ended is None:
                self._end(StoreClosed("the log is closed"))
            self._put = refuse
        self._alarm.close()

    def _end(self, error: AuditError) -> None:
        """Give up what waits; what is in the log's queue is still answered."""
        self._ended = error
        self._lose(self._waiting, error)
        self._waiting.clear()
        if not self._queued:
            self._lose_under_way(error)
        self._changed.notify_all()

    def _lose_under_way(self, error: BaseException) -> None:
        self._lose(self._under_way, error)
        self._under_way = []

    def _lose(self, items: Iterable[_Item | _Gap], error: BaseException) -> None:
        lost: Counter[Names] = Counter()
        for item in items:
            lost[item.share.names] += item.count if isinstance(item, _Gap) else 1
        for names, count in lost.items():
            _log.error("%s: %d events were not committed when the log closed, and are lost: %s", names, count, error)

    def abandon(self) -> None:
        """In a forked child: take nothing, without asking for the lock."""
        self._ended = StoreForked("the log was opened before this process was forked: open it after forking")
