"""A tail over lost connections: the log's events, once, in order, wherever the connection is cut."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from itertools import count
from typing import Any, Final, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import Batch, CaughtUp, End, NewEvent, OutcomeUnknown
from audit.client import Connected, Disconnected, News, Resumed, connect
from audit.testing import memory_audit
from tests.integration.relay import AT_ONCE, Relay


def event(number: int, topic: str = "a") -> NewEvent:
    return NewEvent(topics=[(topic,)], data={"n": number})


class Course(NamedTuple):
    """How a consumer's hour goes.

    Attributes:
        before: Events that are there when it comes.
        live: Events appended while it reads, through the same connections.
        cuts: Frames after which each connection is lost in turn.
    """

    before: int
    live: int
    cuts: list[int]
    credit: int
    max_events: int
    iterate: bool


COURSES: Final = st.builds(
    Course,
    before=st.integers(0, 40),
    live=st.integers(0, 30),
    cuts=st.lists(st.integers(0, 25), max_size=8),
    credit=st.sampled_from([1, 2, 3, 10, 1_000]),
    max_events=st.sampled_from([1, 2, 7, 1_000]),
    iterate=st.booleans(),
)


class Served:
    """A served log, for many examples, each with a topic of its own."""

    def __init__(self, run: asyncio.Runner) -> None:
        self.run = run
        self.topics = count()
        self.stack = AsyncExitStack()

    async def open(self) -> None:
        self.log = await self.stack.enter_async_context(memory_audit())
        server = await self.stack.enter_async_context(self.log.serve("127.0.0.1:0"))
        self.url = server.urls[0]


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with asyncio.Runner() as run:
        served = Served(run)
        run.run(served.open())
        yield served
        run.run(served.stack.aclose())


@settings(deadline=None)
@given(course=COURSES)
def test_consumer_sees_each_event_once_wherever_the_connection_is_cut(served: Served, course: Course) -> None:
    served.run.run(follow(served, course))


async def follow(served: Served, course: Course) -> None:
    topic = f"t{next(served.topics)}"
    total = course.before + course.live + 1
    # The first connection must succeed: its request and its answer are passed on.
    cuts = [course.cuts[0] + 2, *course.cuts[1:]] if course.cuts else []
    async with Relay(served.url, cuts) as relay:
        if course.before:
            await served.log.append_many([event(n, topic) for n in range(course.before)])
        async with (
            connect(relay.url, credit=course.credit, backoff=AT_ONCE) as near,
            near.subscribe((topic,), limit=total) as tail,
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(append_one_by_one(near, topic, course.before, total))
            seen = await asyncio.wait_for(read_all(tail, course.max_events, course.iterate), 60)
        assert seen == (await served.log.list((topic,), limit=1_000)).events
        assert [one.data["n"] for one in seen] == list(range(total))


async def append_one_by_one(near: Any, topic: str, first: int, total: int) -> None:
    for number in range(first, total):
        await near.append(event(number, topic))


async def read_all(tail: Any, max_events: int, iterate: bool) -> list[Any]:
    if iterate:
        return [one async for one in tail]
    seen: list[Any] = []
    while not isinstance(notice := await tail.read(max_events), End):
        if isinstance(notice, Batch):
            assert len(notice) <= max_events
            seen += notice.events
            assert tail.cursor == notice.cursor
    assert notice.reason == "limit"
    return seen


async def test_hook_tells_of_loss_and_resumption() -> None:
    news: list[News] = []
    async with (
        memory_audit() as log,
        log.serve("127.0.0.1:0") as server,
        Relay(server.urls[0]) as relay,
        connect(relay.url, on_event=news.append, backoff=AT_ONCE) as near,
        near.subscribe(("a",), seek="now") as tail,
    ):
        await log.append(event(0))
        assert isinstance(await tail.read(), CaughtUp)
        batch = await tail.read()
        relay.cut()
        await log.append(event(1))
        assert isinstance(batch, Batch)
        again = await tail.read()
        assert isinstance(again, Batch)
        assert [one.index for one in again.events] == [1]
        resumed = next(one for one in news if isinstance(one, Resumed))
        assert resumed.topics == (("a",),)
        assert resumed.cursor == batch.cursor
    kinds = [type(one) for one in news]
    assert kinds[0] is Connected
    assert kinds[1] is Disconnected
    assert kinds[-2:] == [Connected, Resumed]


async def test_tail_outlives_a_restart_of_the_server() -> None:
    async with memory_audit() as log:
        async with log.serve("127.0.0.1:0") as server:
            address = server.urls[0].removeprefix("ws://").removesuffix("/rpc")
            near = await connect(server.urls[0], backoff=AT_ONCE)
            tail = near.subscribe(("a",))
            await near.append(event(0))
            first = await anext(tail)
        await log.append(event(1))
        async with log.serve(address):
            second = await anext(tail)
            await near.append(event(2))
            third = await anext(tail)
            assert [first.index, second.index, third.index] == [0, 1, 2]
        await near.close()


async def test_unread_tail_stalls_at_its_credit_and_blocks_nobody() -> None:
    async with memory_audit() as log, log.serve("127.0.0.1:0") as server:
        await log.append_many([event(n) for n in range(500)])
        async with connect(server.urls[0], credit=10) as near:
            stalled = near.subscribe(("a",))
            async with near.subscribe(("a",), limit=500) as tail:
                assert len([one async for one in tail]) == 500
            assert (await near.list(limit=5)).events[0].index == 0
            feed = stalled._feed
            assert feed._buffered == 10
            assert [(await anext(stalled)).index for _ in range(500)] == list(range(500))
            assert feed._buffered <= 10


async def test_unread_tail_takes_no_more_memory_however_often_it_resumes() -> None:
    async with memory_audit() as log, log.serve("127.0.0.1:0") as server, Relay(server.urls[0]) as relay:
        await log.append_many([event(n) for n in range(100)])
        async with connect(relay.url, credit=10, backoff=AT_ONCE) as near:
            stalled = near.subscribe(("a",))
            for _ in range(5):
                relay.cut()
                async with near.subscribe(("a",), limit=1) as tail:
                    await anext(tail)
            assert stalled._feed._buffered <= 10
            assert [(await anext(stalled)).index for _ in range(100)] == list(range(100))


async def test_append_whose_answer_was_lost_is_not_written_twice() -> None:
    async with memory_audit() as log, log.serve("127.0.0.1:0") as server:
        # info and its answer, then the append is passed on and its answer is not.
        async with Relay(server.urls[0], [3]) as relay, connect(relay.url, backoff=AT_ONCE) as near:
            receipt = await near.append(event(0))
            receipts = await near.append_many([event(1), event(2)])
        assert receipt.index == 0
        assert [one.index for one in receipts] == [1, 2]
        assert log.info().size == 3
        assert relay.connections == 2


async def test_mixed_call_is_not_written_twice_either() -> None:
    async with memory_audit() as log, log.serve("127.0.0.1:0") as server:
        async with Relay(server.urls[0], [3]) as relay, connect(relay.url, backoff=AT_ONCE) as near:
            keyed = NewEvent(topics=[("a",)], idempotency_key="k")
            receipts = await near.append_many([event(1), keyed, event(2)])
        assert [one.index for one in receipts] == [0, 1, 2]
        assert log.info().size == 3


async def test_append_that_may_have_been_written_is_of_unknown_outcome_once_the_client_gives_up() -> None:
    async with memory_audit() as log, log.serve("127.0.0.1:0") as server:
        async with Relay(server.urls[0], [3]) as relay:
            near = await connect(relay.url, backoff=AT_ONCE, reconnect_timeout_s=0.0)
            relay._upstream = "ws://127.0.0.1:1"
            with pytest.raises(OutcomeUnknown):
                await near.append(event(0))
            await near.close()
        assert log.info().size == 1
