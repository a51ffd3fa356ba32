"""The transcripts of `proto/vectors`, played against a server by a client that knows nothing but `proto/`."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Final

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from audit.server.serving import Serving
from audit.testing import memory_audit
from tests import vectors
from tests.schemas import check

_NAME: Final = Subprotocol("audit.v1.json")


class _Bare:
    """A WebSocket as the vectors want it."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def send(self, data: bytes, /, *, text: bool) -> None:
        with suppress(ConnectionClosed):
            await self._socket.send(data, text=text)

    async def receive(self) -> str | bytes | int:
        try:
            return await self._socket.recv()
        except ConnectionClosed:
            return self._socket.close_code or 0


@asynccontextmanager
async def _served() -> AsyncIterator[tuple[Serving, Callable[[], Any]]]:
    async with memory_audit() as log, AsyncExitStack() as sockets, log.serve("127.0.0.1:0") as server:

        async def opened() -> _Bare:
            url = server.urls[0]
            socket = await sockets.enter_async_context(connect(url, subprotocols=[_NAME], compression=None))
            return _Bare(socket)

        yield server, opened
        await sockets.aclose()


@pytest.mark.parametrize("name", vectors.names())
async def test_server_does_what_the_vector_says(name: str) -> None:
    async with _served() as (server, opened):
        await vectors.play(vectors.load(name), opened, server.close, check)
