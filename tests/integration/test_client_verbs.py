"""The verbs of a served log answer as those of the log itself, and refuse as they do."""

import asyncio
import gc
import math
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from audit import (
    Audit,
    AuditError,
    Batch,
    CaughtUp,
    Conflict,
    End,
    Filter,
    InvalidParameter,
    NewEvent,
    NotFound,
    StoreClosed,
    TooLarge,
    Unavailable,
)
from audit.client import RemoteAudit, connect, connect_sync
from audit.testing import memory_audit
from tests.integration.relay import AT_ONCE
from tests.integration.served import Served

A = ("a",)


@pytest.fixture
async def log() -> AsyncIterator[Audit]:
    async with memory_audit() as log:
        yield log


@pytest.fixture
async def near(log: Audit) -> AsyncIterator[RemoteAudit]:
    async with log.serve("127.0.0.1:0") as server, connect(server.urls[0], backoff=AT_ONCE) as near:
        yield near


def event(number: int = 0, *topic: str, **members: Any) -> NewEvent:
    return NewEvent(topics=[topic or A], data={"n": number}, **members)


async def test_what_is_appended_there_is_here(log: Audit, near: RemoteAudit) -> None:
    receipt = await near.append(event(1))
    receipts = await near.append_many([event(2), event(3)])
    assert [receipt.index, *[one.index for one in receipts]] == [0, 1, 2]
    assert await near.get(receipt.id) == await log.get(receipt.id)
    assert await near.get_raw(receipt.id) == await log.get_raw(receipt.id)
    assert await near.info() == log.info()


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"order": "desc", "limit": 3},
        {"topic": ("a", "x")},
        {"topics": [("a", "x"), ("b",)]},
        {"filter": {"action": "odd"}},
        {"filter": Filter(action="odd"), "topic": A},
        {"seek": datetime(2020, 1, 1, tzinfo=UTC), "seek_end": 2**47, "inclusive": "both"},
        {"seek": "2026-01-01T00:00:00Z", "inclusive": "neither"},
    ],
)
async def test_pages_are_those_of_the_log(log: Audit, near: RemoteAudit, query: dict[str, Any]) -> None:
    topics = [("a", "x"), ("a", "y"), ("b",)]
    await log.append_many([event(n, *topics[n % 3], action="odd" if n % 2 else "even") for n in range(20)])
    here, there = await log.list(**query), await near.list(**query)
    assert (there.raw, there.cursor, there.has_more) == (here.raw, here.cursor, here.has_more)
    assert there.events == here.events
    if there.has_more:
        query |= {"cursor": there.cursor}
        assert (await near.list(**query)).raw == (await log.list(**query)).raw


async def test_topics_are_those_of_the_log(log: Audit, near: RemoteAudit) -> None:
    await log.append_many([event(n, "a", f"t{n}") for n in range(5)])
    assert await near.topics() == await log.topics()
    page = await near.topics(A, limit=2)
    assert page == await log.topics(A, limit=2)
    assert await near.topics(A, cursor=page.cursor) == await log.topics(A, cursor=page.cursor)


REFUSED: list[Callable[[Any], Any]] = [
    lambda log: log.append(NewEvent(topics=[])),
    lambda log: log.append(NewEvent(topics=[A], data=math.nan)),
    lambda log: log.append(NewEvent(topics=[A], data="x" * 70_000)),
    lambda log: log.append("event"),
    lambda log: log.append_many([]),
    lambda log: log.append_many([event(), NewEvent(topics=[("audit", "x")])]),
    lambda log: log.append_many([event(idempotency_key="k")], idempotency_key="k"),
    lambda log: log.append_many([event()] * 1_001),
    lambda log: log.append(NewEvent(topics=[A], action="other", idempotency_key="taken")),
    lambda log: log.append_many([event(), NewEvent(topics=[A], action="other", idempotency_key="taken")]),
    lambda log: log.append_many([event()], idempotency_key="call"),
    lambda log: log.get("nonsense"),
    lambda log: log.get("01JD8Z5K3V9Q0T7W2X4Y6Z8A1B"),
    lambda log: log.list("a"),
    lambda log: log.list(limit=0),
    lambda log: log.list(order="up"),
    lambda log: log.list(inclusive="some"),
    lambda log: log.list(seek="yesterday"),
    lambda log: log.list(cursor="nonsense"),
    lambda log: log.list(filter={"nothing": "x"}),
    lambda log: log.topics(limit=1_001),
    lambda log: log.topics(cursor="nonsense"),
    lambda log: log.subscribe(cursor="nonsense"),
    lambda log: log.subscribe(limit=0),
    lambda log: log.subscribe(seek="soon"),
    lambda log: log.subscribe().read(0),
]


