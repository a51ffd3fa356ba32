"""A server is ended again and again while clients append: tails have each acknowledged event once, in order."""

from __future__ import annotations

import asyncio
import json
import random
import signal
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from audit import Batch, NewEvent, OutcomeUnknown, Receipt, Unavailable
from audit.app.fsck import check_store
from audit.client import Backoff, RemoteAudit, connect
from audit.codec.events import event_id_text, event_index
from tests.bare import until
from tests.fault.programs import ServerProcess, TailProcess, free_port
from tests.fault.report import record, scaled, seeded

CLIENTS: Final = 8
CALL_EVENTS: Final = (25, 100)
PATIENCE_S: Final = 240.0 * scaled(1)
SOON: Final = Backoff(first_s=0.02, most_s=0.2)


class Course(NamedTuple):
    """How often the server is ended, and how.

    Attributes:
        by: The signal.
        ends: How often, in the middle of its work.
        early: How often besides before it has come up.
        events: Events that clients append meanwhile.
        tail_runs: How often `audit tail` is started.
    """

    by: signal.Signals
    ends: int
    early: int
    events: int
    tail_runs: int


KILLED: Final = Course(signal.SIGKILL, ends=scaled(16), early=scaled(4), events=scaled(50_000), tail_runs=scaled(6))
TOLD: Final = Course(signal.SIGTERM, ends=scaled(4), early=0, events=scaled(4_000), tail_runs=scaled(2))


class Call(NamedTuple):
    """A call of one client: so many events, which say so."""

    client: int
    number: int
    size: int

    @property
    def key(self) -> str:
        return f"{self.client}.{self.number}"

    def events(self, *, keyed: bool) -> list[NewEvent]:
        return [
            NewEvent(
                topics=[("client", str(self.client))],
                action="counted",
                data=[*self, place],
                idempotency_key=f"{self.key}.{place}" if keyed else None,
            )
            for place in range(self.size)
        ]


def planned(events: int, chance: random.Random) -> list[list[Call]]:
    """Return each client's calls, which together have so many events."""
    plan: list[list[Call]] = []
    for client in range(CLIENTS):
        calls: list[Call] = []
        left = events * (client + 1) // CLIENTS - events * client // CLIENTS
        while left:
            size = min(left, chance.randint(*CALL_EVENTS))
            calls.append(Call(client, len(calls), size))
            left -= size
        plan.append(calls)
    return plan


class Acknowledged:
    """The receipts that clients were given."""

    def __init__(self) -> None:
        self.calls: dict[Call, list[Receipt]] = {}
        self.events = 0

    def add(self, call: Call, receipts: list[Receipt]) -> None:
        assert call not in self.calls
        assert len(receipts) == call.size
        self.calls[call] = receipts
        self.events += len(receipts)


async def append_patiently(log: RemoteAudit, call: Call) -> list[Receipt]:
    """Leave it to the client to try again: with a key of its own making, or with the call's."""
    return await log.append_many(call.events(keyed=False), idempotency_key=call.key if call.client % 4 else None)


async def append_impatiently(log: RemoteAudit, call: Call) -> list[Receipt]:
    """Be told soon that there is no answer, and try again oneself: with a key for the call, or one for each event."""
    while True:
        try:
            if call.client % 4 == 1:
                return await log.append_many(call.events(keyed=False), idempotency_key=call.key)
            return await log.append_many(call.events(keyed=True))
        except (Unavailable, OutcomeUnknown):
            continue


async def client(url: str, calls: Sequence[Call], acknowledged: Acknowledged) -> None:
    patient = calls[0].client % 2 == 0
    timeout_s = None if patient else 0.25
    append = append_patiently if patient else append_impatiently
    log = await connected(url, call_timeout_s=timeout_s)
    async with log:
        for call in calls:
            acknowledged.add(call, await append(log, call))


async def connected(url: str, *, call_timeout_s: float | None = None, credit: int = 1_000) -> RemoteAudit:
    """Connect as soon as there is a server."""
    while True:
        try:
            return await connect(url, backoff=SOON, call_timeout_s=call_timeout_s, credit=credit)
        except Unavailable:
            # Nobody is told when it comes up; a refused attempt takes its time.
            continue


async def follow(url: str, seen: list[bytes], events: int, *, credit: int) -> None:
    """Have everything, from the first event on."""
    async with await connected(url, credit=credit) as log, log.subscribe() as tail:
        while len(seen) < events:
            notice = await tail.read()
            if isinstance(notice, Batch):
                seen += notice.slices


async def end_again_and_again(
    server: ServerProcess, course: Course, acknowledged: Acknowledged, chance: random.Random
) -> None:
    """End the server in the middle of its work, and some of the times kill it once more while it starts."""
    early = set(chance.sample(range(course.ends), course.early))
    begun_at = server.cpu_ticks
    for number in range(course.ends):
        at = (course.events * number + chance.randrange(course.events)) // course.ends
        before = acknowledged.events
        # One that has acknowledged nothing since it came up would not be in the middle of anything.
        await until(
            lambda at=at, before=before: server.is_alive and acknowledged.events > max(at, before),  # type: ignore[misc]
            PATIENCE_S,
        )
        await server.end(course.by)
        await server.start()
        if number in early:
            ticks = chance.randrange(begun_at + 1)
            await until(lambda ticks=ticks: server.is_alive and server.cpu_ticks >= ticks)  # type: ignore[misc]
            await server.end(signal.SIGKILL)
            await server.start()


