"""Tails: history, then live, without a gap or a duplicate, to an end if they have one, and on from any cursor."""

import asyncio

import pytest

from audit.testing import FakeClock
from audit.testing.clock import START_MS
from tests.acceptance.drivers import Driver, new, numbers, pages, refusal


async def test_tail_has_history_is_caught_up_and_goes_on_live(driver: Driver) -> None:
    await driver.append([new(n) for n in range(25)])
    async with driver.subscribe(topic=["a"]) as tail:
        assert numbers(await tail.history()) == list(range(25))
        for n in range(25, 30):
            await driver.append_one(new(n))
            assert numbers(await tail.events(1)) == [n]
        await driver.append([new(n) for n in range(30, 60)])
        assert numbers(await tail.events(30)) == list(range(30, 60))


async def test_events_of_tail_page_and_get_are_the_same(driver: Driver) -> None:
    receipts = await driver.append([new(n, action="x", context={"ip": "::1"}) for n in range(10)])
    page = await driver.list()
    async with driver.subscribe() as tail:
        assert await tail.history() == page["events"] == [await driver.get(one["id"]) for one in receipts]


async def test_tail_of_what_nobody_knows_is_caught_up_at_once(driver: Driver) -> None:
    async with driver.subscribe() as everything, driver.subscribe(topic=["constructor"]) as unknown:
        assert await everything.history() == []
        assert await unknown.history() == []
        await driver.append([new(0), new(1, "constructor")])
        assert numbers(await everything.events(2)) == [0, 1]
        assert numbers(await unknown.events(1)) == [1]


async def test_tail_from_now_has_only_what_comes(driver: Driver) -> None:
    await driver.append([new(n) for n in range(25)])
    async with driver.subscribe(seek="now") as tail:
        await driver.append([new(25), new(26)])
        assert numbers(await tail.events(2)) == [25, 26]


async def test_live_events_of_many_calls_at_once_come_once_each_and_in_order(driver: Driver) -> None:
    async with driver.subscribe(topic=["a"]) as tail:
        await tail.history()
        receipts = await asyncio.gather(*[driver.append_one(new(n)) for n in range(2_000)])
        events = await tail.events(2_000)
    assert [event["index"] for event in events] == list(range(2_000))
    assert [events[one["index"]]["data"] for one in receipts] == list(range(2_000))


async def test_events_appended_while_history_is_read_come_once(driver: Driver) -> None:
    await driver.append([new(n) for n in range(1_000)])

    async def append() -> None:
        for n in range(1_000, 1_100, 5):
            await driver.append([new(n + more) for more in range(5)])

    async with driver.subscribe() as tail:
        appending = asyncio.create_task(append())
        events = await tail.events(1_100)
        await appending
    assert numbers(events) == list(range(1_100))


# --- Topics ------------------------------------------------------------------------------------------------------


async def test_union_delivers_what_one_of_its_topics_has(driver: Driver) -> None:
    await driver.append([new(0, "a"), new(1, "c"), new(2, "a", "b")])
    async with driver.subscribe(topics=[["a"], ["b"], ["a", "x"]]) as tail:
        assert numbers(await tail.history()) == [0, 2]
        # Nothing has to come of the others first.
        await driver.append([new(3, "b/x"), new(4, "c")])
        assert numbers(await tail.events(1)) == [3]
        await driver.append([new(5, "c"), new(6, "b", "a/x"), new(7, "a")])
        assert numbers(await tail.events(2)) == [6, 7]


async def test_live_event_goes_to_its_topic_and_to_none_of_the_same_text(driver: Driver) -> None:
    async with driver.subscribe(topic=["a,b"]) as short, driver.subscribe(topic=["a,bc"]) as long:
        await short.history()
        await long.history()
        await driver.append([{"topics": [topic], "data": n} for n, topic in enumerate((["a,b"], ["a,bc"], ["a", "b"]))])
        await driver.append([{"topics": [["a,bc", "d"], ["a,b", "d"]], "data": 3}])
        assert numbers(await short.events(2)) == [0, 3]
        assert numbers(await long.events(2)) == [1, 3]


async def test_filter_holds_for_live_events(driver: Driver) -> None:
    async with driver.subscribe(filter={"outcome": "denied", "action": "x"}) as tail:
        await tail.history()
        outcomes = ("denied", "success", "denied")
        await driver.append([new(n, outcome=outcomes[n % 3], action="xy"[n % 2]) for n in range(12)])
        assert numbers(await tail.events(4)) == [0, 2, 6, 8]


# --- Ends --------------------------------------------------------------------------------------------------------


async def test_tail_ends_at_its_limit_in_history(driver: Driver) -> None:
    await driver.append([new(n) for n in range(25)])
    for limit in (1, 7, 25):
        async with driver.subscribe(limit=limit) as tail:
            events, reason = await tail.rest()
        assert (numbers(events), reason) == (list(range(limit)), "limit")


