"""A metric as an Observable: whoever comes late is told what is so now, and nobody is told what was so before."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
import reactivex
from reactivex import operators as ops

from audit import InvalidParameter, NewEvent
from audit.metrics.query import MetricResult
from audit.testing import memory_audit, memory_log
from tests.bare import until

PATIENCE_S = 20.0


class Seen:
    """What an observer was told."""

    def __init__(self) -> None:
        self.totals: list[Any] = []
        self.errors: list[Exception] = []
        self.completed = 0
        self.changed = threading.Event()

    def on_next(self, result: MetricResult) -> None:
        self.totals.append(result.total)
        self.changed.set()

    def on_error(self, error: Exception) -> None:
        self.errors.append(error)
        self.changed.set()

    def on_completed(self) -> None:
        self.completed += 1
        self.changed.set()

    def watch(self, metric: reactivex.Observable[MetricResult]) -> Any:
        return metric.subscribe(self.on_next, self.on_error, self.on_completed)


def new() -> NewEvent:
    return NewEvent(topics=[("a",)])


async def test_a_late_observer_is_told_what_is_so_now_and_never_what_was() -> None:
    async with memory_audit() as log:
        metric = log.metrics.observe(measure="count", every=0)
        first = Seen()
        subscription = first.watch(metric)
        await until(lambda: first.totals == [0])
        await log.append(new())
        await until(lambda: first.totals[-1] == 1)
        # The last one leaves: with `replay` and `ref_count`, the next one would be told 1.
        subscription.dispose()
        await until(lambda: not len(log._core.live_metrics))
        await log.append(new())
        late = Seen()
        late.watch(metric)
        await until(lambda: late.totals == [2])
        await log.append(new())
        await until(lambda: late.totals == [2, 3])
        assert first.totals == [0, 1]


async def test_operators_work_on_it() -> None:
    async with memory_audit() as log:
        got: list[int] = []
        metric = log.metrics.observe({"measure": "count", "window": "1m"}, every=0)

        def windows(result: MetricResult) -> int:
            return len(result.windows)

        metric.pipe(ops.map(windows), ops.take(2)).subscribe(got.append)
        await until(lambda: got == [0])
        await log.append(new())
        await until(lambda: got == [0, 1] and not len(log._core.observers))


async def test_an_observer_that_fails_is_told_so_and_the_others_go_on() -> None:
    async with memory_audit() as log:
        metric = log.metrics.observe(measure="count", every=0)
        good = Seen()
        errors: list[Exception] = []

        def fails(result: MetricResult) -> None:
            raise ZeroDivisionError(result.total)

        metric.subscribe(fails, errors.append)
        good.watch(metric)
        await until(lambda: good.totals == [0] and errors)
        assert isinstance(errors[0], ZeroDivisionError)
        await log.append(new())
        await until(lambda: good.totals == [0, 1])
        assert not good.errors
        assert len(errors) == 1
        assert len(log._core.observers) == 1


async def test_closing_the_log_completes_all() -> None:
    log = memory_audit()
    seen = [Seen(), Seen()]
    for one in seen:
        one.watch(log.metrics.observe(measure="count"))
    await until(lambda: all(one.totals for one in seen))
    await log.close()
    assert [one.completed for one in seen] == [1, 1]


async def test_what_is_wrong_with_the_query_is_said_at_once() -> None:
    async with memory_audit() as log:
        for members in ({"measure": "avg"}, {"measure": "count", "every": -1}, {"colour": 1}):
            with pytest.raises(InvalidParameter):
                log.metrics.observe(**members)
        assert not len(log._core.live_metrics)


def test_without_an_event_loop_it_is_told_in_a_thread() -> None:
    with memory_log() as log:
        seen = Seen()
        subscription = seen.watch(log.metrics.observe(measure="count", every=0))
        for total in range(4):
            assert seen.changed.wait(PATIENCE_S)
            while seen.totals[-1] != total:
                seen.changed.clear()
                assert seen.totals[-1] == total or seen.changed.wait(PATIENCE_S)
            seen.changed.clear()
            log.append(new())
        assert seen.totals == sorted(set(seen.totals))
        subscription.dispose()
        asyncio.run(until(lambda: not len(log._core.observers)))
    assert not seen.completed
