"""Tails: from history to live without gap or duplicate, whatever is appended, cancelled or closed meanwhile."""

import asyncio
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from audit import (
    Actor,
    Audit,
    Batch,
    CaughtUp,
    CursorInvalid,
    End,
    Event,
    FellBehind,
    InvalidParameter,
    NewEvent,
    StoreOptions,
    SyncAudit,
    SyncTail,
    Tail,
)
from audit.codec.events import event_index
from audit.log.clock import SystemClock
from audit.log.tail import Notice, TailCore
from audit.log.wakeups import Sleeper
from audit.model.ids import timestamp_ms
from audit.storage.memory import Disk, MemoryStorage
from audit.storage.port import Found, Search
from audit.testing import FakeClock, log_on, memory_audit, memory_log
from audit.testing.clock import START_MS
from audit.testing.logs import STORE_ID
from tests.stores import OPTIONS, TINY, leveldb_opener

PATIENCE_S = 30.0
SMALL = StoreOptions(recent_bytes=2_000, min_free_bytes=0, reserve_bytes=0)


class CountingStorage(MemoryStorage):
    """Storage in memory that counts how often it is searched."""

    searches = 0

    def search(self, search: Search, expired: Callable[[], bool]) -> Found:
        self.searches += 1
        return super().search(search, expired)


def numbered(n: int, *topic: str) -> NewEvent:
    return NewEvent(topics=[topic or ("a",)], data=n)


def many(first: int, last: int, *topic: str) -> list[NewEvent]:
    """Return numbered events, `last` not among them."""
    return [numbered(n, *topic) for n in range(first, last)]


def indexes(notices: list[Notice]) -> list[int]:
    return [event_index(raw) for notice in notices if isinstance(notice, Batch) for raw in notice.slices]


def kinds(notices: list[Notice]) -> list[type]:
    """Return the kinds of some notices, consecutive batches counted once."""
    found = [type(notice) for notice in notices]
    return [kind for before, kind in zip([None, *found], found, strict=False) if kind is not before]


async def read_up(tail: Tail, max_events: int = 1_000) -> list[Notice]:
    """Read until the tail is caught up or over."""
    notices: list[Notice] = []
    async with asyncio.timeout(PATIENCE_S):
        while not notices or not isinstance(notices[-1], CaughtUp | End):
            notices.append(await tail.read(max_events))
    return notices


async def next_of(tail: Tail) -> Notice:
    async with asyncio.timeout(PATIENCE_S):
        return await tail.read()


def read_up_sync(tail: SyncTail) -> list[Notice]:
    notices: list[Notice] = []
    while not notices or not isinstance(notices[-1], CaughtUp | End):
        notice = tail.read(timeout_s=PATIENCE_S)
        assert notice is not None
        notices.append(notice)
    return notices


async def asleep(log: Audit, tails: int = 1) -> None:
    """Return once so many tails sleep."""
    async with asyncio.timeout(PATIENCE_S):
        while len(log._core.wakeups) != tails:  # noqa: ASYNC110 - falling asleep has no event
            await asyncio.sleep(0)


def asleep_in_threads(log: SyncAudit, tails: int = 1) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while len(log._core.wakeups) != tails:
        assert time.monotonic() < deadline, f"{len(log._core.wakeups)} tails sleep, not {tails}"


def on_leveldb(path: Path) -> Audit:
    return Audit(log_on(leveldb_opener(path), options=OPTIONS)._core)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def log(clock: FakeClock) -> AsyncIterator[Audit]:
    async with memory_audit(layout=TINY, clock=clock, options=SMALL, seed=1) as log:
        yield log


@pytest.fixture
def blocking(clock: FakeClock) -> Iterator[SyncAudit]:
    with memory_log(layout=TINY, clock=clock, options=SMALL, seed=1) as log:
        yield log


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as threads:
        yield threads


# -- from history to live ----------------------------------------------------------------------------------------------


