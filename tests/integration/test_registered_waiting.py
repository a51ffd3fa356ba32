"""Whoever waits for registered metrics is told, whatever becomes of the metric, of the log, or of who waits."""

from __future__ import annotations

import asyncio
import logging

import pytest

from audit import Audit, NewEvent
from audit.log.folding import Folding
from audit.metrics.query import Metric
from audit.model.errors import StoreClosed
from audit.testing import memory_audit
from tests.bare import until

COUNT = Metric(name="all", measure="count")
WITHIN_S = 60.0


async def append(log: Audit, count: int = 100) -> None:
    await log.append_many([NewEvent(topics=[("a",)], data=number) for number in range(count)])


async def test_of_a_closed_log_nobody_waits() -> None:
    async with memory_audit() as log:
        log.metrics.register(COUNT)
        await append(log)
        await log.metrics.settle()
    async with asyncio.timeout(WITHIN_S):
        with pytest.raises(StoreClosed):
            await log.metrics.settle()
        with pytest.raises(StoreClosed):
            await log.metrics.rebuild("all")


async def test_closing_tells_those_who_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    # None comes as far as somebody waits for.
    monkeypatch.setattr(Folding, "tell", lambda _: None)
    async with asyncio.timeout(WITHIN_S), memory_audit() as log:
        log.metrics.register(COUNT)
        await append(log)
        waiting = [asyncio.create_task(log.metrics.settle()), asyncio.create_task(log.metrics.rebuild("all"))]
        await asyncio.sleep(0)
        await log.close()
        for one in waiting:
            with pytest.raises(StoreClosed):
                await one


@pytest.mark.parametrize("times", [1, 20])
async def test_who_gives_up_waiting_holds_nobody_up(times: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with asyncio.timeout(WITHIN_S), memory_audit() as log:
        log.metrics.register(COUNT)
        await append(log)
        for _ in range(times):
            given_up = [asyncio.create_task(log.metrics.rebuild("all")), asyncio.create_task(log.metrics.settle())]
            patient = asyncio.create_task(log.metrics.settle())
            await asyncio.sleep(0)
            for one in given_up:
                one.cancel()
            await patient
            await asyncio.gather(*given_up, return_exceptions=True)
        assert log.metrics.list()[0].size == 100
    assert not caplog.records


async def test_a_metric_that_is_defined_anew_takes_over_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    told = Folding.tell
    first: list[Folding] = []

    def later(folding: Folding) -> None:
        """Leave those who wait for the first definition waiting."""
        first.append(folding)
        if folding is not first[0]:
            told(folding)

    monkeypatch.setattr(Folding, "tell", later)
    async with asyncio.timeout(WITHIN_S), memory_audit() as log:
        log.metrics.register(COUNT)
        await append(log)
        waiting = asyncio.create_task(log.metrics.settle())
        await until(lambda: bool(first))
        log.metrics.register(Metric(name="all", measure="sum", field="data"))
        await waiting
        assert (await log.metrics.get(metric="all")).total == sum(range(100))