@pytest.mark.parametrize("number", range(len(REFUSED)))
async def test_refusals_are_those_of_the_log(log: Audit, near: RemoteAudit, number: int) -> None:
    await log.append(event(idempotency_key="taken"))
    await log.append_many([event(1)], idempotency_key="call")
    here, there = [await refusal(REFUSED[number], which) for which in (log, near)]
    assert type(there) is type(here)
    assert str(there) == str(here)
    assert getattr(there, "parameter", None) == getattr(here, "parameter", None)
    assert log.info().size == 2


async def refusal(ask: Callable[[Any], Any], log: Any) -> AuditError:
    try:
        answer = ask(log)
        if isinstance(answer, Awaitable):
            await answer
    except (InvalidParameter, Conflict, NotFound) as error:
        return error
    pytest.fail("it was not refused")


async def test_call_too_large_for_a_frame_is_refused_before_it_is_sent(near: RemoteAudit) -> None:
    key = "k" * 240
    events = [NewEvent(topics=[A], data="x" * 3_960, idempotency_key=f"{key}{n}") for n in range(1_000)]
    with pytest.raises(TooLarge) as refused:
        await near.append_many(events)
    assert refused.value.parameter == "events"
    assert (await near.info()).size == 0


async def test_tail_goes_from_history_to_live(log: Audit, near: RemoteAudit) -> None:
    await log.append_many([event(n) for n in range(5)])
    async with near.subscribe(A, seek_end=(await log.list()).events[-1].id, inclusive="both") as tail:
        assert [one.index async for one in tail] == list(range(5))
        assert (await tail.read()) == End(tail.cursor, "seek_end")
    async with near.subscribe(A, seek="now") as tail:
        begin = tail.cursor
        await log.append(event(5))
        assert (await anext(log.subscribe(A, cursor=begin))).index == 5
        assert [type(await tail.read()) for _ in range(2)] == [CaughtUp, Batch]
        # Its cursors are the log's own.
        await log.append(event(6))
        assert (await anext(log.subscribe(A, cursor=tail.cursor))).index == 6


async def test_cursor_in_the_middle_of_a_batch_resumes_there(log: Audit, near: RemoteAudit) -> None:
    await log.append_many([event(n) for n in range(10)])
    async with near.subscribe() as tail:
        assert (await anext(tail)).index == 0
        async with near.subscribe(cursor=tail.cursor) as other:
            assert (await anext(other)).index == 1
        rest = await tail.read(3)
        assert isinstance(rest, Batch)
        assert [one.index for one in rest.events] == [1, 2, 3]
        async with near.subscribe(cursor=rest.cursor, limit=6) as other:
            assert [one.index async for one in other] == list(range(4, 10))


async def test_closed_tail_says_so_to_its_reader(near: RemoteAudit) -> None:
    tail = near.subscribe(A)
    assert isinstance(await tail.read(), CaughtUp)
    reading = asyncio.create_task(tail.read())
    await asyncio.sleep(0)
    tail.close()
    end = await reading
    assert isinstance(end, End)
    assert end.reason == "cancelled"


