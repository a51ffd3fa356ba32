"""`/v1/events/stream`: a tail as Server-Sent Events. A browser that reconnects goes on exactly where it was cut off.

Each event is a message of its own, whose `id:` is the cursor after it. A stream keeps no queue: it reads a little from
its tail, and reads on when the peer has taken it; one that takes nothing is aborted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import ExitStack, suppress
from http import HTTPStatus
from typing import Any, Final

from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from audit.log.tail import Batch, CaughtUp, End, FellBehind, Notice, TailCore
from audit.log.tails import Tail
from audit.model.errors import AuditError, InvalidParameter, Overloaded, Unauthorized, Unavailable
from audit.protocol.errors import to_wire
from audit.protocol.frames import encode
from audit.server.access import Ask, Principal
from audit.server.calls import asked_topics
from audit.server.context import ServerContext
from audit.server.negotiation import accepted
from audit.server.problems import problem_of
from audit.server.queries import STREAM_NAMES, Query, stream_params

__all__ = ["Stream"]

_log: Final = logging.getLogger("audit.server")
_KIND: Final = "text/event-stream"
_METHOD: Final = "events.stream"
_READ_EVENTS: Final = 100
"""Events read from the tail at a time: what a peer that stalls may keep in memory."""
_PIECE_BYTES: Final = 32 * 1024
_RETRY_MS: Final = 1_000
_HEADERS: Final = (
    (b"content-type", _KIND.encode()),
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    # nginx would collect the stream, and pass it on in large pieces.
    (b"x-accel-buffering", b"no"),
)


class Stream:
    """Serves the streams of one server, as a raw ASGI application."""

    def __init__(self, context: ServerContext) -> None:
        self._context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one stream, as ASGI has it."""
        traffic = self._context.traffic
        try:
            streaming = await self._open(scope, send)
        except Exception as error:  # noqa: BLE001 - told to the peer by its code, and logged when it is our own fault
            response, code = problem_of(error)
            traffic.answered(_METHOD, code)
            await response(scope, receive, send)
            return
        traffic.answered(_METHOD, "ok")
        traffic.streams += 1
        try:
            await streaming.run(scope["method"], receive)
        finally:
            traffic.streams -= 1

    async def _open(self, scope: Scope, send: Send) -> _Streaming:
        """Return the stream that a request asks for; nothing of it was sent yet, so that an error is still one."""
        context = self._context
        principal = await context.access.authenticate(scope)
        accepted(scope, (_KIND,))
        resumed = Request(scope).headers.getlist("last-event-id")
        if len(resumed) > 1:
            raise InvalidParameter("last_event_id", "the header Last-Event-ID is given twice")
        params = stream_params(Query(scope["query_string"], STREAM_NAMES), resumed[0] if resumed else None)
        context.access.authorise(principal, Ask("read", asked_topics(params)))
        if context.stopping.is_set():
            raise Unavailable("the server is stopping")
        if context.traffic.streams + context.traffic.connections >= context.options.connections:
            raise Overloaded(f"{context.options.connections} connections are open already")
        core = context.core.tail(
            (),
            params.topics,
            params.seek,
            params.seek_end,
            params.inclusive,
            params.limit,
            params.cursor,
            params.filter,
        )
        tail = Tail(core, context.core.threads, context.core.clock)
        await tail.check()
        first = None
        if resumed and params.seek_end is not None:
            # Only what a browser asks for again can be over before it begins.
            first = await tail.read(_READ_EVENTS, timeout_s=context.options.progress_s)
        return _Streaming(context, principal, context.access.admit(principal), core, tail, first, send)


