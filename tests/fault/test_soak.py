"""A server among rude peers: a thousand subscribers, of which the well-behaved ones get every event, once.

Beside them, all the time: subscribers that stop reading, or vanish; floods of connections; handshakes that come a byte
at a time; frames that never end; garbage. The server's memory stays flat, its files are given back, its log is intact.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import resource
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

from audit import StoreOptions
from tests.bare import Bare, bare, until
from tests.fault.report import record, scaled, seeded
from tests.integration.program import Program
from tests.swarm import UPGRADE, Subscriber, swarm

SECONDS: Final = scaled(60)
WELL_BEHAVED: Final = 900
STALLED: Final = 50
VANISHING: Final = 50
FLOOD: Final = 200
LORISES: Final = 25
LIVE: Final = 10
"""Events of one call that everybody is sent."""
BULK_BYTES: Final = 40_000
"""Size of an event that only those are sent who do not read."""
PACE_S: Final = 0.25
WRITE_BUFFER: Final = StoreOptions().write_buffer_bytes
FILLING: Final = 2 * WRITE_BUFFER
"""Bytes appended before, after which what the server keeps of the newest events is full, as LevelDB's buffers were."""
MOST_GROWTH_KIB: Final = 8 * 1024
FILES: Final = 4_096


@pytest.fixture(autouse=True)
def _files() -> Iterator[None]:
    """Let this process, and the server that it starts, have a socket for each peer."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before[1] != resource.RLIM_INFINITY and before[1] < FILES:
        pytest.skip(f"needs {FILES} open files, the hard limit is {before[1]}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


class Strictly:
    """What the well-behaved were told: each event's number is the one after the last."""

    def __init__(self) -> None:
        self.told: dict[Subscriber, int] = {}
        self.wrong: list[str] = []

    def __call__(self, subscriber: Subscriber, message: bytes, _now: float) -> None:
        numbers = _numbers(message)
        if numbers:
            last = self.told.get(subscriber, 0)
            if list(numbers) != list(range(last + 1, last + 1 + len(numbers))):
                self.wrong.append(f"after {last} came {numbers}")
            self.told[subscriber] = numbers[-1]


@lru_cache(maxsize=64)
def _numbers(message: bytes) -> tuple[int, ...]:
    """Return the numbers of a message's events; the same message goes to all who asked the same."""
    return tuple(int(one) for one in re.findall(rb'"action":"live\.(\d+)"', message))


class Rudeness:
    """Those who mean no good, and what they did; each goes on until the time is over."""

    def __init__(self, url: str, seed: int) -> None:
        self.url = url
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 0
        self._hello = UPGRADE.format(path=parts.path, host=parts.netloc).encode()
        self._random = random.Random(seed)
        self._over = False
        self._kept: list[asyncio.StreamWriter] = []
        self._opened: list[asyncio.StreamWriter] = []
        self.done: dict[str, int] = dict.fromkeys(("vanished", "flooded", "garbage", "lorises", "half frames"), 0)

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        ways: list[Callable[[], Awaitable[None]]] = [
            self._vanish,
            self._flood,
            self._talk_garbage,
            self._crawl,
            self._stop_amid_a_frame,
        ]
        async with asyncio.TaskGroup() as group:
            for way in ways:
                group.create_task(self._again(way))
            try:
                yield
            finally:
                self._over = True

    async def _again(self, way: Callable[[], Awaitable[None]]) -> None:
        while not self._over:
            # The server may hang up on them at any time.
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await way()
            await asyncio.sleep(PACE_S)

    async def _vanish(self) -> None:
        """Subscribe to everything, and be gone in the middle of it."""
        params = {"topic": ["a"], "seek": "now", "credit": 1_000_000}
        gone = await swarm(self.url, VANISHING, params, lambda *_: None)
        for one in gone:
            one.transport.abort()
        self.done["vanished"] += len(gone)

    async def _flood(self) -> None:
        """Connect many times at once, say nothing or half a line, and hang up."""
        opened = await asyncio.gather(*[self._connect() for _ in range(FLOOD)])
        for _, writer in opened:
            if self._random.random() < 0.5:
                writer.write(self._hello[: self._random.randrange(1, len(self._hello))])
        for _, writer in opened:
            writer.transport.abort()
        self.done["flooded"] += len(opened)

    async def _talk_garbage(self) -> None:
        """Send what is no HTTP, and after a handshake what is no frame."""
        for upgraded in (False, True):
            reader, writer = await self._connect()
            if upgraded:
                await self._upgrade(reader, writer)
            writer.write(self._random.randbytes(self._random.choice((1, 50, 5_000))))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PACE_S):
                    await reader.read()
            writer.transport.abort()
            self.done["garbage"] += 1

    async def _crawl(self) -> None:
        """Send handshakes a byte at a time."""
        crawling = [await self._connect() for _ in range(LORISES)]
        self.done["lorises"] += len(crawling)
        for byte in self._hello[:-1]:
            if self._over:
                break
            for _, writer in crawling:
                writer.write(bytes((byte,)))
            await asyncio.sleep(PACE_S)
        for _, writer in crawling:
            writer.transport.abort()

    async def _stop_amid_a_frame(self) -> None:
        """Begin a frame of a megabyte, or a message of many fragments, and never end it."""
        reader, writer = await self._connect()
        await self._upgrade(reader, writer)
        if self._random.random() < 0.5:
            writer.write(b"\x81\xff" + (1 << 20).to_bytes(8, "big") + bytes(4) + b" " * 1_000)
        else:
            # A first fragment, and some to go on with, without an end.
            writer.write(b"\x01\x81" + bytes(4) + b" " + (b"\x00\x81" + bytes(4) + b" ") * 1_000)
        self.done["half frames"] += 1
        self._kept.append(writer)
        if len(self._kept) > LORISES:
            self._kept.pop(0).transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        # Whichever way a peer fails, its socket is not left to the garbage collector.
        self._opened = [one for one in self._opened if not one.transport.is_closing()]
        self._opened.append(writer)
        return reader, writer

    async def _upgrade(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self._hello)
        await reader.readuntil(b"\r\n\r\n")

    def leave(self) -> None:
        for writer in self._opened:
            writer.transport.abort()


