"""Whoever waits for registered metrics is told, whatever becomes of the metric, of the log, or of who waits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

import pytest

from audit import Audit, NewEvent, NotFound
from audit.app.fsck import check_store
from audit.codec.segments import Layout
from audit.log.folding import Folding
from audit.metrics.query import Metric, MetricUpdate
from audit.model.errors import StoreClosed, Unavailable
from audit.storage.memory import Disk
from audit.storage.port import MetricWrite
from audit.testing import memory_audit
from audit.testing.logs import STORE_ID
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


async def test_what_is_registered_no_more_is_gone_and_may_be_registered_again() -> None:
    disk = Disk(STORE_ID, Layout(segment_events=16, chunk_blocks=2, block_events=4))
    async with asyncio.timeout(WITHIN_S), memory_audit(disk) as log:
        log.metrics.register(COUNT)
        await append(log)
        await log.metrics.settle()
        live = log.metrics.subscribe(metric="all", every=0)
        assert (await live.snapshot()).total == 100
        waiting = asyncio.create_task(log.metrics.settle())
        await log.metrics.unregister("all")
        assert disk.metrics == {}
        assert log.metrics.list() == []
        await asyncio.gather(waiting, return_exceptions=True)
        for asked in (log.metrics.get(metric="all"), log.metrics.unregister("all"), log.metrics.rebuild("all")):
            with pytest.raises(NotFound):
                await asked
        await append(log)
        change = await live.changes()
        assert isinstance(change, MetricUpdate)
        assert change.total == 200
        live.close()
        # At once, while the store may still have the one before.
        log.metrics.register(COUNT)
        gone = asyncio.create_task(log.metrics.unregister("all"))
        await asyncio.sleep(0)
        log.metrics.register(Metric(name="all", measure="sum", field="data"))
        await gone
        await log.metrics.settle()
        assert (await log.metrics.get(metric="all")).total == 2 * sum(range(100))
        assert list(disk.metrics) == ["all"]


async def test_who_unregisters_waits_for_a_disk_that_fails(tmp_path: Path) -> None:
    async with asyncio.timeout(WITHIN_S), Audit.open(tmp_path, create=True) as log:
        log.metrics.register(COUNT)
        await append(log)
        await log.metrics.settle()
        sequencer = log._core.sequencer
        kept, failures = sequencer.keep, iter([Unavailable("no disk"), Unavailable("still none")])

        def keep(writes: Sequence[MetricWrite]) -> Future[None]:
            failure = next(failures, None)
            if failure is not None:
                raise failure
            return kept(writes)

        sequencer.keep = keep  # type: ignore[method-assign]
        await log.metrics.unregister("all")
    with Audit.open_sync(tmp_path) as again:
        assert again.metrics.list() == []
    assert not check_store(tmp_path).findings
