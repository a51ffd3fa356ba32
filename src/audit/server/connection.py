"""One connection: a session, its subscriptions and the calls in flight, in one task group.

Messages arrive by callback and small calls are answered in it; whatever must wait becomes a task of the group, so that
the end of the connection frees all of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Final

from audit.log.queue import Receipts
from audit.log.tails import Tail
from audit.model.errors import AuditError, Unauthorized
from audit.protocol.errors import to_wire
from audit.protocol.frames import encode
from audit.protocol.limits import CloseCode
from audit.protocol.messages import AppendParams, AppendResult, CancelParams, SubscribeParams
from audit.protocol.metricmessages import WatchParams
from audit.protocol.server import Broken, Call, Refused, ServerSession
from audit.server.access import Ask, Principal
from audit.server.calls import READS, appended_topics, asked_topics, erase
from audit.server.charging import spending
from audit.server.context import ServerContext
from audit.server.link import Link
from audit.server.metriccalls import authorise_metric, query_of_watch
from audit.server.metricsubscription import MetricSubscription
from audit.server.subscriptions import Subscription

__all__ = ["Connection"]

Work = Callable[[], Coroutine[Any, Any, None]]

_log: Final = logging.getLogger("audit.server")
_CONCURRENT_READS: Final = 16
"""Pages of one connection that may wait for its socket at once; each takes up to 1 MiB."""


class Connection:
    """What one peer does, from the handshake to the close."""

    def __init__(self, link: Link, context: ServerContext, principal: Principal) -> None:
        self._link = link
        self._context = context
        self._principal = principal
        self._session = ServerSession(context.options.limits)
        self._subscriptions: dict[str, tuple[Subscription | MetricSubscription, asyncio.Task[None]]] = {}
        self._calls: set[asyncio.Task[None]] = set()
        self._reads = asyncio.Semaphore(_CONCURRENT_READS)
        self._over = asyncio.Event()
        self._idle = asyncio.Event()
        self._close: tuple[int, str] = (CloseCode.SHUTDOWN, "the server is stopping")
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self, gone: Awaitable[object]) -> tuple[int, str]:
        """Serve the peer until it is gone, breaks the protocol, or the server stops.

        Args:
            gone: Done when the peer is.

        Returns:
            Code and reason to close with; of no use once the peer is gone.
        """
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            watches = [
                tasks.create_task(self._until(gone)),
                tasks.create_task(self._until(self._context.stopping.wait())),
            ]
            forget = self._context.access.follow(self._principal, self._ended)
            try:
                self._link.open(self._received)
                await self._over.wait()
            finally:
                forget()
            if self._context.stopping.is_set():
                await self._finish()
            for task in (*watches, *[task for _, task in self._subscriptions.values()]):
                task.cancel()
            for task in list(self._calls):
                task.cancel()
        return self._close

    async def _until(self, what: Awaitable[object]) -> None:
        await what
        self._over.set()

    def _broken(self, code: int, reason: str) -> None:
        self._close = (code, reason)
        self._over.set()

    def _ended(self, why: AuditError) -> None:
        """End the connection of one whose access is over, or has changed."""
        code = CloseCode.UNAUTHORIZED if isinstance(why, Unauthorized) else CloseCode.SHUTDOWN
        self._broken(code, str(why))

    async def _finish(self) -> None:
        """End the subscriptions and answer what is in flight, as long as the peer takes it."""
        try:
            async with asyncio.timeout(self._context.options.shutdown_timeout_s):
                for subscription, _ in self._subscriptions.values():
                    subscription.stop()
                if self._subscriptions:
                    await asyncio.wait([task for _, task in self._subscriptions.values()])
                while self._session.in_flight:
                    self._idle.clear()
                    await self._idle.wait()
                await self._link.drained()
        except TimeoutError:
            _log.warning("a peer did not take its last messages in time")

    # Messages

    def _received(self, message: bytes, text: bool) -> None:  # noqa: FBT001 - a callback's arguments
        if self._over.is_set():
            return
        event = self._session.receive(message, text=text)
        if isinstance(event, Call):
            self._call(event)
        elif isinstance(event, Refused):
            self._link.send_message(event.frame)
        elif isinstance(event, Broken):
            if event.frame is not None:
                self._link.send_message(event.frame)
            self._broken(event.code, event.reason)
        elif event is not None:
            found = self._subscriptions.get(event.subscription)
            if found is not None:
                found[0].credited()

    def _call(self, call: Call) -> None:
        try:
            if call.method == "events.append":
                self._append(call, call.params)
            elif call.method == "events.erase":
                self._start_call(partial(self._read, call, erase(self._context, self._principal, call.params)))
            elif call.method == "events.subscribe":
                self._subscribe(call, call.params)
            elif call.method == "metrics.subscribe":
                authorise_metric(self._context, self._principal, call.params)
                self._start_call(partial(self._watch, call, call.params))
            elif call.method == "subscription.cancel":
                self._cancel(call, call.params)
            else:
                result = READS[call.method](self._context, self._principal, call.params)
                if isinstance(result, bytes) and not self._link.paused:
                    self._context.access.charge(self._principal, len(result))
                    self._answer(call, result)
                else:
                    self._start_call(partial(self._read, call, result))
        except AuditError as error:
            self._fail(call, error)

    async def _read(self, call: Call, result: bytes | Awaitable[bytes]) -> None:
        try:
            async with self._reads:
                await self._link.drained()
                result = result if isinstance(result, bytes) else await result
                self._context.access.charge(self._principal, len(result))
                self._answer(call, result)
        except AuditError as error:
            self._fail(call, error)

    def _append(self, call: Call, params: AppendParams) -> None:
        access = self._context.access
        access.authorise(self._principal, Ask("append", appended_topics(params.events)))
        events = access.stamp(self._principal, params.events)
        # No task: a call that only waits for the disk is worth one callback.
        self._context.intake.put(events, params.idempotency_key, partial(self._appended, call))

    def _appended(self, call: Call, outcome: Receipts | Exception) -> None:
        try:
            if isinstance(outcome, AuditError):
                self._fail(call, outcome)
            elif isinstance(outcome, Exception):
                self._crashed(outcome)
            else:
                self._answer(call, encode(AppendResult(receipts=outcome)))
        except Exception as error:  # noqa: BLE001 - one connection's failure ends that connection, and is logged
            self._crashed(error)

    def _subscribe(self, call: Call, params: SubscribeParams) -> None:
        self._context.access.authorise(self._principal, Ask("read", asked_topics(params)))
        core = self._context.core
        found = core.tail(
            tuple(params.topic),
            params.topics,
            params.seek,
            params.seek_end,
            params.inclusive,
            params.limit,
            params.cursor,
            params.filter,
        )
        tail = Tail(found, core.threads, core.clock)
        if found.check_start(disk=False):
            self._begin(call, params, tail)
        else:
            self._start_call(partial(self._check_and_begin, call, params, tail))

    async def _check_and_begin(self, call: Call, params: SubscribeParams, tail: Tail) -> None:
        try:
            await tail.check()
            self._begin(call, params, tail)
        except AuditError as error:
            self._fail(call, error)

    def _begin(self, call: Call, params: SubscribeParams, tail: Tail) -> None:
        name = self._session.subscribe(params.credit)
        self._follow(call, name, Subscription(name, tail, self._session, self._link, self._context, self._principal))

    async def _watch(self, call: Call, params: WatchParams) -> None:
        try:
            feed = await self._context.metric_feeds.enter(
                query_of_watch(params), params.every, params.cursor, spending(self._context, self._principal)
            )
            try:
                name = self._session.subscribe(0)
            except AuditError:
                feed.leave(None)
                raise
        except AuditError as error:
            self._fail(call, error)
            return
        subscription = MetricSubscription(
            name, feed, params.cursor, self._session, self._link, self._context, self._principal
        )
        self._follow(call, name, subscription)

    def _follow(self, call: Call, name: str, subscription: Subscription | MetricSubscription) -> None:
        """Answer a call that opened a subscription, and have it run."""
        self._link.send_message(self._session.subscribed(call.id, name))
        self._context.traffic.answered(call.method, "ok")
        self._idle.set()
        task = self._start(subscription.run)
        self._subscriptions[name] = (subscription, task)
        task.add_done_callback(lambda _: self._subscriptions.pop(name, None))

    def _cancel(self, call: Call, params: CancelParams) -> None:
        self._session.cancel(params.subscription)
        found = self._subscriptions.pop(params.subscription, None)
        if found is not None:
            found[1].cancel()
        self._answer(call, b"{}")

    # Answers

    def _answer(self, call: Call, result: bytes) -> None:
        self._link.send_message(self._session.result(call.id, result))
        self._context.traffic.answered(call.method, "ok")
        self._idle.set()

    def _fail(self, call: Call, error: AuditError) -> None:
        code = to_wire(error).data.code
        if code == "internal":
            _log.error("%s failed: %s", call.method, error, exc_info=error)
        self._link.send_message(self._session.failure(call.id, error))
        self._context.traffic.answered(call.method, code)
        self._idle.set()

    # Tasks

    def _start(self, work: Work) -> asyncio.Task[None]:
        assert self._tasks is not None  # noqa: S101 - messages arrive once the link is opened, in `run`
        return self._tasks.create_task(self._guarded(work))

    def _start_call(self, work: Work) -> None:
        task = self._start(work)
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _guarded(self, work: Work) -> None:
        # Called here and not before: a task that is cancelled before its first step would leave a coroutine behind.
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - one connection's failure ends that connection, and is logged
            self._crashed(error)

    def _crashed(self, error: BaseException) -> None:
        _log.error("a connection failed", exc_info=error)
        self._broken(CloseCode.INTERNAL, "internal error")
