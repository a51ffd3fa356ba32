"""Events of one recording that wait for the log, bounded, in order. What finds no room is counted and that recorded.

One call is on its way at a time, with all that gathered since the one before; only so does a retry keep the order. It
waits for room inside the log's own queue, and after a failure for the alarm: nothing is polled. Every event has an
idempotency key, so a retry after an unknown outcome makes no duplicate.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from concurrent.futures import Future
from typing import Final, NamedTuple, Protocol

from audit.log.alarm import Alarm
from audit.log.clock import Clock
from audit.log.incidents import dropped, rejected
from audit.log.prepare import PreparedCall
from audit.log.queue import COMMIT_BYTES, COMMIT_EVENTS, Receipts
from audit.model.errors import AuditError, Conflict, InvalidParameter, OutcomeUnknown, StoreClosed, StoreForked
from audit.storage.forks import abandon_after_fork

__all__ = ["BUFFER_BYTES", "BUFFER_EVENTS", "Buffer", "Names", "Put"]

BUFFER_EVENTS: Final = 10_000
BUFFER_BYTES: Final = 64 * 1024 * 1024
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


class Names(NamedTuple):
    """What a recording is called in what is recorded and logged about it."""

    source: str
    event_type: str

    def __str__(self) -> str:
        return f"{self.event_type} of {self.source}"


class _Gap:
    """Events in a row that were dropped, in the place where they are missing."""

    __slots__ = ("count", "first_ms", "last_ms")

    def __init__(self, now_ms: int) -> None:
        self.count = 0
        self.first_ms = self.last_ms = now_ms


class Buffer:
    """The waiting events of one recording. Any thread may add; answers come in the writer's thread."""

    def __init__(self, names: Names, put: Put, alarm: Alarm, clock: Clock, max_events: int) -> None:
        self._names = names
        self._put = put
        self._alarm = alarm
        self._clock = clock
        self._max_events = max_events
        self._changed = threading.Condition()
        self._waiting: deque[PreparedCall | _Gap] = deque()
        self._under_way: list[PreparedCall] = []
        """What is in the log's queue, or waits for the alarm to go there again."""
        self._queued = False
        self._size_bytes = 0
        self._one_by_one = 0
        self._failures = 0
        self._closing = False
        self._hopeless = False
        self._ended: AuditError | None = None
        self._warned = False
        abandon_after_fork(self)

    def __len__(self) -> int:
        with self._changed:
            return len(self._waiting) + len(self._under_way)

    def add(self, call: PreparedCall) -> None:
        """Take a call of one event; never waits, never fails.

        When the buffer is full the event is dropped; when the log is closed, it is lost and the loss logged.
        """
        if self._closing or self._ended is not None:
            if not self._warned:
                self._warned = True
                _log.error("%s, dispatched after the log was closed, is lost, as is what follows", self._names)
            return
        with self._changed:
            full = len(self._waiting) + len(self._under_way) >= self._max_events
            if full or self._size_bytes + call.size_bytes > BUFFER_BYTES:
                self._drop()
            else:
                self._waiting.append(call)
                self._size_bytes += call.size_bytes
            if not self._under_way:
                self._send_next()

    def _drop(self) -> None:
        now_ms = self._clock.wall_ms()
        gap = self._waiting[-1] if self._waiting else None
        if not isinstance(gap, _Gap):
            gap = _Gap(now_ms)
            self._waiting.append(gap)
        gap.count += 1
        gap.last_ms = now_ms

    # -- sending, under the lock -----------------------------------------------------------------------------------

    def _send_next(self) -> None:
        """Send what waits, as much as one commit holds."""
        limit = 1 if self._one_by_one else COMMIT_EVENTS
        size = 0
        while self._waiting and len(self._under_way) < limit:
            call = self._waiting[0]
            if isinstance(call, _Gap):
                call = dropped(*self._names, call.count, call.first_ms, call.last_ms)
                self._size_bytes += call.size_bytes
                self._waiting[0] = call
            if self._under_way and size + call.size_bytes > COMMIT_BYTES:
                break
            size += call.size_bytes
            self._under_way.append(call)
            self._waiting.popleft()
        if self._under_way:
            self._send()
        else:
            self._changed.notify_all()

    def _send(self) -> None:
        """Send what is under way, for the first time or again."""
        events = [event for call in self._under_way for event in call.events]
        size = sum(call.size_bytes for call in self._under_way)
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
                self._lose(error)
            elif isinstance(error, (InvalidParameter, Conflict)):
                self._refused(error)
            elif isinstance(error, (StoreClosed, StoreForked)):
                self._end(error)
            elif self._closing and not isinstance(error, OutcomeUnknown):
                # The log has tried for as long as it ever does; closing waits no longer.
                self._hopeless = True
                self._changed.notify_all()
            else:
                delay_s = _RETRY_S[min(self._failures, len(_RETRY_S) - 1)]
                if not self._failures:
                    _log.warning("%s: %d events wait for the log: %s", self._names, len(self), error)
                self._failures += 1
                self._alarm.set(delay_s, self._send_again)

    def _committed(self) -> None:
        self._failures = 0
        self._one_by_one = max(0, self._one_by_one - 1)
        self._size_bytes -= sum(call.size_bytes for call in self._under_way)
        self._under_way = []
        if self._ended is None:
            self._send_next()

    def _refused(self, error: Exception) -> None:
        """One event is at fault, and only its key can be: alone, it is replaced by the record of its rejection."""
        calls = self._under_way
        self._under_way = []
        if len(calls) > 1:
            self._one_by_one = len(calls)
            self._waiting.extendleft(reversed(calls))
            self._send_next()
            return
        record = rejected(*self._names, error)
        self._size_bytes += record.size_bytes - calls[0].size_bytes
        self._under_way = [record]
        self._send()

    # -- closing ---------------------------------------------------------------------------------------------------

    def begin_close(self) -> None:
        """Take no event from now on, and give up where the log is unavailable rather than busy."""
        with self._changed:
            self._closing = True

    def finish_close(self, until_s: float) -> None:
        """Wait until all is committed, but not where that is hopeless, nor beyond a moment of the monotonic clock."""
        with self._changed:
            self._changed.wait_for(
                lambda: not self._under_way or self._hopeless or self._ended is not None,
                max(0.0, until_s - time.monotonic()),
            )
            if self._ended is None:
                self._end(StoreClosed("the log is closed"))

    def _end(self, error: AuditError) -> None:
        """Give up what waits; what is in the log's queue is still answered."""
        self._ended = error
        lost = sum(call.count if isinstance(call, _Gap) else 1 for call in self._waiting)
        self._waiting.clear()
        if lost:
            _log.error("%s: %d events were still buffered when the log closed, and are lost", self._names, lost)
        if self._under_way and not self._queued:
            self._lose(error)
        self._changed.notify_all()

    def _lose(self, error: BaseException) -> None:
        lost = len(self._under_way)
        self._under_way = []
        _log.error("%s: %d events were under way when the log closed, and are lost: %s", self._names, lost, error)

    def abandon(self) -> None:
        """In a forked child: take nothing, without asking for the lock."""
        self._ended = StoreForked("the log was opened before this process was forked: open it after forking")
