"""A write fails, in every way and at every point: what callers are told, what readers see, what the store holds after.

Each case is a table's row: what was being written × whether it happened all the same × how long reopening is refused.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from pathlib import Path
from typing import Final

import pytest

from audit import (
    Audit,
    AuditError,
    End,
    Event,
    NewEvent,
    OutcomeUnknown,
    Receipt,
    StoreClosed,
    StoreCorrupt,
    SyncAudit,
    SyncTail,
    Unavailable,
)
from audit.storage.opening import open_store
from audit.testing import FakeClock, Faults, check_log, log_on
from tests.stores import OPTIONS, TINY, copy_store, event, leveldb_opener, memory_opener

PATIENCE_S: Final = 20.0
"""Longer than anything here takes: a future that is not done by then never will be."""

FOR_EVER: Final = 1 << 30

FENCE_MS: Final = 5_000


def named(prefix: str, count: int, *, keyed: bool = False) -> list[NewEvent]:
    """Return events that can be told apart by their action."""
    names = [f"{prefix}.{number}" for number in range(count)]
    return [event("a", prefix, action=name, idempotency_key=name if keyed else None) for name in names]


# With the five events that are there before, four of them sealed, there are three places left in the head.
WRITES: Final[dict[str, tuple[list[NewEvent], str | None]]] = {
    "one event into the head": (named("w", 1), None),
    "a commit into the head": (named("w", 2), None),
    "a commit that fills a segment": (named("w", 3), None),
    "a commit that seals a segment": (named("w", 5), None),
    "a commit that seals several": (named("w", 13), None),
    "a keyed call into the head": (named("w", 2), "call"),
    "a keyed call that seals several": (named("w", 9), "call"),
    "keyed events into the head": (named("w", 2, keyed=True), None),
    "keyed events that seal a segment": (named("w", 5, keyed=True), None),
}

ERRORS: Final[dict[str, Callable[[], Exception]]] = {
    "of the storage": lambda: OutcomeUnknown("the write failed, as a test wants it"),
    "of the system": lambda: OSError(28, "No space left on device"),
    "that says nothing was written": lambda: Unavailable("nothing was written"),
    "of the code": lambda: ZeroDivisionError("a defect"),
    "of memory": MemoryError,
}


@pytest.fixture(autouse=True)
def _reopening_is_tried_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit.log.sequencer._RETRY_S", (0.001,))


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    executor = ThreadPoolExecutor(8)
    yield executor
    # Not waited for: what a failed test leaves behind ends when its log is closed.
    executor.shutdown(wait=False, cancel_futures=True)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(monotonic_ms=1)


@pytest.fixture
def faults(tmp_path: Path) -> Faults:
    return Faults(leveldb_opener(tmp_path / "log"))


@pytest.fixture
def log(faults: Faults, clock: FakeClock) -> Iterator[SyncAudit]:
    opened = log_on(faults.open, clock=clock, options=OPTIONS, seed=1)
    yield opened
    # Whatever a test left refused must not hold up the end.
    faults.refuse_opens(0)
    closing = threading.Thread(target=opened.close, daemon=True)
    closing.start()
    closing.join(PATIENCE_S)
    assert not closing.is_alive(), "closing does not return"


def prepare(log: SyncAudit) -> list[Receipt]:
    """Append five events in three commits: a sealed segment, and one event in the head."""
    return [receipt for count in (2, 1, 2) for receipt in log.append_many(named(f"before{count}", count))]


def is_retry_safe(write: tuple[list[NewEvent], str | None]) -> bool:
    events, key = write
    return key is not None or events[0].idempotency_key is not None


def actions(events: Sequence[Event]) -> list[str]:
    return [one.action or "" for one in events]


def everything(log: SyncAudit) -> list[Event]:
    """Return all there is; the logs here fit into a page."""
    page = log.list(limit=1_000)
    assert not page.has_more
    return page.events


def assert_at_their_places(receipts: Sequence[Receipt], events: Sequence[Event], names: Sequence[str]) -> None:
    """Check that the receipts are of just these events, in this order."""
    found = [events[receipt.index] for receipt in receipts]
    assert [(one.id, one.index) for one in found] == [(receipt.id, receipt.index) for receipt in receipts]
    assert actions(found) == list(names)


def collect(tail: SyncTail) -> list[Event]:
    """Read a tail to its end."""
    with tail:
        return list(tail)


def caught_up(log: SyncAudit, topic: tuple[str, ...] = (), limit: int | None = None) -> tuple[SyncTail, list[Event]]:
    """Return a tail that has told everything up to now, and what it told."""
    tail = log.subscribe(topic, limit=limit)
    told: list[Event] = []
    while (notice := tail.read(timeout_s=0)) is not None:
        told += getattr(notice, "events", [])
    return tail, told


def refusals_from_now(faults: Faults, more: int) -> None:
    """Return once reopening was refused so many times more: the writer has looked at its queue since."""
    faults.await_refusals(faults._refused + more)


def fence(log: SyncAudit, faults: Faults, *, persisted: bool = False) -> None:
    """Fence the log until `refuse_opens(0)`."""
    faults.refuse_opens(FOR_EVER)
    faults.fail_append(1, persisted=persisted)
    with pytest.raises(OutcomeUnknown):
        log.append(event("a", "failed", action="failed"))
    refusals_from_now(faults, 1)


def queue(log: SyncAudit, faults: Faults, names: Sequence[str]) -> list[Future[Receipt]]:
    """Queue an event for each name while the log is fenced, and return once the writer knows of them."""
    queued = [log.append_nowait(event("a", action=name)) for name in names]
    refusals_from_now(faults, 2)
    return queued


# -- the table ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("refusals", [0, 4], ids=["reopens at once", "reopens the fifth time"])
@pytest.mark.parametrize("persisted", [False, True], ids=["not persisted", "persisted but errored"])
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
def test_a_failed_write_loses_nothing_acknowledged_and_the_log_goes_on(  # noqa: PLR0917 - fixtures
    write: tuple[list[NewEvent], str | None],
    persisted: bool,
    refusals: int,
    log: SyncAudit,
    faults: Faults,
    pool: ThreadPoolExecutor,
    tmp_path: Path,
) -> None:
    events, key = write
    before = prepare(log)
    names = actions(everything(log))
    retried = is_retry_safe(write)
    total = len(before) + 3 + 6 + (len(events) if persisted or retried else 0)
    tail, told = caught_up(log, limit=total)
    assert actions(told) == names
    live = pool.submit(collect, tail)

    pause = faults.pause_append(1)
    faults.fail_append(1, persisted=persisted)
    faults.refuse_opens(refusals)
    failing = pool.submit(log.append_many, events, idempotency_key=key)
    pause.reached()
    # Being written is not committed: nobody sees it yet.
    assert actions(everything(log)) == names
    assert log.info().size == len(before)
    behind = [log.append_nowait(event("a", action=f"behind.{number}")) for number in range(3)]
    pause.resume()

    with pytest.raises(OutcomeUnknown):
        failing.result(PATIENCE_S)
    queued = [one.result(PATIENCE_S) for one in behind]
    if persisted:
        names += actions_of(events)
    names += [f"behind.{number}" for number in range(3)]
    again = log.append_many(events, idempotency_key=key) if retried else []
    if retried and not persisted:
        names += actions_of(events)
    later = [receipt for count in (1, 5) for receipt in log.append_many(named(f"later{count}", count))]
    names += [*actions_of(named("later1", 1)), *actions_of(named("later5", 5))]

    found = check_log(log)
    assert actions(found) == names
    assert_at_their_places(before, found, names[: len(before)])
    assert_at_their_places(queued, found, [f"behind.{number}" for number in range(3)])
    assert_at_their_places(again, found, actions_of(events) if retried else [])
    assert_at_their_places(later, found, names[-6:])
    # Once more, now from the disk or from memory as it comes: still the same receipts, and nothing is added.
    if retried:
        assert log.append_many(events, idempotency_key=key) == again
    assert [(one.id, one.index) for one in [*told, *live.result(PATIENCE_S)]] == [(one.id, one.index) for one in found]
    stored = log.list(limit=1_000).slices

    log.close()
    with log_on(lambda: open_store(tmp_path / "log", OPTIONS), clock=FakeClock(), options=OPTIONS) as reopened:
        check_log(reopened)
        assert reopened.list(limit=1_000).slices == stored


def actions_of(events: Sequence[NewEvent]) -> list[str]:
    return [one.action or "" for one in events]


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS.keys())
@pytest.mark.parametrize("persisted", [False, True], ids=["not persisted", "persisted but errored"])
def test_every_error_of_a_write_fences(
    error: Callable[[], Exception], persisted: bool, log: SyncAudit, faults: Faults
) -> None:
    prepare(log)
    faults.fail_append(1, persisted=persisted, error=error)
    with pytest.raises(OutcomeUnknown) as caught:
        log.append(event("a", action="failed"))
    made = error()
    assert isinstance(made, OutcomeUnknown) or isinstance(caught.value.__cause__, type(made))
    # A handle that is written to after a failed write raises AssertionError, and the append would fail.
    assert log.append(event("a", action="later")).index == 5 + persisted
    check_log(log)


@pytest.mark.parametrize("persisted", [(False, True), (True, False), (True, True), (False, False)])
def test_write_after_write_may_fail(persisted: tuple[bool, bool], log: SyncAudit, faults: Faults) -> None:
    prepare(log)
    names = actions(everything(log))
    for number, happens in enumerate(persisted * 3):
        faults.fail_append(1, persisted=happens)
        call = named(f"call{number}", 3, keyed=True)
        with pytest.raises(OutcomeUnknown):
            log.append_many(call)
        receipts = log.append_many(call)
        names += actions_of(call)
        assert_at_their_places(receipts, everything(log), actions_of(call))
    assert actions(check_log(log)) == names


def test_the_calls_of_one_commit_share_its_fate_but_not_their_errors(
    log: SyncAudit, faults: Faults, pool: ThreadPoolExecutor
) -> None:
    prepare(log)
    first = faults.pause_append(1)
    holding = log.append_nowait(event("a", action="holding"))
    first.reached()
    together = [log.append_nowait(event("a", action=f"together.{number}")) for number in range(4)]
    faults.fail_append(1, persisted=True)
    first.resume()
    assert holding.result(PATIENCE_S).index == 5
    raised = [one.exception(PATIENCE_S) for one in together]
    assert all(isinstance(error, OutcomeUnknown) for error in raised)
    assert len(set(map(id, raised))) == 4, "callers share one exception object"
    assert log.append(event("a", action="later")).index == 10
    assert actions(check_log(log))[5:] == ["holding", *(f"together.{number}" for number in range(4)), "later"]


# -- tails -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", ["a commit into the head", "a commit that seals several"])
@pytest.mark.parametrize("refusals", [0, 4])
def test_a_sleeping_tail_is_told_of_a_write_that_happened_though_it_failed(
    write: str, refusals: int, log: SyncAudit, faults: Faults, pool: ThreadPoolExecutor
) -> None:
    """Nothing comes after it: the end of the fence itself must wake whoever waits for these terms."""
    prepare(log)
    events, _ = WRITES[write]
    tails = [caught_up(log, topic, limit)[0] for topic, limit in (((), len(events) + 5), (("a", "w"), len(events)))]
    waiting = [pool.submit(collect, tail) for tail in tails]
    sleepers = log._core.wakeups
    while len(sleepers) < len(tails):
        pass
    faults.refuse_opens(refusals)
    faults.fail_append(1, persisted=True)
    with pytest.raises(OutcomeUnknown):
        log.append_many(events)
    for told in waiting:
        assert actions(told.result(PATIENCE_S)) == actions_of(events)


async def test_a_tail_in_an_event_loop_is_told_of_a_write_that_happened_though_it_failed(
    faults: Faults, clock: FakeClock
) -> None:
    with log_on(faults.open, clock=clock, options=OPTIONS, seed=1) as opened:
        prepare(opened)
        log = Audit(opened._core)
        events, _ = WRITES["a commit that seals several"]
        async with log.subscribe(("a", "w"), limit=len(events)) as tail:
            await tail.read()
            faults.fail_append(1, persisted=True)
            with pytest.raises(OutcomeUnknown):
                await log.append_many(events)
            assert actions([one async for one in tail]) == actions_of(events)


def test_a_tail_of_other_terms_sleeps_through_and_misses_nothing(
    log: SyncAudit, faults: Faults, pool: ThreadPoolExecutor
) -> None:
    prepare(log)
    tail, _ = caught_up(log, ("b",), limit=2)
    live = pool.submit(collect, tail)
    faults.fail_append(1, persisted=True)
    with pytest.raises(OutcomeUnknown):
        log.append_many([event("a", action="w"), event("b", action="first of b")])
    log.append(event("a", action="more"))
    log.append(event("b", action="second of b"))
    assert actions(live.result(PATIENCE_S)) == ["first of b", "second of b"]


def test_a_tail_that_needs_the_disk_while_fenced_goes_on_where_it_was(
    log: SyncAudit, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audit.log.handle.WAIT_S", 0.01)
    for number in range(12):
        log.append_many([event("a", action=f"{number}", data="x" * 250) for _ in range(3)])
    tail = log.subscribe()
    first = tail.read(max_events=2)
    told = list(getattr(first, "events", []))
    assert len(told) == 2
    fence(log, faults, persisted=True)
    for _ in range(2):
        with pytest.raises(Unavailable, match="fenced"):
            tail.read()
    monkeypatch.setattr("audit.log.handle.WAIT_S", PATIENCE_S)
    faults.refuse_opens(0)
    while (notice := tail.read(timeout_s=0)) is not None:
        told += getattr(notice, "events", [])
    log.append(event("a", action="later"))
    told += getattr(tail.read(), "events", [])
    assert [one.index for one in told] == list(range(38))
    assert told == everything(log)


# -- calls that wait ---------------------------------------------------------------------------------------------------


def test_calls_behind_a_failed_one_are_committed_in_order_once_it_reopens(log: SyncAudit, faults: Faults) -> None:
    prepare(log)
    fence(log, faults)
    names = [f"held.{number}" for number in range(20)]
    held = queue(log, faults, names)
    assert not any(one.done() for one in held)
    faults.refuse_opens(0)
    receipts = [one.result(PATIENCE_S) for one in held]
    assert [receipt.index for receipt in receipts] == list(range(5, 25))
    assert actions(check_log(log))[5:] == names


def test_calls_outside_a_full_queue_are_held_and_committed_in_order_too(
    faults: Faults, clock: FakeClock, pool: ThreadPoolExecutor
) -> None:
    options = type(OPTIONS)(min_free_bytes=0, reserve_bytes=0, queue_events=2)
    with log_on(faults.open, clock=clock, options=options, seed=1) as log:
        pause = faults.pause_append(1)
        faults.fail_append(1, persisted=False)
        faults.refuse_opens(3)
        failing = log.append_nowait(event("a", action="failed"))
        pause.reached()
        held = [log._core.submit([event("a", action=f"held.{number}")], None, None) for number in range(8)]
        pause.resume()
        assert isinstance(failing.exception(PATIENCE_S), OutcomeUnknown)
        receipts = [one.result(PATIENCE_S)[0] for one in held]
        assert [receipt.index for receipt in receipts] == list(range(8))
        assert actions(check_log(log)) == [f"held.{number}" for number in range(8)]


def test_calls_fail_as_unavailable_after_five_seconds_of_fence_and_not_before(
    log: SyncAudit, faults: Faults, clock: FakeClock
) -> None:
    prepare(log)
    fence(log, faults)
    early = queue(log, faults, ["early.0", "early.1"])
    clock.advance(FENCE_MS - 1)
    late = queue(log, faults, ["late.0", "late.1"])
    assert not any(one.done() for one in (*early, *late))
    clock.advance(1)
    for one in early:
        with pytest.raises(Unavailable, match="nothing was written") as caught:
            one.result(PATIENCE_S)
        assert caught.value.retryable
    refusals_from_now(faults, 2)
    assert not any(one.done() for one in late)
    faults.refuse_opens(0)
    assert [one.result(PATIENCE_S).index for one in late] == [5, 6]
    assert actions(check_log(log))[5:] == ["late.0", "late.1"]


def test_five_seconds_count_from_the_start_of_the_clock_too(faults: Faults) -> None:
    clock = FakeClock()
    with log_on(faults.open, clock=clock, options=OPTIONS, seed=1) as log:
        fence(log, faults)
        held = queue(log, faults, ["held"])
        clock.advance(FENCE_MS)
        refusals_from_now(faults, 3)
        done = held[0].done()
        faults.refuse_opens(0)
        error = held[0].exception(PATIENCE_S)
    assert done
    assert isinstance(error, Unavailable)


def test_a_call_given_up_while_fenced_is_not_committed(log: SyncAudit, faults: Faults) -> None:
    prepare(log)
    fence(log, faults)
    held = [log._core.submit([event("a", action=f"held.{number}")], None, None) for number in range(3)]
    refusals_from_now(faults, 2)
    assert held[1].cancel()
    faults.refuse_opens(0)
    assert [held[number].result(PATIENCE_S)[0].index for number in (0, 2)] == [5, 6]
    assert actions(check_log(log))[5:] == ["held.0", "held.2"]


def test_calls_held_stay_before_newer_ones_when_one_of_them_fails_too(log: SyncAudit, faults: Faults) -> None:
    prepare(log)
    fence(log, faults)
    held = queue(log, faults, ["held.0", "held.1", "held.2"])
    pause = faults.pause_append(1)
    faults.fail_append(1, persisted=False)
    faults.refuse_opens(0)
    pause.reached()
    newer = log.append_nowait(event("a", action="newer"))
    faults.refuse_opens(4)
    pause.resume()
    assert isinstance(held[0].exception(PATIENCE_S), OutcomeUnknown)
    wait_for([*held, newer], PATIENCE_S)
    assert actions(check_log(log))[5:] == ["held.1", "held.2", "newer"]


def test_calls_held_fail_after_five_seconds_of_the_next_fence_too(
    log: SyncAudit, faults: Faults, clock: FakeClock
) -> None:
    prepare(log)
    fence(log, faults)
    held = queue(log, faults, ["held.0", "held.1"])
    pause = faults.pause_append(1)
    faults.fail_append(1, persisted=False)
    faults.refuse_opens(0)
    pause.reached()
    faults.refuse_opens(FOR_EVER)
    pause.resume()
    assert isinstance(held[0].exception(PATIENCE_S), OutcomeUnknown)
    refusals_from_now(faults, 2)
    clock.advance(FENCE_MS)
    refusals_from_now(faults, 3)
    done = held[1].done()
    faults.refuse_opens(0)
    error = held[1].exception(PATIENCE_S)
    assert done
    assert isinstance(error, Unavailable)


# -- readers -----------------------------------------------------------------------------------------------------------


def test_recent_events_are_read_while_fenced_and_older_ones_are_unavailable_after_a_wait(
    log: SyncAudit, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audit.log.handle.WAIT_S", 0.01)
    receipts = [
        receipt
        for number in range(12)
        for receipt in log.append_many([event("a", action=f"{number}", data="x" * 250) for _ in range(3)])
    ]
    fence(log, faults)
    # The head and some of the sealed segments before it are in memory.
    newest = log.list(order="desc", limit=2)
    assert [one.index for one in newest.events] == [35, 34]
    assert log.get(receipts[-1].id).index == 35
    reads: dict[str, Callable[[], object]] = {
        "get": lambda: log.get(receipts[0].id),
        "list": lambda: log.list(limit=1),
        "list, newest first": lambda: log.list(order="desc", limit=30),
        "topics": log.topics,
        "a tail": lambda: log.subscribe().read(),
    }
    for name, read in reads.items():
        with pytest.raises(Unavailable, match="fenced after a failed write"):
            raise AssertionError(f"{name} gave {read()!r}")
    faults.refuse_opens(0)
    monkeypatch.setattr("audit.log.handle.WAIT_S", PATIENCE_S)
    for read in reads.values():
        read()
    assert log.get(receipts[0].id).index == 0
    check_log(log)


def test_the_log_says_what_it_is_while_fenced(log: SyncAudit, faults: Faults, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit.log.handle.WAIT_S", 0.01)
    receipts = [log.append_many([event("a", data="x" * 250) for _ in range(3)]) for _ in range(12)]
    fence(log, faults)
    info = log.info()
    assert (info.size, info.first_id, info.last_id) == (36, receipts[0][0].id, receipts[-1][-1].id)


def test_a_read_that_waits_is_served_once_the_store_is_back(
    log: SyncAudit, faults: Faults, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audit.log.handle.WAIT_S", PATIENCE_S)
    for number in range(12):
        log.append_many([event("a", action=f"{number}", data="x" * 250) for _ in range(3)])
    fence(log, faults)
    reads = [pool.submit(log.list, order=order, limit=36) for order in ("asc", "desc")]
    faults.refuse_opens(0)
    assert [one.index for one in reads[0].result(PATIENCE_S).events] == list(range(36))
    assert [one.index for one in reads[1].result(PATIENCE_S).events] == list(range(35, -1, -1))


@pytest.fixture
def _threads_take_turns_often() -> Iterator[None]:
    """Have each step of the writer's looked at by readers."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("_threads_take_turns_often")