async def test_cancelled_read_loses_nothing(log: Audit, near: RemoteAudit) -> None:
    tail = near.subscribe(A)
    assert isinstance(await tail.read(), CaughtUp)
    for number in range(5):
        reading = asyncio.create_task(tail.read())
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait((reading,))
        await log.append(event(number))
    seen: list[int] = []
    while len(seen) < 5:
        seen.append((await anext(tail)).index)
    assert seen == list(range(5))


async def test_dropped_tail_is_cancelled_on_the_server(log: Audit) -> None:
    async with log.serve("127.0.0.1:0") as server, connect(server.urls[0]) as near:
        tail = near.subscribe(A)
        assert isinstance(await tail.read(), CaughtUp)
        assert (len(near._core.feeds), len(log._core.wakeups)) == (1, 1)
        del tail
        gc.collect()
        # Answered in order: the cancel went out before.
        await near.info()
        await near.info()
        assert len(near._core.feeds) == 0
        assert len(log._core.wakeups) == 0


async def test_closing_ends_tails_and_calls(log: Audit) -> None:
    async with log.serve("127.0.0.1:0") as server:
        near = await connect(server.urls[0])
        tail = near.subscribe(A)
        assert isinstance(await tail.read(), CaughtUp)
        await near.close()
        await near.close()
        end = await tail.read()
        assert isinstance(end, End)
        assert end.reason == "shutdown"
        with pytest.raises(StoreClosed):
            await near.info()
        with pytest.raises(StoreClosed):
            near.subscribe()


async def test_nothing_of_a_client_is_left(log: Audit) -> None:
    async with log.serve("127.0.0.1:0") as server:
        before = asyncio.all_tasks()
        async with connect(server.urls[0]) as near, near.subscribe() as tail:
            await tail.read()
        left = [task for task in asyncio.all_tasks() - before if "audit client" in task.get_name()]
        assert left == []


async def test_many_calls_at_once_are_answered(near: RemoteAudit) -> None:
    receipts = await asyncio.gather(*[near.append(event(n)) for n in range(600)])
    assert sorted(one.index for one in receipts) == list(range(600))


def test_blocking_verbs_do_the_same(tmp_path: Path) -> None:
    with Served(tmp_path / "store") as served, connect_sync(served.url, backoff=AT_ONCE) as near:
        receipt = near.append(event(0))
        near.append_many([event(n) for n in range(1, 5)])
        assert near.get(receipt.id) == served.log.get(receipt.id)
        assert near.get_raw(receipt.id) == served.log.get_raw(receipt.id)
        assert near.list(limit=2).raw == served.log.list(limit=2).raw
        assert near.topics() == served.log.topics()
        assert near.info() == served.log.info()
        with near.subscribe(A) as tail:
            assert next(tail).index == 0
            assert next(tail).index == 1
            resumed = near.subscribe(A, cursor=tail.cursor)
            assert next(resumed).index == 2
            rest = tail.read(2)
            assert isinstance(rest, Batch)
            assert [one.index for one in rest.events] == [2, 3]
            assert next(tail).index == 4
            assert isinstance(tail.read(timeout_s=30.0), CaughtUp)
            assert tail.read(timeout_s=0.0) is None
            served.stop()
            served.start()
            served.log.append(event(5))
            assert next(tail).index == 5
        assert isinstance(tail.read(), End)
        with pytest.raises(InvalidParameter):
            near.list(limit=0)
    with pytest.raises(StoreClosed):
        near.info()
    near.close()
    tail.close()


def test_no_server_is_unavailable_at_once(tmp_path: Path) -> None:
    with Served(tmp_path / "store") as served:
        url = served.url
    with pytest.raises(Unavailable, match="can't connect to ws://"):
        connect_sync(url)
    with pytest.raises(Unavailable, match=r"can't connect to unix:.*/nothing"):
        connect_sync(f"unix:{tmp_path}/nothing")


def test_package_is_imported_without_the_client() -> None:
    script = "import sys, audit; assert not {'websockets', 'anyio', 'audit.client'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)
