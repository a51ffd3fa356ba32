"""Domain events on their way into a real store, in both modes, while the store fails, fills up, or is closed."""

import asyncio
import gc
import itertools
import logging
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from audit import (
    Audit,
    Conflict,
    Event,
    EventSource,
    InvalidParameter,
    NewEvent,
    OutcomeUnknown,
    Overloaded,
    Recording,
    StoreClosed,
    StoreOptions,
    SyncAudit,
    Unavailable,
)
from audit.log.buffer import BUFFER_BYTES
from audit.log.recording import Mode
from audit.log.room import Room
from audit.model.errors import DiskFull
from audit.testing import FakeClock, Faults, log_on
from audit.testing.clock import START_MS
from tests.stores import OPTIONS, leveldb_opener, memory_opener

MODES: tuple[Mode, ...] = ("require", "buffer")
DROPPED = ("audit", "dropped")
REJECTED = ("audit", "rejected")


@dataclass
class Forwarded:
    """A domain event."""

    n: int
    by: int = 0


@dataclass
class Refused:
    """Another one."""

    n: int


@dataclass
class Node(EventSource):
    """A domain object."""

    number: int = 0
    heard: list[int] = field(default_factory=list)

    def map(self, event: Forwarded) -> NewEvent:
        self.heard.append(event.n)
        return to_audit(event)


def to_audit(event: Forwarded) -> NewEvent:
    return NewEvent(topics=[("node", str(event.by))], action="node.forwarded", data=event.n)


def everything(log: SyncAudit, topic: tuple[str, ...] = ()) -> list[Event]:
    """Return all events of a topic, by pages."""
    page = log.list(topic, limit=1_000)
    events = page.events
    while page.has_more:
        page = log.list(topic, limit=1_000, cursor=page.cursor)
        events += page.events
    return events


def numbers(log: SyncAudit) -> list[int]:
    return [event.data for event in everything(log, ("node",))]


def until(log: SyncAudit, topic: tuple[str, ...], count: int) -> list[Event]:
    """Return the first events of a topic, waiting until there are so many."""
    with log.subscribe(topic, limit=count) as tail:
        return list(tail)


class Store:
    """A log on a real store whose faults are planned."""

    def __init__(self, path: Path) -> None:
        self.faults = Faults(leveldb_opener(path))
        self.clock = FakeClock()

    def open(self, options: StoreOptions = OPTIONS, room: Room | None = None) -> SyncAudit:
        return log_on(self.faults.open, clock=self.clock, options=options, room=room)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "log")


@pytest.fixture
def log(store: Store) -> Iterator[SyncAudit]:
    with store.open() as log:
        yield log


def few(queue_events: int) -> StoreOptions:
    """Return options with a short queue of appends."""
    return StoreOptions(queue_events=queue_events, min_free_bytes=0, reserve_bytes=0)


# -- nothing lost, nothing twice, nothing out of order -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("in_one_tick", "ticks", "mode"),
    [(2, 261, "require"), (4, 130, "require"), (16, 33, "require"), (2, 90, "buffer"), (16, 20, "buffer")],
)
async def test_no_event_dispatched_in_one_tick_is_lost_repeated_or_out_of_order(
    tmp_path: Path, in_one_tick: int, ticks: int, mode: Mode
) -> None:
    # By 64 tasks; the three cases of mode `require` are 100,480 events.
    each = in_one_tick * ticks
    async with Audit.open(tmp_path / "data", create=True) as log:
        seen: dict[int, list[int]] = {number: [] for number in range(64)}
        tail = log.subscribe(("node",), seek="now", limit=64 * each)
        await tail.read()  # caught up, with nothing

        async def follow() -> None:
            async for event in tail:
                seen[int(event.topics[0][1])].append(event.data)

        async def work(node: Node) -> None:
            log.record(node, Forwarded, to_audit, mode)
            count = itertools.count()
            for _ in range(ticks):
                dispatched = [node.dispatch(Forwarded(next(count), node.number)) for _ in range(in_one_tick)]
                for one in dispatched:
                    await one
                await asyncio.sleep(0)

        following = asyncio.ensure_future(follow())
        await asyncio.gather(*(work(Node(number)) for number in range(64)))
        await following
        assert seen == {number: list(range(each)) for number in range(64)}
        assert log.info().size == 64 * each


