"""Metrics that are kept up with: in an event loop and in threads, by one and by a thousand; and what the edges say."""

from __future__ import annotations

import asyncio
import json
import threading
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from audit import CursorInvalid, End, InvalidParameter, NewEvent, StoreClosed, TooLarge
from audit.log import measuring
from audit.metrics import answer
from audit.metrics.changes import folded
from audit.metrics.query import Metric, MetricResult, MetricUpdate
from audit.storage.memory import Disk, MemoryStorage
from audit.testing.clock import START_MS, FakeClock
from audit.testing.faults import Faults
from audit.testing.logs import STORE_ID, log_on, memory_audit, memory_log


def event(number: int = 0, topic: str = "a") -> NewEvent:
    return NewEvent(topics=[(topic,)], action="act", data=number)


async def test_a_commit_is_told_and_what_does_not_matter_is_not() -> None:
    async with memory_audit() as log, log.metrics.subscribe(measure="count", topic=("a",), every=0) as live:
        first = await live.snapshot()
        assert (first.total, live.latest, live.cursor) == (0, first, first.as_of.cursor)
        waiting = asyncio.ensure_future(live.changes())
        await log.append(event(topic="b"))
        await log.append(event())
        change = await waiting
        assert isinstance(change, MetricUpdate)
        assert change.total == 1
        assert await live.changes(timeout_s=0) is None
        assert live.latest is not None
        assert live.latest.total == 1


async def test_cancelling_a_wait_loses_nothing_and_leaves_nobody_asleep() -> None:
    async with memory_audit() as log, log.metrics.subscribe(measure="count", every=0) as live:
        await live.snapshot()
        for number in range(20):
            waiting = asyncio.ensure_future(live.changes())
            await asyncio.sleep(0)
            if number == 10:
                await log.append(event())
            waiting.cancel()
            await asyncio.wait((waiting,))
        assert len(log.sync._core.wakeups) == 0
        change = await live.changes() if live.latest is None or not live.latest.total else live.latest
        assert change is not None
        assert not isinstance(change, End)
        assert change.total == 1


async def test_it_ends_when_it_is_closed_and_when_the_log_is() -> None:
    log = memory_audit()
    one = log.metrics.subscribe(measure="count", every=0)
    other = log.metrics.subscribe(measure="count", every=60_000)
    late = log.metrics.subscribe(measure="count")
    await one.snapshot()
    await other.snapshot()
    waits = [asyncio.ensure_future(live.changes()) for live in (one, other)]
    await asyncio.sleep(0)
    one.close()
    assert await waits[0] == End(one.cursor or "", "cancelled")
    await log.close()
    assert await waits[1] == End(other.cursor or "", "shutdown")
    assert await late.changes() == End("", "shutdown")
    with pytest.raises(StoreClosed):
        await late.snapshot()
    with pytest.raises(StoreClosed):
        log.metrics.subscribe(measure="count")


async def test_a_thousand_followers_of_one_metric_share_one_computation() -> None:
    async with memory_audit() as log:
        followers = [log.metrics.subscribe(measure="count", window="1h", every=0) for _ in range(1_000)]
        assert len(log.sync._core.live_metrics) == 1
        for turn in range(3):
            results = await asyncio.gather(*[live.snapshot() for live in followers])
            # Not equal alone: they are one and the same.
            assert len({id(result) for result in results}) <= 3
            waits = [asyncio.ensure_future(live.changes()) for live in followers]
            await asyncio.sleep(0)
            await log.append(event())
            changes = await asyncio.gather(*waits)
            assert {change.total for change in changes if isinstance(change, MetricUpdate)} == {turn + 1}
        assert len({id(live.latest) for live in followers}) <= 20
        followers.clear()
        other = log.metrics.subscribe(measure="count", topic=("b",))
        assert len(log.sync._core.live_metrics) == 1
        other.close()


def test_a_thread_is_told_as_well_and_can_be_ended_from_another() -> None:
    with memory_log() as log:
        live = log.metrics.subscribe(measure="sum", field="data", every=0)
        assert live.snapshot().total == 0
        told: list[Any] = []

        def follow() -> None:
            while not isinstance(change := live.changes(), End):
                told.append(change)
                reached.set()
            told.append(change)

        reached = threading.Event()
        thread = threading.Thread(target=follow)
        thread.start()
        log.append(event(5))
        assert reached.wait(30)
        live.close()
        thread.join(30)
        assert told[-1].reason == "cancelled"
        assert told[-2].total == 5


