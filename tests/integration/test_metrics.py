"""Every measure, over random streams, against a plain recomputation from what `list` returns."""

from __future__ import annotations

import random

import pytest

from audit import Event, SyncAudit
from audit.codec.segments import Layout
from audit.metrics.changes import folded
from audit.metrics.plan import plan_of
from audit.metrics.query import MetricResult, MetricUpdate
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
