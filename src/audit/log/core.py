"""The open log, without a way of waiting: the parts put together, for the asynchronous and the blocking verbs alike."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future as ThreadFuture
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple

from audit.codec.cursors import decode_cursor
from audit.codec.events import event_value
from audit.codec.terms import match_of
from audit.log.clock import Clock
from audit.log.handle import Handle
from audit.log.observing import Observers
from audit.log.prepare import PreparedCall, prepare_call
from audit.log.queue import Pending, Receipts
from audit.log.reader import Reader
from audit.log.recording import Recordings
from audit.log.room import Room
from audit.log.sequencer import Sequencer
from audit.log.tail import TailCore, TailRequest, check_tail_limit
from audit.log.topics import TopicPage, list_topics
from audit.log.wakeups import Wakeups
from audit.model.errors import StoreForked
from audit.model.event import NewEvent
from audit.model.ids import EventId, format_id
from audit.model.query import to_query
from audit.model.span import EVERYTHING, Bound, to_span
from audit.storage.options import StoreOptions
from audit.storage.port import Search, Storage

__all__ = ["LogCore", "StoreInfo"]

_READERS: Final = 4


class StoreInfo(NamedTuple):
    """What a log says of itself.

    Attributes:
        store_id: A ULID, made when the store was created.
        size: Events committed.
        first_id: Id of the oldest one; None: there is none.
        last_id: Id of the newest one; None: there is none.
    """

    store_id: str
    size: int
    first_id: EventId | None
    last_id: EventId | None


class LogCore:
    """Everything an open log is made of. Any thread and any event loop may use it."""

    def __init__(
        self,
        opener: Callable[[], Storage],
        clock: Clock,
        room: Room,
        options: StoreOptions,
        *,
        accept_clock: bool = False,
        seed: int | None = None,
    ) -> None:
        """Open the storage and begin writing. Blocks.

        Args:
            opener: Opens the storage; called again after a failed write.
            clock: Time.
            room: Disk space.
            options: Sizes.
            accept_clock: Go on though the newest event is far ahead of the clock.
            seed: Of the ids' random part; for tests.
        """
        storage = opener()
        try:
            self.meta = storage.meta
            self.handle = Handle(storage, opener)
            self.clock = clock
            self.wakeups = Wakeups()
            self.sequencer = Sequencer(
                self.handle, self.wakeups, clock, room, options, accept_clock=accept_clock, seed=seed
            )
            self._first_id = _first_id(storage)
        except BaseException:
            storage.close()
            raise
        self.reader = Reader(self.handle, lambda: self.sequencer.snapshot, self.meta.store_id, clock)
        self.executor = ThreadPoolExecutor(_READERS, thread_name_prefix="audit-reader")
        self.recordings = Recordings(self.put, clock)
        self.observers = Observers(self.tail, self.executor)
        self._owner = os.getpid()
        self.sequencer.start()

    def submit(
        self,
        events: Sequence[NewEvent],
        idempotency_key: str | None,
        loop: asyncio.AbstractEventLoop | None,
        *,
        wait: bool = True,
        many: bool = True,
        internal: bool = False,
    ) -> Any:
        """Check, encode and queue a call; return the future of its receipts, of the loop given or of threads.

        Raises:
            InvalidParameter, TooLarge: as `prepare_call`.
            Overloaded: the queue is full and `wait` is not set.
            StoreClosed: the log is closed.
        """
        call = prepare_call(events, idempotency_key, many=many, internal=internal)
        future: asyncio.Future[Receipts] | ThreadFuture[Receipts]
        future = ThreadFuture() if loop is None else loop.create_future()
        self.sequencer.put(Pending(call, future, loop), wait=wait)
        return future

    def put(self, call: PreparedCall, *, wait: bool) -> ThreadFuture[Receipts]:
        """Queue a call that is checked and encoded already; errors as of `submit`."""
        future: ThreadFuture[Receipts] = ThreadFuture()
        self.sequencer.put(Pending(call, future, None), wait=wait)
        return future

    def tail(  # noqa: PLR0917 - the verb's own parameters
        self,
        topic: object,
        topics: object,
        seek: Bound | None,
        seek_end: Bound | None,
        inclusive: str,
        limit: object,
        cursor: object,
        filter: object,  # noqa: A002 - the wire's name
    ) -> TailCore:
        """Check what a caller asks for and return the tail, standing at its start.

        Raises:
            InvalidParameter: a parameter is out of form or bounds.
            CursorInvalid: the cursor is damaged, or of another store, query or order.
        """
        self.handle.check()
        match, digest = self.reader.plan(topic, topics, filter, "asc")
        start = None if cursor is None else decode_cursor(cursor, digest)
        now = isinstance(seek, str) and seek == "now"
        span = to_span(None if now else seek, seek_end, inclusive)
        request = TailRequest(match, span, check_tail_limit(limit), digest, start, now and start is None)
        return TailCore(request, self.reader, self.sequencer, self.wakeups)

    def topics(self, topic: object, limit: object, cursor: object) -> TopicPage:
        """Return the children of a topic; blocks on the disk. See `list_topics`."""
        snapshot = self.sequencer
        return list_topics(self.handle, lambda: snapshot.snapshot, self.meta.store_id, topic, limit, cursor)

    def info(self) -> StoreInfo:
        """Return the log's id, size and ends."""
        self.handle.check()
        snapshot = self.sequencer.snapshot
        if not snapshot.size:
            return StoreInfo(self.meta.store_id, 0, None, None)
        if self._first_id is None:
            first = snapshot.event_at(0)
            self._first_id = event_value(first) if first is not None else _first_id(self.handle.writable)
        first_id = None if self._first_id is None else format_id(self._first_id)
        return StoreInfo(self.meta.store_id, snapshot.size, first_id, format_id(snapshot.last_id))

    def close(self) -> None:
        """Commit or fail every waiting append, end every tail, close the storage. Blocks; may be called twice."""
        if os.getpid() != self._owner:
            raise StoreForked("the log was opened before this process was forked: its parent closes it")
        # What recordings have buffered goes to the writer first; observers end once their tails are told.
        self.recordings.close()
        self.sequencer.close()
        self.wakeups.close()
        self.observers.join()
        self.handle.close()
        self.executor.shutdown(wait=True)


def _first_id(storage: Storage) -> int | None:
    """Return the id of the oldest event on disk, sealed or not."""
    found = storage.search(Search(match_of(to_query()), EVERYTHING, descending=False, limit=1, max_bytes=1), _never)
    if found.events:
        return event_value(found.events[0])
    commits = storage.load().commits
    return event_value(commits[0][1].events[0]) if commits else None


def _never() -> bool:
    return False
