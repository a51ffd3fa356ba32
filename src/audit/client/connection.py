"""One connection to a server at a time: makes it, makes another when it is lost, and says when there will be none.

Owns one task, and in it everything that runs. Invariant: while that task lives there is a connection, or one is being
made, or waited for; once it ends, whoever was to be told has been told why.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import anyio

from audit.client.address import Address
from audit.client.feed import again
from audit.client.link import Link, Lost, contents
from audit.client.news import Connected, Disconnected, News
from audit.client.options import ClientOptions
from audit.client.socket import Socket, open_socket
from audit.model.errors import AuditError, StoreClosed, Unavailable
from audit.protocol.messages import InfoParams, InfoResult

__all__ = ["Connection"]

_CLOSED: Final = "the client is closed"


class Connection:
    """The way to one server, in one event loop.

    Attributes:
        shown: The server's address, for messages.
        link: What the connection is used through, while there is one.
        failure: Why there will be no other connection; None while there may be.
        on_up: Called when a connection can be used, before those who wait for it go on.
        on_end: Called once, with `failure`.
    """

    def __init__(self, address: Address, options: ClientOptions) -> None:
        self._address = address
        self._options = options
        self._changed = asyncio.Event()
        self._info: InfoResult | None = None
        self._task: asyncio.Task[None] | None = None
        self.shown = address.shown
        self.link: Link | None = None
        self.failure: AuditError | None = None
        self.on_up: Callable[[], None]
        self.on_end: Callable[[AuditError], None]

    @property
    def info(self) -> InfoResult:
        """What the server said of itself when it was connected to last."""
        assert self._info is not None  # noqa: S101 - `start` has returned
        return self._info

    async def start(self) -> None:
        """Connect for the first time; errors as of `open_socket`, all of them at once."""
        started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run(started), name=f"audit client of {self.shown}")
        try:
            await asyncio.wait((self._task, started), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await self.close()
            raise
        if not started.done():
            await self.close()
            raise again(self.failure or Unavailable(f"can't connect to {self.shown}"))

    async def close(self) -> None:
        """End everything: tails with reason `shutdown`, calls with an error. Takes a second at most."""
        self._fail(StoreClosed(_CLOSED))
        if self._task is not None:
            self._task.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait((self._task,))
            if not self._task.cancelled() and (error := self._task.exception()) is not None:
                raise error

    async def connected(self) -> Link:
        """Return the link, once there is one that can be used.

        Raises:
            AuditError: why there will be none.
        """
        while True:
            if self.failure is not None:
                raise again(self.failure)
            if self.link is not None and not self.link.over.is_set():
                return self.link
            self._changed.clear()
            await self._changed.wait()

    async def _run(self, started: asyncio.Future[None]) -> None:
        loop = asyncio.get_running_loop()
        failures, delay_s = 0, 0.0
        down_since: float | None = None
        try:
            while True:
                up_at = None
                try:
                    socket = await open_socket(self._address, self._options)
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
                delay_s = self._options.backoff.wait_s(failures, reason)
                failures += 1
                limit_s = self._options.reconnect_timeout_s
                if (
                    not started.done()
                    or not reason.retryable
                    or (limit_s is not None and now + delay_s - down_since > limit_s)
                ):
                    self._fail(reason)
                    self.tell(Disconnected(reason, None))
                    return
                self.tell(Disconnected(reason, delay_s))
                await anyio.sleep(delay_s)
        finally:
            # Reached with nothing failed only by a defect: whoever waits must not do so for ever.
            self._fail(AuditError("the client failed"))

    async def _serve(self, socket: Socket, started: asyncio.Future[None]) -> tuple[float | None, AuditError]:
        """Use a connection until it is lost; return when it was ready, if ever, and why it was lost."""
        up_at: float | None = None
        link = Link(socket, self.shown)
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
                self.link = None
                self._changed.clear()
                with anyio.CancelScope(shield=True):
                    await socket.close()
                tasks.cancel_scope.cancel()
        return up_at, problem or link.reason

    async def _greet(self, link: Link) -> AuditError | None:
        """Learn what the server takes; return why it can't be used, or None."""
        try:
            with anyio.fail_after(self._options.open_timeout_s):
                self._info = contents(await link.call("server.info", InfoParams()), InfoResult)
        except TimeoutError:
            return Unavailable(f"{self.shown} does not answer")
        except Lost:
            return link.reason
        except AuditError as error:
            return error
        link.limit(self._info.limits)
        return None

    def _up(self, link: Link, *, again_: bool) -> None:
        self.link = link
        info = self.info
        server = f"{info.name} {info.version}"
        self.tell(Connected(self.shown, server, info.store.id, again_))
        self.on_up()
        self._changed.set()

    def _fail(self, reason: AuditError) -> None:
        """Tell everybody that there will be no other connection."""
        if self.failure is not None:
            return
        self.failure = reason
        self.link = None
        self._changed.set()
        self.on_end(reason)

    def tell(self, news: News) -> None:
        """Tell the hook, if there is one, what has happened."""
        hook = self._options.on_event
        if hook is None:
            return
        try:
            hook(news)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the hook's, and must not end the client
            context = {"message": "on_event of an audit client failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
