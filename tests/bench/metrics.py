"""Metrics: a count over years of events, and what registered metrics cost the append path."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from audit import Audit, SyncAudit
from audit.metrics.query import Metric
from audit.model.query import Filter
from audit.testing.clock import FakeClock
from tests.bench import appends
from tests.bench.workload import DENSE, Workload

SPAN_MS = 30 * 24 * 3_600_000
REGISTERED = [
    Metric(name="all", measure="count"),
    Metric(name="forward", measure="rate", topic=DENSE),
    Metric(name="opened", measure="count", filter=Filter(action="connection.opened")),
    Metric(name="bytes", measure="sum", field="data.bytes"),
    Metric(name="duration", measure="avg", field="data.duration_ms"),
    Metric(name="longest", measure="max", field="data.duration_ms"),
    Metric(name="durations", measure="quantiles", field="data.duration_ms"),
    Metric(name="actors", measure="distinct", field="actor.id"),
    Metric(name="by-action", measure="count", group_by="action"),
    Metric(name="open", measure="active", open="connection.opened", close="connection.closed"),
]
"""Ten, of most kinds; all but two look at every event."""


def fill(path: Path, count: int) -> None:
    """Make a store of `count` events, spread evenly over 30 days."""
    clock = FakeClock()
    batch = min(1_000, count)
    with Audit.open_sync(path, create=True, clock=clock) as log:
        for events in Workload(3).batches(count, batch):
            # Many small steps, so that a segment spans some time, as it does in a log of this rate.
            for start in range(0, batch, 100):
                log.append_many(events[start : start + 100])
                clock.advance(SPAN_MS * 100 // count)


def count_by_hour(log: SyncAudit, runs: int = 20) -> float:
    """Return milliseconds of a count of everything by hour; the median of some runs."""
    taken = []
    for _ in range(runs):
        started = time.perf_counter()
        result = log.metrics.get(measure="count", window="1h")
        taken.append((time.perf_counter() - started) * 1e3)
        assert result.total == log.info().size
        assert len(result.windows) >= SPAN_MS // 3_600_000
    return sorted(taken)[len(taken) // 2]


def opened(path: Path, count: int) -> SyncAudit:
    """Open a store that `fill` made, at the time at which it ended."""
    clock = FakeClock()
    clock.advance(SPAN_MS * 100 // count * (count // 100))
    return Audit.open_sync(path, clock=clock)


async def append_in_batches(path: Path, metrics: int, count: int, size: int = 100, callers: int = 8) -> float:
    """Return events per second of some callers that append batch after batch, with so many registered metrics."""
    batches = iter(Workload().batches(count, size))
    async with Audit.open(path, create=True) as log:
        for metric in REGISTERED[:metrics]:
            log.metrics.register(metric)

        async def append_all() -> None:
            for batch in batches:
                await log.append_many(batch)

        return await appends.timed(count, [append_all() for _ in range(callers)])


def append_rate(path: Path, metrics: int, count: int) -> float:
    """Return what `append_in_batches` does."""
    return asyncio.run(append_in_batches(path, metrics, count))