async def test_tails_begun_at_any_moment_hand_over_from_history_to_live_exactly(tmp_path: Path) -> None:
    writers, each = 6, 40
    total = writers * each

    async def write(log: Audit, writer: int) -> None:
        left = each
        while left:
            count = min(left, 1 + (left + writer) % 3)
            await log.append_many(many(0, count, "a", str(writer)))
            left -= count

    async def follow(log: Audit, after: int, max_events: int) -> list[Notice]:
        async with asyncio.timeout(PATIENCE_S):
            while log.info().size < after:  # noqa: ASYNC110 - a subscription would be what is tested
                await asyncio.sleep(0)
            notices: list[Notice] = []
            async with log.subscribe(("a",), limit=total) as tail:
                while not notices or not isinstance(notices[-1], End):
                    notices.append(await tail.read(max_events))
        return notices

    async with on_leveldb(tmp_path / "log") as log:
        following = [
            asyncio.create_task(follow(log, after, size))
            for after, size in [(0, 1_000), (0, 1), (20, 7), (100, 1_000), (180, 3), (total, 1_000)]
        ]
        await asyncio.gather(*(write(log, writer) for writer in range(writers)))
        for notices in await asyncio.gather(*following):
            assert indexes(notices) == list(range(total))
            assert isinstance(notices[-1], End)
            assert notices[-1].reason == "limit"
        assert len(log._core.wakeups) == 0


def test_tails_in_threads_hand_over_from_history_to_live_exactly(tmp_path: Path, threads: ThreadPoolExecutor) -> None:
    total = 150

    def follow(log: SyncAudit, after: int) -> list[int | None]:
        begun = log.subscribe(("a",), limit=max(1, after))
        list(begun)
        with log.subscribe(("a",), limit=total) as tail:
            return [event.index for event in tail]

    def write(log: SyncAudit) -> None:
        for n in range(total // 3):
            log.append(numbered(n))

    with log_on(leveldb_opener(tmp_path / "log"), options=OPTIONS) as log:
        following = [threads.submit(follow, log, after) for after in (0, 10, 75, 140)]
        writing = [threads.submit(write, log) for _ in range(3)]
        for written in writing:
            written.result(PATIENCE_S)
        for followed in following:
            assert followed.result(PATIENCE_S) == list(range(total))
        assert len(log._core.wakeups) == 0


async def test_live_events_wake_a_tail_that_waits_for_them(log: Audit) -> None:
    tail = log.subscribe(("a",))
    await read_up(tail)
    for n in range(30):
        reading = asyncio.create_task(next_of(tail))
        await asleep(log)
        await log.append(numbered(n, "a", "b"))
        assert indexes([await reading]) == [n]


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"topic": ("a", "b")},
        {"topics": [("nobody",), ("a",)]},
        {"filter": {"actor": "u"}},
        {"topic": ("a",), "filter": {"actor": "u", "action": "open"}},
        {"topics": [("a", "b"), ("nobody",)], "filter": {"action": "open"}},
    ],
)
async def test_whatever_is_asked_for_wakes_the_tail(log: Audit, query: dict[str, Any]) -> None:
    tail = log.subscribe(**query)
    await read_up(tail)
    reading = asyncio.create_task(next_of(tail))
    await asleep(log)
    await log.append(NewEvent(topics=[("z",), ("a", "b", "c")], actor=Actor(type="user", id="u"), action="open"))
    assert indexes([await reading]) == [0]


@pytest.mark.parametrize("topic", [("a",), ()])
async def test_a_commit_between_a_tails_last_look_and_its_sleep_is_not_slept_through(
    log: Audit, monkeypatch: pytest.MonkeyPatch, topic: tuple[str, ...]
) -> None:
    def interleaved(core: TailCore, sleeper: Sleeper) -> bool:
        # What the writer's thread may do while the tail lies down.
        monkeypatch.undo()
        log.sync.append(numbered(0))
        return core.fall_asleep(sleeper)

    tail = log.subscribe(topic)
    await read_up(tail)
    monkeypatch.setattr(TailCore, "fall_asleep", interleaved)
    assert indexes([await next_of(tail)]) == [0]


@pytest.mark.parametrize("topic", [("a",), ()])
async def test_commits_between_a_wake_up_and_the_tails_next_look_are_delivered(
    log: Audit, topic: tuple[str, ...]
) -> None:
    tail = log.subscribe(topic)
    await read_up(tail)
    reading = asyncio.create_task(next_of(tail))
    await asleep(log)
    # Blocking, so that the tail, in this very loop, gets to run only after them all.
    for n in range(3):
        log.sync.append(numbered(n))
    assert indexes([await reading]) == [0, 1, 2]


@pytest.mark.parametrize("topic", [(), ("a",), ("a", "b")])
async def test_a_tail_of_an_empty_log_is_caught_up_at_once(log: Audit, topic: tuple[str, ...]) -> None:
    tail = log.subscribe(topic)
    assert kinds(await read_up(tail)) == [CaughtUp]
    await log.append(numbered(0, "a", "b"))
    assert indexes([await next_of(tail)]) == [0]


