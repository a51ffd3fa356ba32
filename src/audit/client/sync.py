"""The blocking verbs of a log elsewhere, for plain threads and scripts: an event loop in a thread of its own."""

from __future__ import annotations

import ssl as tls
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Final, Self

import anyio
from anyio.from_thread import start_blocking_portal

from audit.client.backoff import Backoff
from audit.client.connecting import connect
from audit.client.loopthread import LoopThread
from audit.client.news import Hook
from audit.client.remote import RemoteAudit
from audit.client.syncmetrics import SyncRemoteMetrics
from audit.client.tail import RemoteTail
from audit.log.core import StoreInfo
from audit.log.reader import Page
from audit.log.tail import BATCH_EVENTS, Batch, End, Notice
from audit.log.topics import TopicPage
from audit.model.errors import StoreClosed
from audit.model.event import Actor, Erased, Event, NewEvent, Receipt
from audit.model.query import Filter
from audit.model.span import Bound
from audit.proof.answers import Consistency, Inclusion
from audit.protocol.limits import DEFAULT_CREDIT
from audit.protocol.messages import InfoResult

__all__ = ["SyncRemoteAudit", "SyncRemoteTail", "connect_sync"]

_BACKOFF: Final = Backoff()


def connect_sync(
    url: str,
    *,
    open_timeout_s: float | None = 10.0,
    call_timeout_s: float | None = 30.0,
    reconnect_timeout_s: float | None = None,
    credit: int = DEFAULT_CREDIT,
    on_event: Hook | None = None,
    ssl: tls.SSLContext | None = None,
    proxy: str | None = None,
    token: str | None = None,
    backoff: Backoff = _BACKOFF,
    verify: bool = False,
    key: str | None = None,
    rotations: Sequence[str] = (),
    trusted: str | None = None,
) -> SyncRemoteAudit:
    """Connect to a log that is served elsewhere, for plain threads; `close` it, or use `with`.

    Arguments and errors as of `connect`; `on_event` is called in the client's own thread.
    """
    connecting = connect(
        url,
        open_timeout_s=open_timeout_s,
        call_timeout_s=call_timeout_s,
        reconnect_timeout_s=reconnect_timeout_s,
        credit=credit,
        on_event=on_event,
        ssl=ssl,
        proxy=proxy,
        token=token,
        backoff=backoff,
        verify=verify,
        key=key,
        rotations=rotations,
        trusted=trusted,
    )
    with ExitStack() as stack:
        loop = LoopThread(stack.enter_context(start_blocking_portal(name="audit-client")))

        async def opened() -> RemoteAudit:
            return await connecting

        log = loop.run(opened)
        return SyncRemoteAudit(log, loop, stack.pop_all())