async def follow_in_runs(tail: TailProcess, course: Course, chance: random.Random) -> None:
    """Have everything printed by a process that is ended and started again all the time."""
    events, runs = course.events, course.tail_runs
    marks = [(events * number + chance.randrange(events)) // runs for number in range(runs - 1)]
    for mark in [*marks, events]:
        if tail.lines() == events:
            break
        await tail.start()
        # Each run has something to print, or it would be ended before it knows how to.
        least = max(mark, tail.lines() + 1)
        while True:
            await until(lambda: tail.is_over or tail.lines() >= least, PATIENCE_S)  # noqa: B023 - called at once
            if not tail.is_over:
                break
            # As its supervisor would.
            await tail.start()
        await tail.end()


@pytest.fixture
async def server(tmp_path: Path, chance: random.Random) -> AsyncIterator[ServerProcess]:
    server = ServerProcess(tmp_path / "store", free_port(chance), tmp_path / "server.log")
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def tail(server: ServerProcess, tmp_path: Path) -> AsyncIterator[TailProcess]:
    tail = TailProcess(server.url, tmp_path)
    yield tail
    await tail.stop()


@pytest.fixture
def chance() -> random.Random:
    # Another one each time: a seed repeats a failure only as far as processes beside each other can be repeated.
    return random.Random(seeded(random.SystemRandom().getrandbits(32)))


@pytest.mark.slow
@pytest.mark.timeout(60 + 2 * PATIENCE_S)
@pytest.mark.parametrize("course", [KILLED, TOLD], ids=["killed", "told to end"])
async def test_tails_have_each_acknowledged_event_once_in_order_however_often_the_server_ends(
    course: Course, server: ServerProcess, tail: TailProcess, tmp_path: Path, chance: random.Random
) -> None:
    await until(lambda: server.is_alive and server.accepts)
    acknowledged = Acknowledged()
    plan = planned(course.events, chance)
    seen: list[bytes] = []
    seen_slowly: list[bytes] = []
    async with asyncio.timeout(PATIENCE_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(end_again_and_again(server, course, acknowledged, chance))
        tasks.create_task(follow(server.url, seen, course.events, credit=1_000))
        tasks.create_task(follow(server.url, seen_slowly, course.events, credit=10))
        tasks.create_task(follow_in_runs(tail, course, chance))
        for calls in plan:
            tasks.create_task(client(server.url, calls, acknowledged))
    # Ended as it was all the time: what it leaves must be in order without it.
    await server.end(course.by)

    assert first_difference([event_index(one) for one in seen], range(course.events)) is None
    ids = [event_id_text(one) for one in seen]
    assert all(before < after for before, after in pairwise(ids))
    assert first_difference(seen_slowly, seen) is None
    assert first_difference(tail.output().splitlines(), seen) is None
    assert_calls_are_whole_and_acknowledged(seen, plan, acknowledged)
    report = check_store(tmp_path / "store")
    assert (report.findings, report.events) == ([], course.events)
    record(
        fault="server killed" if course is KILLED else "server told to end",
        injected=f"{course.by.name} to `audit serve` under {CLIENTS} clients that retry and three tails, one of them "
        "a process that is ended as well",
        tried=course.ends + course.early,
        acknowledged=acknowledged.events,
        lost=0,
        repeated=0,
        detected="receipts, the three tails and fsck compared",
    )


def first_difference(found: Sequence[object], expected: Sequence[object]) -> tuple[int, object, object] | None:
    """Return where the two differ first, and how: all of 50,000 events in a failure would help nobody."""
    for place, (one, other) in enumerate(zip_longest(found, expected)):
        if one != other:
            return place, one, other
    return None


def assert_calls_are_whole_and_acknowledged(
    seen: Sequence[bytes], plan: Sequence[Sequence[Call]], acknowledged: Acknowledged
) -> None:
    """Check that each call is there once, in one piece, where its receipts say; each client's in its order."""
    assert acknowledged.calls.keys() == {call for calls in plan for call in calls}
    found: list[list[Call]] = [[] for _ in plan]
    index = 0
    while index < len(seen):
        call = Call(*json.loads(seen[index])["data"][:3])
        events = seen[index : index + call.size]
        assert [json.loads(one)["data"] for one in events] == [[*call, place] for place in range(call.size)]
        receipts = acknowledged.calls[call]
        assert [(one.id, one.index) for one in receipts] == [
            (event_id_text(one).decode(), event_index(one)) for one in events
        ]
        found[call.client].append(call)
        index += call.size
    assert found == [list(calls) for calls in plan]
