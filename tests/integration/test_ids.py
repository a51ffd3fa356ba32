"""Ids never go back: over restarts, steps of the clock either way, and a clock that is refused until it is accepted."""

import asyncio
import math
import random
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from audit import Audit, Batch, CaughtUp, ClockSuspect, NewEvent, Receipt, StoreOptions, SyncAudit
from audit.codec.events import event_id_text, event_index
from audit.log.clock import MAX_JUMP_MS, SystemClock
from audit.model.ids import timestamp_ms
from audit.storage.memory import Disk, MemoryStorage
from audit.storage.opening import create_store, open_store
from audit.storage.port import Storage
from audit.testing import FakeClock, check_log, log_on, memory_log
from audit.testing.clock import START_MS
from audit.testing.logs import STORE_ID
from tests.fault.report import record, scaled, seeded
from tests.stores import OPTIONS, TINY

SECOND = 1_000
HOUR = 3_600 * SECOND
YEAR = 365 * 24 * HOUR
EVENT = NewEvent(topics=[("a",)])
SMALL = StoreOptions(recent_bytes=2_000, min_free_bytes=0, reserve_bytes=0)


@pytest.fixture
def disk() -> Disk:
    return Disk(STORE_ID, TINY)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def log(disk: Disk, clock: FakeClock) -> Iterator[SyncAudit]:
    with memory_log(disk, clock=clock, options=SMALL, seed=1) as log:
        yield log


def random_step(chosen: random.Random) -> int:
    """Return a step of one second to a year, either way, small ones as likely as large ones."""
    return chosen.choice((-1, 1)) * round(math.exp(chosen.uniform(math.log(SECOND), math.log(YEAR))))


def restart_often(opener: Callable[[], Storage], restarts: int, seed: int) -> list[Receipt]:
    """Append, and step the clock while the log is open and while it is not; check each id against the clock."""
    chosen = random.Random(seed)
    clock = FakeClock()
    receipts: list[Receipt] = []
    newest_ms = 0
    for _ in range(restarts):
        # The same seed each time: were ids made of the random part alone, they would come again.
        with log_on(opener, clock=clock, options=SMALL, accept_clock=True, seed=seed) as log:
            for _ in range(chosen.randrange(3)):
                appended = log.append_many([EVENT] * chosen.randrange(1, 4))
                newest_ms = max(newest_ms, clock.wall_ms())
                assert {timestamp_ms(receipt.id) for receipt in appended} == {newest_ms}
                receipts += appended
                if chosen.random() < 0.5:
                    clock.step(random_step(chosen))
                    log.accept_clock()
                clock.advance(chosen.randrange(3))
            assert log.info().size == len(receipts)
            assert log.info().last_id == (receipts[-1].id if receipts else None)
        # Time itself goes on by more than the steps take back, or ids would stand still after the first great leap.
        clock.advance(chosen.choice([0, 0, HOUR, YEAR]))
        clock.step(random_step(chosen))
    return receipts


def check_receipts(receipts: list[Receipt], log: SyncAudit) -> None:
    """Check that ids strictly increase with dense indexes, and that the log says what the receipts say."""
    for before, after in pairwise(receipts):
        assert before.id < after.id
    assert [receipt.index for receipt in receipts] == list(range(len(receipts)))
    stored: list[tuple[str, int]] = []
    cursor, more = None, True
    while more:
        page = log.list(limit=1_000, cursor=cursor)
        stored += [(event_id_text(raw).decode(), event_index(raw)) for raw in page.slices]
        cursor, more = page.cursor, page.has_more
    assert stored == [(receipt.id, receipt.index) for receipt in receipts]


def record_clock(restarts: int, receipts: list[Receipt]) -> None:
    """Say what was tried; `check_receipts` has found that each receipt is in the log, once, at its place."""
    record(
        fault="clock steps",
        injected="±1 s to ±1 year, while open and between restarts",
        tried=restarts,
        acknowledged=len(receipts),
        lost=0,
        repeated=len(receipts) - len({receipt.id for receipt in receipts}),
        detected="ids strictly increase, in receipts as in the log; a store far ahead is refused, with the remedy",
    )


# -- restarts ----------------------------------------------------------------------------------------------------------


# Many logs rather than long ones: a thousand restarts take a log centuries ahead, and ids end with the year 10889.
@pytest.mark.parametrize("log_number", range(scaled(1)))
def test_ids_strictly_increase_across_1000_restarts_and_steps_of_the_clock(disk: Disk, log_number: int) -> None:
    receipts = restart_often(lambda: MemoryStorage(disk), 1_000, seeded(1) + log_number)
    assert len(receipts) > 1_000
    with memory_log(disk, accept_clock=True) as log:
        check_receipts(receipts, log)
    record_clock(1_000, receipts)