class SyncRemoteAudit:
    """A log elsewhere with blocking verbs. Arguments and errors are those of `RemoteAudit`. Threads may share one."""

    def __init__(self, log: RemoteAudit, loop: LoopThread, stack: ExitStack) -> None:
        self._log = log
        self._loop = loop
        self._stack = stack

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def metrics(self) -> SyncRemoteMetrics:
        """Metrics: `list`, `get`, `subscribe`."""
        return SyncRemoteMetrics(self._log.metrics, self._loop)

    def append(self, event: NewEvent) -> Receipt:
        """Append one event; it is durable, and visible to readers, when this returns. See `RemoteAudit.append`."""
        return self._loop.run(lambda: self._log.append(event))

    def append_many(self, events: Sequence[NewEvent], *, idempotency_key: str | None = None) -> list[Receipt]:
        """Append 1-1,000 events as one commit: all or none. See `RemoteAudit.append_many`."""
        return self._loop.run(lambda: self._log.append_many(events, idempotency_key=idempotency_key))

    def erase(self, ids: Sequence[str], *, reason: str, actor: Actor | None = None) -> Erased:
        """Erase some events. See `RemoteAudit.erase`."""
        return self._loop.run(lambda: self._log.erase(ids, reason=reason, actor=actor))

    def get(self, event_id: str) -> Event:
        """Return one event. See `Audit.get`."""
        return self._loop.run(lambda: self._log.get(event_id))

    def get_raw(self, event_id: str) -> bytes:
        """Return one event's stored JSON. See `Audit.get_raw`."""
        return self._loop.run(lambda: self._log.get_raw(event_id))

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
        return self._loop.run(
            lambda: self._log.list(
                topic,
                topics=topics,
                seek=seek,
                seek_end=seek_end,
                inclusive=inclusive,
                order=order,
                limit=limit,
                cursor=cursor,
                filter=filter,
            )
        )

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
    ) -> SyncRemoteTail:
        """Return a tail: history, then live events, without gap or duplicate. See `RemoteAudit.subscribe`."""

        async def begun() -> RemoteTail:
            tail = self._log.subscribe(
                topic,
                topics=topics,
                seek=seek,
                seek_end=seek_end,
                inclusive=inclusive,
                limit=limit,
                cursor=cursor,
                filter=filter,
            )
            # What the caller does next must find the tail where it starts.
            await tail.settle()
            return tail

        return SyncRemoteTail(self._loop.run(begun), self._loop)

    def topics(self, topic: Sequence[str] = (), *, limit: int = 100, cursor: str | None = None) -> TopicPage:
        """Return the children of a topic with their counts, by name. See `Audit.topics`."""
        return self._loop.run(lambda: self._log.topics(topic, limit=limit, cursor=cursor))

    def checkpoint(self) -> str:
        """Return the note of a checkpoint of all that is committed. See `RemoteAudit.checkpoint`."""
        return self._loop.run(self._log.checkpoint)

    def inclusion(self, event_id: str) -> Inclusion:
        """Return the proof that an event is in the log, unchecked. See `RemoteAudit.inclusion`."""
        return self._loop.run(lambda: self._log.inclusion(event_id))

    def consistency(self, from_: int, to: int) -> Consistency:
        """Return the proof that one size goes on from another, unchecked. See `RemoteAudit.consistency`."""
        return self._loop.run(lambda: self._log.consistency(from_, to))

    def selection(self, indexes: Sequence[int], size: int) -> Sequence[bytes]:
        """Return the proof that some events are in the log, unchecked. See `RemoteAudit.selection`."""
        return self._loop.run(lambda: self._log.selection(indexes, size))

    def info(self) -> StoreInfo:
        """Return the store's id, its size, and the ids of its first and last event."""
        return self._loop.run(self._log.info)

    def server_info(self) -> InfoResult:
        """Return what the server says of itself: name, version, protocol, store and limits."""
        return self._loop.run(self._log.server_info)

    @property
    def trusted(self) -> str | None:
        """Note of the newest checkpoint trusted, with `verify=True`. See `RemoteAudit.trusted`."""
        return self._log.trusted

    def trust_newest(self) -> str:
        """Check the log's newest checkpoint against the one trusted before. See `RemoteAudit.trust_newest`."""
        return self._loop.run(self._log.trust_newest)

    def close(self) -> None:
        """End every tail with reason `shutdown` and every call with an error, and close the connection."""
        with self._stack:
            if not self._closed:
                self._closed = True
                self._loop.run(self._log.close)

    _closed = False


class SyncRemoteTail:
    """A tail in a thread: an iterator of events, or of notices by `read`. For one thread at a time."""

    def __init__(self, tail: RemoteTail, loop: LoopThread) -> None:
        self._tail = tail
        self._loop = loop
        self._batch: Batch | None = None
        self._next = 0

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
            batch = self._batch
            if batch is not None and self._next < len(batch):
                self._next += 1
                return batch.events[self._next - 1]
            self._batch = None
            notice = self.read()
            if isinstance(notice, Batch):
                self._batch, self._next = notice, 0
            elif isinstance(notice, End):
                raise StopIteration

    @property
    def cursor(self) -> str:
        """Resumes right after the event, batch or notice handed out last."""
        batch = self._batch
        if batch is not None and self._next < len(batch):
            # Of a batch, the first event is handed out as soon as it is here.
            return self._tail.cursor_after(batch.slices[self._next - 1])
        return self._tail.cursor

    def read(self, max_events: int = BATCH_EVENTS, timeout_s: float | None = None) -> Notice | None:
        """Return the next notice, or None when there was none in time; errors as of `RemoteTail.read`."""
        batch = self._batch
        if batch is not None and self._next < len(batch):
            some = batch.slices[self._next : self._next + max_events]
            self._next += len(some)
            return Batch(some, self.cursor)

        async def noticed() -> Notice | None:
            with anyio.move_on_after(timeout_s):
                return await self._tail.read(max_events)
            return None

        return self._loop.run(noticed)

    def close(self) -> None:
        """End the tail, from any thread; a `read` in progress returns `End` with reason `cancelled`."""
        try:
            self._loop.do(self._tail.close)
        except StoreClosed:
            # The client was closed before: with it, everything of the tail.
            return
