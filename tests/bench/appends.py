"""Durable appends in-process: every event is on disk before its append returns."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path

from audit import Audit, NewEvent
from audit.storage.driver import plyvel
from tests.bench.workload import Workload


async def one_each(path: Path, tasks: int, count: int) -> float:
    """Return events per second of `tasks` tasks that append one event after the other."""
    workload = Workload()
    events = iter([workload.event() for _ in range(count)])
    async with Audit.open(path, create=True) as log:

        async def append_all() -> None:
            for event in events:
                await log.append(event)

        return await timed(count, [append_all() for _ in range(tasks)])


async def in_batches(path: Path, size: int, callers: int, count: int, *, unique: bool = False) -> float:
    """Return events per second of `callers` tasks that append batch after batch."""
    batches: Iterator[list[NewEvent]] = iter(Workload().batches(count, size, unique=unique))
    async with Audit.open(path, create=True) as log:

        async def append_all() -> None:
            for batch in batches:
                await log.append_many(batch)

        return await timed(count, [append_all() for _ in range(callers)])


async def timed(count: int, work: list[Coroutine[None, None, None]]) -> float:
    """Return how many per second some work does, all of it at once."""
    started = time.perf_counter()
    await asyncio.gather(*work)
    return count / (time.perf_counter() - started)


def bare_leveldb(path: Path, size: int, count: int) -> float:
    """Return 300-byte values per second that LevelDB alone takes in synchronous batches: the bound from the parts."""
    value = b"x" * 300
    database = plyvel.DB(str(path), create_if_missing=True, write_buffer_size=32 * 1024 * 1024)
    started = time.perf_counter()
    for first in range(0, count, size):
        with database.write_batch(sync=True) as batch:
            for number in range(first, first + size):
                batch.put(number.to_bytes(16, "big"), value)
    rate = count / (time.perf_counter() - started)
    database.close()
    return rate


def fill(path: Path, count: int) -> None:
    """Make a store of `count` events."""

    async def run() -> None:
        workload = Workload(2)
        async with Audit.open(path, create=True) as log:
            for start in range(0, count, 8_000):
                size = min(8_000, count - start)
                calls = workload.batches(size, min(1_000, size))
                await asyncio.gather(*(log.append_many(call) for call in calls))

    asyncio.run(run())
