"""The blocking verbs, for plain threads: Django, Celery, scripts. Any number of threads may share one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Future as ThreadFuture
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from audit.codec.events import decode_event
from audit.log.backup import Backup, Since
from audit.log.backupfile import BackupInfo, Progress, as_since, save_backup
from audit.log.core import LogCore, StoreInfo
from audit.log.metrics import SyncMetrics
from audit.log.reader import Page
from audit.log.recording import Mapper, Mode, Recording
from audit.log.source import EventSource
from audit.log.tails import SyncTail
from audit.log.topics import TopicPage
from audit.model.event import Actor, Erased, Event, NewEvent, Receipt
from audit.model.query import Filter
from audit.model.span import Bound
from audit.proof.answers import Consistency, Inclusion

if TYPE_CHECKING:
    from reactivex import Observable

__all__ = ["SyncAudit"]

E = TypeVar("E")


class SyncAudit:
    """An open log with blocking verbs. Arguments and errors are those of `Audit`, and described there."""

    def __init__(self, core: LogCore) -> None:
        self._core = core

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def metrics(self) -> SyncMetrics:
        """Values over windows of events, and their changes."""
        return SyncMetrics(self._core)

    def append(self, event: NewEvent) -> Receipt:
        """Append one event; it is durable, and visible to readers, when this returns. See `Audit.append`."""
        receipt: Receipt = self._core.submit((event,), None, None, many=False).result()[0]
        return receipt

    def append_many(self, events: Sequence[NewEvent], *, idempotency_key: str | None = None) -> list[Receipt]:
        """Append 1-1,000 events as one commit: all or none. See `Audit.append_many`."""
        receipts: list[Receipt] = self._core.submit(events, idempotency_key, None).result()
        return receipts

    def append_nowait(self, event: NewEvent) -> ThreadFuture[Receipt]:
        """Queue one event and return at once; the future has the receipt once it is durable.

        Raises:
            Overloaded: the queue is full; nothing was queued.
        """
        many: ThreadFuture[list[Receipt]] = self._core.submit((event,), None, None, wait=False, many=False)
        one: ThreadFuture[Receipt] = ThreadFuture()

        def done(settled: ThreadFuture[list[Receipt]]) -> None:
            if not one.set_running_or_notify_cancel():
                return
            error = settled.exception()
            if error is not None:
                one.set_exception(error)
            else:
                one.set_result(settled.result()[0])

        many.add_done_callback(done)
        return one

    def get(self, event_id: str) -> Event:
        """Return one event. See `Audit.get`."""
        return decode_event(self.get_raw(event_id))

    def get_raw(self, event_id: str) -> bytes:
        """Return one event's stored JSON. See `Audit.get_raw`."""
        return self._core.reader.get(event_id)

    def list(
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
        """Return one page of events, oldest or newest first. See `Audit.list`."""
        reader = self._core.reader
        return reader.page(reader.request(topic, topics, seek, seek_end, inclusive, order, limit, cursor, filter))

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
    ) -> SyncTail:
        """Return a tail: history, then live events, without gap or duplicate. See `Audit.subscribe`."""
        core = self._core
        return SyncTail(core.tail(topic, topics, seek, seek_end, inclusive, limit, cursor, filter), core.clock)

    def observe(
        self,
        topic: Sequence[str] = (),
        *,
        topics: Sequence[Sequence[str]] | None = None,
        filter: Filter | dict[str, str] | None = None,  # noqa: A002 - the wire's name
    ) -> Observable[Event]:
        """Return an Observable of the events committed from each subscription on. See `Audit.observe`."""
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
        """Record the events of one type that a source dispatches, until stopped or it is gone. See `Audit.record`."""
        return self._core.recordings.record(source, event_type, mapper, mode, buffer_events)

    def topics(self, topic: Sequence[str] = (), *, limit: int = 100, cursor: str | None = None) -> TopicPage:
        """Return the children of a topic with their counts, by name. See `Audit.topics`."""
        return self._core.topics(topic, limit, cursor)

    def info(self) -> StoreInfo:
        """Return the store's id, its size, and the ids of its first and last event."""
        return self._core.info()

    def checkpoint(self) -> str:
        """Return a signed note of the log's size and Merkle root, as they are now. See `Audit.checkpoint`."""
        return self._core.proofs.checkpoint()

    def inclusion(self, event_id: str) -> Inclusion:
        """Return the proof that an event is in the log, with a checkpoint that covers it. See `Audit.inclusion`."""
        return self._core.proofs.inclusion(event_id)

    def consistency(self, from_: int, to: int) -> Consistency:
        """Return the proof that the log of `to` events begins with that of `from_` events. See `Audit.consistency`."""
        return self._core.proofs.consistency(from_, to)

    def record_rotation(self, statement: str) -> Receipt:
        """Record a statement of `sign_rotation`, by which another key takes the place of the one that signs now."""
        return self._core.record_rotation(statement)

    def selection(self, indexes: Sequence[int], size: int) -> Sequence[bytes]:
        """Return the proof that some events, by ascending index, are in the log of `size` events: one for them all.

        Raises:
            InvalidParameter: they are not 1-1,000, ascending and below `size`, or the log never had that size.
        """
        return self._core.proofs.selection(indexes, size)

    def backup(
        self,
        path: str | os.PathLike[str],
        *,
        since: int | str | os.PathLike[str] | None = None,
        on_progress: Progress | None = None,
    ) -> BackupInfo:
        """Write the log, as it is now, to a new file. See `Audit.backup`."""
        return save_backup(self._core, path, since, on_progress)

    def start_backup(self, since: int | str | os.PathLike[str] | Since | None = None) -> Backup:
        """Return a backup of the log as it is now, for who writes it elsewhere than to a file: iterate over its bytes.

        Arguments and errors as of `Audit.backup`, those of reading once it is iterated over.
        """
        return Backup(self._core, as_since(since, self._core.meta.store_id))

    def erase(self, ids: Sequence[str], *, reason: str, actor: Actor | None = None) -> Erased:
        """Erase some events: destroy all of them but id, index, topics and the hash of the rest. See `Audit.erase`."""
        return self._core.erase(ids, reason, actor)

    def accept_clock(self) -> None:
        """Go on with the clock as it is, after `ClockSuspect`; ids still never go back."""
        self._core.sequencer.accept_clock()

    def close(self) -> None:
        """Commit or fail every waiting append, end every tail with reason `shutdown`, close the store."""
        self._core.close()
