"""The work of each row. Each function runs on its own loop and returns figures by unit, of one side and one run."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import statistics
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import msgspec

from audit import NewEvent
from tests.bench.peers.sides import LIVE, PAGE, Link, Side
from tests.bench.workload import Workload

__all__ = [
    "append_calls",
    "append_connections",
    "append_one",
    "fill",
    "first_answers",
    "forget",
    "live",
    "paced",
    "pages",
    "places",
    "replay",
]

Figures = dict[str, float]

_PEER: Final = (
    "10.0.0.17 and a name of the sort that such addresses have, with the port and the zone it is in: 51820, eu-1"
)
_ARRIVE_S: Final = 120.0
_FEWEST_PAGES: Final = 10


def made(count: int, seed: int = 1) -> list[NewEvent]:
    """Return events of 300-370 bytes as encoded by who appends them; our log's own fields come on top."""
    workload = Workload(seed)
    events = []
    for _ in range(count):
        event = workload.event()
        events.append(msgspec.structs.replace(event, data={**event.data, "peer": _PEER}))
    return events


def _live_event() -> NewEvent:
    data = {"sent_at": time.perf_counter(), "filler": "x" * 220}
    return NewEvent(topics=[LIVE], action="connection.opened", outcome="success", data=data)


@asynccontextmanager
async def _linked(side: Side) -> Any:
    link = await side.connect()
    try:
        yield link
    finally:
        await link.close()


async def fill(side: Side, count: int) -> None:
    """Append so many events, the same to each side, in calls of 1,000."""
    async with _linked(side) as link:
        workload = made(min(count, 100_000), seed=2)
        for start in range(0, count, 1_000):
            at = start % len(workload)
            await link.append_many(workload[at : at + min(1_000, count - start)])