async def test_a_tail_of_an_unknown_topic_is_caught_up_at_once(log: Audit) -> None:
    await log.append_many(many(0, 100, "other"))
    tail = log.subscribe(("nobody",))
    assert kinds(await read_up(tail)) == [CaughtUp]
    reading = asyncio.create_task(next_of(tail))
    await log.append_many([*many(0, 3, "other"), numbered(3, "nobody")])
    assert indexes([await reading]) == [103]


async def test_a_tail_from_now_leaves_history_out(log: Audit) -> None:
    empty = log.subscribe(seek="now")
    await log.append_many(many(0, 50))
    tail = log.subscribe(seek="now")
    cursor = tail.cursor
    await log.append_many(many(50, 60))
    assert indexes(await read_up(empty)) == list(range(60))
    assert indexes(await read_up(tail)) == list(range(50, 60))
    assert indexes(await read_up(log.subscribe(cursor=cursor))) == list(range(50, 60))


async def test_a_batch_has_at_most_max_events(log: Audit) -> None:
    await log.append_many(many(0, 50))
    notices = await read_up(log.subscribe(), max_events=7)
    assert indexes(notices) == list(range(50))
    assert max(len(notice) for notice in notices if isinstance(notice, Batch)) <= 7


async def test_a_slow_tail_falls_behind_and_is_caught_up_again_without_losing_an_event(log: Audit) -> None:
    tail = log.subscribe(("a",))
    await log.append_many(many(0, 5))
    notices = await read_up(tail, max_events=2)
    for n in range(5, 105):
        await log.append_many([numbered(n), numbered(n, "other")])
    notices += await read_up(tail, max_events=2)
    await log.append(numbered(105))
    notices.append(await next_of(tail))
    assert kinds(notices) == [Batch, CaughtUp, FellBehind, Batch, CaughtUp, Batch]
    assert indexes(notices) == [*range(5), *range(5, 205, 2), 205]
    delivered = 0
    for notice in notices:
        delivered += len(notice) if isinstance(notice, Batch) else 0
        assert indexes(await read_up(log.subscribe(("a",), cursor=notice.cursor))) == indexes(notices)[delivered:]


async def test_a_tail_that_keeps_up_is_never_told_that_it_fell_behind(log: Audit) -> None:
    tail = log.subscribe()
    notices = await read_up(tail)
    for n in range(100):
        await log.append(numbered(n))
        notices.append(await next_of(tail))
    assert kinds(notices) == [CaughtUp, Batch]
    assert indexes(notices) == list(range(100))


async def test_a_union_of_topics_is_in_strict_order_of_ids_under_one_limit_beside_an_empty_topic(log: Audit) -> None:
    topics = [("nobody",), ("b", "x"), ("a",)]
    own = [("a",), ("b",), ("b", "x", "y"), ("c",), ("a", "z"), ("b", "x")]
    await log.append_many([numbered(n, *own[n % 6]) for n in range(60)])
    await log.append(NewEvent(topics=topics))
    tail = log.subscribe(topics=topics, limit=60)
    events = [event async for event in _taken(tail, 41)]
    reading = asyncio.create_task(read_up(tail))
    for n in range(61, 100):
        await log.append(numbered(n, *own[n % 6]))
    notices = await reading
    while not isinstance(notices[-1], End):
        notices += await read_up(tail)
    assert notices[-1].reason == "limit"
    found = [*(event.index for event in events), *indexes(notices)]
    expected = [n for n in range(100) if n == 60 or own[n % 6] not in (("b",), ("c",))]
    assert found == expected[:60]
    ids = [event.id for event in events]
    assert all(before < after for before, after in pairwise(ids))


async def _taken(tail: Tail, count: int) -> AsyncIterator[Event]:
    async with asyncio.timeout(PATIENCE_S):
        for _ in range(count):
            yield await anext(tail)


# -- where a tail ends -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 4, 10, 11])
async def test_limit_ends_a_tail_in_history_or_live_and_its_cursor_goes_on(log: Audit, limit: int) -> None:
    await log.append_many(many(0, 10))
    tail = log.subscribe(limit=limit)
    reading = asyncio.create_task(_until_end(tail))
    if limit > 10:
        await asleep(log)
    await log.append_many(many(10, 20))
    notices = await reading
    assert indexes(notices) == list(range(limit))
    assert isinstance(notices[-1], End)
    assert notices[-1] == End(tail.cursor, "limit")
    assert await next_of(tail) == notices[-1]
    assert indexes(await read_up(log.subscribe(cursor=notices[-1].cursor))) == list(range(limit, 20))


async def _until_end(tail: Tail) -> list[Notice]:
    notices = await read_up(tail)
    while not isinstance(notices[-1], End):
        notices += await read_up(tail)
    return notices


