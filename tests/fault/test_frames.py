"""Frames that no WebSocket library sends: over a bare socket, to a server that goes on serving everybody else."""

import asyncio
import json
from typing import Final
from urllib.parse import urlsplit

import pytest

from audit.testing import memory_audit
from tests.bare import bare
from tests.swarm import UPGRADE

MASK: Final = bytes(4)
ASK: Final = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "server.info"}).encode()
MEBI: Final = 1 << 20


def frame(first: int, body: bytes, *, masked: bool = True, length: bytes | None = None) -> bytes:
    """Return a frame with this first byte; `length` in place of the right one."""
    size = length or (bytes((len(body),)) if len(body) < 126 else b"\x7e" + len(body).to_bytes(2, "big"))
    return bytes((first, size[0] | (0x80 if masked else 0))) + size[1:] + (MASK if masked else b"") + body


CASES: Final[dict[str, tuple[bytes, int]]] = {
    "not masked": (frame(0x81, ASK, masked=False), 1002),
    "a ping that is not masked": (frame(0x89, b"x", masked=False), 1002),
    "a ping of 126 bytes": (frame(0x89, b"x" * 126), 1002),
    "a close of 126 bytes": (frame(0x88, b"\x03\xe8" + b"x" * 124), 1002),
    "a ping in fragments": (frame(0x09, b"x"), 1002),
    "a reserved bit": (frame(0xC1, ASK), 1002),
    "compressed, which was not agreed on": (frame(0xC1, b"\xaa\x56\x02\x00"), 1002),
    "a reserved opcode": (frame(0x83, ASK), 1002),
    "a reserved control opcode": (frame(0x8B, b""), 1002),
    "a fragment of nothing": (frame(0x80, ASK), 1002),
    "a message within a message": (frame(0x01, ASK[:5]) + frame(0x81, ASK), 1002),
    "a length of 63 bits and more": (frame(0x81, b"", length=b"\x7f" + b"\xff" * 8), 1009),
    "a length beyond the limit": (frame(0x81, b"", length=b"\x7f" + (5 * MEBI).to_bytes(8, "big")), 1009),
    "fragments that add up beyond the limit": (
        frame(0x01, b"", length=b"\x7f" + MEBI.to_bytes(8, "big"))
        + b" " * MEBI
        + (frame(0x00, b"", length=b"\x7f" + MEBI.to_bytes(8, "big")) + b" " * MEBI) * 4,
        1009,
    ),
    "text that is no UTF-8": (frame(0x81, b"\xce\xba\xed\xa0\x80"), 1007),
    "binary": (frame(0x82, ASK), 4400),
    "a close of one byte": (frame(0x88, b"\x03"), 1002),
    "a close with a reserved code": (frame(0x88, (1005).to_bytes(2, "big")), 1002),
    "a close whose reason is no UTF-8": (frame(0x88, b"\x03\xe8\xff"), 1007),
    "a close": (frame(0x88, (1000).to_bytes(2, "big")), 1000),
}


@pytest.mark.parametrize("case", CASES)
async def test_a_frame_that_breaks_the_rules_ends_its_own_connection_only(case: str) -> None:
    sent, code = CASES[case]
    async with memory_audit() as log, log.serve("127.0.0.1:0") as server, bare(server.urls[0]) as other:
        found = await _closed_with(server.urls[0], sent)
        assert found == code
        appended = await other.call("events.append", events=[{"topics": [["a"]]}])
        assert [receipt["index"] for receipt in appended["receipts"]] == [0]


async def test_control_frames_between_fragments_are_answered_at_once() -> None:
    async with memory_audit() as log, log.serve("127.0.0.1:0") as server:
        reader, writer = await _upgraded(server.urls[0])
        writer.write(frame(0x01, ASK[:5]) + frame(0x89, b"between"))
        assert await _frame(reader) == (0x8A, b"between")
        writer.write(frame(0x00, ASK[5:9]) + frame(0x8A, b"unasked") + frame(0x80, ASK[9:]))
        first, body = await _frame(reader)
        assert (first, json.loads(body)["id"]) == (0x81, 1)
        writer.transport.abort()


async def _closed_with(url: str, sent: bytes) -> int | None:
    """Send bytes after the handshake; return the code of the close frame that comes, whatever comes before."""
    reader, writer = await _upgraded(url)
    writer.write(sent)
    async with asyncio.timeout(10):
        while True:
            first, body = await _frame(reader)
            if first == 0x88:
                writer.transport.abort()
                return int.from_bytes(body[:2], "big") if body else None


async def _upgraded(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(UPGRADE.format(path=parts.path, host=parts.netloc).encode())
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
    return reader, writer


async def _frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    first, size = await reader.readexactly(2)
    if size >= 126:
        size = int.from_bytes(await reader.readexactly(2 if size == 126 else 8), "big")
    return first, await reader.readexactly(size)
