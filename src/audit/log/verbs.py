"""The asynchronous verbs. What is in memory is answered on the event loop; what may touch the disk runs in a thread."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from audit.codec.events import decode_event
from audit.log.backupfile import BackupInfo, Progress, save_backup
from audit.log.core import LogCore, StoreInfo
from audit.log.metrics import Metrics
from audit.log.reader import Page
from audit.log.recording import Mapper, Mode, Recording
from audit.log.source import EventSource
from audit.log.sync import SyncAudit
from audit.log.tails import Tail
from audit.log.topics import TopicPage
from audit.model.event import Actor, Erased, Event, NewEvent, Receipt
from audit.model.query import Filter
from audit.model.span import Bound
from audit.proof.answers import Consistency, Inclusion

if TYPE_CHECKING:
    from reactivex import Observable

__all__ = ["AsyncVerbs"]

E = TypeVar("E")
T = TypeVar("T")


class AsyncVerbs:
    """An open log, used from an event loop; from several, if need be."""

    def __init__(self, core: LogCore) -> None:
        self._core = core

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def sync(self) -> SyncAudit:
        """The same open log with blocking verbs, for other threads."""
        return SyncAudit(self._core)

    @property
    def metrics(self) -> Metrics:
        """Values over windows of events, and their changes."""
        return Metrics(self._core)

    async def append(self, event: NewEvent) -> Receipt:
        """Append one event; it is durable, and visible to readers, when this returns.

        Waits for room while the queue is full. Cancelled before the writer took it, the event is not appended.

        Raises:
            InvalidParameter, TooLarge: the event is out of form or bounds.
            Conflict: its idempotency key was used before, with a different event.
            ClockSuspect: the clock jumped; nothing is appended until the operator accepts it.
            DiskFull: free space is below the watermark.
            Unavailable: the store is fenced after a failed write and did not come back; nothing was written.
            OutcomeUnknown: this very write failed; only a retry with an idempotency key is safe.
            StoreClosed: the log is closed.
        """
        receipts = await self._core.submit((event,), None, asyncio.get_running_loop(), many=False)
        receipt: Receipt = receipts[0]
        return receipt

    async def append_many(self, events: Sequence[NewEvent], *, idempotency_key: str | None = None) -> list[Receipt]:
        """Append 1-1,000 events of at most 4 MiB as one commit: all or none.

        Args:
            events: In the order they are to have; an event whose own idempotency key is known is not appended again.
            idempotency_key: For the whole call, kept for 7 days; the events then have none of their own.

        Returns:
            A receipt for each event, in order.

        Raises:
            As `append`; parameters are named `events[n].…`.
        """
        receipts: list[Receipt] = await self._core.submit(events, idempotency_key, asyncio.get_running_loop())
        return receipts

    def append_nowait(self, event: NewEvent) -> asyncio.Future[Receipt]:
        """Queue one event and return at once; the future has the receipt once it is durable.

        Raises:
            InvalidParameter, TooLarge: the event is out of form or bounds.
            Overloaded: the queue is full; nothing was queued.
            StoreClosed: the log is closed.
        """
        loop = asyncio.get_running_loop()
        many: asyncio.Future[list[Receipt]] = self._core.submit((event,), None, loop, wait=False, many=False)
        return _first_of(many, loop)

    async def get(self, event_id: str) -> Event:
        """Return one event.

        Raises:
            InvalidParameter: no event id.
            NotFound: no event has this id.
        """
        return decode_event(await self.get_raw(event_id))

    async def get_raw(self, event_id: str) -> bytes:
        """Return one event's stored JSON; errors as of `get`."""
        found = self._core.reader.get_nowait(event_id)
        return found if found is not None else await self._in_thread(lambda: self._core.reader.get(event_id))

    async def list(
        self,
        topic: Sequence[str] = (),
        *,
        topics: Sequence[Sequence[str]] | None = None,
        seek: Bound | None = None,
        seek_end: Bound | None = None,
        inclusive: str = "left",
        order: str = "asc",
        limit: int = 100,
        cursor: str | None = None,
        filter: Filter | dict[str, str] | None = None,  # noqa: A002 - the wire's name
    ) -> Page:
        """Return one page of events, oldest or newest first.

        Args:
            topic: A topic, with all nested below it; `()` is everything.
            topics: A union of topics, in place of `topic`.
            seek: Lower bound in both orders: an id, an RFC 3339 time, an aware datetime or milliseconds.
            seek_end: Upper bound in both orders.
            inclusive: Which bounds belong to the range: `left`, `right`, `both` or `neither`.
            order: `asc` or `desc`.
            limit: 1-1,000; a page also ends at 960 KiB, and after about 50 ms of searching.
            cursor: From an earlier page or batch of the same query and order; takes the place of the near bound.
            filter: Equalities that must all hold.

        Raises:
            InvalidParameter: a parameter is out of form or bounds.
            CursorInvalid: the cursor is damaged, foreign, or points at another event than it did.
            Unavailable: the disk is needed and can't be read now.
            StoreCorrupt: a record is damaged or missing.
        """
        reader = self._core.reader
        request = reader.request(topic, topics, seek, seek_end, inclusive, order, limit, cursor, filter)
        page = reader.page_nowait(request)
        return page if page is not None else await self._in_thread(lambda: reader.page(request))

    def subscribe(
        self,
        topic: Sequence[str] = (),
        *,
        topics: Sequence[Sequence[str]] | None = None,
        seek: Bound | None = None,
        seek_end: Bound | None = None,
        inclusive: str = "left",
        limit: int | None = None,
        cursor: str | None = None,
        filter: Filter | dict[str, str] | None = None,  # noqa: A002 - the wire's name
    ) -> Tail:
        """Return a tail: history from a bound or cursor, then live events, without gap or duplicate.

        Args:
            topic: A topic, with all nested below it; `()` is everything.
            topics: A union of topics, in place of `topic`.
            seek: Where to start; absent: at the first event; `"now"`: after the last one.
            seek_end: Where to end; absent: never.
            inclusive: Which bounds belong to the range.
            limit: Events after which it ends; None: never.
            cursor: Continues an ascending page or another tail of the same query; takes the place of `seek`.
            filter: Equalities that must all hold.

        Raises:
            InvalidParameter: a parameter is out of form or bounds.
            CursorInvalid: the cursor is damaged or foreign.
        """
        core = self._core
        tail = core.tail(topic, topics, seek, seek_end, inclusive, limit, cursor, filter)
        return Tail(tail, core.threads, core.clock)

    def observe(
        self,
        topic: Sequence[str] = (),
        *,
        topics: Sequence[Sequence[str]] | None = None,
        filter: Filter | dict[str, str] | None = None,  # noqa: A002 - the wire's name
    ) -> Observable[Event]:
        """Return an Observable of the events committed from each subscription on.

        Subscribed in an event loop, an observer is called in it; elsewhere in a thread of its own. A slow one gets
        every event, later. One that raises is disposed of and told by its own `on_error`. Closing the log completes
        all; disposing frees the subscription at once.

        Args:
            topic: A topic, with all nested below it; `()` is everything.
            topics: A union of topics, in place of `topic`.
            filter: Equalities that must all hold.

        Raises:
            InvalidParameter: a parameter is out of form or bounds.
        """
        return self._core.observers.observe(topic, topics, filter)

    def record(
        self,
        source: EventSource | type[EventSource],
        event_type: type[E],
        mapper: Mapper[E],
        mode: Mode = "require",
        *,
        buffer_events: int | None = None,
    ) -> Recording:
        """Record the events of one type that a source dispatches, until stopped or the source is gone.

        What a mapper gets wrong never reaches the domain: it is recorded under `audit/rejected`, without contents.

        Args:
            source: An `EventSource`, or a class of them: all its instances.
            event_type: A class of domain events; its subclasses are recorded too.
            mapper: Turns one into a `NewEvent`, or into None: nothing to record. Called in the dispatch: must be quick.
            mode: `require`: an awaited dispatch fails when the event could not be committed, with the errors of
                `append_nowait` and `append`; also once the log is closed. `buffer`: a dispatch never fails; what the
                log can't take now waits, in order, and is tried again; what finds the buffer full is counted, and the
                count recorded under `audit/dropped`.
            buffer_events: Events that may wait in mode `buffer`; 10,000 by default, and 64 MiB in any case.

        Raises:
            InvalidParameter: a parameter is out of form or bounds.
            StoreClosed: the log is closed.
        """
        return self._core.recordings.record(source, event_type, mapper, mode, buffer_events)

    async def topics(self, topic: Sequence[str] = (), *, limit: int = 100, cursor: str | None = None) -> TopicPage:
        """Return the children of a topic with their counts, by name.

        Raises:
            InvalidParameter: a parameter is out of form or bounds.
            CursorInvalid: the cursor is damaged, or of another store or topic.
        """
        return await self._in_thread(lambda: self._core.topics(topic, limit, cursor))

    def info(self) -> StoreInfo:
        """Return the store's id, its size, and the ids of its first and last event."""
        return self._core.info()

    async def checkpoint(self) -> str:
        """Return a signed note of the log's size and Merkle root, as they are now; three lines, if it runs unsigned.

        Raises:
            StoreClosed: the log is closed.
        """
        return await self._in_thread(self._core.proofs.checkpoint)

    async def inclusion(self, event_id: str) -> Inclusion:
        """Return the proof that an event is in the log, with a checkpoint that covers it.

        Raises:
            InvalidParameter: no event id.
            NotFound: no event has this id.
            StoreCorrupt: its bytes are not those that were committed.
        """
        return await self._in_thread(lambda: self._core.proofs.inclusion(event_id))

    async def consistency(self, from_: int, to: int) -> Consistency:
        """Return the proof that the log of `to` events begins with the log of `from_` events.

        Raises:
            InvalidParameter: one is no size that the log has had, or `from_` is the greater.
        """
        return await self._in_thread(lambda: self._core.proofs.consistency(from_, to))

    async def selection(self, indexes: Sequence[int], size: int) -> Sequence[bytes]:
        """Return the proof that some events, by ascending index, are in the log of `size` events: one for them all.

        Raises:
            InvalidParameter: they are not 1-1,000, ascending and below `size`, or the log never had that size.
        """
        return await self._in_thread(lambda: self._core.proofs.selection(indexes, size))

    async def backup(
        self,
        path: str | os.PathLike[str],
        *,
        since: int | str | os.PathLike[str] | None = None,
        on_progress: Progress | None = None,
    ) -> BackupInfo:
        """Write the log, as it is now, to a new file that `restore_store` makes the same log of. Appends go on.

        The file gets its name once all of it is on disk. Cancelled, the file is finished all the same.

        Args:
            path: The file, which must not exist yet.
            since: Only what came after: a backup's file, which is read and checked, or a number of events.
            on_progress: Called in another thread, with events written and events there are.

        Raises:
            InvalidParameter: there is something at `path`; or the log does not go on from `since`.
            BackupInvalid: the file given as `since` is damaged.
            StoreCorrupt: a record of the log is damaged or missing.
            Unavailable: the file can't be written, or the store can't be read now.
        """
        return await asyncio.to_thread(save_backup, self._core, path, since, on_progress)

    async def erase(self, ids: Sequence[str], *, reason: str, actor: Actor | None = None) -> Erased:
        """Erase some events: destroy all of them but id, index, topics and the hash of the rest. There is no way back.

        They are found by no actor, action, outcome, target or request any more; topics, their counts and all proofs
        stay. An event under `audit/erased` says who did it, why, and which events they were. When this returns, no file
        of the store holds what was erased. Erasing twice is harmless. Cancelled, it is finished all the same.

        Args:
            ids: 1-1,000 ids of events; those that record erasures can't be erased.
            reason: Why, in 1-1,024 bytes. It is kept: it must not name who is to be forgotten.
            actor: Who does it. It is kept, too.

        Raises:
            InvalidParameter, TooLarge: an argument is out of form or bounds; nothing is erased.
            NotFound: no event has one of the ids; nothing is erased.
            OutcomeUnknown: the events may be erased, or are, but files may still hold them: erase them again.
            ClockSuspect, DiskFull, Unavailable, StoreClosed: as of `append`; nothing is erased.
        """
        return await asyncio.to_thread(self._core.erase, ids, reason, actor)

    def accept_clock(self) -> None:
        """Go on with the clock as it is, after `ClockSuspect`; ids still never go back."""
        self._core.sequencer.accept_clock()

    async def close(self) -> None:
        """Commit or fail every waiting append, end every tail with reason `shutdown`, close the store.

        Once begun it is finished, even when cancelled.
        """
        closing = asyncio.ensure_future(self._close())
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            # The store must not be left half closed behind a caller that opens it again.
            await asyncio.wait((closing,))
            raise

    async def _close(self) -> None:
        await asyncio.to_thread(self._core.close)
        await self._core.observers.finish()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await self._core.threads.run(work)


def _first_of(many: asyncio.Future[list[Receipt]], loop: asyncio.AbstractEventLoop) -> asyncio.Future[Receipt]:
    one: asyncio.Future[Receipt] = loop.create_future()

    def done(settled: asyncio.Future[Any]) -> None:
        if one.done():
            return
        if settled.cancelled():
            one.cancel()
        elif (error := settled.exception()) is not None:
            one.set_exception(error)
        else:
            one.set_result(settled.result()[0])

    def given_up(settled: asyncio.Future[Receipt]) -> None:
        if settled.cancelled():
            many.cancel()

    many.add_done_callback(done)
    one.add_done_callback(given_up)
    return one