@pytest.mark.parametrize("limit", [0, -1, True, "1", 1.0])
async def test_a_limit_that_is_no_positive_integer_is_an_error(log: Audit, limit: Any) -> None:
    for subscribe in (log.subscribe, log.sync.subscribe):
        with pytest.raises(InvalidParameter, match=r"^limit: must be an integer of at least 1"):
            subscribe(limit=limit)


@pytest.mark.parametrize("max_events", [0, 1_001])
async def test_max_events_out_of_bounds_is_an_error(log: Audit, max_events: int) -> None:
    with pytest.raises(InvalidParameter, match=r"^max_events: must be 1-1000"):
        await log.subscribe().read(max_events)
    with pytest.raises(InvalidParameter, match=r"^max_events: must be 1-1000"):
        log.sync.subscribe().read(max_events)


async def test_an_end_in_the_past_ends_a_tail_after_its_last_event(log: Audit, clock: FakeClock) -> None:
    for n in range(20):
        await log.append(numbered(n))
        clock.advance(1)
    tail = log.subscribe(seek=START_MS + 5, seek_end=START_MS + 8)
    notices = await read_up(tail)
    assert indexes(notices) == [5, 6, 7]
    assert notices[-1] == End(tail.cursor, "seek_end")
    assert indexes(await read_up(log.subscribe(cursor=tail.cursor))) == list(range(8, 20))


async def test_an_event_at_the_end_ends_a_tail(log: Audit, clock: FakeClock) -> None:
    tail = log.subscribe(("a",), seek_end=START_MS + 3_000_000)
    await log.append(numbered(0))
    assert kinds(await read_up(tail)) == [Batch, CaughtUp]
    reading = asyncio.create_task(next_of(tail))
    await asleep(log)
    clock.advance(3_000_000)
    await log.append(numbered(1))
    assert await reading == End(tail.cursor, "seek_end")


async def test_time_alone_ends_a_tail(log: Audit, clock: FakeClock) -> None:
    await log.append(numbered(0))
    tail = log.subscribe(("a",), seek_end=START_MS + 5)
    assert kinds(await read_up(tail)) == [Batch, CaughtUp]
    reading = asyncio.create_task(next_of(tail))
    await asleep(log)
    clock.advance(5)
    assert await reading == End(tail.cursor, "seek_end")


async def test_no_event_comes_before_an_end_that_time_has_reached(log: Audit, clock: FakeClock) -> None:
    tail = log.subscribe(seek_end=START_MS + 5)
    clock.advance(5)
    assert kinds(await read_up(tail)) == [End]
    clock.step(-1_000)
    receipt = await log.append(numbered(0))
    assert timestamp_ms(receipt.id) >= START_MS + 5