def test_a_cursor_goes_with_its_query_and_its_log() -> None:
    clock = FakeClock()
    with memory_log(clock=clock) as log:
        log.append(event())
        cursor = log.metrics.get(measure="count", window="1h").as_of.cursor
        log.append(event())
        update = log.metrics.subscribe(measure="count", window="1h", cursor=cursor).changes()
        assert isinstance(update, MetricUpdate)
        assert [window.value for window in update.windows] == [2]
        with pytest.raises(CursorInvalid, match="another store, query or order"):
            log.metrics.subscribe(measure="count", window="1m", cursor=cursor)
        with pytest.raises(CursorInvalid, match="another store, query or order"):
            log.list(cursor=cursor)
        with pytest.raises(InvalidParameter, match="every: must be 0-86400000"):
            log.metrics.subscribe(measure="count", every=-1)
    with memory_log(clock=clock, seed=4) as log, pytest.raises(CursorInvalid, match="points at index 0"):
        log.metrics.subscribe(measure="count", window="1h", cursor=cursor).snapshot()


@pytest.mark.parametrize("members", [{"measure": "rate"}, {"measure": "active", "open": "act", "close": "b"}])
def test_of_many_windows_only_those_that_may_have_changed_are_made_again(members: dict[str, Any]) -> None:
    clock = FakeClock()
    with memory_log(clock=clock) as log:
        for number in range(300):
            log.append(event(number))
            clock.advance(12_000)
        live = log.metrics.subscribe(**members, last="1h", window="1s", every=0)
        first = live.snapshot()
        assert len(first.windows) == 3_600
        log.append(event())
        update = live.changes(timeout_s=0)
        assert isinstance(update, MetricUpdate)
        after = live._follower.state.answer().result
        assert alike(after, log.metrics.get(**members, last="1h", window="1s"))
        assert len({id(one) for one in after.windows} - {id(one) for one in first.windows}) <= 3


def alike(one: MetricResult, other: MetricResult) -> bool:
    return one.windows == other.windows and one.total == other.total


def test_updates_carry_the_windows_that_changed_and_no_other() -> None:
    clock = FakeClock()
    with memory_log(clock=clock) as log:
        log.append(event())
        clock.advance(3_600_000)
        log.append(event())
        live = log.metrics.subscribe(measure="count", window="1h", seek=START_MS, every=0)
        state = live.snapshot()
        assert [(window.value, window.final) for window in state.windows] == [(1, True), (1, False)]
        clock.advance(60_000)
        log.append(event())
        change = live.changes()
        assert isinstance(change, MetricUpdate)
        assert [window.value for window in change.windows] == [2]
        # Time alone ends a window, and begins the next.
        clock.advance(3_600_000)
        change = live.changes(timeout_s=0)
        assert isinstance(change, MetricUpdate)
        assert [(window.value, window.final) for window in change.windows] == [(2, True), (0, False)]
        assert live.changes(timeout_s=0) is None


def test_the_edges_have_values_and_never_nan_or_infinity() -> None:
    clock = FakeClock()
    with memory_log(clock=clock) as log:
        fields = {"sum": "data", "avg": "data", "min": "data", "max": "data", "quantiles": "data", "distinct": "data"}
        actions = {"active": {"open": "act", "close": "x"}, "uptime": {"up": "act", "down": "x"}}
        spans: list[dict[str, Any]] = [
            {},
            {"seek": START_MS, "seek_end": START_MS + 1},
            {"seek": START_MS, "seek_end": START_MS},
            {"seek": START_MS + 5, "seek_end": START_MS},
            {"seek": START_MS + 10_000_000},
            {"seek": START_MS + 10_000_000, "seek_end": START_MS + 20_000_000},
            {"last": "1ms"},
        ]
        for events in (0, 1, 100):
            if events:
                log.append_many([event(number) for number in range(events)])
            for span in spans:
                for window in ({}, {"window": "1h"}, {"window": "1ms", "last": "5ms"}):
                    if "last" in window and span:
                        continue
                    for measure in ("count", "rate", *fields, *actions):
                        field = {"field": fields[measure]} if measure in fields else {}
                        members = {**span, **window, **field, **actions.get(measure, {})}
                        result = log.metrics.get(measure=measure, **members)
                        # msgspec writes NaN and Infinity as null: Python's own encoder tells.
                        json.dumps(msgspec.to_builtins(result), allow_nan=False)
                        if measure in ("count", "sum") and not result.windows:
                            assert result.total == 0
        # All in one millisecond, over that millisecond: so many in a thousandth of a second.
        rate = log.metrics.get(measure="rate", seek=START_MS, seek_end=START_MS + 1)
        assert rate.total == 101_000
        # The divisor is what was asked for, not what the events span.
        clock.advance(60_000)
        assert log.metrics.get(measure="rate", seek=START_MS, seek_end=START_MS + 60_000).total == 101 / 60
        assert log.metrics.get(measure="rate", per="minute", seek=START_MS).total == 101
        ahead = log.metrics.get(measure="rate", seek=START_MS + 10_000_000, seek_end=START_MS + 20_000_000)
        assert (ahead.total, ahead.windows[0].count, ahead.windows[0].final) == (None, 0, False)