@pytest.mark.parametrize("mode", MODES)
def test_events_of_several_recordings_of_one_source_keep_their_order(log: SyncAudit, mode: Mode) -> None:
    node = Node()
    log.record(node, Forwarded, to_audit, mode)
    log.record(node, Refused, lambda event: NewEvent(topics=[("node",)], data=event.n), mode)
    for n in range(500):
        node.dispatch(Forwarded(n) if n % 3 else Refused(n))
    assert [event.data for event in until(log, ("node",), 500)] == list(range(500))


def test_plain_threads_dispatch_and_wait(log: SyncAudit) -> None:
    nodes = [Node(number) for number in range(8)]

    def work(node: Node) -> None:
        with log.record(node, Forwarded, to_audit):
            for n in range(50):
                node.dispatch(Forwarded(n, node.number)).result(timeout_s=60)

    threads = [threading.Thread(target=work, args=(node,)) for node in nodes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for node in nodes:
        assert [event.data for event in everything(log, ("node", str(node.number)))] == list(range(50))


def test_a_dispatch_from_a_thread_can_be_awaited_in_an_event_loop(log: SyncAudit) -> None:
    node = Node()
    log.record(node, Forwarded, to_audit)
    dispatched = node.dispatch(Forwarded(1))

    async def wait() -> None:
        await dispatched

    asyncio.run(wait())
    assert numbers(log) == [1]


def test_what_a_mapper_returns_none_for_is_not_recorded(log: SyncAudit) -> None:
    node = Node()
    log.record(node, Forwarded, lambda event: to_audit(event) if event.n else None)
    node.dispatch(Forwarded(0)).result()
    node.dispatch(Forwarded(1)).result()
    assert [event.data for event in everything(log)] == [1]


@pytest.mark.parametrize("mode", MODES)
def test_an_event_is_recorded_as_it_was_when_dispatched(store: Store, mode: Mode) -> None:
    with store.open() as log:
        node, contents = Node(), {"n": 1}
        log.record(node, Forwarded, lambda _: NewEvent(topics=[("node",)], data=contents), mode)
        pause = store.faults.pause_append(1)
        node.dispatch(Forwarded(1))
        pause.reached()
        node.dispatch(Forwarded(2))
        contents["n"] = 9
        pause.resume()
        assert [event.data for event in until(log, ("node",), 2)] == [{"n": 1}, {"n": 1}]


# -- closing -----------------------------------------------------------------------------------------------------------


async def test_closing_with_dispatches_in_flight_commits_each_or_tells_its_dispatcher(tmp_path: Path) -> None:
    log = await Audit.open(tmp_path / "data", create=True)
    committed: set[tuple[int, int]] = set()
    refused: set[tuple[int, int]] = set()
    begun = asyncio.Event()

    async def one(node: Node, n: int) -> None:
        try:
            await node.dispatch(Forwarded(n, node.number))
        except StoreClosed:
            refused.add((node.number, n))
        else:
            committed.add((node.number, n))

    async def work(node: Node) -> None:
        log.record(node, Forwarded, to_audit)
        for n in itertools.count():
            await asyncio.gather(*(one(node, 4 * n + k) for k in range(4)))
            if n == 10:
                begun.set()
            if (node.number, 4 * n + 3) in refused:
                return

    working = [asyncio.ensure_future(work(Node(number))) for number in range(32)]
    await begun.wait()
    await log.close()
    await asyncio.gather(*working)
    assert len(refused) >= 32
    async with Audit.open(tmp_path / "data") as log:
        found = [(int(event.topics[0][1]), event.data) for event in everything(log.sync)]
        assert len(found) == len(set(found))
        assert set(found) == committed
        assert sorted(found, key=lambda pair: pair[0]) == sorted(found)  # each node's in order


@pytest.mark.parametrize("mode", MODES)
def test_what_was_dispatched_before_closing_is_committed_by_it(store: Store, mode: Mode) -> None:
    log = store.open()
    node = Node()
    log.record(node, Forwarded, to_audit, mode)
    pause = store.faults.pause_append(1)
    dispatched = [node.dispatch(Forwarded(0))]
    pause.reached()
    dispatched += [node.dispatch(Forwarded(n)) for n in range(1, 3_000)]
    closing = threading.Thread(target=log.close)
    closing.start()
    pause.resume()
    closing.join()
    for one in dispatched:
        one.result()
    with store.open() as log:
        assert numbers(log) == list(range(3_000))


def test_a_required_dispatch_to_a_closed_log_fails_until_the_recording_is_stopped(log: SyncAudit) -> None:
    node = Node()
    recording = log.record(node, Forwarded, to_audit)
    log.close()
    with pytest.raises(StoreClosed):
        node.dispatch(Forwarded(1)).result()
    recording.stop()
    node.dispatch(Forwarded(1)).result()
    with pytest.raises(StoreClosed):
        log.record(node, Forwarded, to_audit)


def test_a_buffered_dispatch_to_a_closed_log_succeeds_and_the_loss_is_logged_once(
    log: SyncAudit, caplog: pytest.LogCaptureFixture
) -> None:
    node = Node()
    log.record(node, Forwarded, to_audit, "buffer")
    log.close()
    caplog.clear()
    for n in range(3):
        node.dispatch(Forwarded(n)).result()
    assert [(record.name, record.levelno) for record in caplog.records] == [("audit", logging.ERROR)]
    assert "Forwarded" in caplog.text


def test_closing_gives_up_what_a_full_disk_does_not_take_and_logs_the_loss(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    room = Full()
    log = store.open(room=room)
    node = Node()
    log.record(node, Forwarded, to_audit, "buffer", buffer_events=5)
    for n in range(7):
        node.dispatch(Forwarded(n))
    room.refused.wait()
    caplog.clear()
    log.close()
    lost = [record.args for record in caplog.records if "are lost" in record.message]
    assert sum(cast("tuple[Any, ...]", args)[1] for args in lost) == 7
    with store.open() as log:
        assert everything(log) == []


def test_a_closed_log_is_freed_though_its_sources_live_on(store: Store) -> None:
    class Long(EventSource):
        pass

    log = store.open()
    kept = [log.record(Long, Forwarded, to_audit), log.record(Long, Forwarded, to_audit, "buffer")]
    log.close()
    gone = weakref.ref(log._core)
    del log
    gc.collect()
    assert gone() is None
    assert all(recording.active for recording in kept)


# -- rejections --------------------------------------------------------------------------------------------------------


class SecretError(Exception):
    pass


class MuteError(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


def raises(error: Exception) -> Callable[[Forwarded], NewEvent]:
    def mapper(_: Forwarded) -> NewEvent:
        raise error

    return mapper


REJECTIONS: list[tuple[Callable[[Forwarded], Any], str, str]] = [
    (raises(SecretError("can't map this")), "SecretError", "can't map this"),
    (raises(MuteError()), "MuteError", "its message can't be shown"),
    (raises(SecretError("\ud800 lone")), "SecretError", "\\ud800 lone"),
    (lambda _: NewEvent(topics=[]), "InvalidParameter", "event.topics: must hold 1-16 topics, holds 0"),
    (lambda _: NewEvent(topics=[("audit", "mine")]), "InvalidParameter", "event.topics[0]"),
    (lambda _: {"topics": [["a"]]}, "InvalidParameter", "event: must be a NewEvent, got dict"),
    (lambda _: NewEvent(topics=[("a",)], data="x" * 70_000), "TooLarge", "event"),
]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("mapper", "error", "problem"), REJECTIONS)
def test_what_a_mapper_gets_wrong_is_recorded_and_never_reaches_the_domain(
    log: SyncAudit, mapper: Callable[[Forwarded], Any], error: str, problem: str, mode: Mode
) -> None:
    node = Node()
    log.record(node, Forwarded, mapper, mode)
    log.record(node, Refused, lambda event: NewEvent(topics=[("node",)], data=event.n), mode)
    node.dispatch(Forwarded(1)).result()
    node.dispatch(Refused(2)).result()
    rejected, other = until(log, (), 2)
    assert rejected.topics == [REJECTED]
    assert rejected.action == "audit.rejected"
    assert rejected.data.pop("problem").startswith(problem)
    assert rejected.data == {
        "source": f"{__name__}.Node",
        "event_type": f"{__name__}.Forwarded",
        "error": error,
    }
    assert other.data == 2


@given(message=st.text(st.characters(exclude_categories=()), max_size=2_000))
@example(message="x" * 1_025)
@example(message="€" * 1_000)
@example(message="\ud800" * 1_000)
@settings(max_examples=50)
def test_the_recorded_problem_is_the_message_cut_to_1_kib(message: str) -> None:
    with log_on(memory_opener()) as log:
        node = Node()
        log.record(node, Forwarded, raises(SecretError(message)))
        node.dispatch(Forwarded(1)).result()
        (rejected,) = everything(log, REJECTED)
        problem = rejected.data["problem"]
        assert len(problem.encode()) <= 1024
        whole = message.encode(errors="backslashreplace").decode()
        assert whole.startswith(problem)
        assert len(whole.encode()) <= 1024 or len(problem.encode()) > 1020


def test_an_awaited_dispatch_returns_once_its_rejection_is_durable(store: Store) -> None:
    with store.open() as log:
        node = Node()
        log.record(node, Forwarded, raises(SecretError("no")))
        pause = store.faults.pause_append(1)
        dispatched = node.dispatch(Forwarded(1))
        pause.reached()
        with pytest.raises(TimeoutError):
            dispatched.result(timeout_s=0)
        pause.resume()
        dispatched.result()
        assert len(everything(log, REJECTED)) == 1


def test_a_rejection_that_cannot_be_recorded_is_logged(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    with store.open() as log:
        node = Node()
        log.record(node, Forwarded, raises(SecretError("no")))
        store.faults.fail_append(1, persisted=False)
        node.dispatch(Forwarded(1)).result()
        assert [record.message for record in caplog.records if "SecretError" in record.message]
    caplog.clear()
    node.dispatch(Forwarded(2)).result()
    assert [record.message for record in caplog.records if "SecretError" in record.message]


def test_a_key_used_before_fails_a_required_dispatch(log: SyncAudit) -> None:
    node = Node()
    log.record(node, Forwarded, with_key)
    node.dispatch(Forwarded(1)).result()
    node.dispatch(Forwarded(1)).result()
    with pytest.raises(Conflict):
        node.dispatch(Forwarded(1, by=7)).result()
    assert numbers(log) == [1]


def with_key(event: Forwarded) -> NewEvent:
    return NewEvent(topics=[("node", str(event.by))], data=event.n, idempotency_key=f"n{event.n}")


def test_a_key_used_before_is_rejected_from_a_buffer_and_holds_up_nothing(store: Store) -> None:
    with store.open() as log:
        node = Node()
        log.record(node, Forwarded, with_key, "buffer")
        pause = store.faults.pause_append(1)
        node.dispatch(Forwarded(0))
        pause.reached()
        for event in (Forwarded(1), Forwarded(0, by=7), Forwarded(1), Forwarded(2), Forwarded(2, by=7), Forwarded(3)):
            node.dispatch(event)
        pause.resume()
        events = until(log, (), 6)
        assert [event.data if event.topics != [REJECTED] else event.data["error"] for event in events] == [
            0,
            1,
            "Conflict",
            2,
            "Conflict",
            3,
        ]
        # Once the trouble is over, events share commits again.
        before = store.faults.appends
        pause = store.faults.pause_append(1)
        node.dispatch(Forwarded(4))
        pause.reached()
        for n in range(5, 50):
            node.dispatch(Forwarded(n))
        pause.resume()
        until(log, ("node",), 50)
        assert store.faults.appends - before == 2


# -- a full queue ------------------------------------------------------------------------------------------------------


def test_a_required_dispatch_that_finds_the_queue_full_fails_and_the_others_are_committed(store: Store) -> None:
    with store.open(few(4)) as log:
        node = Node()
        log.record(node, Forwarded, to_audit)
        pause = store.faults.pause_append(1)
        dispatched = [node.dispatch(Forwarded(0))]
        pause.reached()
        dispatched += [node.dispatch(Forwarded(n)) for n in range(1, 7)]
        pause.resume()
        for one in dispatched[:5]:
            one.result()
        for one in dispatched[5:]:
            with pytest.raises(Overloaded):
                one.result()
        assert numbers(log) == [0, 1, 2, 3, 4]


def test_a_buffer_holds_what_the_queue_has_no_room_for(store: Store) -> None:
    with store.open(few(4)) as log:
        node = Node()
        log.record(node, Forwarded, to_audit, "buffer")
        pause = store.faults.pause_append(1)
        first = log.append_nowait(NewEvent(topics=[("a",)]))
        pause.reached()
        others = [log.append_nowait(NewEvent(topics=[("a",)])) for _ in range(4)]
        for n in range(100):
            node.dispatch(Forwarded(n)).result()
        pause.resume()
        until(log, ("node",), 100)
        assert numbers(log) == list(range(100))
        assert [future.result().index for future in [first, *others]] == [0, 1, 2, 3, 4]


def test_what_finds_the_buffer_full_is_counted_and_the_count_recorded_in_its_place(store: Store) -> None:
    with store.open() as log:
        node = Node()
        log.record(node, Forwarded, to_audit, "buffer", buffer_events=3)
        other = Node(1)
        log.record(other, Forwarded, to_audit, "buffer")
        pause = store.faults.pause_append(1)
        node.dispatch(Forwarded(0))
        pause.reached()
        for n in range(1, 6):
            node.dispatch(Forwarded(n))
            store.clock.advance(1_000)
        other.dispatch(Forwarded(0, by=1))
        again = store.faults.pause_append(1)  # the next one: the first is counted already
        pause.resume()
        again.reached()
        node.dispatch(Forwarded(6))
        again.resume()
        events = until(log, (), 6)
        gap = events[3]
        assert [event.data for event in events if event is not gap] == [0, 1, 2, 0, 6]
        assert gap.topics == [DROPPED]
        assert gap.action == "audit.dropped"
        assert START_MS == 1_767_225_600_000
        assert gap.data == {
            "source": f"{__name__}.Node",
            "event_type": f"{__name__}.Forwarded",
            "dropped": 3,
            "first_at": "2026-01-01T00:00:02.000Z",
            "last_at": "2026-01-01T00:00:04.000Z",
        }


def test_a_buffer_is_bounded_in_bytes_too(store: Store) -> None:
    with store.open() as log:
        node = Node()
        log.record(node, Forwarded, lambda event: NewEvent(topics=[("node",)], data=[event.n, "x" * 60_000]), "buffer")
        pause = store.faults.pause_append(1)
        for n in range(1_300):
            node.dispatch(Forwarded(n))
        pause.resume()
        (gap,) = until(log, DROPPED, 1)
        kept = gap.index
        assert kept + gap.data["dropped"] == 1_300
        assert (kept - 1) * 60_000 < BUFFER_BYTES < (kept + 1) * 61_000
        node.dispatch(Forwarded(1_300))
        assert [event.data[0] for event in until(log, ("node",), kept + 1)] == [*range(kept), 1_300]


# -- a failing store ---------------------------------------------------------------------------------------------------


class Full(Room):
    """A full disk, until there is space."""

    def __init__(self) -> None:
        self.refused = threading.Event()
        self.space = False

    def check(self) -> None:
        if not self.space:
            self.refused.set()
            raise DiskFull("the disk is full, as a test wants it")


@pytest.mark.parametrize("persisted", [False, True])
def test_a_required_dispatch_whose_write_failed_fails_and_later_ones_succeed(store: Store, persisted: bool) -> None:
    with store.open() as log:
        node = Node()
        log.record(node, Forwarded, to_audit)
        store.faults.fail_append(1, persisted=persisted)
        with pytest.raises(OutcomeUnknown):
            node.dispatch(Forwarded(0)).result()
        node.dispatch(Forwarded(1)).result()
        assert numbers(log) == ([0, 1] if persisted else [1])


def test_a_buffer_waits_while_the_disk_is_full_and_a_required_dispatch_fails(store: Store) -> None:
    room = Full()
    with store.open(room=room) as log:
        node, strict = Node(), Node(1)
        log.record(node, Forwarded, to_audit, "buffer")
        log.record(strict, Forwarded, to_audit)
        for n in range(50):
            node.dispatch(Forwarded(n)).result()
        with pytest.raises(Unavailable):
            strict.dispatch(Forwarded(0, by=1)).result()
        room.space = True
        until(log, ("node", "0"), 50)
        assert numbers(log) == list(range(50))


def test_closing_commits_what_waited_for_the_disk_as_soon_as_there_is_space(store: Store) -> None:
    room = Full()
    log = store.open(room=room)
    node = Node()
    log.record(node, Forwarded, to_audit, "buffer")
    for n in range(50):
        node.dispatch(Forwarded(n)).result()
    room.refused.wait()
    room.space = True
    log.close()
    with store.open() as log:
        assert numbers(log) == list(range(50))


FORKING = """
import os, sys
from audit import Audit, EventSource, NewEvent, StoreForked

class Opened: pass
class Closed: pass
class Node(EventSource): pass

with Audit.open_sync(sys.argv[1], create=True) as log:
    log.record(Node, Opened, lambda _: NewEvent(topics=[("a",)]))
    log.record(Node, Closed, lambda _: NewEvent(topics=[("a",)]), "buffer")
    child = os.fork()
    if not child:
        try:
            Node().dispatch(Opened()).result(timeout_s=10)
        except StoreForked:
            Node().dispatch(Closed()).result(timeout_s=10)
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    Node().dispatch(Opened()).result()
    Node().dispatch(Closed()).result()
with Audit.open_sync(sys.argv[1]) as log:
    assert log.info().size == 2
"""


def test_a_forked_child_records_nothing_and_blocks_nowhere(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORKING, str(tmp_path / "data")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "is lost" in done.stderr


PLAN = st.lists(
    st.one_of(
        st.integers(1, 12).map(lambda n: ("dispatch", n)),
        st.sampled_from([("fail", False), ("fail", True), ("closed for", 2), ("pause", 0), ("resume", 0)]),
    ),
    min_size=1,
    max_size=12,
)


@given(plan=PLAN, bound=st.integers(1, 20))
@settings(max_examples=60)
def test_a_buffer_loses_and_repeats_nothing_that_it_does_not_record_as_dropped(
    plan: list[tuple[str, int]], bound: int
) -> None:
    faults = Faults(memory_opener())
    log = log_on(faults.open)
    node = Node()
    log.record(node, Forwarded, to_audit, "buffer", buffer_events=bound)
    count = itertools.count()
    pauses = []
    for step, argument in plan:
        if step == "dispatch":
            for _ in range(argument):
                node.dispatch(Forwarded(next(count))).result()
        elif step == "fail":
            faults.fail_append(1, persisted=bool(argument))
        elif step == "closed for":
            faults.refuse_opens(argument)
        elif step == "pause":
            pauses.append(faults.pause_append(1))
        else:
            for pause in pauses:
                pause.resume()
    for pause in pauses:
        pause.resume()
    faults.refuse_opens(0)
    log.close()
    with log_on(faults._opener) as log:
        expected = 0
        for event in everything(log):
            if event.topics == [DROPPED]:
                expected += event.data["dropped"]
            else:
                assert event.data == expected
                expected += 1
        assert expected == next(count)


# -- stopping, and being freed -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_a_stopped_recording_records_nothing_more_and_is_forgotten(log: SyncAudit, mode: Mode) -> None:
    node = Node()
    with log.record(node, Forwarded, node.map, mode) as recording:
        assert len(log._core.recordings) == 1
        node.dispatch(Forwarded(1)).result()
    node.dispatch(Forwarded(2)).result()
    recording.stop()
    assert not recording.active
    assert len(log._core.recordings) == 0
    assert vars(node) == {"number": 0, "heard": [1]}
    assert [event.data for event in until(log, ("node",), 1)] == [1]
    log.close()


def test_a_stopped_recording_keeps_neither_its_mapper_nor_the_log(store: Store) -> None:
    log = store.open()
    node = Node()

    def mapper(event: Forwarded) -> NewEvent:
        return to_audit(event)

    recording = log.record(node, Forwarded, mapper)
    recording.stop()
    mapped = weakref.ref(mapper)
    del mapper
    assert mapped() is None
    log.close()


@pytest.mark.parametrize("mode", MODES)
def test_a_collected_source_frees_its_recording_and_what_it_buffered_is_committed(store: Store, mode: Mode) -> None:
    with store.open() as log:
        node = Node()
        gone: list[weakref.ref[Any]] = [
            weakref.ref(node),
            weakref.ref(log.record(node, Forwarded, to_audit, mode)),
        ]
        pause = store.faults.pause_append(1)
        node.dispatch(Forwarded(0))
        pause.reached()
        node.dispatch(Forwarded(1))
        del node
        assert [one() for one in gone] == [None, None]
        assert len(log._core.recordings) == 0
        pause.resume()
        until(log, ("node",), 2)
        assert numbers(log) == [0, 1]


def test_a_mapper_that_is_its_sources_own_method_keeps_neither_alive(log: SyncAudit) -> None:
    node = Node()
    recording = log.record(node, Forwarded, node.map)
    gone: list[weakref.ref[Any]] = [weakref.ref(node), weakref.ref(recording)]
    node.dispatch(Forwarded(0)).result()
    del node, recording
    gc.collect()
    assert [one() for one in gone] == [None, None]


def test_a_source_is_gone_though_its_recording_is_kept(log: SyncAudit) -> None:
    node = Node()
    recording = log.record(node, Forwarded, to_audit)
    gone = weakref.ref(node)
    del node
    assert gone() is None
    recording.stop()


@pytest.mark.parametrize(
    ("arguments", "parameter"),
    [
        ((object(), Forwarded, to_audit), "source"),
        ((object, Forwarded, to_audit), "source"),
        ((Node(), "Forwarded", to_audit), "event_type"),
        ((Node(), Forwarded, None), "mapper"),
        ((Node(), Forwarded, to_audit, "wait"), "mode"),
    ],
)
def test_record_names_the_parameter_that_is_wrong(log: SyncAudit, arguments: tuple[Any, ...], parameter: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        log.record(*arguments)
    assert caught.value.parameter == parameter


@pytest.mark.parametrize(("mode", "bound"), [("require", 5), ("buffer", 0), ("buffer", True), ("buffer", "5")])
def test_a_buffers_bound_is_a_positive_integer_and_of_that_mode_only(log: SyncAudit, mode: Mode, bound: Any) -> None:
    with pytest.raises(InvalidParameter, match="buffer_events"):
        log.record(Node(), Forwarded, to_audit, mode, buffer_events=bound)


def test_a_recording_says_what_it_records(log: SyncAudit) -> None:
    recording: Recording = log.record(Node, Forwarded, to_audit, "buffer")
    assert repr(recording) == f"Recording({__name__}.Forwarded of {__name__}.Node, mode='buffer')"
    recording.stop()
    assert repr(recording).endswith("mode='buffer', stopped)")
