"""A client's WebSocket gets the same messages in the same order, however the bytes that carry them are cut."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from audit.client.socket import Socket

TEXTS = st.one_of(
    st.binary(max_size=140), st.sampled_from([b"x" * size for size in (125, 126, 300, 65_535, 65_536, 70_000)])
)
FRAMES = st.lists(
    st.one_of(
        st.tuples(st.just("text"), TEXTS),
        st.tuples(st.just("fragments"), st.lists(st.binary(max_size=20), min_size=2, max_size=4)),
        st.tuples(st.just("ping"), st.binary(max_size=8)),
    ),
    max_size=12,
)


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: Any) -> None:
        self.written += bytes(data)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


def conversation(frames: list[tuple[str, Any]], request: bytes) -> tuple[bytes, bytes, list[bytes], list[bytes]]:
    """Return a server's handshake, its frames, messages up to the first that comes in parts, and the rest."""
    server = ServerProtocol()
    server.receive_data(request)
    (asked,) = server.events_received()
    assert isinstance(asked, Request)
    server.send_response(server.accept(asked))
    handshake = b"".join(server.data_to_send())
    whole: list[bytes] = []
    rest: list[bytes] = []
    for kind, content in frames:
        if kind == "ping":
            server.send_ping(content)
        elif kind == "text":
            server.send_text(content)
            (rest or whole).append(content)
        else:
            server.send_text(content[0], fin=False)
            for part in content[1:-1]:
                server.send_continuation(part, fin=False)
            server.send_continuation(content[-1], fin=True)
            rest.append(b"".join(content))
    return handshake, b"".join(server.data_to_send()), whole, rest


@settings(deadline=None)
@given(frames=FRAMES, data=st.data())
def test_messages_come_whole_and_in_order_however_they_are_cut(
    frames: list[tuple[str, Any]], data: st.DataObject
) -> None:
    async def run() -> None:
        protocol = ClientProtocol(parse_uri("ws://localhost/"), max_size=None)
        socket = Socket(protocol, ping_interval=None)
        transport = Transport()
        socket.connection_made(transport)
        protocol.send_request(protocol.connect())
        socket.send_data()
        handshake, sent, whole, rest = conversation(frames, transport.written)
        got: list[bytes] = []

        def take(message: bytes) -> bool:
            got.append(message)
            return True

        socket.receiver = take
        stream = handshake + sent
        cuts = data.draw(st.sets(st.integers(0, len(stream)), max_size=12))
        # Usually the answer comes whole, and alone: the server waits for the first request.
        alone = data.draw(st.booleans())
        if alone:
            cuts = {cut for cut in cuts if cut > len(handshake)} | {len(handshake)}
        for start, end in pairwise([0, *sorted(cuts), len(stream)]):
            if start < end:
                socket.data_received(stream[start:end])
        # What has come is all parsed, and that is known if it was known where the frames begin.
        assert socket._unparsed in ({0} if alone else {0, None})
        assert got == whole
        assert [bytes(await socket.recv(decode=False)) for _ in rest] == rest
        # Each ping was answered.
        pongs = [event for event in answers(transport.written) if event.opcode is Opcode.PONG]
        assert [bytes(pong.data) for pong in pongs] == [content for kind, content in frames if kind == "ping"]

    asyncio.run(run())


def answers(written: bytes) -> list[Any]:
    """Return the frames that a client has written after its handshake."""
    server = ServerProtocol()
    server.receive_data(written)
    asked, *frames = server.events_received()
    assert isinstance(asked, Request)
    if not frames:
        server.send_response(server.accept(asked))
        server.receive_data(b"")
        frames = server.events_received()
    return frames


@settings(deadline=None)
@given(count=st.integers(1, 20), refused=st.integers(0, 20), size=st.integers(0, 300))
def test_from_a_message_that_is_not_taken_all_go_the_usual_way(count: int, refused: int, size: int) -> None:
    async def run() -> None:
        protocol = ClientProtocol(parse_uri("ws://localhost/"))
        socket = Socket(protocol, ping_interval=None)
        transport = Transport()
        socket.connection_made(transport)
        protocol.send_request(protocol.connect())
        socket.send_data()
        texts = [b"%d %b" % (number, b"x" * size) for number in range(count)]
        handshake, sent, _, _ = conversation([("text", text) for text in texts], transport.written)
        got: list[bytes] = []

        def take(message: bytes) -> bool:
            if len(got) == refused:
                return False
            got.append(message)
            return True

        socket.receiver = take
        socket.data_received(handshake)
        socket.data_received(sent)
        assert got == texts[:refused]
        assert [bytes(await socket.recv(decode=False)) for _ in texts[refused:]] == texts[refused:]

    asyncio.run(run())
