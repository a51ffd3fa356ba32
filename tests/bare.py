"""A WebSocket client that knows the wire and nothing else of this package: what a stranger would write."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect, unix_connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close

__all__ = ["SUBPROTOCOL", "Bare", "BareError", "bare", "until"]

SUBPROTOCOL: Final = "audit.v1.json"

Json = dict[str, Any]


class BareError(Exception):
    """An error of JSON-RPC, as it came."""

    def __init__(self, error: Json) -> None:
        super().__init__(f"{error['code']}: {error['message']}")
        self.code: int = error["code"]
        self.data: Json = error["data"]


class Bare:
    """One connection; one task at a time reads from it."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.notes: deque[Json] = deque()
        """Notifications that came while an answer was waited for."""
        self._next = 0

    async def send(self, method: str, **params: Any) -> int:
        self._next += 1
        await self.socket.send(json.dumps({"jsonrpc": "2.0", "id": self._next, "method": method, "params": params}))
        return self._next

    async def notify(self, method: str, **params: Any) -> None:
        await self.socket.send(json.dumps({"jsonrpc": "2.0", "method": method, "params": params}))

    async def receive(self) -> Json:
        message: Json = json.loads(await self.socket.recv())
        return message

    async def answer(self, request: int) -> Any:
        while True:
            message = await self.receive()
            if "method" in message:
                self.notes.append(message)
            elif message["id"] == request:
                if "error" in message:
                    raise BareError(message["error"])
                return message["result"]

    async def call(self, method: str, **params: Any) -> Any:
        return await self.answer(await self.send(method, **params))

    async def note(self) -> Json:
        """Return the next notification."""
        if self.notes:
            return self.notes.popleft()
        message = await self.receive()
        assert "method" in message, message
        return message

    async def rest(self) -> tuple[list[Json], int, str]:
        """Read until the server closes; return what it said before, and the code and reason of the close."""
        messages: list[Json] = []
        frame: Close | None = None
        while frame is None:
            try:
                messages.append(await self.receive())
            except ConnectionClosed as closed:
                frame = closed.rcvd
                break
        assert frame is not None, "the connection broke"
        return messages, frame.code, frame.reason

    async def events(self, count: int) -> list[Json]:
        """Return the next so many events of all batches, whatever else is told between them."""
        found: list[Json] = []
        while len(found) < count:
            note = await self.note()
            if note["method"] == "events.batch":
                found += note["params"]["events"]
        assert len(found) == count
        return found


@asynccontextmanager
async def bare(url: str, **options: Any) -> AsyncIterator[Bare]:
    """Connect to a server."""
    options = {"subprotocols": [SUBPROTOCOL], "compression": None, "proxy": None, "max_size": 2**21} | options
    if url.startswith("unix:"):
        opening = unix_connect(url.removeprefix("unix:"), "ws://localhost/rpc", **options)
    else:
        opening = connect(url, **options)
    async with opening as socket:
        yield Bare(socket)


async def until(true: Callable[[], object], timeout_s: float = 20.0) -> None:
    """Return once `true()` is; for what happens in another part of the loop, or another process, and tells nobody."""
    async with asyncio.timeout(timeout_s):
        while not true():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.001)
