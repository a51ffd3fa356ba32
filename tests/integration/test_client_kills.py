"""A server that is killed again and again, clients that append through it, and tails that must not notice."""

import asyncio
import os
import signal
import socket
from pathlib import Path
from typing import Final

import pytest

from audit import NewEvent, Unavailable
from audit.client import Backoff, RemoteAudit, connect
from tests.fault.report import record, scaled
from tests.integration.program import AUDIT

CLIENTS: Final = 8
SOON: Final = Backoff(first_s=0.02, most_s=0.2)


class Killed:
    """The server's process, at one address."""

    def __init__(self, path: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self.path = path
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("AUDIT_")}

    async def start(self) -> None:
        arguments = ["serve", "--data", str(self.path), "--listen", self.address, "--create"]
        quiet = asyncio.subprocess.DEVNULL
        self._process = await asyncio.create_subprocess_exec(
            *AUDIT, *arguments, stdout=quiet, stderr=quiet, env=self.env
        )

    async def end(self, by: signal.Signals) -> int:
        self._process.send_signal(by)
        return await self._process.wait()

    async def client(self) -> RemoteAudit:
        """Connect, as soon as there is a server."""
        while True:
            try:
                return await connect(f"ws://{self.address}", backoff=SOON, call_timeout_s=120.0)
            except Unavailable:
                # Paced by the server's own start, which takes longer than an attempt.
                await asyncio.sleep(0)


@pytest.mark.timeout(300 * scaled(1))
@pytest.mark.parametrize(
    ("total", "kills", "by"),
    [
        (4_000, 4, signal.SIGKILL),
        (4_000, 4, signal.SIGTERM),
        pytest.param(50_000 * scaled(1), 20 * scaled(1), signal.SIGKILL, marks=pytest.mark.slow),
    ],
)
async def test_each_acknowledged_event_is_seen_once_in_order(
    tmp_path: Path, total: int, kills: int, by: signal.Signals
) -> None:
    server = Killed(tmp_path / "store")
    await server.start()
    acknowledged: dict[int, tuple[int, int]] = {}
    seen: list[tuple[int, tuple[int, int]]] = []
    # Killed each time that the tail has come so far: in the middle of everything.
    at = {total * (n + 1) // (kills + 1): asyncio.Event() for n in range(kills)}

    async def append(client: int) -> None:
        log = await server.client()
        for first in range(0, total // CLIENTS, 5):
            numbers = range(first, first + 5)
            events = [NewEvent(topics=[("a", f"c{client}")], data=[client, n]) for n in numbers]
            receipts = await log.append_many(events)
            acknowledged.update({one.index: (client, n) for one, n in zip(receipts, numbers, strict=True)})
        await log.close()

    async def follow() -> None:
        log = await server.client()
        async with log.subscribe(("a",), limit=total) as tail:
            async for event in tail:
                seen.append((event.index, tuple(event.data)))
                if len(seen) in at:
                    at[len(seen)].set()
        await log.close()

    async def kill() -> None:
        for mark in at.values():
            await mark.wait()
            await server.end(by)
            await server.start()

    try:
        async with asyncio.timeout(240 * scaled(1)), asyncio.TaskGroup() as tasks:
            tasks.create_task(kill())
            tasks.create_task(follow())
            for client in range(CLIENTS):
                tasks.create_task(append(client))
    finally:
        await server.end(signal.SIGTERM)
    assert [index for index, _ in seen] == list(range(total))
    assert dict(seen) == acknowledged
    assert len(set(acknowledged.values())) == total
    record(
        fault="killed server" if by == signal.SIGKILL else "server told to end",
        injected=f"{by.name} under 8 clients that retry, and a tail",
        tried=kills,
        acknowledged=len(acknowledged),
        lost=len(acknowledged.keys() - dict(seen).keys()),
        repeated=len(seen) - len(dict(seen)),
        detected="receipts and the tail compared",
    )
