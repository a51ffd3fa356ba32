"""Every measure, over random streams, against a plain recomputation from what `list` returns."""

from __future__ import annotations

import random
from typing import Any

import pytest

from audit import Event, InvalidParameter, NewEvent, NotFound, SyncAudit
from audit.codec.segments import Layout
from audit.metrics.changes import folded
from audit.metrics.plan import plan_of
from audit.metrics.query import Metric, MetricQuery, MetricResult, MetricUpdate
from audit.storage.memory import Disk
from audit.testing.clock import FakeClock
from audit.testing.logs import STORE_ID, memory_log
from tests.oracle import Oracle
from tests.streams import random_event, random_query

LAYOUT = Layout(segment_events=16, chunk_blocks=2, block_events=4)


def all_events(log: SyncAudit) -> list[Event]:
    found: list[Event] = []
    cursor = None
    while True:
        page = log.list(limit=1000, cursor=cursor)
        found += page.events
        cursor = page.cursor
        if not page.has_more:
            return found


def feed(log: SyncAudit, choose: random.Random, clock: FakeClock, commits: int) -> None:
    for _ in range(commits):
        clock.advance(choose.choice([0, 0, 1, 7, 900, 4_000, 61_000]))
        log.append_many([random_event(choose, clock.wall_ms()) for _ in range(choose.randrange(1, 6))])
    clock.advance(choose.choice([0, 1, 5_000]))


@pytest.mark.parametrize("seed", range(100))
def test_an_answer_is_what_all_events_say(seed: int) -> None:
    choose = random.Random(seed)
    clock = FakeClock()
    with memory_log(Disk(STORE_ID, LAYOUT), clock=clock, seed=seed) as log:
        feed(log, choose, clock, choose.choice([0, 1, 30]))
        events = all_events(log)
        for _ in range(12):
            query = random_query(choose, clock.wall_ms())
            result = log.metrics.get(query)
            Oracle(query, events, plan_of(query), result.as_of.time).check(result)


@pytest.mark.parametrize("seed", range(6))
def test_an_inverted_span_is_an_empty_one_where_it_begins(seed: int) -> None:
    choose = random.Random(seed)
    clock = FakeClock()
    with memory_log(Disk(STORE_ID, LAYOUT), clock=clock, seed=seed) as log:
        feed(log, choose, clock, 30)
        events = all_events(log)
        for measure in ("count", "active", "uptime"):
            actions: dict[str, Any] = {
                "active": {"open": "opened", "close": "closed"},
                "uptime": {"up": "up", "down": "down"},
            }
            for back in (1, 999, 60_000):
                seek = clock.wall_ms() - choose.randrange(200_000)
                members: dict[str, Any] = {
                    "measure": measure,
                    "time": "occurred",
                    "lateness": choose.choice(["0s", "10s"]),
                }
                query = MetricQuery(**members, **actions.get(measure, {}), seek=seek, seek_end=seek - back)
                result = log.metrics.get(query)
                Oracle(query, events, plan_of(query), result.as_of.time).check(result)
                assert [(one.start, one.count) for one in result.windows] == [(result.windows[0].end, 0)]


def untimed(result: MetricResult) -> tuple[object, ...]:
    return result.windows, result.total


