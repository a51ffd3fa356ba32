"""The open log, without a way of waiting: the parts put together, for the asynchronous and the blocking verbs alike."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future as ThreadFuture
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol
from weakref import WeakSet

from audit.codec.cursors import decode_cursor
from audit.log.checkpoints import Checkpoints
from audit.log.clock import Clock
from audit.log.erasing import Erasing, erasing_call
from audit.log.handle import Handle
from audit.log.known import forget_known
from audit.log.live import LiveMetrics
from audit.log.measuring import Measuring
from audit.log.observing import Observers
from audit.log.open_tails import OpenTails
from audit.log.prepare import PreparedCall, prepare_call, prepare_calls
from audit.log.proving import Proofs
from audit.log.purging import Purger
from audit.log.queue import Pending, Receipts, Waiter
from audit.log.reader import Reader
from audit.log.recording import Recordings
from audit.log.registered import Registered
from audit.log.room import Room
from audit.log.scrub import Scrub
from audit.log.sequencer import Sequencer
from audit.log.signing import Signing
from audit.log.tail import TailCore, TailRequest, check_tail_limit
from audit.log.threads import ReaderThreads
from audit.log.topics import TopicPage, list_topics
from audit.log.wakeups import Wakeups
from audit.metrics.plan import Plan, plan_of
from audit.metrics.query import MetricQuery
from audit.model.errors import AuditError, StoreCorrupt, StoreForked, Unavailable
from audit.model.event import Actor, Erased, NewEvent, Receipt
from audit.model.ids import EventId, format_id
from audit.model.region import EVERYTHING, Region
from audit.model.span import Bound, to_span
from audit.model.topic import INTERNAL_ROOT
from audit.storage.options import StoreOptions
from audit.storage.port import Storage

__all__ = ["LogCore", "StoreInfo"]


_log: Final = logging.getLogger("audit")
_READ_AHEAD_MS: Final = 500
_UNSIGNED: Final = Signing()


class StoreInfo(NamedTuple):
    """What a log says of itself.

    Attributes:
        store_id: A ULID, made when the store was created.
        size: Events committed.
        first_id: Id of the oldest one; None: there is none.
        last_id: Id of the newest one; None: there is none.
        origin: The log's name in its checkpoints; None: it is not open.
        key: The public key that they are signed with; None: the log runs unsigned.
    """

    store_id: str
    size: int
    first_id: EventId | None
    last_id: EventId | None
    origin: str | None = None
    key: str | None = None


class Copies(Protocol):
    """Something that keeps copies of events, in memory."""

    def clear(self) -> None:
        """Forget them all; called from any thread."""
        ...


_SECRETS: Final = Scrub()


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
        signing: Signing = _UNSIGNED,
        scrub: Scrub = _SECRETS,
    ) -> None:
        """Open the storage and begin writing. Blocks.

        Args:
            opener: Opens the storage; called again after a failed write.
            clock: Time.
            room: Disk space.
            options: Sizes.
            accept_clock: Go on though the newest event is far ahead of the clock.
            seed: Of the ids' random part; for tests.
            signing: How checkpoints are signed, and where they are kept.
            scrub: What is taken out of events before they are encoded.
        """
        storage = opener()
        try:
            self.meta = storage.meta
            self.handle = Handle(storage, opener)
            self.clock = clock
            self.wakeups = Wakeups()
            self.checkpoints = Checkpoints(self.meta.store_id, clock, signing)
            self.sequencer = Sequencer(
                self.handle,
                self.wakeups,
                clock,
                room,
                options,
                checkpoints=self.checkpoints,
                accept_clock=accept_clock,
                seed=seed,
            )
            self.reader = Reader(self.handle, lambda: self.sequencer.snapshot, self.meta.store_id, clock)
            self.proofs = Proofs(self.handle, self.reader, self.sequencer, self.checkpoints)
            self.measuring = Measuring(self.handle, self.reader, self.sequencer, self.meta.store_id)
            self.registered = Registered(self.handle, self.measuring, self.sequencer, self.wakeups, clock)
            self.live_metrics = LiveMetrics(self.measuring, self.reader, self.wakeups)
            self.threads = ReaderThreads()
            self.open_tails = OpenTails()
            self._scrub = scrub
            self.recordings = Recordings(self.put, clock, scrub)
            self.observers = Observers(self.tail, self.threads)
            self.copies: WeakSet[Copies] = WeakSet()
            """What is kept of events in memory; emptied when some are erased."""
            self.copies.add(self.live_metrics)
            self._purger = Purger(self.handle, self.put, self.registered.forget, pending=self.sequencer.unpurged)
            self._owner = os.getpid()
        except BaseException:
            storage.close()
            raise
        self.sequencer.start()
        self._purger.start()
        self.registered.start()

    def read_ahead(self) -> None:
        """Read the newest events into memory, for half a second at most; blocks."""
        now = self.clock.monotonic_ms
        until = now() + _READ_AHEAD_MS
        try:
            self.handle.read(lambda storage: storage.read_ahead(lambda: now() >= until))
        except (StoreCorrupt, Unavailable) as error:
            # Whoever asks for that place is told so, and nobody else.
            _log.warning("reading ahead ended early: %s", error)

    def record_rotation(self, statement: str) -> Receipt:
        """Append the event that tells of a key's rotation; blocks."""
        event = NewEvent(topics=[(INTERNAL_ROOT, "key")], action=f"{INTERNAL_ROOT}.key_rotated", data=statement)
        receipt: Receipt = self.submit((event,), None, None, many=False, internal=True).result()[0]
        return receipt

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
        call = prepare_call(self._scrub.events(events), idempotency_key, many=many, internal=internal)
        future: asyncio.Future[Receipts] | ThreadFuture[Receipts]
        future = ThreadFuture() if loop is None else loop.create_future()
        self.sequencer.put(Pending(call, future, loop), wait=wait)
        return future

    def submit_together(
        self,
        calls: Sequence[tuple[Sequence[NewEvent], str | None]],
        waiters: Sequence[Waiter],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Check, encode and queue calls that came together, each with its key; tell the waiter of each what becomes.

        Called in the waiters' loop: what is wrong with a call is told at once.
        """
        scrubbed: list[tuple[Sequence[NewEvent], str | None]] = []
        waiting: list[Waiter] = []
        for (events, key), waiter in zip(calls, waiters, strict=True):
            try:
                scrubbed.append((self._scrub.events(events), key))
                waiting.append(waiter)
            except AuditError as error:
                waiter.set_exception(error)
        for call, waiter in zip(prepare_calls(scrubbed), waiting, strict=True):
            try:
                if isinstance(call, AuditError):
                    waiter.set_exception(call)
                else:
                    self.sequencer.put(Pending(call, waiter, loop), wait=True)
            except AuditError as error:
                waiter.set_exception(error)

    def put(self, call: PreparedCall, *, wait: bool) -> ThreadFuture[Receipts]:
        """Queue a call that is checked and encoded already; errors as of `submit`."""
        future: ThreadFuture[Receipts] = ThreadFuture()
        self.sequencer.put(Pending(call, future, None), wait=wait)
        return future

    def erase(
        self, ids: Sequence[str], reason: str, actor: Actor | None, occurred_at: datetime | None = None
    ) -> Erased:
        """Erase the payloads of some events; see `Audit.erase`. Blocks, until no file holds them any more."""
        call = erasing_call(ids, reason, actor, occurred_at)
        receipts = self._purger.erase(call)
        self._forget()
        places = call.errand.places if isinstance(call.errand, Erasing) else []
        return Erased(len(places), receipts[0] if receipts else None)

    def _forget(self) -> None:
        """Drop whatever is kept in memory of events."""
        forget_known()
        self.reader.forget()
        for copies in self.copies:
            copies.clear()

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
        return self.open_tails.add(TailCore(request, self.reader, self.sequencer, self.wakeups))

    def topics(self, topic: object, limit: object, cursor: object, within: Region = EVERYTHING) -> TopicPage:
        """Return the children of a topic; blocks on the disk. See `list_topics`."""
        snapshot = self.sequencer
        return list_topics(self.handle, lambda: snapshot.snapshot, self.meta.store_id, topic, limit, cursor, within)

    def plan(self, query: MetricQuery) -> Plan:
        """Return the plan of a metric query.

        Raises:
            InvalidParameter: a member is out of form or bounds, or does not go with the measure.
            NotFound: no metric of that name is registered.
        """
        self.handle.check()
        if query.metric is not None:
            return plan_of(query, self.registered.metric(query.metric))
        return plan_of(query)

    def info(self) -> StoreInfo:
        """Return the log's id, size and ends."""
        self.handle.check()
        snapshot = self.sequencer.snapshot
        proven = self.checkpoints.origin, self.checkpoints.signer
        if not snapshot.size:
            return StoreInfo(self.meta.store_id, 0, None, None, *proven)
        first_id = self.sequencer.first_id
        oldest = None if first_id is None else format_id(first_id)
        return StoreInfo(self.meta.store_id, snapshot.size, oldest, format_id(snapshot.last_id), *proven)

    def close(self) -> None:
        """Commit or fail every waiting append, end every tail, close the storage. Blocks; may be called twice."""
        if os.getpid() != self._owner:
            raise StoreForked("the log was opened before this process was forked: its parent closes it")
        # What recordings have buffered goes to the writer first; observers end once their tails are told.
        self.recordings.close()
        self.registered.close()
        self.sequencer.close()
        self.checkpoints.close()
        self.wakeups.close()
        self.observers.join()
        self.handle.close()
        self._purger.join()
        self.threads.close()