def test_readers_never_see_the_log_shrink_while_it_is_fenced_again_and_again(
    faults: Faults, clock: FakeClock, pool: ThreadPoolExecutor
) -> None:
    """Sizes only grow, and a cursor once given out stays good: also in the middle of a recovery."""
    stop = threading.Event()
    with log_on(faults.open, clock=clock, options=OPTIONS, seed=1) as log:
        prepare(log)

        def watch() -> list[tuple[int, int]]:
            log.info()
            size = 0
            shrunk = []
            while not stop.is_set():
                now = log.info().size
                if now < size:
                    shrunk.append((size, now))
                size = now
            return shrunk

        def page() -> list[AuditError]:
            refused = []
            while not stop.is_set():
                found = log.list(order="desc", limit=1)
                try:
                    log.list(order="desc", limit=1, cursor=found.cursor)
                except AuditError as error:
                    refused.append(error)
            return refused

        shrunk, refused = pool.submit(watch), pool.submit(page)
        for number in range(20):
            faults.fail_append(1, persisted=True)
            with pytest.raises(OutcomeUnknown):
                log.append(event("a", action=f"{number}"))
            log.append(event("a", action="between"))
        stop.set()
        assert shrunk.result(PATIENCE_S) == []
        assert refused.result(PATIENCE_S) == []
        assert len(check_log(log)) == 45