async def test_an_event_committed_while_time_reaches_the_end_is_delivered(
    log: Audit, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequencer = log._core.sequencer
    watermark = sequencer.watermark

    def interleaved() -> int:
        # What the writer's thread may do between the tail's look at the log and its look at the clock.
        monkeypatch.undo()
        log.sync.append(numbered(0))
        clock.advance(5)
        return watermark()

    tail = log.subscribe(seek_end=START_MS + 5)
    monkeypatch.setattr(sequencer, "watermark", interleaved)
    notices = await _until_end(tail)
    assert indexes(notices) == [0]


async def test_a_start_in_the_future_keeps_out_what_comes_before(log: Audit, clock: FakeClock) -> None:
    await log.append(numbered(0))
    tail = log.subscribe(seek=START_MS + 1_000)
    after = log.subscribe(seek=START_MS + 1_000, inclusive="neither")
    assert kinds(await read_up(tail)) == [CaughtUp]
    assert kinds(await read_up(after)) == [CaughtUp]
    cursors = [tail.cursor, after.cursor]
    reading = asyncio.create_task(next_of(tail))
    await asleep(log)
    clock.advance(999)
    await log.append(numbered(1))
    await asleep(log)
    assert not reading.done()
    cursors += [tail.cursor, after.cursor]
    clock.advance(1)
    await log.append(numbered(2))
    assert indexes([await reading]) == [2]
    clock.advance(1)
    await log.append(numbered(3))
    assert indexes([await next_of(tail)]) == [3]
    assert indexes([await next_of(after)]) == [3]
    for cursor, expected in zip(cursors, [[2, 3], [3]] * 2, strict=True):
        assert indexes(await read_up(log.subscribe(cursor=cursor))) == expected


# -- cursors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 7, 30, 100])
async def test_the_cursor_of_any_page_becomes_a_tail_without_gap_or_duplicate(log: Audit, limit: int) -> None:
    for n in range(30):
        await log.append_many([numbered(n), numbered(n, "other")])
    found: list[int | None] = []
    cursor = None
    more = True
    while more:
        page = await log.list(("a",), limit=limit, cursor=cursor)
        found += [event.index for event in page.events]
        tail = log.subscribe(("a",), cursor=page.cursor)
        assert [*found, *indexes(await read_up(tail))] == list(range(0, 60, 2))
        cursor, more = page.cursor, page.has_more
    tail = log.subscribe(("a",), cursor=cursor)
    await log.append_many([numbered(0, "other"), numbered(30)])
    assert indexes(await read_up(tail)) == [61]


@pytest.mark.parametrize("events", [0, 1, 30])
@pytest.mark.parametrize("bounds", [{}, {"seek": START_MS + 10}, {"seek_end": START_MS - 10}])
async def test_the_cursor_of_an_empty_page_becomes_a_tail_of_what_follows(
    log: Audit, clock: FakeClock, events: int, bounds: dict[str, Any]
) -> None:
    for n in range(events):
        await log.append(numbered(n, "other"))
    page = await log.list(("a",), **bounds)
    assert (page.slices, page.has_more) == ([], False)
    tail = log.subscribe(("a",), cursor=page.cursor)
    await log.append(numbered(0))
    clock.advance(20)
    await log.append(numbered(1))
    expected = [events + 1] if "seek" in bounds else [events, events + 1]
    assert indexes(await read_up(tail)) == expected
    assert indexes(await read_up(log.subscribe(("a",), cursor=page.cursor))) == expected


async def test_the_cursor_after_each_single_event_resumes_right_after_it(log: Audit) -> None:
    for n in range(20):
        await log.append_many([numbered(n), numbered(n, "other")])
    tail = log.subscribe(("a",))
    seen: list[Event] = []
    assert indexes(await read_up(log.subscribe(("a",), cursor=tail.cursor))) == list(range(0, 40, 2))
    async for event in _taken(tail, 20):
        seen.append(event)
        rest = await read_up(log.subscribe(("a",), cursor=tail.cursor))
        assert [*(event.index for event in seen), *indexes(rest)] == list(range(0, 40, 2))
        page = await log.list(("a",), cursor=tail.cursor)
        assert page.slices == [raw for notice in rest if isinstance(notice, Batch) for raw in notice.slices]


async def test_a_read_after_single_events_hands_out_the_rest_of_their_batch_first(log: Audit) -> None:
    await log.append_many(many(0, 5))
    tail = log.subscribe()
    events = [event async for event in _taken(tail, 2)]
    await log.append_many(many(5, 8))
    notices = await read_up(tail)
    assert [*(event.index for event in events), *indexes(notices)] == list(range(8))


async def test_a_cursor_outlives_the_log_it_was_made_in() -> None:
    disk = Disk(STORE_ID, TINY)
    async with memory_audit(disk, options=SMALL) as log:
        await log.append_many(many(0, 30))
        tail = log.subscribe()
        cursors = [tail.cursor]
        async for _ in _taken(tail, 30):
            cursors.append(tail.cursor)  # noqa: PERF401 - the cursor is the tail's at this very step
    async with memory_audit(disk, options=SMALL) as log:
        await log.append_many(many(30, 35))
        for n, cursor in enumerate(cursors):
            assert indexes(await read_up(log.subscribe(cursor=cursor))) == list(range(n, 35))


async def test_a_cursor_of_another_query_or_beyond_the_log_is_an_error(log: Audit) -> None:
    async with memory_audit(layout=TINY, options=SMALL) as longer:
        await longer.append_many(many(0, 40))
        beyond = (await longer.list()).cursor
        within = (await longer.list(limit=2)).cursor
    await log.append_many(many(0, 30))
    with pytest.raises(CursorInvalid, match="another store, query or order"):
        log.subscribe(("a",), cursor=(await log.list()).cursor)
    with pytest.raises(CursorInvalid, match="another store, query or order"):
        log.subscribe(cursor=(await log.list(order="desc")).cursor)
    with pytest.raises(CursorInvalid, match="points at index 39, the log has 30 events"):
        await log.subscribe(cursor=beyond).read()
    with pytest.raises(CursorInvalid, match="another event is at index 1"):
        await log.subscribe(cursor=within).read()


# -- waiting and letting go --------------------------------------------------------------------------------------------


async def test_cancelling_a_read_frees_it_at_once_and_loses_nothing(log: Audit) -> None:
    tail = log.subscribe(("a",))
    await read_up(tail)
    for n in range(3):
        reading = asyncio.create_task(tail.read())
        await asleep(log)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert len(log._core.wakeups) == 0
        await log.append_many([numbered(n), numbered(n, "other")])
        assert indexes([await next_of(tail)]) == [2 * n]


async def test_a_read_cancelled_when_its_event_has_come_already_loses_nothing(log: Audit) -> None:
    tail = log.subscribe(("a",))
    await read_up(tail)
    reading = asyncio.create_task(tail.read())
    await asleep(log)
    log.sync.append_many([numbered(0), numbered(1, "other")])
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert len(log._core.wakeups) == 0
    assert indexes([await next_of(tail)]) == [0]


async def test_a_read_cancelled_on_the_disk_loses_nothing(log: Audit) -> None:
    await log.append_many(many(0, 50))
    tail = log.subscribe()
    reading = asyncio.create_task(tail.read())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not reading.done()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert indexes(await read_up(tail)) == list(range(50))


async def test_a_tail_that_is_dropped_is_gone_at_once(log: Audit) -> None:
    await log.append_many(many(0, 5))
    tail = log.subscribe()
    core = weakref.ref(tail._core)
    async for event in tail:
        if event.data == 3:
            break
    await read_up(tail)
    reading = asyncio.create_task(tail.read())
    await asleep(log)
    reading.cancel()
    await asyncio.wait((reading,))
    del tail, reading
    assert len(log._core.wakeups) == 0
    assert core() is None


async def test_closing_a_tail_ends_a_read_in_progress(log: Audit) -> None:
    async with log.subscribe() as tail:
        await read_up(tail)
        reading = asyncio.create_task(next_of(tail))
        await asleep(log)
    assert await reading == End(tail.cursor, "cancelled")
    assert len(log._core.wakeups) == 0
    await log.append(numbered(0))
    assert await next_of(tail) == End(tail.cursor, "cancelled")
    assert [event async for event in tail] == []
    assert indexes(await read_up(log.subscribe(cursor=tail.cursor))) == [0]


@pytest.mark.parametrize("query", [{"topic": ("a",)}, {"topics": [("a",), ("b",)]}, {"filter": {"action": "open"}}])
async def test_an_idle_tail_sleeps_through_commits_of_others_and_never_falls_behind(query: dict[str, Any]) -> None:
    storage = CountingStorage(Disk(STORE_ID, TINY))
    async with Audit(log_on(lambda: storage, options=SMALL)._core) as log:
        tail = log.subscribe(**query)
        await read_up(tail)
        reading = asyncio.create_task(next_of(tail))
        await asleep(log)
        sleeper = tail._sleeper
        assert sleeper is not None
        searches = storage.searches
        for n in range(200):
            await log.append(numbered(n, "other"))
        assert tail._sleeper is sleeper
        assert sleeper.woken_at is None
        await log.append(NewEvent(topics=[("a",)], action="open"))
        assert indexes([await reading]) == [200]
        assert storage.searches == searches


async def test_what_was_slept_through_is_covered_when_the_read_is_cancelled() -> None:
    storage = CountingStorage(Disk(STORE_ID, TINY))
    async with Audit(log_on(lambda: storage, options=SMALL)._core) as log:
        tail = log.subscribe(("a",))
        await read_up(tail)
        reading = asyncio.create_task(tail.read())
        await asleep(log)
        for n in range(200):
            await log.append(numbered(n, "other"))
        reading.cancel()
        await asyncio.wait((reading,))
        searches = storage.searches
        await log.append(numbered(200))
        assert indexes([await next_of(tail)]) == [200]
        assert storage.searches == searches


async def test_closing_the_log_ends_waiting_tails() -> None:
    async with memory_audit() as log:
        tails = [log.subscribe(("a",)), log.subscribe(), log.subscribe(seek_end="9999-12-31T00:00:00Z")]
        for tail in tails:
            await read_up(tail)
        reading = [asyncio.create_task(next_of(tail)) for tail in tails]
        await asleep(log, 3)
    assert [await one for one in reading] == [End(tail.cursor, "shutdown") for tail in tails]
    assert len(log._core.wakeups) == 0


async def test_a_tail_whose_history_is_left_on_disk_ends_when_the_log_is_closed() -> None:
    disk = Disk(STORE_ID, TINY)
    async with memory_audit(disk, options=SMALL) as log:
        await log.append_many(many(0, 100))
        tail = log.subscribe()
        notices: list[Notice] = [await tail.read(max_events=10)]
    notices += await _until_end(tail)
    assert notices[-1] == End(tail.cursor, "shutdown")
    assert indexes(notices) == list(range(len(indexes(notices))))
    async with memory_audit(disk, options=SMALL) as log:
        notices += await read_up(log.subscribe(cursor=tail.cursor))
    assert indexes(notices) == list(range(100))


# -- in threads --------------------------------------------------------------------------------------------------------


def test_a_read_in_a_thread_returns_none_when_nothing_came_in_time() -> None:
    with memory_log(clock=SystemClock()) as log:
        tail = log.subscribe()
        assert kinds(read_up_sync(tail)) == [CaughtUp]
        assert tail.read(timeout_s=0) is None
        assert tail.read(timeout_s=0.01) is None
        assert len(log._core.wakeups) == 0
        log.append(numbered(0))
        notice = tail.read(timeout_s=0)
        assert isinstance(notice, Batch)
        assert indexes([notice]) == [0]
        assert tail.read(timeout_s=0) is None


def test_a_thread_that_waits_is_woken_by_its_topic_alone(blocking: SyncAudit, threads: ThreadPoolExecutor) -> None:
    tail = blocking.subscribe(("a",))
    read_up_sync(tail)
    reading = threads.submit(tail.read)
    asleep_in_threads(blocking)
    sleeper = tail._sleeper
    assert sleeper is not None
    for n in range(200):
        blocking.append(numbered(n, "other"))
    assert tail._sleeper is sleeper
    assert sleeper.woken_at is None
    blocking.append(numbered(200))
    notice = reading.result(PATIENCE_S)
    assert isinstance(notice, Batch)
    assert indexes([notice]) == [200]


def test_a_tail_in_a_thread_is_closed_from_another(blocking: SyncAudit, threads: ThreadPoolExecutor) -> None:
    for _ in range(100):
        tail = blocking.subscribe()
        read_up_sync(tail)
        reading = threads.submit(tail.read)
        asleep_in_threads(blocking)
        tail.close()
        assert reading.result(PATIENCE_S) == End(tail.cursor, "cancelled")
        assert len(blocking._core.wakeups) == 0


def test_a_tail_closed_before_its_thread_sleeps_ends_too(blocking: SyncAudit, threads: ThreadPoolExecutor) -> None:
    for _ in range(200):
        tail = blocking.subscribe()
        read_up_sync(tail)
        both = threading.Barrier(2)

        def read(tail: SyncTail = tail, both: threading.Barrier = both) -> Notice | None:
            both.wait(PATIENCE_S)
            return tail.read()

        reading = threads.submit(read)
        both.wait(PATIENCE_S)
        tail.close()
        assert reading.result(PATIENCE_S) == End(tail.cursor, "cancelled")


def test_closing_the_log_ends_tails_that_wait_in_threads(threads: ThreadPoolExecutor) -> None:
    with memory_log() as log:
        tails = [log.subscribe(("a",)), log.subscribe(), log.subscribe(seek_end="9999-12-31T00:00:00Z")]
        for tail in tails:
            read_up_sync(tail)
        reading = [threads.submit(tail.read) for tail in tails]
        asleep_in_threads(log, 3)
    assert [one.result(PATIENCE_S) for one in reading] == [End(tail.cursor, "shutdown") for tail in tails]


def test_a_tail_iterates_in_a_thread_and_its_cursor_follows_each_event(blocking: SyncAudit) -> None:
    blocking.append_many(many(0, 40))
    with blocking.subscribe(limit=30) as tail:
        for n, event in enumerate(tail):
            assert event.index == n
            assert indexes(read_up_sync(blocking.subscribe(cursor=tail.cursor))) == list(range(n + 1, 40))
        assert tail.read() == End(tail.cursor, "limit")
    assert list(tail) == []


def test_a_slow_tail_in_a_thread_falls_behind_and_is_caught_up_again(blocking: SyncAudit) -> None:
    tail = blocking.subscribe()
    notices = read_up_sync(tail)
    blocking.append_many(many(0, 100))
    notices += read_up_sync(tail)
    assert kinds(notices) == [CaughtUp, FellBehind, Batch, CaughtUp]
    assert indexes(notices) == list(range(100))


def test_time_ends_a_tail_in_a_thread(blocking: SyncAudit, clock: FakeClock, threads: ThreadPoolExecutor) -> None:
    tail = blocking.subscribe(seek_end=START_MS + 5)
    read_up_sync(tail)
    reading = threads.submit(tail.read)
    clock.advance(5)
    assert reading.result(PATIENCE_S) == End(tail.cursor, "seek_end")


def test_a_tail_dropped_in_a_thread_is_gone_at_once(blocking: SyncAudit) -> None:
    blocking.append_many(many(0, 5))
    tail = blocking.subscribe()
    core = weakref.ref(tail._core)
    next(tail)
    del tail
    assert core() is None
    assert len(blocking._core.wakeups) == 0


# -- faults of the reference implementation ----------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["milliseconds", "text", "datetime"])
@pytest.mark.parametrize(
    ("inclusive", "ends", "expected"),
    [
        ("left", (0, 2), range(6)),
        ("right", (0, 2), range(3, 9)),
        ("both", (0, 2), range(9)),
        ("neither", (0, 2), range(3, 6)),
        ("both", (1, 1), range(3, 6)),
        ("left", (1, 1), range(0)),
        ("right", (1, 1), range(0)),
        ("neither", (1, 1), range(0)),
    ],
)
async def test_reference_fault_a_time_bound_keeps_all_events_of_its_millisecond_or_none(
    log: Audit, clock: FakeClock, *, form: str, inclusive: str, ends: tuple[int, int], expected: range
) -> None:
    for _ in range(3):
        for n in range(3):
            await log.append(numbered(n))
        clock.advance(1)
    moments = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(milliseconds=end) for end in ends]
    forms: dict[str, list[Any]] = {
        "milliseconds": [START_MS + end for end in ends],
        "text": [moment.isoformat() for moment in moments],
        "datetime": moments,
    }
    seek, seek_end = forms[form]
    notices = await read_up(log.subscribe(seek=seek, seek_end=seek_end, inclusive=inclusive))
    assert indexes(notices) == list(expected)
    assert isinstance(notices[-1], End)
    for order in ("asc", "desc"):
        page = await log.list(seek=seek, seek_end=seek_end, inclusive=inclusive, order=order)
        assert sorted(event.index for event in page.events) == list(expected)