def test_a_horizon_forgets_the_groups_that_have_left_it() -> None:
    clock = FakeClock()
    with memory_log(clock=clock) as log:
        live = log.metrics.subscribe(measure="sum", field="data", group_by="data", last="1m", every=0)
        live.snapshot()
        for start in range(0, 2_000, 400):
            log.append_many([event(number) for number in range(start, start + 400)])
            change = live.changes(timeout_s=0)
            assert isinstance(change, MetricUpdate)
            assert [window.value for window in change.windows] == list(range(start, start + 400))
            assert change.total == sum(range(start, start + 400))
            clock.advance(60_000)


def test_bounds_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with memory_log() as log:
        log.append_many([event(number) for number in range(1_000)])
        log.append(event(1_000))
        with pytest.raises(TooLarge, match="makes 10001 windows, at most 10000"):
            log.metrics.get(measure="count", window="1ms", seek=START_MS, seek_end=START_MS + 10_001)
        with pytest.raises(TooLarge, match="makes over 1000 groups"):
            log.metrics.get(measure="count", group_by="data")
        monkeypatch.setattr(measuring, "BUDGET_EVENTS", 500)
        with pytest.raises(TooLarge, match="over 500 events would have to be read"):
            log.metrics.get(measure="sum", field="data")
        # What is counted already is not read.
        assert log.metrics.get(measure="count", topic=("a",)).total == 1_001


def test_an_answer_that_is_too_large_counts_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    with memory_log() as log:
        log.append(event(1))
        live = log.metrics.subscribe(measure="count", group_by="data", last="1m", window="1m", every=0)
        assert live.snapshot().total == 1
        for number in range(3):
            log.append(event(number))
            monkeypatch.setattr(answer, "MAX_ROWS", 0)
            with pytest.raises(TooLarge, match="group_by: makes"):
                live.snapshot()
            monkeypatch.undo()
            assert live.snapshot().total == number + 2


def test_a_late_event_counts_and_raises_rev() -> None:
    clock = FakeClock()
    late = msgspec.structs.replace(event(), occurred_at=datetime.fromtimestamp(START_MS / 1000, UTC))
    with memory_log(clock=clock) as log:
        asked: dict[str, Any] = {"measure": "count", "time": "occurred", "lateness": "10s", "window": "1m"}
        live = log.metrics.subscribe(**asked, seek=START_MS, every=0)
        log.append(late)
        state = live.snapshot()
        clock.advance(75_000)
        for expected in ([(1, True, 0), (0, False, 0)], [(2, True, 1), (0, False, 0)]):
            change = live.changes(timeout_s=0)
            assert isinstance(change, MetricUpdate)
            state = folded(state, change)
            assert [(window.value, window.final, window.rev) for window in state.windows] == expected
            log.append(late)


@pytest.mark.parametrize("persisted", [False, True])
def test_a_write_of_panes_that_fails_fences_the_store_and_is_made_up_for(persisted: bool) -> None:
    disk = Disk(STORE_ID)
    faults = Faults(lambda: MemoryStorage(disk))
    with log_on(faults.open, clock=FakeClock()) as log:
        log.append_many([event(number) for number in range(10)])
        faults.fail_append(1, persisted=persisted)
        log.metrics.register(Metric(name="total", measure="sum", field="data"))
        log.metrics.settle()
        assert log.metrics.get(metric="total").total == 45
        log.append(event(1))
    with memory_log(disk) as log:
        # What was not folded in yet is read.
        assert log.metrics.list()[0].size >= 10
        assert log.metrics.get(metric="total").total == 46
