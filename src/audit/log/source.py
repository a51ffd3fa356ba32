"""Domain objects say what happened to them and know nothing of who listens; whoever does attaches a handler.

Handlers live on the source itself, never in a registry: a handler that refers to its source, as a bound method does, is
freed with it. Invariant: `dispatch` neither waits nor raises because of a handler.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from itertools import count
from typing import Any, Final, NamedTuple

__all__ = ["Attachment", "Dispatched", "EventSource", "Handler", "attach"]

Handler = Callable[[Any], "Future[Any] | None"]
"""Takes an event; returns what an awaited dispatch has to wait for, or None."""

_KEY: Final = "_EventSource__handlers"
_log = logging.getLogger("audit")
_order = count()
_lock = threading.RLock()  # re-entered when the garbage collector runs a destructor that stops a recording


class EventSource:
    """Mixin for domain classes: `self.dispatch(Opened(port=22))` hands an event to whoever asked for its kind.

    It has no state until somebody listens, needs no `__init__`, and leaves equality, copying and pickling as they are.
    """

    def dispatch(self, event: object) -> Dispatched:
        """Hand an event to the handlers attached to this object or to one of its classes, in the order they came.

        Returns at once, in any thread. `await` the result to wait until the event is safe, and to learn if it is not;
        to go on without waiting is fine too: failures nobody waited for are logged.

        Args:
            event: An object of the domain's own event types.
        """
        asked: list[Future[Any]] = []
        try:
            for entry in _entries_of(self):
                try:
                    if isinstance(event, entry.event_type):
                        future = entry.handler(event)
                        if future is not None:
                            asked.append(future)
                except Exception as error:  # noqa: BLE001 - whatever a handler raises is its result
                    asked.append(_failed(error))
            return Dispatched(asked) if asked else _NOTHING_ASKED
        finally:
            # An error's traceback holds this frame: the error would keep itself alive.
            del asked


class Dispatched:
    """What became of a dispatched event. Await it in an event loop, any number of times; elsewhere call `result`."""

    __slots__ = ("__weakref__", "_asked", "_told")

    def __init__(self, asked: Sequence[Future[Any]]) -> None:
        self._asked = asked
        self._told = False

    def __await__(self) -> Generator[Any, None, None]:
        """Wait until every handler that asked for it is done; raise the first failure.

        Being cancelled while waiting takes nothing back: the event is on its way.
        """
        for future in self._asked:
            if not future.done():
                yield from _arrival(future).__await__()
        error = self._failure()
        if error is not None:
            try:
                raise error
            finally:
                del error, self

    def result(self, timeout_s: float | None = None) -> None:
        """Block until every handler that asked for it is done; raise the first failure. Not for event loops.

        Raises:
            TimeoutError: it took longer than `timeout_s`; the event is still on its way.
            RuntimeError: called where an event loop runs, which it would block.
        """
        if not all(future.done() for future in self._asked):
            if _in_event_loop():
                raise RuntimeError("result() would block the event loop: await the dispatch")
            until = None if timeout_s is None else time.monotonic() + timeout_s
            for future in self._asked:
                # Raises TimeoutError; the failure itself is looked at once all are done.
                future.exception(None if until is None else max(0.0, until - time.monotonic()))
        error = self._failure()
        if error is not None:
            try:
                raise error
            finally:
                del error, self

    def _failure(self) -> BaseException | None:
        """Return the first failure and log the others: only one can be raised."""
        first: BaseException | None = None
        for future in self._asked:
            error = future.exception()
            if error is None:
                continue
            if first is None:
                first = error
            elif not self._told:
                _log_failure(future)
        self._told = True
        return first

    def __del__(self) -> None:
        if not self._told:
            for future in self._asked:
                future.add_done_callback(_log_failure)


_NOTHING_ASKED: Final = Dispatched(())


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _failed(error: Exception) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_exception(error)
    return future


def _log_failure(future: Future[Any]) -> None:
    error = None if future.cancelled() else future.exception()
    if error is not None:
        _log.error("a dispatched event was not recorded, and nobody waited to hear it: %s", error, exc_info=error)


# -- waking event loops ------------------------------------------------------------------------------------------------


class _Mailbox:
    """Wakes the waiting dispatches of one event loop: with one call into it, however many a commit has answered."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Weak: a waiter refers to its loop, which must not be kept by what is kept for it.
        self._arrived: list[weakref.ref[asyncio.Future[None]]] = []
        self._called = False

    def post(self, waiter: asyncio.Future[None]) -> None:
        """Wake a waiter, from any thread."""
        with self._lock:
            self._arrived.append(weakref.ref(waiter))
            if self._called:
                return
            self._called = True
        try:
            waiter.get_loop().call_soon_threadsafe(self._deliver)
        except RuntimeError:
            # The loop is closed: nobody waits in it any more.
            self._deliver()

    def _deliver(self) -> None:
        with self._lock:
            arrived, self._arrived = self._arrived, []
            self._called = False
        for one in arrived:
            waiter = one()
            if waiter is not None and not waiter.done() and not waiter.get_loop().is_closed():
                waiter.set_result(None)