@pytest.mark.parametrize("asked", range(7))
async def test_reference_fault_commas_in_segments_do_not_mix_topics_up(log: Audit, asked: int) -> None:
    topics = [("a,b",), ("a", "bc"), ("a,bc",), ("a", "b,c"), ("a", "b"), ("a", "b", "c"), ("a,b", "c")]
    own = topics[asked]
    live = log.subscribe(own)
    await read_up(live)
    await log.append_many([numbered(n, *topic) for n, topic in enumerate(topics)])
    expected = [n for n, topic in enumerate(topics) if topic[: len(own)] == own]
    assert indexes([await next_of(live)]) == expected
    assert indexes(await read_up(log.subscribe(own))) == expected
    assert [event.index for event in (await log.list(own)).events] == expected


@pytest.mark.parametrize("name", ["constructor", "__proto__", "__class__", "toString", "hasOwnProperty"])
async def test_reference_fault_a_topic_named_like_a_member_of_every_object_is_just_unknown(
    log: Audit, name: str
) -> None:
    await log.append(numbered(0))
    assert (await log.list([name])).slices == []
    assert (await log.topics([name])).topics == []
    tail = log.subscribe([name])
    assert kinds(await read_up(tail)) == [CaughtUp]
    await log.append(numbered(1, name))
    assert indexes([await next_of(tail)]) == [1]


