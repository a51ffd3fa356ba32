"""Many subscribers of one metric: one computation, one frame for all; and whoever stalls costs nothing."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from audit import Audit, NewEvent
from audit.server.access import ANONYMOUS
from audit.server.connection import Connection
from audit.server.context import ServerContext
from audit.server.options import ServeOptions
from audit.testing import memory_audit
from tests.bare import until
from tests.unit.server.test_subscriptions import FakeLink

MANY = 1_000


class FrameLink(FakeLink):
    """Keeps the frames of metrics as they were handed over."""

    def __init__(self) -> None:
        super().__init__()
        self.frames: list[bytes] = []

    def write_frame(self, frame: bytes) -> None:
        self.frames.append(frame)

    def ask(self, method: str, **params: Any) -> None:
        assert self.receiver is not None
        self.receiver(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode(), True)


def told(frame: bytes) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(frame[frame.index(b'{"jsonrpc"') :])
    return message


@asynccontextmanager
async def subscribers(count: int, **query: Any) -> AsyncIterator[tuple[Audit, ServerContext, list[FrameLink]]]:
    async with memory_audit() as log:
        context = ServerContext(log._core, log, ServeOptions())
        links = [FrameLink() for _ in range(count)]
        tasks = [asyncio.create_task(Connection(one, context, ANONYMOUS).run(one.gone.wait())) for one in links]
        await until(lambda: all(one.receiver is not None for one in links))
        for one in links:
            one.ask("metrics.subscribe", **query)
        await until(lambda: all(one.frames for one in links))
        yield log, context, links
        for one in links:
            one.gone.set()
        await asyncio.gather(*tasks)
        await context.metric_feeds.close()


async def test_a_thousand_subscribers_cost_one_computation_and_one_frame() -> None:
    async with subscribers(MANY, measure="count", window="1m", every=0) as (log, context, links):
        assert len(context.metric_feeds) == 1
        assert len(log._core.live_metrics) == 1
        for number in range(3):
            await log.append(NewEvent(topics=[("a",)]))
            await until(lambda number=number: all(len(one.frames) == number + 2 for one in links))  # type: ignore[misc]
            # The very same bytes, and not equal ones, were handed to each.
            assert len({id(one.frames[-1]) for one in links}) == 1
            message = told(links[0].frames[-1])
            assert (message["method"], message["params"]["total"]) == ("metrics.update", number + 1)
        # The same question in other words is the same.
        links[0].ask("metrics.subscribe", measure="count", topics=[[], ["a"]], window="1m", every=0)
        await until(lambda: len(links[0].frames) == 5)
        assert len(context.metric_feeds) == 1


async def test_who_stalls_costs_nothing_and_then_finds_the_newest_state_in_one_frame() -> None:
    async with subscribers(20, measure="count", window="1m", group_by="data", every=0) as found:
        log, _, links = found
        for one in links[1:]:
            one.pause(True)
        await log.append(NewEvent(topics=[("a",)], data="0"))
        await until(lambda: len(links[0].frames) == 2)
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        for number in range(200):
            await log.append(NewEvent(topics=[("a",)], data=str(number % 10)))
            await until(lambda number=number: told(links[0].frames[-1])["params"]["total"] == number + 2)  # type: ignore[misc]
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        # Nothing is kept for the nineteen: their frames alone would be 19 × 200 × 400 bytes.
        assert after - before < 1_000_000
        assert all(len(one.frames) == 1 for one in links[1:])
        for one in links[1:]:
            one.pause(False)
        await until(lambda: all(len(one.frames) == 2 for one in links[1:]))
        newest = told(links[1].frames[-1])["params"]
        assert newest["total"] == 201
        assert sorted((window["group"], window["value"]) for window in newest["windows"]) == [
            ("0", 21),
            *[(str(number), 20) for number in range(1, 10)],
        ]


async def test_paces_differ_and_share_the_computation() -> None:
    async with subscribers(1, measure="count", every=0) as (log, context, links):
        links[0].ask("metrics.subscribe", measure="count", every=50)
        await until(lambda: len(links[0].frames) == 2)
        assert len(context.metric_feeds) == 2
        assert len(log._core.live_metrics) == 1
