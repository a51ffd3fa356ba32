"""The bounded queue before the writer. A call that finds no room waits in order, outside the bound, until there is.

Owns the accounting: what counts is events and encoded bytes not yet taken by the writer.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from concurrent.futures import Future as ThreadFuture
from typing import Protocol

from audit.log.prepare import PreparedCall
from audit.model.errors import AuditError, Overloaded, StoreForked
from audit.model.event import MAX_CALL_EVENTS, Receipt
from audit.storage.forks import abandon_after_fork

__all__ = ["COMMIT_BYTES", "COMMIT_EVENTS", "AppendQueue", "Pending", "Receipts", "Waiter"]

COMMIT_EVENTS = MAX_CALL_EVENTS
COMMIT_BYTES = 900 * 1024

Receipts = list[Receipt]


class Waiter(Protocol):
    """Who waits for a call's receipts in an event loop, as a future of it does. Neither method may raise."""

    def cancelled(self) -> bool:
        """Whether nobody waits any more, and the call need not be committed."""
        ...

    def done(self) -> bool:
        """Whether it was told, or gave up."""
        ...

    def set_result(self, result: Receipts, /) -> None:
        """Tell the receipts."""
        ...

    def set_exception(self, exception: AuditError, /) -> None:
        """Tell what was wrong."""
        ...


class Pending:
    """One call on its way, and whom to tell."""

    __slots__ = ("call", "future", "loop", "since_ms")

    def __init__(
        self,
        call: PreparedCall,
        future: Waiter | ThreadFuture[Receipts],
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        self.call = call
        self.future = future
        self.loop = loop
        self.since_ms: int | None = None
        """When it first found the store fenced, by the monotonic clock; None: it did not."""


class AppendQueue:
    """Calls in the order they came; many put, the writer alone takes."""

    def __init__(self, max_events: int, max_bytes: int) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        # Taken while there is nothing to wake the writer for. A condition makes a lock for each wait, and takes three.
        self._filled = threading.Lock()
        self._filled.acquire()
        self._inside: deque[Pending] = deque()
        self._outside: deque[Pending] = deque()
        self._events = 0
        self._bytes = 0
        self._refused: AuditError | None = None
        self._waiting = False
        self._nudged = False
        abandon_after_fork(self)

    def put(self, pending: Pending, *, wait: bool) -> None:
        """Add a call.

        Args:
            pending: The call.
            wait: Whether it may wait outside when there is no room.

        Raises:
            Overloaded: no room, and it may not wait.
            StoreClosed: no call is accepted any more.
        """
        if isinstance(self._refused, StoreForked):
            raise StoreForked(*self._refused.args)
        with self._lock:
            if self._refused is not None:
                raise type(self._refused)(*self._refused.args)
            if not self._outside and self._has_room(pending.call):
                self._enter(pending)
            elif wait:
                self._outside.append(pending)
            else:
                raise Overloaded(
                    f"the queue of appends is full: {self._events} events of {self._max_events}, "
                    f"{self._bytes} bytes of {self._max_bytes}"
                )
            self._wake()

    def _wake(self) -> None:
        """Wake the writer, if it waits; with the lock held."""
        if self._waiting:
            self._waiting = False
            self._filled.release()

    def _has_room(self, call: PreparedCall) -> bool:
        # A call larger than the whole queue may enter when it is alone.
        return not self._inside or (
            self._events + len(call.events) <= self._max_events and self._bytes + call.size_bytes <= self._max_bytes
        )

    def _enter(self, pending: Pending) -> None:
        self._inside.append(pending)
        self._events += len(pending.call.events)
        self._bytes += pending.call.size_bytes

    def take(self, timeout_s: float | None = None) -> list[Pending]:
        """Return the calls of the next commit, waiting for the first; none: the time is over, it is closed, or nudged.

        A commit ends at 1,000 events or 900 KiB; a call is never split, and a larger one comes alone,
        as does one with an errand.
        """
        with self._lock:
            waits = self._waiting = not self._inside and self._refused is None and not self._nudged
        if waits and not self._filled.acquire(timeout=-1 if timeout_s is None else max(0.0, timeout_s)):
            with self._lock:
                if self._waiting:
                    self._waiting = False
                    return []
            # Woken in the moment in which the time was over.
            self._filled.acquire()
        with self._lock:
            self._nudged = False
            taken: list[Pending] = []
            events = size = 0
            while self._inside:
                call = self._inside[0].call
                events += len(call.events)
                size += call.size_bytes
                alone = call.errand is not None
                if taken and (alone or events > COMMIT_EVENTS or size > COMMIT_BYTES):
                    break
                pending = self._inside.popleft()
                self._events -= len(call.events)
                self._bytes -= call.size_bytes
                # Whoever gave up while the call was still queued is taken at their word: it is not committed.
                if not pending.future.cancelled():
                    taken.append(pending)
                    if alone:
                        break
            while self._outside and (self._outside[0].future.cancelled() or self._has_room(self._outside[0].call)):
                pending = self._outside.popleft()
                if not pending.future.cancelled():
                    self._enter(pending)
            return taken

    def nudge(self) -> None:
        """Have `take` return, with nothing if there is nothing."""
        with self._lock:
            self._nudged = True
            self._wake()

    @property
    def waiting(self) -> bool:
        """Whether `take` would return without waiting."""
        return bool(self._inside)

    def take_all(self) -> list[Pending]:
        """Return every call that waits, inside or outside, without waiting for any."""
        with self._lock:
            taken = [*self._inside, *self._outside]
            self._inside.clear()
            self._outside.clear()
            self._events = self._bytes = 0
            return taken

    def refuse(self, error: AuditError) -> None:
        """Accept no call from now on; those inside can still be taken."""
        with self._lock:
            if self._refused is None:
                self._refused = error
            self._wake()

    @property
    def closed(self) -> bool:
        """Whether calls are refused and none is left to take."""
        with self._lock:
            return self._refused is not None and not self._inside and not self._outside

    def __len__(self) -> int:
        with self._lock:
            return self._events

    def abandon(self) -> None:
        """In a forked child: refuse everything; the writer does not exist there."""
        self._refused = StoreForked("the log was opened before this process was forked: open it after forking")