@pytest.mark.parametrize("log_number", range(scaled(1)))
def test_ids_strictly_increase_across_restarts_of_leveldb(tmp_path: Path, log_number: int) -> None:
    create_store(tmp_path / "log", STORE_ID, TINY)

    def opener() -> Storage:
        return open_store(tmp_path / "log", OPTIONS)

    receipts = restart_often(opener, 20, seeded(3) + log_number)
    with log_on(opener, accept_clock=True) as log:
        check_receipts(receipts, log)
        check_log(log)
    record_clock(20, receipts)


@pytest.mark.parametrize("sealed", [True, False])
def test_the_newest_id_is_found_again_whether_sealed_or_not(disk: Disk, sealed: bool) -> None:
    clock = FakeClock()
    count = TINY.segment_events if sealed else 1
    last = ""
    for restart in range(3):
        with memory_log(disk, clock=clock, seed=1) as log:
            receipts = log.append_many([EVENT] * count)
            assert receipts[0].id > last
            assert receipts[0].index == count * restart
            last = receipts[-1].id
        clock.step(-MAX_JUMP_MS // 3)


def test_within_one_millisecond_ids_grow_by_small_steps(log: SyncAudit, clock: FakeClock) -> None:
    first = log.append(EVENT)
    ids = [first.id, *(receipt.id for receipt in log.append_many([EVENT] * 1_000)), log.append(EVENT).id]
    assert all(before < after for before, after in pairwise(ids))
    assert {timestamp_ms(one) for one in ids} == {START_MS}
    clock.advance(1)
    assert timestamp_ms(log.append(EVENT).id) == START_MS + 1


def test_a_correction_backwards_keeps_the_newest_time_until_the_clock_has_caught_up(
    log: SyncAudit, clock: FakeClock
) -> None:
    first = log.append(EVENT)
    clock.step(-5_000)
    behind = log.append(EVENT)
    clock.advance(4_999)
    still = log.append(EVENT)
    clock.advance(2)
    ahead = log.append(EVENT)
    assert [timestamp_ms(one.id) - START_MS for one in (first, behind, still, ahead)] == [0, 0, 0, 1]
    assert first.id < behind.id < still.id < ahead.id


# -- a jump while running ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("back", [True, False])
@pytest.mark.parametrize("jump", [MAX_JUMP_MS + 1, YEAR])
def test_a_jump_while_running_refuses_appends_while_reads_go_on(
    log: SyncAudit, clock: FakeClock, back: bool, jump: int
) -> None:
    receipts = log.append_many([EVENT] * 30)
    clock.step(-jump if back else jump)
    tail = log.subscribe()
    way = "back" if back else "ahead"
    for _ in range(3):
        with pytest.raises(
            ClockSuspect, match=rf"jumped .* {way}: set the clock, or go on with accept_clock"
        ) as caught:
            log.append_many([EVENT] * 2)
        assert caught.value.code == "clock_suspect"
        assert not caught.value.retryable
    assert log.info().size == 30
    assert [event.index for event in log.list().events] == list(range(30))
    assert log.get(receipts[0].id).index == 0
    found: list[int | None] = []
    while isinstance(notice := tail.read(timeout_s=0), Batch):
        found += [event.index for event in notice.events]
    assert isinstance(notice, CaughtUp)
    assert found == list(range(30))
    assert tail.read(timeout_s=0) is None


def test_a_jump_of_an_hour_is_taken(log: SyncAudit, clock: FakeClock) -> None:
    log.append(EVENT)
    clock.step(MAX_JUMP_MS)
    assert timestamp_ms(log.append(EVENT).id) == START_MS + MAX_JUMP_MS
    clock.step(-MAX_JUMP_MS)
    assert timestamp_ms(log.append(EVENT).id) == START_MS + MAX_JUMP_MS


def test_time_that_passes_is_no_jump(log: SyncAudit, clock: FakeClock) -> None:
    log.append(EVENT)
    clock.advance(10 * YEAR)
    assert timestamp_ms(log.append(EVENT).id) == START_MS + 10 * YEAR


@pytest.mark.parametrize("jump", [-YEAR, -2 * HOUR, 2 * HOUR, YEAR])
def test_an_accepted_clock_goes_on_and_ids_never_go_back(log: SyncAudit, clock: FakeClock, jump: int) -> None:
    before = log.append(EVENT)
    clock.step(jump)
    with pytest.raises(ClockSuspect):
        log.append(EVENT)
    log.accept_clock()
    after = log.append(EVENT)
    assert after.id > before.id
    assert after.index == 1
    assert timestamp_ms(after.id) == START_MS + max(0, jump)
    clock.step(-jump)
    with pytest.raises(ClockSuspect):
        log.append(EVENT)


@pytest.mark.parametrize("jump", [-YEAR, YEAR])
def test_a_clock_that_returns_clears_it(log: SyncAudit, clock: FakeClock, jump: int) -> None:
    log.append(EVENT)
    clock.step(jump)
    with pytest.raises(ClockSuspect):
        log.append(EVENT)
    clock.advance(60_000)
    clock.step(-jump)
    assert timestamp_ms(log.append(EVENT).id) == START_MS + 60_000


async def test_a_jump_is_told_and_accepted_in_an_event_loop_too(log: SyncAudit, clock: FakeClock) -> None:
    audit = Audit(log._core)
    clock.step(YEAR)
    told = await asyncio.gather(*(audit.append(EVENT) for _ in range(3)), return_exceptions=True)
    assert [type(one) for one in told] == [ClockSuspect] * 3
    assert len({id(one) for one in told}) == 3
    assert (await audit.list()).slices == []
    audit.accept_clock()
    assert (await audit.append(EVENT)).index == 0


def test_a_tail_that_waits_for_its_end_takes_no_suspect_time_for_true(log: SyncAudit, clock: FakeClock) -> None:
    tail = log.subscribe(seek_end=START_MS + HOUR)
    assert isinstance(tail.read(timeout_s=0), CaughtUp)
    clock.step(YEAR)
    assert tail.read(timeout_s=0) is None
    with pytest.raises(ClockSuspect):
        log.append(EVENT)
    assert tail.read(timeout_s=0) is None
    clock.step(-YEAR)
    receipt = log.append(EVENT)
    assert timestamp_ms(receipt.id) == START_MS
    notice = tail.read(timeout_s=0)
    assert isinstance(notice, Batch)
    assert [event.id for event in notice.events] == [receipt.id]


# -- an opening with the newest event ahead ----------------------------------------------------------------------------


def test_a_newest_event_far_ahead_refuses_appends_at_open_until_accepted(disk: Disk) -> None:
    with memory_log(disk, clock=FakeClock(START_MS + YEAR)) as log:
        future = log.append(EVENT)
    with memory_log(disk, clock=FakeClock()) as log:
        with pytest.raises(ClockSuspect, match=rf"{future.id} is 365\.0 days ahead .* accept_clock=True") as caught:
            log.append(EVENT)
        assert "--accept-clock" in str(caught.value)
        assert log.get(future.id).index == 0
        assert [event.id for event in log.list().events] == [future.id]
        log.accept_clock()
        running = log.append(EVENT)
    with memory_log(disk, clock=FakeClock(), accept_clock=True) as log:
        opened = log.append(EVENT)
    assert future.id < running.id < opened.id
    assert timestamp_ms(opened.id) == START_MS + YEAR


def test_acceptance_is_not_remembered_by_the_store(disk: Disk) -> None:
    with memory_log(disk, clock=FakeClock(START_MS + YEAR)) as log:
        log.append(EVENT)
    with memory_log(disk, clock=FakeClock(), accept_clock=True) as log:
        log.append(EVENT)
    with memory_log(disk, clock=FakeClock()) as log, pytest.raises(ClockSuspect):
        log.append(EVENT)


@pytest.mark.parametrize("way", ["time passes", "the clock is set"])
def test_at_open_too_the_clock_clears_it_by_coming_near(disk: Disk, way: str) -> None:
    with memory_log(disk, clock=FakeClock(START_MS + MAX_JUMP_MS + 5)) as log:
        future = log.append(EVENT)
    clock = FakeClock()
    with memory_log(disk, clock=clock) as log:
        with pytest.raises(ClockSuspect):
            log.append(EVENT)
        if way == "time passes":
            clock.advance(5)
        else:
            clock.step(5)
        after = log.append(EVENT)
        assert after.id > future.id
        clock.advance(MAX_JUMP_MS + 1)
        assert timestamp_ms(log.append(EVENT).id) == clock.wall_ms()


def test_a_newest_event_an_hour_ahead_or_years_behind_is_taken_at_open(disk: Disk) -> None:
    for wall_ms in (START_MS, START_MS - MAX_JUMP_MS, START_MS + 10 * YEAR):
        with memory_log(disk, clock=FakeClock(wall_ms)) as log:
            log.append(EVENT)


async def test_a_real_store_from_the_future_opens_and_appends_once_accepted(tmp_path: Path) -> None:
    ahead = FakeClock(SystemClock().wall_ms() + YEAR)
    options = StoreOptions(min_free_bytes=0, reserve_bytes=0)
    async with Audit.open(tmp_path / "data", create=True, clock=ahead, options=options) as log:
        future = await log.append(EVENT)
    async with Audit.open(tmp_path / "data", options=options) as log:
        with pytest.raises(ClockSuspect, match="accept_clock=True"):
            await log.append(EVENT)
        assert (await log.get(future.id)).index == 0
    async with Audit.open(tmp_path / "data", accept_clock=True, options=options) as log:
        assert (await log.append(EVENT)).id > future.id
