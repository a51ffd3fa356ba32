"""Between a client and a server: passes frames on, and cuts the connection where a test wants it cut."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Final, Self

from websockets.asyncio.client import connect
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from audit.client import Backoff
from audit.protocol.limits import SUBPROTOCOL

__all__ = ["AT_ONCE", "Relay", "scripted"]

AT_ONCE: Final = Backoff(first_s=0.0, most_s=0.0)
_PROTOCOLS: Final = [Subprotocol(SUBPROTOCOL)]


class Relay:
    """A server in front of another. `cuts`: frames, of both directions, after which each connection is cut in turn."""

    def __init__(self, upstream: str, cuts: Iterable[int] = ()) -> None:
        self._upstream = upstream
        self._cuts: Iterator[int] = iter(cuts)
        self._server: Server | None = None
        self._open: set[Connection] = set()
        self.connections = 0
        self.frames: list[bytes] = []
        """What clients sent."""

    async def __aenter__(self) -> Self:
        self._server = await serve(self._relay, "127.0.0.1", 0, subprotocols=_PROTOCOLS, compression=None)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self.cut()
        self._server.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def lead_to(self, upstream: str) -> None:
        """Have connections from now on end at another server."""
        self._upstream = upstream

    def cut(self) -> None:
        """Cut every connection."""
        for end in self._open:
            end.transport.abort()

    async def _relay(self, downstream: ServerConnection) -> None:
        self.connections += 1
        left = next(self._cuts, None)

        def passed() -> bool:
            nonlocal left
            if left is None:
                return True
            left -= 1
            return left >= 0

        async with connect(self._upstream, subprotocols=_PROTOCOLS, compression=None, proxy=None) as upstream:
            self._open |= {upstream, downstream}
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._pass(downstream, upstream, passed, note=True))
                    tasks.create_task(self._pass(upstream, downstream, passed))
            finally:
                self._open -= {upstream, downstream}

    async def _pass(
        self, source: Connection, to: Connection, passed: Callable[[], bool], *, note: bool = False
    ) -> None:
        try:
            while True:
                frame = await source.recv(decode=False)
                if not passed():
                    source.transport.abort()
                    to.transport.abort()
                    return
                if note:
                    self.frames.append(frame)
                await to.send(frame, text=True)
        except ConnectionClosed as closed:
            if closed.rcvd is not None:
                await to.close(closed.rcvd.code, closed.rcvd.reason)
            else:
                to.transport.abort()


@asynccontextmanager
async def scripted(script: Callable[[ServerConnection], Awaitable[None]]) -> AsyncIterator[str]:
    """Serve every connection by a script, and yield the URL."""
    async with serve(script, "127.0.0.1", 0, subprotocols=_PROTOCOLS, compression=None) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