async def test_tail_ends_at_its_limit_when_live(driver: Driver) -> None:
    await driver.append([new(n) for n in range(3)])
    async with driver.subscribe(limit=5) as tail:
        assert numbers(await tail.history()) == [0, 1, 2]
        await driver.append([new(n) for n in range(3, 10)])
        events, reason = await tail.rest()
        assert (numbers(events), reason) == ([3, 4], "limit")


async def test_limit_of_a_union_is_of_all_its_topics(driver: Driver) -> None:
    await driver.append([new(n, "ab"[n % 2]) for n in range(10)])
    async with driver.subscribe(topics=[["a"], ["b"]], limit=5) as tail:
        events, reason = await tail.rest()
    assert (numbers(events), reason) == ([0, 1, 2, 3, 4], "limit")


async def test_tail_ends_at_an_id(driver: Driver) -> None:
    receipts = await driver.append([new(n) for n in range(25)])
    async with driver.subscribe(seek_end=receipts[9]["id"]) as tail:
        assert (numbers((await tail.rest())[0])) == list(range(9))
    async with driver.subscribe(seek_end=receipts[9]["id"], inclusive="both") as tail:
        events, reason = await tail.rest()
        assert (numbers(events), reason) == (list(range(10)), "seek_end")


async def test_tail_ends_when_its_time_has_come(driver: Driver, clock: FakeClock) -> None:
    await driver.append_one(new(0))
    async with driver.subscribe(seek_end=START_MS + 2) as tail:
        assert numbers(await tail.history()) == [0]
        clock.advance(1)
        await driver.append_one(new(1))
        assert numbers(await tail.events(1)) == [1]
        clock.advance(1)
        await driver.append_one(new(2))
        assert await tail.rest() == ([], "seek_end")


async def test_tail_of_an_empty_range_ends_with_nothing(driver: Driver, clock: FakeClock) -> None:
    receipts = await driver.append([new(n) for n in range(3)])
    clock.advance(100)
    async with driver.subscribe(seek=receipts[2]["id"], seek_end=receipts[0]["id"]) as tail:
        assert await tail.rest() == ([], "seek_end")


# --- Resuming ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", [{}, {"topic": ["a"]}, {"topics": [["a"], ["b"]], "filter": {"action": "x"}}])
async def test_tail_resumed_at_any_event_has_the_rest_and_no_duplicate(
    driver: Driver, query: dict[str, object]
) -> None:
    await driver.append([new(n, "abc"[n % 3], action="x") for n in range(30)])
    everything = [n for page in await pages(driver, **query) for n in numbers(page)]
    for done in range(1, len(everything), 3):
        async with driver.subscribe(**query, limit=done) as tail:
            assert numbers((await tail.rest())[0]) == everything[:done]
        async with driver.subscribe(**query, cursor=tail.cursor, limit=len(everything) - done) as rest:
            assert await rest.rest() == ((await driver.list(**query))["events"][done:], "limit")


async def test_tail_resumed_when_caught_up_misses_nothing_of_the_time_between(driver: Driver) -> None:
    await driver.append([new(n) for n in range(3)])
    async with driver.subscribe() as tail:
        await tail.history()
        await driver.append([new(3)])
        await tail.events(1)
    await driver.append([new(n) for n in range(4, 40)])
    async with driver.subscribe(cursor=tail.cursor) as again:
        assert numbers(await again.history()) == list(range(4, 40))
        await driver.append_one(new(40))
        assert numbers(await again.events(1)) == [40]


async def test_page_turns_into_a_tail_and_a_tail_into_pages(driver: Driver) -> None:
    await driver.append([new(n, "ab"[n % 2]) for n in range(20)])
    page = await driver.list(topic=["a"], limit=4)
    async with driver.subscribe(topic=["a"], cursor=page["cursor"], limit=3) as tail:
        assert numbers((await tail.rest())[0]) == [8, 10, 12]
    rest = await driver.list(topic=["a"], cursor=tail.cursor)
    assert (numbers(rest["events"]), rest["has_more"]) == ([14, 16, 18], False)
    async with driver.subscribe(topic=["a"], cursor=rest["cursor"]) as tail:
        assert await tail.history() == []
        await driver.append([new(20, "b"), new(21, "a")])
        assert numbers(await tail.events(1)) == [21]


async def test_resumed_tail_keeps_to_its_end(driver: Driver) -> None:
    receipts = await driver.append([new(n) for n in range(10)])
    end = {"seek_end": receipts[7]["id"]}
    async with driver.subscribe(limit=4, **end) as tail:
        await tail.rest()
    async with driver.subscribe(cursor=tail.cursor, **end) as again:
        events, reason = await again.rest()
    assert (numbers(events), reason) == ([4, 5, 6], "seek_end")


async def test_cursor_that_goes_back_is_none_for_a_tail(driver: Driver) -> None:
    await driver.append([new(n) for n in range(5)])
    page = await driver.list(order="desc", limit=2)
    assert await refusal(_caught_up(driver, page["cursor"])) == ("cursor_invalid", "cursor")


async def _caught_up(driver: Driver, cursor: str) -> None:
    async with driver.subscribe(cursor=cursor) as tail:
        await tail.history()
