"""Three ways to one log at the same time: what one says holds for the others."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from audit import Audit
from tests.acceptance.drivers import DRIVERS, Driver, Json, new, numbers

QUERIES: list[Json] = [
    {},
    {"order": "desc", "limit": 7},
    {"topics": [["b"], ["a", "x"]], "limit": 7},
    {"filter": {"action": "x"}, "order": "desc"},
    {"topic": ["a"], "seek": 0, "seek_end": "2027-01-01T00:00:00Z", "inclusive": "both"},
]


@pytest.fixture
def way() -> tuple[str, str]:
    return "all of them", "leveldb"


@pytest.fixture
async def drivers(log: Audit) -> AsyncIterator[list[Driver]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(way(log)) for way in DRIVERS.values()]


async def test_all_have_the_same_answers(drivers: list[Driver]) -> None:
    events = [new(n, ("a/x", "a/y", "b")[n % 3], action="x" if n % 2 else "y") for n in range(30)]
    for n, driver in enumerate(drivers):
        await driver.append(events[10 * n : 10 * n + 10])
    for query in QUERIES:
        answers = [await driver.list(**query) for driver in drivers]
        assert answers[0]["events"]
        assert answers == [answers[0]] * 3
    for topic in ([], ["a"], ["b"]):
        rows = [await driver.topics(topic=topic) for driver in drivers]
        assert rows == [rows[0]] * 3
    stores = [await driver.store() for driver in drivers]
    assert stores == [stores[0]] * 3


async def test_pages_go_on_by_another_way(drivers: list[Driver]) -> None:
    await drivers[0].append([new(n) for n in range(30)])
    for order in ("asc", "desc"):
        seen: list[int] = []
        query: Json = {"order": order, "limit": 4}
        more = True
        while more:
            page = await drivers[len(seen) // 4 % 3].list(**query)
            seen += numbers(page["events"])
            query["cursor"], more = page["cursor"], page["has_more"]
        assert seen == (list(range(30)) if order == "asc" else list(range(29, -1, -1)))


async def test_tails_go_on_by_another_way(drivers: list[Driver]) -> None:
    await drivers[0].append([new(n) for n in range(30)])
    seen: list[int] = []
    query: Json = {"limit": 4}
    while len(seen) < 28:
        async with drivers[len(seen) // 4 % 3].subscribe(**query) as tail:
            seen += numbers((await tail.rest())[0])
        query["cursor"] = tail.cursor
    assert seen == list(range(28))


async def test_what_is_appended_by_one_is_told_to_all(drivers: list[Driver]) -> None:
    async with AsyncExitStack() as stack:
        tails = [await stack.enter_async_context(driver.subscribe(topic=["a"])) for driver in drivers]
        assert [await tail.history() for tail in tails] == [[], [], []]
        for n, driver in enumerate(drivers):
            await driver.append_one(new(n))
            assert [numbers(await tail.events(1)) for tail in tails] == [[n]] * 3


async def test_key_given_by_one_is_known_to_all(drivers: list[Driver]) -> None:
    answers = [await driver.append([new(0), new(1)], "k") for driver in drivers]
    answers += [[await driver.append_one(new(2, idempotency_key="e"))] for driver in drivers]
    assert [[one["index"] for one in receipts] for receipts in answers] == [[0, 1]] * 3 + [[2]] * 3
