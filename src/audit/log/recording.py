"""Recordings: what domain objects dispatch becomes events of the log. `mode` says who bears it when one can't be.

A recording belongs to its source, and is freed with it; the log only knows it weakly, to end it when closing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeVar, get_args
from weakref import WeakSet

import msgspec

from audit.log.buffer import BUFFER_EVENTS, Buffer, Names, Put, Share, refuse
from audit.log.clock import Clock
from audit.log.handle import WAIT_S
from audit.log.incidents import new_key, rejected
from audit.log.prepare import PreparedCall, prepare_call
from audit.log.queue import Receipts
from audit.log.scrub import Scrub
from audit.log.source import Attachment, EventSource, attach
from audit.model.errors import InvalidParameter, StoreClosed
from audit.model.event import NewEvent

__all__ = ["Mapper", "Mode", "Recording", "Recordings"]

E = TypeVar("E")

Mapper = Callable[[E], NewEvent | None]
"""Turns a domain event into an event for the log, or into None: nothing to record."""

Mode = Literal["require", "buffer"]

_MODES: Final = get_args(Mode)
_log = logging.getLogger("audit")


class Recording:
    """Events of one type from one source are recorded, until `stop` is called or the source is gone.

    A context manager, which stops it at the end. Nobody has to keep it.
    """

    def __init__(
        self,
        names: Names,
        mapper: Mapper[Any],
        put: Put,
        scrub: Scrub,
        buffer: Callable[[PreparedCall], None] | None,
    ) -> None:
        """Take where events go, scrubbed: to the log itself, or, if there is one, to a buffer."""
        self._scrub = scrub
        self._names = names
        self._mapper: Mapper[Any] | None = mapper
        self._put = put
        self._buffer = buffer
        self._attachment: Attachment | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        mode = "require" if self._buffer is None else "buffer"
        return f"Recording({self._names}, mode={mode!r}{'' if self._mapper else ', stopped'})"

    @property
    def active(self) -> bool:
        """Whether it has not been stopped."""
        return self._mapper is not None

    def stop(self) -> None:
        """Record nothing any more; what was dispatched before still is. May be called twice, from any thread."""
        self._mapper = None
        self.end()
        attachment, self._attachment = self._attachment, None
        if attachment is not None:
            attachment.detach()

    def attach(self, source: object, event_type: type[Any]) -> None:
        """Begin recording."""
        self._attachment = attach(source, event_type, self._handle)

    def end(self) -> None:
        """Let go of the log, which is closing; a dispatch that must not be lost fails from now on."""
        self._put = refuse

    def _handle(self, event: object) -> Future[Any] | None:
        put = self._put  # read before the mapper: a recording stopped meanwhile has none, one that ended still has
        mapper = self._mapper
        if mapper is None:
            return None
        try:
            mapped = mapper(event)
            if mapped is None:
                return None
            call = self._prepare(mapped)
        except Exception as error:  # noqa: BLE001 - a mapper is foreign code, and must not hurt the domain
            return self._reject(type(event), error, put)
        if self._buffer is not None:
            self._buffer(call)
            return None
        # Not waiting for room: dispatches that nobody awaits could fill the memory.
        return put(call, wait=False)

    def _prepare(self, event: NewEvent) -> PreparedCall:
        """Check and encode an event at once: what the mapper took from the domain may change before a retry."""
        if self._buffer is not None and type(event) is NewEvent and event.idempotency_key is None:
            event = msgspec.structs.replace(event, idempotency_key=new_key())
        return prepare_call(self._scrub.events((event,)), many=False)

    def _reject(self, event_type: type[Any], error: Exception, put: Put) -> Future[None] | None:
        """Record that an event could not be recorded; return what is done, without failure, after that."""
        kind = type(error).__name__
        try:
            record = rejected(self._names.source, name_of(event_type), error)
            if self._buffer is not None:
                self._buffer(record)
                return None
            recorded = put(record, wait=False)
        except Exception:  # noqa: BLE001 - the domain is not to hear of it, whatever it is
            _log.exception("%s was rejected (%s), and that could not be recorded", self._names, kind)
            return None
        settled: Future[None] = Future()

        def done(future: Future[Receipts]) -> None:
            problem = future.exception()
            if problem is not None:
                _log.error("%s was rejected (%s), and that could not be recorded: %s", self._names, kind, problem)
            settled.set_result(None)

        recorded.add_done_callback(done)
        return settled


class Recordings:
    """The recordings of one open log, and what they have buffered."""

    def __init__(self, put: Put, clock: Clock, scrub: Scrub) -> None:
        self._scrub = scrub
        self._put = put
        self._lock = threading.RLock()
        self._live: WeakSet[Recording] = WeakSet()
        self._buffer = Buffer(put, clock)
        self._closed = False

    def __len__(self) -> int:
        with self._lock:
            return sum(recording.active for recording in self._live)

    def record(
        self,
        source: EventSource | type[EventSource],
        event_type: type[E],
        mapper: Mapper[E],
        mode: Mode,
        buffer_events: int | None,
    ) -> Recording:
        """Begin a recording; see `Audit.record`."""
        kind = source if isinstance(source, type) else type(source)
        if not issubclass(kind, EventSource):
            raise InvalidParameter("source", f"must be an EventSource or a class of them, got {source!r:.80}")
        if not isinstance(event_type, type):
            raise InvalidParameter("event_type", f"must be a class, got {event_type!r:.80}")
        if not callable(mapper):
            raise InvalidParameter("mapper", f"must be callable, got {mapper!r:.80}")
        if mode not in _MODES:
            raise InvalidParameter("mode", f"must be one of {', '.join(_MODES)}, got {mode!r:.40}")
        names = Names(name_of(kind), name_of(event_type))
        buffer = None
        if mode == "buffer":
            max_events = _check_bound(BUFFER_EVENTS if buffer_events is None else buffer_events)
            buffer = partial(self._buffer.add, Share(names, max_events))
        elif buffer_events is not None:
            raise InvalidParameter("buffer_events", 'is of mode "buffer" only')
        recording = Recording(names, mapper, self._put, self._scrub, buffer)
        with self._lock:
            if self._closed:
                raise StoreClosed("the log is closed")
            self._live.add(recording)
        recording.attach(source, event_type)
        return recording

    def close(self) -> None:
        """End every recording and commit what is buffered, as far as the log takes it. Blocks, 5 s at most."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            live = list(self._live)
        for recording in live:
            recording.end()
        self._buffer.close(WAIT_S)


def name_of(kind: type[Any]) -> str:
    """Return the name under which a class can be found."""
    return f"{kind.__module__}.{kind.__qualname__}"


def _check_bound(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    raise InvalidParameter("buffer_events", f"must be an integer of at least 1, got {value!r:.40}")
