"""Many subscribers in one process: a WebSocket client of a few lines, whose cost does not hide the server's."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any, Final, cast
from urllib.parse import urlsplit

__all__ = ["UPGRADE", "Subscriber", "masked", "swarm"]

UPGRADE: Final = (
    "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Protocol: audit.v1.json\r\n\r\n"
)


def masked(text: str | bytes, opcode: int = 1) -> bytes:
    """Return a client's frame, with a mask of zeros."""
    body = text.encode() if isinstance(text, str) else text
    size = len(body)
    length = bytes((0x80 | size,)) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return bytes((0x80 | opcode,)) + length + bytes(4) + body


class Subscriber(asyncio.Protocol):
    """One connection with one subscription."""

    def __init__(self, url: str, params: dict[str, Any], told: Callable[[Subscriber, bytes, float], None]) -> None:
        parts = urlsplit(url)
        self._hello = UPGRADE.format(path=parts.path, host=parts.netloc).encode()
        self._ask = masked(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "events.subscribe", "params": params}))
        self._told = told
        self._buffer = bytearray()
        self._upgraded = False
        self.transport: asyncio.Transport
        self.lost = asyncio.get_running_loop().create_future()
        self.messages = 0
        self.cursor = ""
        self.end: dict[str, Any] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self._hello)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.lost.done():
            self.lost.set_result(error)

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        buffer = self._buffer
        buffer += data
        if not self._upgraded:
            end = buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            assert buffer.startswith(b"HTTP/1.1 101"), bytes(buffer[:100])
            del buffer[: end + 4]
            self._upgraded = True
            self.transport.write(self._ask)
        at = 0
        while len(buffer) - at >= 2:
            size, start = buffer[at + 1], at + 2
            if size >= 126:
                width = 2 if size == 126 else 8
                size = int.from_bytes(buffer[start : start + width], "big")
                start += width
            if len(buffer) < start + size:
                break
            opcode = buffer[at] & 15
            message = bytes(buffer[start : start + size])
            at = start + size
            if opcode == 9:
                self.transport.write(masked(message, 10))
            elif opcode == 1:
                self._message(message, now)
        del buffer[:at]

    def _message(self, message: bytes, now: float) -> None:
        self.messages += 1
        # Not decoded: a thousand of these share one processor with whatever is measured.
        at = message.find(b'"cursor":"')
        if at > 0:
            self.cursor = message[at + 10 : message.index(b'"', at + 10)].decode()
        if b'"method":"events.end"' in message:
            self.end = json.loads(message)["params"]
        self._told(self, message, now)


async def swarm(
    url: str, count: int, params: dict[str, Any], told: Callable[[Subscriber, bytes, float], None]
) -> list[Subscriber]:
    """Open so many subscriptions, and return once each has been answered and is caught up.

    Args:
        url: The server's.
        count: How many connections.
        params: Of `events.subscribe`.
        told: Called with each message and when it came (`time.perf_counter`).
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 0
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    caught_up = 0

    def seen(subscriber: Subscriber, message: bytes, now: float) -> None:
        nonlocal caught_up
        if b'"events.caught_up"' in message:
            caught_up += 1
            if caught_up == count:
                ready.set()
        told(subscriber, message, now)

    subscribers = []
    for _ in range(count):
        _, subscriber = await loop.create_connection(lambda: Subscriber(url, params, seen), host, port)
        subscribers.append(subscriber)
    async with asyncio.timeout(60):
        await ready.wait()
    return subscribers
