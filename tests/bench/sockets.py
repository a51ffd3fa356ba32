"""Over a socket: `audit serve` in a process of its own, its clients in this one, which decode what they are sent."""

from __future__ import annotations

import asyncio
import json
import random
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import audit.client
from audit import Batch, CaughtUp, NewEvent
from audit.client import RemoteAudit
from tests.bench.workload import DENSE, Workload
from tests.swarm import Subscriber, swarm

TOPIC = ("live",)
_SENT_AT = re.compile(rb'"sent_at":([0-9.]+)')


@contextmanager
def served(path: Path) -> Iterator[str]:
    """Serve a store, made if need be; yield the URL."""
    command = [str(Path(sys.executable).with_name("audit")), "serve", "--data", str(path), "--create"]
    with subprocess.Popen(
        [*command, "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip().replace("http://", "ws://") + "/rpc"
        finally:
            process.terminate()


async def append_each(url: str, connections: int, count: int) -> float:
    """Return events per second of connections that append one event after the other."""
    workload = Workload()
    events = iter([workload.event() for _ in range(count)])
    async with AsyncExitStack() as stack:
        logs = [await stack.enter_async_context(audit.client.connect(url)) for _ in range(connections)]

        async def append_all(log: RemoteAudit) -> None:
            for event in events:
                await log.append(event)

        return await _rate(count, [append_all(log) for log in logs])


async def append_latency(url: str, count: int) -> list[float]:
    """Return the milliseconds that each of some appends took, one after the other."""
    workload = Workload()
    taken = []
    async with audit.client.connect(url) as log:
        for _ in range(count):
            event = workload.event()
            started = time.perf_counter()
            await log.append(event)
            taken.append((time.perf_counter() - started) * 1e3)
    return taken


async def append_calls(url: str, size: int, callers: int, count: int) -> float:
    """Return events per second in calls of `size`, so many at once on one connection."""
    batches: Iterator[list[NewEvent]] = iter(Workload().batches(count, size))
    async with audit.client.connect(url) as log:

        async def append_all() -> None:
            for batch in batches:
                await log.append_many(batch)

        return await _rate(count, [append_all() for _ in range(callers)])


async def _rate(count: int, work: Sequence[Coroutine[None, None, None]]) -> float:
    started = time.perf_counter()
    await asyncio.gather(*work)
    return count / (time.perf_counter() - started)


async def random_pages(url: str, seconds: float, seed: int) -> float:
    """Return pages of 100 decoded events per second, each from a random place of the dense topic."""
    chooser = random.Random(seed)
    async with audit.client.connect(url) as log:
        info = await log.info()
        first, last = await log.get(str(info.first_id)), await log.get(str(info.last_id))
        low, high = (int(event.recorded_at.timestamp() * 1000) for event in (first, last))
        high -= (high - low) // 100
        pages = 0
        started = time.perf_counter()
        while time.perf_counter() - started < seconds:
            page = await log.list(DENSE, seek=chooser.randint(low, high))
            assert len(page.events) == 100
            pages += 1
        return pages / (time.perf_counter() - started)


async def replay(url: str) -> float:
    """Return decoded events per second of the whole dense topic, by subscription, until it has caught up."""
    events = 0
    async with audit.client.connect(url, credit=20_000) as log, log.subscribe(DENSE) as tail:
        started = time.perf_counter()
        while not isinstance(notice := await tail.read(), CaughtUp):
            assert isinstance(notice, Batch)
            events += len(notice.events)
        return events / (time.perf_counter() - started)


async def live_tail(url: str, subscribers: int, count: int) -> float:
    """Return events per second delivered to all subscribers, of events appended as fast as they are taken.

    One subscriber is our client, which decodes; many are bare sockets, so that they do not hide the server.
    """
    delivered = 0
    done = asyncio.Event()

    def told(_subscriber: Subscriber, message: bytes, _now: float) -> None:
        nonlocal delivered
        delivered += message.count(b'"index":')
        if delivered >= count * subscribers:
            done.set()

    async with audit.client.connect(url) as appender, AsyncExitStack() as stack:
        batches: Iterator[list[NewEvent]] = iter(_live_batches(count, 100))

        async def append_all() -> None:
            for batch in batches:
                await appender.append_many(batch)

        async def read_all() -> None:
            log = await stack.enter_async_context(audit.client.connect(url, credit=20_000))
            tail = await stack.enter_async_context(log.subscribe(TOPIC, seek="now"))
            ready.set()
            seen = 0
            while seen < count:
                notice = await tail.read()
                seen += len(notice.events) if isinstance(notice, Batch) else 0

        ready = asyncio.Event()
        everyone: list[Subscriber] = []
        if subscribers == 1:
            reading: asyncio.Task[object] = asyncio.create_task(read_all())
            await ready.wait()
        else:
            everyone = await swarm(url, subscribers, _now_params(), told)
            reading = asyncio.create_task(done.wait())
        rate = await _rate(count * subscribers, [append_all(), append_all(), append_all(), _wait(reading)])
        for one in everyone:
            one.transport.abort()
        return rate


async def _wait(task: asyncio.Task[object]) -> None:
    await task


async def paced(url: str, subscribers: int, stalled: int, per_second: int, seconds: float) -> dict[str, float]:
    """Return p50 and p99, in ms from append to arrival, of subscribers while some others do not read."""
    taken: list[float] = []

    def told(_subscriber: Subscriber, message: bytes, now: float) -> None:
        taken.extend(now - float(text) for text in _SENT_AT.findall(message))

    everyone = await swarm(url, subscribers, _now_params(), told)
    for one in everyone[:stalled]:
        one.transport.pause_reading()
    async with audit.client.connect(url) as log:
        started = time.perf_counter()
        for number in range(int(per_second * seconds)):
            await asyncio.sleep(max(0.0, started + number / per_second - time.perf_counter()))
            data = {"sent_at": time.perf_counter(), "filler": "x" * 200}
            await log.append(NewEvent(topics=[TOPIC], data=data))
        expected = int(per_second * seconds) * (subscribers - stalled)
        async with asyncio.timeout(60):
            while len(taken) < expected:  # noqa: ASYNC110 - arrivals are counted, not awaited
                await asyncio.sleep(0.01)
    for one in everyone:
        one.transport.abort()
    cuts = statistics.quantiles(taken, n=100)
    return {"p50": cuts[49] * 1e3, "p99": cuts[98] * 1e3}


def _now_params() -> dict[str, object]:
    return {"topic": list(TOPIC), "seek": "now", "credit": 1_000_000}


def _live_batches(count: int, size: int) -> list[list[NewEvent]]:
    event = NewEvent(
        topics=[TOPIC], action="connection.opened", outcome="success", data=json.loads('{"filler":"' + "x" * 120 + '"}')
    )
    return [[event] * size for _ in range(count // size)]
