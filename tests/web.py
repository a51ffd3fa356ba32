"""An HTTP client that knows the wire and nothing else of this package: what `curl` and a browser would do."""

import asyncio
import http.client
import json
import socket
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import h11

__all__ = ["JSON", "LINES", "Answer", "Message", "Stream", "fetch", "raw", "stream"]

JSON: Final = {"content-type": "application/json"}
LINES: Final = {"content-type": "application/x-ndjson"}


class Answer(NamedTuple):
    """What came back; header names are in small letters."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def fetch(
    base: str,
    path: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | Iterable[bytes] | None = None,
) -> Answer:
    """Send one request on a connection of its own, and return the whole answer."""

    def work() -> Answer:
        place = urlsplit(base)
        assert place.hostname is not None
        connection = http.client.HTTPConnection(place.hostname, place.port, timeout=30)
        try:
            connection.request(method, path, body=body, headers=dict(headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    return await asyncio.to_thread(work)


@asynccontextmanager
async def raw(
    base: str, *, receive_buffer: int | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect, and do the rest by hand."""
    place = urlsplit(base)
    with socket.socket() as connecting:
        if receive_buffer is not None:
            connecting.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connecting.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connecting, (place.hostname, place.port))
        reader, writer = await asyncio.open_connection(sock=connecting, limit=2**16)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()


class Message(NamedTuple):
    """A message of Server-Sent Events; a comment has the kind `:`."""

    kind: str
    id: str
    data: str

    @property
    def json(self) -> Any:
        return json.loads(self.data)


class Stream:
    """The answer to a request for a stream; one task at a time reads from it."""

    def __init__(self, reader: asyncio.StreamReader, http11: h11.Connection) -> None:
        self._reader = reader
        self._http11 = http11
        self._text = b""
        self.status = 0
        self.headers: dict[str, str] = {}
        self.retry: str | None = None

    async def begin(self) -> None:
        answer = await self._next()
        assert isinstance(answer, h11.Response)
        self.status = answer.status_code
        self.headers = {name.decode(): value.decode() for name, value in answer.headers}

    async def _next(self) -> Any:
        while True:
            event = self._http11.next_event()
            if event is not h11.NEED_DATA:
                return event
            self._http11.receive_data(await self._reader.read(2**16))

    async def rest(self) -> bytes:
        """Return the answer's body, once it has ended as HTTP says."""
        while not isinstance(event := await self._next(), h11.EndOfMessage):
            assert isinstance(event, h11.Data)
            self._text += bytes(event.data)
        return self._text

    async def message(self) -> Message | None:
        """Return the next message or comment; None: the answer has ended as HTTP says it must."""
        while b"\n\n" not in self._text:
            event = await self._next()
            if isinstance(event, h11.EndOfMessage):
                assert self._text == b""
                return None
            assert isinstance(event, h11.Data)
            self._text += bytes(event.data)
        block, self._text = self._text.split(b"\n\n", 1)
        if block == b":":
            return Message(":", "", "")
        fields = dict(line.split(": ", 1) for line in block.decode().split("\n"))
        if "retry" in fields:
            self.retry = fields["retry"]
            return await self.message()
        return Message(fields.get("event", "message"), fields["id"], fields["data"])

    async def until(self, kind: str) -> list[Message]:
        """Return the messages up to the first of this kind, which is the last of them; comments are left out."""
        found: list[Message] = []
        while True:
            message = await self.message()
            assert message is not None, found
            if message.kind != ":" or kind == ":":
                found.append(message)
            if message.kind == kind:
                return found

    async def events(self, count: int) -> list[Message]:
        """Return the next so many events, whatever else is told between them."""
        found: list[Message] = []
        while len(found) < count:
            message = await self.message()
            assert message is not None
            if message.kind == "message":
                found.append(message)
        return found


@asynccontextmanager
async def stream(
    base: str, path: str = "/v1/events/stream", headers: Mapping[str, str] | None = None, method: str = "GET"
) -> AsyncIterator[Stream]:
    """Ask for a stream."""
    async with raw(base) as (reader, writer):
        http11 = h11.Connection(h11.CLIENT)
        request = h11.Request(
            method=method, target=path, headers=[("Host", urlsplit(base).netloc), *(headers or {}).items()]
        )
        writer.write(http11.send(request) or b"")
        http11.send(h11.EndOfMessage())
        opened = Stream(reader, http11)
        await opened.begin()
        yield opened