async def test_reference_fault_limit_0_is_an_error_and_not_everything(log: Audit) -> None:
    await log.append(numbered(0))
    with pytest.raises(InvalidParameter, match="limit"):
        await log.list(limit=0)
    with pytest.raises(InvalidParameter, match="limit"):
        log.subscribe(limit=0)


@pytest.mark.parametrize("appends", [2, 4, 16])
@pytest.mark.parametrize("waiting", [True, False])
async def test_reference_fault_all_appends_of_one_tick_reach_a_tail_that_was_caught_up(
    log: Audit, appends: int, waiting: bool
) -> None:
    tail = log.subscribe(("a",))
    await read_up(tail)
    found: list[Event] = []
    for turn in range(5):
        reading = asyncio.create_task(anext(tail)) if waiting else None
        if waiting:
            await asleep(log)
        receipts = [log.append_nowait(numbered(n, "a", str(n % 3))) for n in range(appends)]
        if reading is not None:
            found.append(await reading)
        found += [event async for event in _taken(tail, appends * (turn + 1) - len(found))]
        told = [(receipt.index, receipt.id) for receipt in await asyncio.gather(*receipts)]
        assert [(event.index, event.id) for event in found[-appends:]] == told
    assert [event.index for event in found] == list(range(5 * appends))
