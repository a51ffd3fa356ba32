"""A client without its verbs: keeps a connection, makes another when it is lost, and carries calls and feeds over.

Owns one task, and in it everything that runs. Invariant: while that task lives, every feed is subscribed, being
subscribed, or waiting for its next try; once it ends, every call and feed has been told why.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import anyio
import msgspec

from audit.client.address import Address
from audit.client.feed import Feed, again
from audit.client.link import Link, Lost, contents
from audit.client.metricfeed import MetricFeed
from audit.client.news import Connected, Disconnected, News, Resumed
from audit.client.options import ClientOptions
from audit.client.socket import Socket, open_socket
from audit.log.tail import End
from audit.model.errors import (
    AuditError,
    Conflict,
    InvalidParameter,
    OutcomeUnknown,
    Overloaded,
    StoreClosed,
    Unavailable,
)
from audit.protocol.client import Note
from audit.protocol.errors import from_wire
from audit.protocol.messages import CancelParams, EndNote, InfoParams, InfoResult, SubscribeResult

__all__ = ["AnyFeed", "RemoteCore"]

AnyFeed = Feed | MetricFeed

_CLOSED: Final = "the client is closed"


class RemoteCore:
    """One client of one server, in one event loop."""

    def __init__(self, address: Address, options: ClientOptions) -> None:
        self._address = address
        self.options = options
        self._link: Link | None = None
        self._changed = asyncio.Event()
        self._failure: AuditError | None = None
        self._feeds: dict[AnyFeed, _Place] = {}
        self._info: InfoResult | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def info(self) -> InfoResult:
        """What the server said of itself when it was connected to last."""
        assert self._info is not None  # noqa: S101 - `start` has returned
        return self._info

    async def start(self) -> None:
        """Connect for the first time; errors as of `open_socket`, all of them at once."""
        started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run(started), name=f"audit client of {self._address.shown}")
        try:
            await asyncio.wait((self._task, started), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await self.close()
            raise
        if not started.done():
            await self.close()
            raise again(self._failure or Unavailable(f"can't connect to {self._address.shown}"))

    async def close(self) -> None:
        """End everything: tails with reason `shutdown`, calls with an error. Takes a second at most."""
        self._fail(StoreClosed(_CLOSED))
        if self._task is not None:
            self._task.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait((self._task,))
            if not self._task.cancelled() and (error := self._task.exception()) is not None:
                raise error

    # --- connections

    async def _run(self, started: asyncio.Future[None]) -> None:
        loop = asyncio.get_running_loop()
        failures, delay_s = 0, 0.0
        down_since: float | None = None
        try:
            while True:
                up_at = None
                try:
                    socket = await open_socket(self._address, self.options)
                except AuditError as error:
                    reason = error
                else:
                    up_at, reason = await self._serve(socket, started)
                now = loop.time()
                if up_at is not None:
                    down_since = None
                    # One that is lost as soon as it is made must not be made again at once for ever.
                    if now - up_at >= delay_s:
                        failures = 0
                down_since = now if down_since is None else down_since
                delay_s = self.options.backoff.delay_s(failures)
                failures += 1
                limit_s = self.options.reconnect_timeout_s
                if (
                    not started.done()
                    or not reason.retryable
                    or (limit_s is not None and now + delay_s - down_since > limit_s)
                ):
                    self._fail(reason)
                    self._tell(Disconnected(reason, None))
                    return
                self._tell(Disconnected(reason, delay_s))
                await anyio.sleep(delay_s)
        finally:
            # Reached with nothing failed only by a defect: whoever waits must not do so for ever.
            self._fail(AuditError("the client failed"))

    async def _serve(self, socket: Socket, started: asyncio.Future[None]) -> tuple[float | None, AuditError]:
        """Use a connection until it is lost; return when it was ready, if ever, and why it was lost."""
        up_at: float | None = None
        link = Link(socket, self._address.shown)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(link.write)
            tasks.start_soon(link.read)
            try:
                problem = await self._greet(link)
                if problem is None:
                    up_at = asyncio.get_running_loop().time()
                    self._up(link, again_=started.done())
                    if not started.done():
                        started.set_result(None)
                    await link.over.wait()
            finally:
                # Nothing is asked of it from here on, while it is being closed.
                self._link = None
                self._changed.clear()
                with anyio.CancelScope(shield=True):
                    await socket.close()
                tasks.cancel_scope.cancel()
        return up_at, problem or link.reason

    async def _greet(self, link: Link) -> AuditError | None:
        """Learn what the server takes; return why it can't be used, or None."""
        try:
            with anyio.fail_after(self.options.open_timeout_s):
                self._info = contents(await link.call("server.info", InfoParams()), InfoResult)
        except TimeoutError:
            return Unavailable(f"{self._address.shown} does not answer")
        except Lost:
            return link.reason
        except AuditError as error:
            return error
        link.limit(self._info.limits)
        return None

    def _up(self, link: Link, *, again_: bool) -> None:
        self._link = link
        info = self.info
        server = f"{info.name} {info.version}"
        self._tell(Connected(self._address.shown, server, info.store.id, again_))
        for feed in list(self._feeds):
            self._subscribe(feed)
        self._changed.set()

    def _fail(self, reason: AuditError) -> None:
        """Tell everybody that there will be no other connection."""
        if self._failure is not None:
            return
        self._failure = reason
        self._link = None
        self._changed.set()
        feeds, self._feeds = self._feeds, {}
        for feed, place in feeds.items():
            place.leave()
            if isinstance(reason, StoreClosed):
                feed.finish(End(feed.resume_at or feed.cursor or "", "shutdown"))
            else:
                feed.finish(reason)

    def _tell(self, news: News) -> None:
        hook = self.options.on_event
        if hook is None:
            return
        try:
            hook(news)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the hook's, and must not end the client
            context = {"message": "on_event of an audit client failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)

    # --- calls

    async def call(self, method: str, params: Any, kind: Any, *, writes: bool = False) -> Any:
        """Return a result, over as many connections and tries as it takes.

        Args:
            method: Its name.
            params: Its parameters; of one that writes, with idempotency keys.
            kind: Type of the result.
            writes: Whether it may leave something behind although it failed.

        Raises:
            Unavailable: there was no answer in time; nothing was written.
            OutcomeUnknown: the same, and it may have been written.
            StoreClosed: the client is closed.
            AuditError: what the server answered.
        """
        trial = _Trial(writes=writes)
        timeout_s = self.options.call_timeout_s
        limit = asyncio.timeout(timeout_s)
        try:
            async with limit:
                return contents(await self._try(method, params, trial), kind)
        except TimeoutError:
            if not limit.expired():
                raise
        except (InvalidParameter, Conflict):
            # Of the request itself: had an earlier try been carried out, this one would have been, too.
            raise
        except AuditError as error:
            if not trial.doubtful:
                raise
            raise OutcomeUnknown(f"the events may have been written or not: {error}") from error
        problem = f"no answer within {timeout_s:g} s" + (f": {trial.trouble}" if trial.trouble else "")
        if trial.doubtful:
            raise OutcomeUnknown(f"the events may have been written or not: {problem}") from trial.trouble
        raise Unavailable(f"{self._address.shown}: {problem}") from trial.trouble

    async def _try(self, method: str, params: Any, trial: _Trial) -> msgspec.Raw:
        while True:
            link = await self._connected()
            doubtful_before = trial.doubtful
            try:
                return await link.call(method, params, trial.sent)
            except Lost as error:
                # The next connection has its own delay.
                trial.trouble = error
                continue
            except OutcomeUnknown as error:
                trial.trouble = error
            except (Overloaded, Unavailable) as error:
                trial.trouble = error
                trial.doubtful = doubtful_before
            except AuditError:
                trial.doubtful = doubtful_before
                raise
            await anyio.sleep(self.options.backoff.delay_s(trial.failures))
            trial.failures += 1

    async def _connected(self) -> Link:
        while True:
            if self._failure is not None:
                raise again(self._failure)
            if self._link is not None and not self._link.over.is_set():
                return self._link
            self._changed.clear()
            await self._changed.wait()

    # --- feeds

    def add(self, feed: AnyFeed) -> None:
        """Subscribe a feed, now or when there is a connection, and keep it so until it is over."""
        if self._failure is not None:
            raise again(self._failure)
        self._feeds[feed] = _Place()
        self._subscribe(feed)

    def drop(self, feed: AnyFeed) -> None:
        """Forget a feed, and have the server do so; nothing more comes of it."""
        feed.close()
        place = self._feeds.pop(feed, None)
        if place is not None and (left := place.leave()) is not None:
            self._cancel(*left)

    def refill(self, feed: AnyFeed) -> None:
        """Let the server send what the feed's reader has made room for."""
        place = self._feeds.get(feed)
        if place is not None and place.link is not None and (events := feed.grant()):
            place.link.grant(place.name, events)

    def _subscribe(self, feed: AnyFeed) -> None:
        place = self._feeds.get(feed)
        link = self._link
        if place is None or link is None:
            return
        place.leave()
        params = feed.request(self.info.limits.credit)
        if params is None:
            del self._feeds[feed]
            return

        def done(outcome: msgspec.Raw | AuditError) -> None:
            self._subscribed(feed, link, outcome)

        link.request(feed.method, params, done)

    def _subscribed(self, feed: AnyFeed, link: Link, outcome: msgspec.Raw | AuditError) -> None:
        place = self._feeds.get(feed)
        if isinstance(outcome, AuditError):
            # A connection that was lost is followed by another one, on which all feeds are subscribed.
            if place is not None and not isinstance(outcome, Lost):
                self._trouble(feed, place, outcome)
            return
        name: str = contents(outcome, SubscribeResult).subscription
        if place is None:
            self._cancel(link, name)
            return
        place.link, place.name = link, name
        link.route(name, lambda note: self._note(feed, note))
        if feed.started:
            self._tell(Resumed(feed.topics, feed.resume_at))
        feed.started = True
        self.refill(feed)

    def _note(self, feed: AnyFeed, note: Note) -> None:
        place = self._feeds.get(feed)
        if place is None:
            return
        if not isinstance(note.params, EndNote):
            place.failures = 0
            place.down_since = None
            feed.receive(note)
            return
        place.leave()
        end = note.params
        feed.move(end.cursor)
        if end.reason in {"seek_end", "limit", "cancelled"}:
            del self._feeds[feed]
            feed.finish(End(end.cursor, end.reason))
        elif end.error is not None:
            self._trouble(feed, place, from_wire(end.error))
        elif end.reason == "error":
            self._trouble(feed, place, AuditError("the server failed to go on with a subscription"))
        else:
            self._trouble(feed, place, Unavailable(f"the server ended a subscription: {end.reason}"))

    def _trouble(self, feed: AnyFeed, place: _Place, error: AuditError) -> None:
        """Try a feed again later, if there is a point."""
        loop = asyncio.get_running_loop()
        delay_s = self.options.backoff.delay_s(place.failures)
        place.failures += 1
        place.down_since = loop.time() if place.down_since is None else place.down_since
        limit_s = self.options.reconnect_timeout_s
        if not error.retryable or (limit_s is not None and loop.time() + delay_s - place.down_since > limit_s):
            del self._feeds[feed]
            feed.finish(error)
            return
        place.timer = loop.call_later(delay_s, self._subscribe, feed)

    def _cancel(self, link: Link, name: str) -> None:
        link.unroute(name)
        if link.over.is_set():
            return

        def done(outcome: msgspec.Raw | AuditError) -> None:
            # Left open, it would hold its place among the connection's subscriptions.
            if isinstance(outcome, Overloaded):
                asyncio.get_running_loop().call_later(self.options.backoff.delay_s(0), self._cancel, link, name)

        link.request("subscription.cancel", CancelParams(subscription=name), done)


class _Trial:
    """What has become of one call so far."""

    def __init__(self, *, writes: bool) -> None:
        self.writes = writes
        self.doubtful = False
        """Whether it may have been written."""
        self.trouble: AuditError | None = None
        self.failures = 0

    def sent(self) -> None:
        """From here on it may be carried out, whatever becomes of who waits for it."""
        self.doubtful = self.writes


class _Place:
    """Where a feed is subscribed, or when it will be."""

    def __init__(self) -> None:
        self.link: Link | None = None
        self.name = ""
        self.timer: asyncio.TimerHandle | None = None
        self.failures = 0
        self.down_since: float | None = None

    def leave(self) -> tuple[Link, str] | None:
        """Be subscribed nowhere; return where it was."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        left, self.link = self.link, None
        return None if left is None else (left, self.name)
