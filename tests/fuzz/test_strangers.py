"""Whatever strangers send to a guarded server: nothing is written but that, nothing is read, no secret is logged."""

import asyncio
import contextlib
import json
import logging
import os
import random
from pathlib import Path
from typing import Any, Final

import pytest
from websockets.asyncio.client import connect as websocket
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from audit import NewEvent
from audit.log.clock import SystemClock
from audit.server.access.guard import GuardedAccess
from audit.server.access.rules import ROLES, AccessRules
from audit.server.access.tokenfile import add_token
from audit.server.access.tokens import ID_BYTES, SECRET_BYTES, new_token
from audit.testing import memory_audit

SECRET: Final = b"what-nobody-may-read"
SEED: Final = int(os.environ.get("AUDIT_FUZZ_SEED", "0"))
ROUNDS: Final = 160 * int(os.environ.get("AUDIT_FAULT_SCALE", "1"))
METHODS: Final = (b"GET", b"POST", b"HEAD", b"DELETE", b"OPTIONS", b"PUT", b"TRACE", b"\x00")
PATHS: Final = (
    *(b"/v1/events", b"/v1/events/stream", b"/v1/topics", b"/v1/backup", b"/v1/fsck", b"/v1/tickets", b"/v1/session"),
    *(b"/metrics", b"/v1/metrics", b"/rpc", b"/checkpoint", b"/tile/0/000", b"/tile/entries/000", b"/t/a/v1/events"),
    *(b"/v1/../v1/events", b"//v1/events", b"/v1/events?token=%s", b"/%2e%2e/data/tokens.json", b"/v1/events\r\nx: y"),
)
BODIES: Final = (
    b"",
    b'[{"topics":[["a"]]}]',
    b"[" * 1_000_000,
    b'{"a":' * 100_000,
    b"\xff\xfe" * 50,
    b"\x1f\x8b\x08" + b"\x00" * 100,
)


def request(draw: random.Random, secret_id: str) -> bytes:
    """Return something like a request."""
    body = draw.choice(BODIES)
    headers = [b"host: 127.0.0.1", b"content-length: %d" % draw.choice((len(body), 10**12, 0))]
    guess = draw.choice((b"audit_" + secret_id.encode() + b"_" + b"A" * 43, b"a.b.c", b"x", b"", b"\xe9" * 9_000))
    kinds = (
        b"authorization: Bearer " + guess,
        b"authorization: Basic " + guess,
        b"cookie: audit_session=" + guess,
        b"x-forwarded-for: 127.0.0.1\t, local",
        b"origin: http://127.0.0.1",
        b"content-encoding: gzip",
        b"content-type: application/json",
        b"content-type: application/x-ndjson\x0b",
        b"sec-websocket-protocol: audit.v1.json, audit.ticket." + guess,
        b"upgrade: websocket",
        b"transfer-encoding: chunked",
        b"last-event-id: " + guess,
    )
    headers.extend(draw.choices(kinds, k=draw.randint(0, 4)))
    line = draw.choice(METHODS) + b" " + draw.choice(PATHS).replace(b"%s", guess[:50]) + b" HTTP/1.1"
    made = b"\r\n".join([line, *headers, b"", b""]) + body
    if draw.random() < 0.3:
        at = draw.randrange(len(made[:2_000]))
        made = made[:at] + draw.randbytes(draw.randint(1, 8)) + made[at + draw.randint(0, 4) :]
    return made


async def send(place: tuple[str, int], sent: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*place)
    try:
        writer.write(sent)
        async with asyncio.timeout(0.2):
            return await reader.read(100_000)
    except (OSError, TimeoutError):
        return b""
    finally:
        writer.transport.abort()


async def test_strangers_write_nothing_and_read_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    draw = random.Random(SEED)
    path = tmp_path / "tokens.json"
    # Not all zeros: then the token would be one of the guesses, which are all A.
    text, token = new_token(bytes(range(ID_BYTES + SECRET_BYTES)), 0, role="admin", topics=[()], roles=ROLES)
    add_token(path, token)
    access = GuardedAccess(path, AccessRules(), SystemClock())
    caplog.set_level(logging.DEBUG)
    async with memory_audit() as log:
        await log.append(NewEvent(topics=[("a",)], data=SECRET.decode()))
        async with log.serve("127.0.0.1:0", access=access) as server:
            host, _, port = server.addresses[0].removeprefix("http://").rpartition(":")
            place = (host, int(port))
            before = _anonymous_mib()
            for _ in range(ROUNDS // 20):
                # Wrong tokens are answered late; what waits for that costs a connection each, and no more.
                answers = await asyncio.gather(*[send(place, request(draw, token.id)) for _ in range(20)])
                assert not any(SECRET in answer for answer in answers), SEED
            await _sockets(draw, server.urls[0])
            assert _anonymous_mib() - before < 100
            # Who is known is served as if nothing had been.
            assert SECRET in await _known(place, text)
        events = (await log.list(limit=1_000)).events
        assert [event.topics for event in events if event.topics[0][:2] != ("audit", "access")] == [[("a",)]]
    said = caplog.text + capfd.readouterr().err
    assert text not in said
    assert text.rpartition("_")[2] not in said
    assert SECRET.decode() not in said
    assert "Traceback" not in said


async def _sockets(draw: random.Random, url: str) -> None:
    """Try to get in as a WebSocket, and to say something before being thrown out."""
    calls = ("events.list", "events.append", "events.subscribe", "topics.list", "log.checkpoint", "events.erase")
    for number in range(20):
        with contextlib.suppress(WebSocketException, OSError, TimeoutError):
            offered = [Subprotocol("audit.v1.json"), Subprotocol(f"audit.ticket.{draw.randbytes(32).hex()}")]
            async with asyncio.timeout(1.0), websocket(url, subprotocols=offered[: 1 + number % 2]) as socket:
                params: dict[str, Any] = {"events": [{"topics": [["a"]]}]}
                call = {"jsonrpc": "2.0", "id": 1, "method": draw.choice(calls), "params": params}
                await socket.send(json.dumps(call))
                answer = await socket.recv()
                pytest.fail(f"a stranger was answered: {answer!r}")


async def _known(place: tuple[str, int], text: str) -> bytes:
    head = b"GET /v1/events?topic=a HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n"
    reader, writer = await asyncio.open_connection(*place)
    writer.write(head + b"authorization: Bearer " + text.encode() + b"\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer


def _anonymous_mib() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("RssAnon"))