class Appends:
    """Appends at a steady pace, numbered, and remembers what was acknowledged."""

    def __init__(self, connection: Bare) -> None:
        self._connection = connection
        self.live = 0
        self.all = 0

    async def fill(self) -> None:
        """Append what nobody is sent, until what the server keeps of it has its full size."""
        calls, events = FILLING // (50 * BULK_BYTES), [{"topics": [["filling"]], "data": "x" * BULK_BYTES}] * 50
        for _ in range(calls):
            self.all += len((await self._connection.call("events.append", events=events))["receipts"])

    async def once(self) -> None:
        numbers = range(self.live + 1, self.live + 1 + LIVE)
        events: list[dict[str, Any]] = [{"topics": [["a", "live"]], "action": f"live.{one}"} for one in numbers]
        events.append({"topics": [["a", "bulk"]], "data": "x" * BULK_BYTES})
        receipts = await self._connection.call("events.append", events=events)
        self.live += LIVE
        self.all += len(receipts["receipts"])


def rss_anon_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))


def files(pid: int) -> int:
    """Return how many files and sockets a process has open; LevelDB's tables not counted, which come and go."""
    count = 0
    for one in Path(f"/proc/{pid}/fd").iterdir():
        # One may be closed under the look.
        with contextlib.suppress(FileNotFoundError):
            count += one.readlink().suffix != ".ldb"
    return count


@pytest.mark.slow
@pytest.mark.timeout(240 + 2 * SECONDS)
async def test_rude_peers_cost_the_others_nothing_and_the_server_no_memory(tmp_path: Path) -> None:
    seed = seeded(8)
    program = Program(tmp_path / "store")
    server = program.start("serve", "--create", "--listen", "127.0.0.1:0", "--log-level", "error")
    try:
        assert server.stdout is not None
        url = (await asyncio.to_thread(server.stdout.readline)).decode().strip().replace("http", "ws") + "/rpc"
        async with bare(url) as connection:
            appends = Appends(connection)
            await appends.fill()
            await appends.once()
            files_before = files(server.pid)
            strictly = Strictly()
            stalled: list[Subscriber] = []
            for number in range(STALLED):
                # Each asks for something else: what is sent to those who ask the same is in memory only once.
                asked = {"topics": [["a"], ["stalled", str(number)]], "credit": 1_000_000}
                stalled += await swarm(url, 1, asked, lambda *_: None)
            for one in stalled:
                # What the kernel would keep for them is not the server's to pay.
                one.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
                one.transport.pause_reading()
            live = {"topic": ["a", "live"], "credit": 1_000_000}
            reading = await swarm(url, WELL_BEHAVED, live, strictly)
            rude = Rudeness(url, seed)
            sampled: list[int] = []
            async with rude.going_on():
                began = time.monotonic()
                while (passed := time.monotonic() - began) < SECONDS:
                    await appends.once()
                    sampled.append(rss_anon_kib(server.pid))
                    await asyncio.sleep(max(0.0, PACE_S - (time.monotonic() - began - passed)))
            assert sum(one.lost.done() for one in reading) == 0
            await until(lambda: all(strictly.told.get(one) == appends.live for one in reading), timeout_s=60)
            assert strictly.wrong == []

            # Flat, but for LevelDB's write buffer, which takes what is appended until it is written to a table.
            third = len(sampled) // 3
            at_first, at_last = max(sampled[:third]), max(sampled[-third:])
            buffered = min(2 * third * BULK_BYTES, WRITE_BUFFER) // 1024
            assert at_last - at_first - buffered < MOST_GROWTH_KIB, sampled
            rude.leave()
            for one in (*stalled, *reading):
                one.transport.abort()
            await until(lambda: files(server.pid) <= files_before, timeout_s=60)
    finally:
        server.terminate()
        errors = (await asyncio.to_thread(server.communicate, timeout=60))[1].decode()
    assert server.returncode == 0
    assert "Traceback" not in errors, errors[-3_000:]
    program("fsck")
    stored = program.stored()
    assert len(stored) == appends.all
    numbers = [int(one["action"].removeprefix("live.")) for one in stored if "action" in one]
    assert numbers == list(range(1, appends.live + 1))
    record(
        fault="peers that stall, vanish, flood, crawl, never end a frame, or send garbage",
        injected=f"{SECONDS} s among {WELL_BEHAVED + STALLED} subscribers: {json.dumps(rude.done)}; "
        f"memory {at_first} KiB in the first third, {at_last} KiB in the last, {buffered} KiB of it in a write buffer",
        tried=sum(rude.done.values()) + STALLED,
        acknowledged=appends.all,
        lost=0,
        repeated=0,
        detected=f"each of {WELL_BEHAVED} subscribers counts; memory and open files of the server; fsck; the log read",
    )