# -- a store that is not what it was -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["shorter", "diverged", "empty"])
def test_a_store_that_lost_acknowledged_events_stays_fenced_and_says_so(
    kind: str, tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    paths = {"now": tmp_path / "log", "other": tmp_path / "other"}
    leveldb_opener(paths["now"])
    current = "now"
    faults = Faults(lambda: open_store(paths[current], OPTIONS))
    caplog.set_level(logging.WARNING, "audit")
    with log_on(faults.open, clock=clock, options=OPTIONS, seed=1) as log:
        if kind == "empty":
            leveldb_opener(paths["other"])
        prepare(log)
        if kind != "empty":
            copy_store(paths["now"], paths["other"])
        acknowledged = log.append_many(named("acknowledged", 6))
        if kind == "diverged":
            with log_on(lambda: open_store(paths["other"], OPTIONS), clock=clock, options=OPTIONS, seed=2) as copy:
                copy.append_many(named("diverged", 6))
        before = log.list(limit=1_000).slices
        current = "other"
        faults.fail_append(1, persisted=False)
        with pytest.raises(OutcomeUnknown):
            log.append(event("a", action="failed"))
        held = log.append_nowait(event("a", action="held"))
        until_logged(caplog, "acknowledged", 2)
        # What is in memory is still told: nothing of the other store is.
        assert log.get(acknowledged[-1].id).action == "acknowledged.5"
        clock.advance(FENCE_MS)
        with pytest.raises(Unavailable, match="acknowledged") as caught:
            held.result(PATIENCE_S)
        assert isinstance(caught.value.__cause__, StoreCorrupt)
        current = "now"
        assert log.append(event("a", action="later")).index == 11
        assert log.list(limit=1_000).slices[:11] == before
        check_log(log)


def until_logged(caplog: pytest.LogCaptureFixture, text: str, times: int) -> None:
    """Return once a message was logged so many times from now on; the test's own timeout ends it otherwise."""
    seen = len(caplog.messages)
    while sum(text in message for message in caplog.messages[seen:]) < times:
        pass


def test_a_fence_is_logged_from_its_beginning_to_its_end(
    log: SyncAudit, faults: Faults, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "audit")
    prepare(log)
    faults.refuse_opens(2)
    faults.fail_append(1, persisted=False)
    with pytest.raises(OutcomeUnknown):
        log.append(event("a"))
    log.append(event("a"))
    levels = [record.levelname for record in caplog.records]
    assert levels == ["ERROR", "WARNING", "WARNING", "WARNING"]
    assert "fenced" in caplog.messages[0]
    assert "can't be reopened yet" in caplog.messages[1]
    assert "reopened with 5 events" in caplog.messages[-1]


# -- closing -----------------------------------------------------------------------------------------------------------


def test_closing_while_fenced_fails_the_calls_that_wait_and_returns(
    faults: Faults, clock: FakeClock, pool: ThreadPoolExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audit.log.handle.WAIT_S", PATIENCE_S)
    log = log_on(faults.open, clock=clock, options=OPTIONS, seed=1)
    for number in range(12):
        log.append_many([event("a", action=f"{number}", data="x" * 250) for _ in range(3)])
    tail, told = caught_up(log)
    reader = log.subscribe()
    fence(log, faults)
    held = queue(log, faults, ["held.0", "held.1"])
    sleeping = pool.submit(tail.read)
    reading = pool.submit(reader.read)
    listing = pool.submit(log.list, limit=1)
    pool.submit(log.close).result(PATIENCE_S)
    for one in held:
        assert isinstance(one.exception(PATIENCE_S), (Unavailable, StoreClosed))
    for notice in (sleeping.result(PATIENCE_S), reading.result(PATIENCE_S)):
        assert isinstance(notice, End)
        assert notice.reason == "shutdown"
    with pytest.raises(StoreClosed):
        listing.result(PATIENCE_S)
    with pytest.raises(StoreClosed):
        log.append(event("a"))
    log.close()
    with log_on(lambda: open_store(tmp_path / "log", OPTIONS), clock=FakeClock(), options=OPTIONS) as reopened:
        assert check_log(reopened) == told


def test_closing_a_fenced_log_that_can_be_reopened_commits_what_waits(
    clock: FakeClock, pool: ThreadPoolExecutor
) -> None:
    opener = memory_opener(TINY)
    faults = Faults(opener)
    log = log_on(faults.open, clock=clock, options=OPTIONS, seed=1)
    prepare(log)
    pause = faults.pause_append(1)
    faults.fail_append(1, persisted=True)
    failing = log.append_nowait(event("a", action="failed"))
    pause.reached()
    held = [log.append_nowait(event("a", action=f"held.{number}")) for number in range(3)]
    closing = pool.submit(log.close)
    pause.resume()
    closing.result(PATIENCE_S)
    assert isinstance(failing.exception(PATIENCE_S), OutcomeUnknown)
    assert [one.result(PATIENCE_S).index for one in held] == [6, 7, 8]
    with log_on(opener, clock=FakeClock(), options=OPTIONS) as reopened:
        assert actions(check_log(reopened))[5:] == ["failed", "held.0", "held.1", "held.2"]
