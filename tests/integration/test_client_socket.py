"""The client's WebSocket: what it hands over at once, and what it leaves to the tasks that read and write."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from websockets.asyncio.server import ServerConnection, serve

from audit.client.address import parse_address
from audit.client.options import ClientOptions
from audit.client.socket import Socket, open_socket
from audit.protocol.limits import SUBPROTOCOL


@asynccontextmanager
async def connected(answer: list[list[str]]) -> AsyncIterator[tuple[Socket, asyncio.Queue[str]]]:
    """Connect to a server that says this, each message in fragments, once it is told anything; and keeps what it is."""
    told: asyncio.Queue[str] = asyncio.Queue()

    async def handle(peer: ServerConnection) -> None:
        told.put_nowait(str(await peer.recv()))
        for fragments in answer:
            await peer.send(fragments if len(fragments) > 1 else fragments[0])
        async for message in peer:
            told.put_nowait(str(message))

    async with serve(handle, "127.0.0.1", 0, subprotocols=[SUBPROTOCOL]) as server:  # type: ignore[list-item]
        port = next(iter(server.sockets)).getsockname()[1]
        socket = await open_socket(parse_address(f"ws://127.0.0.1:{port}/rpc"), ClientOptions())
        try:
            yield socket, told
        finally:
            await socket.close()


async def test_messages_keep_their_order_when_one_comes_in_fragments() -> None:
    async with connected([["a"], ["b"], ["c", "d"], ["e"]]) as (socket, _):
        found: list[bytes] = []

        def take(message: bytes) -> bool:
            found.append(message)
            return True

        socket.receiver = take
        assert socket.send_nowait(b"go")
        found.append(await socket.recv(decode=False))
        assert found == [b"a", b"b", b"cd"]
        assert await socket.recv(decode=False) == b"e"


async def test_from_a_message_that_is_not_taken_on_all_are_left_to_recv() -> None:
    async with connected([["a"], ["b"], ["c"]]) as (socket, _):
        socket.receiver = lambda message: message == b"a"
        assert socket.send_nowait(b"go")
        assert [await socket.recv(decode=False) for _ in range(2)] == [b"b", b"c"]


async def test_what_can_not_be_sent_at_once_is_refused_and_comes_later_in_order() -> None:
    async with connected([]) as (socket, told):
        assert socket.send_nowait(b"first")
        assert await told.get() == "first"
        # More than any socket takes at once, so that it is paused for a turn of the loop at least.
        big = b"x" * (1 << 20)
        sent = 0
        while socket.send_nowait(big):
            sent += 1
        assert sent
        await socket.send(b"last", text=True)
        assert [await told.get() for _ in range(sent)] == [big.decode()] * sent
        assert await told.get() == "last"
        await socket.close()
        assert not socket.send_nowait(b"too late")