_mailboxes: Final[weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Mailbox]] = weakref.WeakKeyDictionary()


def _arrival(future: Future[Any]) -> asyncio.Future[None]:
    """Return a future of the running loop that is done once `future` is; cancelling it touches nothing else."""
    loop = asyncio.get_running_loop()
    mailbox = _mailboxes.get(loop)
    if mailbox is None:
        mailbox = _mailboxes[loop] = _Mailbox()
    waiter: asyncio.Future[None] = loop.create_future()
    future.add_done_callback(lambda _: mailbox.post(waiter))
    return waiter


# -- attaching ---------------------------------------------------------------------------------------------------------


class _Entry(NamedTuple):
    order: int
    event_type: type[Any]
    handler: Handler


class _Handlers:
    """The handlers of one source; a copy of the source, however it was made, has none."""

    __slots__ = ("__weakref__", "entries", "owner")

    def __init__(self, owner: object = None) -> None:
        self.owner = None if owner is None else weakref.ref(owner)
        # Replaced, never changed: `dispatch` reads it without a lock.
        self.entries: tuple[_Entry, ...] = ()

    def of(self, source: object) -> bool:
        """Whether these are this source's own, and not copied along with its attributes."""
        return self.owner is not None and self.owner() is source

    def __deepcopy__(self, memo: dict[int, Any]) -> _Handlers:
        return _Handlers()

    def __reduce__(self) -> tuple[type[_Handlers], tuple[()]]:
        return _Handlers, ()


class Attachment:
    """A handler attached to a source. Keeps neither alive."""

    __slots__ = ("_handlers", "_order")

    def __init__(self, handlers: _Handlers, order: int) -> None:
        self._handlers = weakref.ref(handlers)
        self._order = order

    def detach(self) -> None:
        """Take the handler away; a dispatch in another thread may still be in it. May be called twice."""
        with _lock:
            handlers = self._handlers()
            if handlers is None:
                return
            handlers.entries = tuple(entry for entry in handlers.entries if entry.order != self._order)
            owner = handlers.owner and handlers.owner()
            if not handlers.entries and owner is not None and vars(owner).get(_KEY) is handlers:
                _set(owner, None)


def attach(source: object, event_type: type[Any], handler: Handler) -> Attachment:
    """Have `handler` called with every event of a type that a source dispatches; the source keeps it alive.

    Args:
        source: An `EventSource`, or a class of them: all its instances, those of its subclasses included.
        event_type: The events' class; its subclasses match too.
        handler: Called in the thread that dispatches; must not block. What it raises counts as its failure.
    """
    with _lock:
        handlers = vars(source).get(_KEY)
        if handlers is None or not handlers.of(source):
            handlers = _Handlers(source)
            _set(source, handlers)
        entry = _Entry(next(_order), event_type, handler)
        handlers.entries = (*handlers.entries, entry)
    return Attachment(handlers, entry.order)


def _entries_of(source: object) -> Sequence[_Entry]:
    """Return the handlers of an instance and its classes, in the order in which they were attached."""
    found: tuple[_Entry, ...] = ()
    merged = False
    for owner in (source, *type(source).__mro__):
        handlers: _Handlers | None = owner.__dict__.get(_KEY)
        if handlers is not None and handlers.of(owner):
            merged = bool(found)
            found = (*found, *handlers.entries) if merged else handlers.entries
    return sorted(found) if merged else found


def _set(source: object, handlers: _Handlers | None) -> None:
    if isinstance(source, type):
        # Past a metaclass that would refuse.
        if handlers is None:
            type.__delattr__(source, _KEY)
        else:
            type.__setattr__(source, _KEY, handlers)
    elif handlers is None:
        # Past the `__setattr__` of frozen classes.
        vars(source).pop(_KEY)
    else:
        vars(source)[_KEY] = handlers


def _after_fork() -> None:
    # Whoever held it does not exist in the child.
    global _lock  # noqa: PLW0603
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_after_fork)