@pytest.mark.parametrize("seed", range(60))
def test_snapshot_and_changes_folded_are_what_get_says_through_restarts(seed: int) -> None:
    choose = random.Random(seed)
    clock = FakeClock()
    disk = Disk(STORE_ID, LAYOUT)
    queries = [random_query(choose, clock.wall_ms()) for _ in range(6)]
    states: dict[int, MetricResult] = {}
    for _ in range(3):
        with memory_log(disk, clock=clock, seed=choose.randrange(1 << 30)) as log:
            live = [
                log.metrics.subscribe(query, every=0, cursor=states[n].as_of.cursor if n in states else None)
                for n, query in enumerate(queries)
            ]
            for number, one in enumerate(live):
                if number not in states:
                    states[number] = one.snapshot()
            for _ in range(choose.randrange(6)):
                feed(log, choose, clock, choose.randrange(3))
                for number, one in enumerate(live):
                    change = one.changes(timeout_s=0)
                    if change is None:
                        if queries[number].measure in ("rate", "uptime"):
                            continue
                        # Nothing but time has changed: each window says what it said.
                        now = log.metrics.get(queries[number])
                        assert [(w.value, w.count, w.final, w.rev) for w in now.windows] == [
                            (w.value, w.count, w.final, w.rev) for w in states[number].windows
                        ]
                        continue
                    assert isinstance(change, MetricUpdate)
                    states[number] = folded(states[number], change)
                    now = log.metrics.get(queries[number])
                    assert now.as_of == states[number].as_of
                    assert untimed(now) == untimed(states[number]), (queries[number], change)


def registered_as(query: MetricQuery, name: str, pane: str) -> tuple[Metric, MetricQuery]:
    """Return a metric that a query can be asked of, and the query by its name."""
    own = {key: getattr(query, key) for key in Metric.__struct_fields__ if key in MetricQuery.__struct_fields__}
    spans = ("seek", "seek_end", "last", "window", "hop")
    asked = MetricQuery(metric=name, **{key: getattr(query, key) for key in spans})
    return Metric(name=name, pane=pane, **own), asked


@pytest.mark.parametrize("seed", range(60))
def test_a_registered_metric_says_what_all_events_say_through_restarts(seed: int) -> None:
    choose = random.Random(seed)
    clock = FakeClock()
    disk = Disk(STORE_ID, LAYOUT)
    queries: dict[str, tuple[Metric, MetricQuery, MetricQuery]] = {}
    for turn in range(3):
        with memory_log(disk, clock=clock, seed=choose.randrange(1 << 30)) as log:
            assert {one.metric.name for one in log.metrics.list()} == queries.keys()
            for number in range(4):
                query = random_query(choose, clock.wall_ms())
                metric, asked = registered_as(query, f"m{turn}.{number}", choose.choice(["1m", "10s", "20s", "1h"]))
                queries[metric.name] = (metric, query, asked)
                log.metrics.register(metric)
            feed(log, choose, clock, choose.choice([0, 5, 20]))
            if choose.random() < 0.7:
                log.metrics.settle()
                assert {one.size for one in log.metrics.list()} == {log.info().size}
            feed(log, choose, clock, choose.choice([0, 1, 3]))
            if choose.random() < 0.3:
                log.metrics.rebuild(choose.choice(list(queries)))
            events = all_events(log)
            for metric, query, asked in queries.values():
                result = log.metrics.get(asked)
                Oracle(query, events, plan_of(query), result.as_of.time).check(result)
                live = log.metrics.subscribe(asked, every=0)
                assert untimed(live.snapshot()) == untimed(result), (metric, query)


def test_registering_again_goes_on_and_another_definition_begins_anew() -> None:
    disk = Disk(STORE_ID, LAYOUT)
    with memory_log(disk) as log:
        log.append_many([NewEvent(topics=[("a",)], data=n) for n in range(50)])
        log.metrics.register(Metric(name="total", measure="sum", field="data"))
        log.metrics.settle()
    with memory_log(disk) as log:
        log.metrics.register(Metric(name="total", measure="sum", field="data", help="all of it"))
        assert log.metrics.list()[0].size == 50
        assert log.metrics.get(metric="total").total == sum(range(50))
        log.metrics.register(Metric(name="total", measure="max", field="data"))
        assert log.metrics.get(metric="total").total == 49
        log.metrics.settle()
        assert log.metrics.get(metric="total").total == 49
    with memory_log(disk) as log:
        assert [one.metric.measure for one in log.metrics.list()] == ["max"]
        with pytest.raises(NotFound, match="no metric is registered as 'other'"):
            log.metrics.get(metric="other")
        with pytest.raises(InvalidParameter, match="topic: is the registered metric's own"):
            log.metrics.get(metric="total", topic=("a",))