class _Streaming:
    """One stream, from its first byte to its last."""

    def __init__(  # noqa: PLR0917 - what a stream is made of
        self,
        context: ServerContext,
        principal: Principal,
        leave: Callable[[], None],
        core: TailCore,
        tail: Tail,
        first: Notice | None,
        send: Send,
    ) -> None:
        self._context = context
        self._principal = principal
        self._leave = leave
        self._core = core
        self._tail = tail
        self._first = first
        self._send = send
        self._told = ""
        self._left = False
        self._over = asyncio.Event()
        """It is to end where it stands."""
        self._lost_by: AuditError | None = None

    async def run(self, method: str, receive: Receive) -> None:
        """Send until the tail ends, the peer leaves or is aborted, or the server stops."""
        with ExitStack() as ends:
            ends.callback(self._leave)
            ends.callback(self._tail.close)
            if isinstance(self._first, End):
                # A browser connects again after every end, except after this answer.
                await self._send(_start(HTTPStatus.NO_CONTENT))
                await self._write(b"", more=False)
            elif method == "HEAD":
                await self._send(_start())
                await self._write(b"", more=False)
            else:
                await self._run(receive)

    async def _run(self, receive: Receive) -> None:
        forget = self._context.access.follow(self._principal, self._lost)
        try:
            await self._send_until(receive)
        finally:
            forget()

    async def _send_until(self, receive: Receive) -> None:
        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(self._send_all())
            gone = tasks.create_task(self._gone(receive))
            stopping = tasks.create_task(_either(self._over, self._context.stopping))
            await asyncio.wait((sending, gone, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not sending.done() and not gone.done():
                # It ends where it stands, with a cursor to go on from, if the peer takes that.
                self._over.set()
                self._tail.close()
                timeout_s = self._context.options.shutdown_timeout_s
                await asyncio.wait((sending, gone), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            for task in (sending, gone, stopping):
                task.cancel()

    def _lost(self, why: AuditError) -> None:
        """End the stream of one whose access is over, or has changed: then a browser comes again."""
        self._lost_by = why
        self._over.set()

    async def _send_all(self) -> None:
        await self._send(_start())
        await self._write(b"retry: %d\n\n" % _RETRY_MS)
        if self._first is not None:
            await self._tell(self._first)
        while True:
            await self._rest()
            try:
                notice = await self._tail.read(_READ_EVENTS, timeout_s=self._context.options.progress_s)
            except AuditError as error:
                _log.warning("a stream ended: %s", error, exc_info=error.code == "store_corrupt")
                await self._end("error", error)
                return
            if isinstance(notice, End):
                if isinstance(self._lost_by, Unauthorized):
                    await self._end("error", self._lost_by)
                else:
                    over = self._lost_by is not None or self._context.stopping.is_set()
                    await self._end("shutdown" if over else notice.reason)
                return
            await self._tell(notice)

    async def _rest(self) -> None:
        """Send no events while their reader was sent more than they may read; a comment now and then."""
        while (owes_ms := self._context.access.owes_ms(self._principal)) and not self._over.is_set():
            rest_s = min(owes_ms / 1000, self._context.options.progress_s)
            with suppress(TimeoutError):
                async with asyncio.timeout(rest_s):
                    await self._over.wait()
            await self._write(b":\n\n")

    async def _tell(self, notice: Notice | None) -> None:
        if isinstance(notice, Batch):
            await self._batch(notice)
        elif isinstance(notice, CaughtUp):
            await self._note("caught_up", notice.cursor)
        elif isinstance(notice, FellBehind):
            await self._note("fell_behind", notice.cursor)
        elif self._tail.cursor != self._told:
            await self._note("progress", self._tail.cursor)
        else:
            # A comment: nothing happened, and whoever is in between should not take the silence for an end.
            await self._write(b":\n\n")

    async def _batch(self, batch: Batch) -> None:
        piece: list[bytes] = []
        size = 0
        for number, event in enumerate(batch.slices, 1):
            # An event's JSON holds no line end, so that one data line takes it as it is stored.
            piece.append(b"id: %b\ndata: %b\n\n" % (self._core.cursor_after(event).encode(), event))
            size += len(piece[-1])
            if size >= _PIECE_BYTES or number == len(batch):
                await self._write(b"".join(piece))
                self._context.access.charge(self._principal, size, len(piece))
                self._context.traffic.deliveries += len(piece)
                piece, size = [], 0
        self._told = batch.cursor

    async def _note(self, kind: str, cursor: str) -> None:
        text = cursor.encode()
        await self._write(b'event: %b\nid: %b\ndata: {"cursor":"%b"}\n\n' % (kind.encode(), text, text))
        self._told = cursor

    async def _end(self, reason: str, error: AuditError | None = None) -> None:
        cursor = self._tail.cursor
        told: dict[str, Any] = {"cursor": cursor, "reason": reason}
        if error is not None:
            told["error"] = to_wire(error)
        await self._write(b"event: end\nid: %b\ndata: %b\n\n" % (cursor.encode(), encode(told)), more=False)

    async def _write(self, body: bytes, *, more: bool = True) -> None:
        """Send once the peer has taken what was sent before; the link aborts one that takes nothing."""
        await self._send({"type": "http.response.body", "body": body, "more_body": more})
        if self._left:
            # It went nowhere, and nothing more will go anywhere: the end of this task is under way.
            await asyncio.get_running_loop().create_future()

    async def _gone(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            # A body, which nobody asked for.
            pass
        self._left = True


async def _either(one: asyncio.Event, other: asyncio.Event) -> None:
    """Return when either is set."""
    waiting = [asyncio.create_task(one.wait()), asyncio.create_task(other.wait())]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()


def _start(status: HTTPStatus = HTTPStatus.OK) -> Message:
    return {"type": "http.response.start", "status": int(status), "headers": list(_HEADERS)}