async def places(side: Side) -> None:
    """Find out where pages may start, but for the last twentieth, so that each can be filled."""
    async with _linked(side) as link:
        found = await link.places()
    side.known_places = found[: max(1, len(found) * 95 // 100)]


async def first_answers(side: Side) -> dict[str, list[int]]:
    """Return which events a side's first pages and replay have: those of all sides, or the work is not the same."""
    async with _linked(side) as link:
        first = side.known_places[0]
        answers = {}
        if "page" in side.offers:
            answers["page"] = [event.data["bytes"] for event in await link.page(first)]
        if "facets" in side.offers:
            answers["facets"] = [event.data["bytes"] for event in await link.page_by_facets(first)]
        if "replay" in side.offers:
            answers["replay"] = [await link.replay()]
        return answers


async def append_one(side: Side, count: int) -> Figures:
    """One connection, one event after the other."""
    events = made(count)
    taken = []
    async with _linked(side) as link:
        await link.append(events[0])
        gc.collect()
        began = time.perf_counter()
        for event in events:
            started = time.perf_counter()
            await link.append(event)
            taken.append(time.perf_counter() - started)
        rate = count / (time.perf_counter() - began)
    cuts = statistics.quantiles(taken, n=100)
    return {"events/s": rate, "p50 µs": cuts[49] * 1e6, "p99 µs": cuts[98] * 1e6}


async def append_connections(side: Side, count: int, connections: int) -> Figures:
    """Connections that append one event after the other."""
    events = iter(made(count))
    async with AsyncExitStack() as stack:
        links = [await stack.enter_async_context(_linked(side)) for _ in range(connections)]

        async def append_all(link: Link) -> None:
            for event in events:
                await link.append(event)

        gc.collect()
        started = time.perf_counter()
        await asyncio.gather(*(append_all(link) for link in links))
        return {"events/s": count / (time.perf_counter() - started)}


async def append_calls(side: Side, count: int, size: int) -> Figures:
    """One connection, one call of so many after the other."""
    events = made(count)
    async with _linked(side) as link:
        gc.collect()
        started = time.perf_counter()
        for at in range(0, count, size):
            await link.append_many(events[at : at + size])
        return {"events/s": count / (time.perf_counter() - started)}


async def pages(side: Side, seconds: float, seed: int, *, facets: bool = False, most: int = 1_000_000) -> Figures:
    """Pages of 100 decoded events, each from another random place."""
    chooser = random.Random(seed)
    taken: list[float] = []
    known = side.known_places
    # Two facets match 1 in 1,250: pages of them are full only in logs ten times as large, and start in the first half.
    known = known[: max(1, len(known) // 2)] if facets else known
    async with _linked(side) as link:
        ask = link.page_by_facets if facets else link.page
        began = time.perf_counter()
        # However slow: a run without a quantile would end all of it.
        while len(taken) < _FEWEST_PAGES or (time.perf_counter() - began < seconds and len(taken) < most):
            started = time.perf_counter()
            page = await ask(chooser.choice(known))
            taken.append(time.perf_counter() - started)
            assert 0 < len(page) <= PAGE
            assert facets or len(page) == PAGE, len(page)
        rate = len(taken) / (time.perf_counter() - began)
    cuts = statistics.quantiles(taken, n=100)
    return {"pages/s": rate, "p50 µs": cuts[49] * 1e6, "p99 µs": cuts[98] * 1e6}


async def replay(side: Side) -> Figures:
    """The whole topic, decoded."""
    async with _linked(side) as link:
        gc.collect()
        started = time.perf_counter()
        count = await link.replay()
        assert count > 0
        return {"events/s": count / (time.perf_counter() - started)}


class _Watch:
    """Subscribers, each on a connection of its own, and what they were told."""

    def __init__(self) -> None:
        self.delivered = 0
        self.expected = 0
        self.all_came = asyncio.Event()
        self.latencies: list[float] = []
        self.keep = False

    def told(self, events: Sequence[Any]) -> None:
        if self.keep:
            now = time.perf_counter()
            self.latencies += [now - event.data["sent_at"] for event in events]
        self.delivered += len(events)
        if self.delivered >= self.expected:
            self.all_came.set()

    async def come(self, count: int) -> None:
        self.expected = count
        if self.delivered < count:
            self.all_came.clear()
            async with asyncio.timeout(_ARRIVE_S):
                await self.all_came.wait()


@asynccontextmanager
async def _watched(side: Side, subscribers: int) -> Any:
    watch = _Watch()
    watch.expected = subscribers
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        appender = await stack.enter_async_context(_linked(side))
        tasks = []
        for _ in range(subscribers):
            link = await stack.enter_async_context(_linked(side))
            ready = asyncio.Event()
            tasks.append(group.create_task(link.tail(ready, watch.told)))
            await ready.wait()
        # The first event reaches everyone before anything is measured.
        await appender.append_live([_live_event()])
        await watch.come(subscribers)
        try:
            yield appender, watch
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def live(side: Side, subscribers: int, count: int) -> Figures:
    """Deliveries per second to all subscribers of events that one connection appends, 100 a call, without a pause."""
    async with _watched(side, subscribers) as (appender, watch):
        call = [_live_event()] * 100
        gc.collect()
        started = time.perf_counter()
        for _ in range(count // 100):
            await appender.append_live(call)
        await watch.come(subscribers * (1 + count // 100 * 100))
        return {"deliveries/s": subscribers * (count // 100 * 100) / (time.perf_counter() - started)}


async def paced(side: Side, subscribers: int, per_second: int, seconds: float) -> Figures:
    """From before an append to the decoded event at a subscriber."""
    async with _watched(side, subscribers) as (appender, watch):
        watch.keep = True
        count = int(per_second * seconds)
        started = time.perf_counter()
        for number in range(count):
            await asyncio.sleep(max(0.0, started + number / per_second - time.perf_counter()))
            await appender.append_live([_live_event()])
        await watch.come(subscribers * (1 + count))
        cuts = statistics.quantiles(watch.latencies, n=100)
        return {"p50 µs": cuts[49] * 1e6, "p99 µs": cuts[98] * 1e6}


def forget(side: Side) -> None:
    """Have the system drop what it keeps of a stopped side's files: the next read comes from the disk."""
    for path in side.directory.rglob("*"):
        if path.is_file():
            file = os.open(path, os.O_RDONLY)
            try:
                os.fsync(file)
                os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(file)
