"""Pages: of which events, in which order, and how one follows the other."""

from collections.abc import Awaitable
from typing import Any

import pytest

from tests.acceptance.drivers import Driver, Json, new, numbers, pages, refusal

ACTOR = {"type": "user", "id": "u"}
TARGETS = [{"type": "x", "id": "t-1"}, {"type": "x", "id": "t-2"}]


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_pages_have_each_event_once(driver: Driver, order: str) -> None:
    await driver.append([new(n) for n in range(25)])
    everything = list(range(25)) if order == "asc" else list(range(24, -1, -1))
    for limit in (1, 3, 5, 24, 25, 26, 1_000):
        found = await pages(driver, limit=limit, order=order)
        assert [numbers(page) for page in found] == [everything[n : n + limit] for n in range(0, 25, limit)]


async def test_page_has_a_hundred_events_by_itself(driver: Driver) -> None:
    await driver.append([new(n) for n in range(101)])
    page = await driver.list()
    assert (numbers(page["events"]), page["has_more"]) == (list(range(100)), True)


async def test_empty_log_has_an_empty_page_and_its_cursor_goes_on(driver: Driver) -> None:
    page = await driver.list()
    assert (page["events"], page["has_more"]) == ([], False)
    await driver.append([new(0)])
    assert numbers((await driver.list(cursor=page["cursor"]))["events"]) == [0]


async def test_last_page_goes_on_with_what_came_later(driver: Driver) -> None:
    await driver.append([new(n) for n in range(5)])
    page = await driver.list(limit=3)
    await driver.append([new(5), new(6)])
    assert [numbers(one) for one in await pages(driver, cursor=page["cursor"])] == [[3, 4, 5, 6]]
    page = await driver.list()
    assert not page["has_more"]
    await driver.append([new(7)])
    assert numbers((await driver.list(cursor=page["cursor"]))["events"]) == [7]


async def test_what_comes_meanwhile_does_not_move_pages_that_go_back(driver: Driver) -> None:
    await driver.append([new(n) for n in range(10)])
    seen: list[int] = []
    cursor, more = None, True
    while more:
        page = await driver.list(order="desc", limit=4, **({} if cursor is None else {"cursor": cursor}))
        seen += numbers(page["events"])
        cursor, more = page["cursor"], page["has_more"]
        await driver.append([new(99)])
    assert seen == list(range(9, -1, -1))


async def test_limit_may_change_between_two_pages(driver: Driver) -> None:
    await driver.append([new(n) for n in range(10)])
    page = await driver.list(limit=2)
    assert numbers((await driver.list(limit=5, cursor=page["cursor"]))["events"]) == [2, 3, 4, 5, 6]


# --- Topics ------------------------------------------------------------------------------------------------------


async def test_topic_has_all_that_is_nested_below_it(driver: Driver) -> None:
    await driver.append([new(0, "a"), new(1, "a/b"), new(2, "a/b/c"), new(3, "b"), new(4, "a/c"), new(5, "b/a")])
    for topic, expected in {
        "a": [0, 1, 2, 4],
        "a/b": [1, 2],
        "a/b/c": [2],
        "b": [3, 5],
        "c": [],
        "a/b/c/d": [],
    }.items():
        assert numbers((await driver.list(topic=topic.split("/")))["events"]) == expected
        assert numbers((await driver.list(topic=topic.split("/"), order="desc"))["events"]) == expected[::-1]
    assert numbers((await driver.list(topic=[]))["events"]) == [0, 1, 2, 3, 4, 5]


async def test_topic_hides_none_that_begins_with_the_same_text(driver: Driver) -> None:
    segments = [
        ["a,b"],
        ["a,bc"],
        ["a", "b"],
        ["a", "bc"],
        ["a,b", "c"],
        ["ab"],
        ["a"],
        ["a,"],
        ['a","b'],
        ["a\\"],
        ["a "],
    ]
    await driver.append([{"topics": [topic], "data": n} for n, topic in enumerate(segments)])
    for asked in segments:
        expected = [n for n, topic in enumerate(segments) if topic[: len(asked)] == asked]
        assert numbers((await driver.list(topic=asked))["events"]) == expected
        async with driver.subscribe(topic=asked) as tail:
            assert numbers(await tail.history()) == expected


async def test_nobody_knows_a_topic_by_accident(driver: Driver) -> None:
    await driver.append([new(0)])
    for name in ("constructor", "__proto__", "toString", "*", "%", ".", "null"):
        page = await driver.list(topic=[name])
        assert (page["events"], page["has_more"]) == ([], False)


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_union_has_each_event_once_in_the_order_of_ids(driver: Driver, order: str) -> None:
    topics = [("a",), ("b",), ("c",), ("a", "b"), ("a/x",), ("b", "c", "d"), ("a/x", "a/y")]
    events = [new(n, *topics[n % len(topics)]) for n in range(40)]
    await driver.append(events)
    wanted = [n for n in range(40) if {"a", "b", "a/x"} & set(topics[n % len(topics)])]
    found = await pages(driver, topics=[["b"], ["a"], ["a", "x"]], order=order, limit=7)
    assert [n for page in found for n in numbers(page)] == (wanted if order == "asc" else wanted[::-1])
    assert [len(page) for page in found[:-1]] == [7] * (len(found) - 1)


# --- Filters -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filter_", "members"),
    [
        ({"actor": "u"}, {"actor": ACTOR}),
        ({"action": "opened"}, {"action": "opened"}),
        ({"outcome": "denied"}, {"outcome": "denied"}),
        ({"target": "t-2"}, {"targets": TARGETS}),
        ({"request_id": "r"}, {"context": {"request_id": "r"}}),
        ({"actor": "u", "action": "opened", "target": "t-1"}, {"actor": ACTOR, "action": "opened", "targets": TARGETS}),
    ],
)
async def test_filter_finds_what_is_equal_in_all_of_it(driver: Driver, filter_: Json, members: Json) -> None:
    near: Json = {
        "actor": {"type": "u", "id": "u2", "name": "u"},
        "action": "opened.",
        "outcome": "success",
        "targets": [{"type": "t-2", "id": "t"}],
        "context": {"request_id": "R", "trace_id": "r"},
    }
    one_short = near | dict(list(members.items())[1:])
    kinds = [near, members, {}, near | members, one_short]
    await driver.append([new(n, "a" if n % 2 else "b", **kinds[n % 5]) for n in range(30)])
    wanted = [n for n in range(30) if n % 5 in (1, 3)]
    for order in ("asc", "desc"):
        found = [numbers(page) for page in await pages(driver, filter=filter_, order=order, limit=4)]
        assert [n for page in found for n in page] == (wanted if order == "asc" else wanted[::-1])
    in_topic = (await driver.list(filter=filter_, topic=["a"]))["events"]
    assert numbers(in_topic) == [n for n in wanted if n % 2]
    async with driver.subscribe(filter=filter_, topic=["b"]) as tail:
        assert numbers(await tail.history()) == [n for n in wanted if not n % 2]


# --- Cursors -----------------------------------------------------------------------------------------------------


async def test_cursor_of_another_query_is_refused(driver: Driver) -> None:
    await driver.append([new(n) for n in range(5)])
    cursor = (await driver.list(topic=["a"], limit=2))["cursor"]
    others: list[Json] = [
        {"topic": ["b"]},
        {"topic": ["a", "b"]},
        {"topic": []},
        {"topics": [["a"], ["b"]]},
        {"topic": ["a"], "filter": {"action": "x"}},
        {"topic": ["a"], "order": "desc"},
    ]
    for other in others:
        assert await refusal(driver.list(cursor=cursor, **other)) == ("cursor_invalid", "cursor"), other
    for other in others[:-1]:
        assert await refusal(told(driver, cursor=cursor, **other)) == ("cursor_invalid", "cursor"), other


async def test_cursor_goes_with_the_same_query_however_it_is_put(driver: Driver) -> None:
    await driver.append([new(n) for n in range(5)])
    cursor = (await driver.list(topic=["a"], limit=2))["cursor"]
    same: list[Json] = [
        {"topic": ["a"], "filter": {}},
        {"topics": [["a"]]},
        {"topics": [["a", "b"], ["a"], ["a"]]},
        {"topic": ["a"], "order": "asc", "limit": 50, "inclusive": "both"},
        {"topic": ["a"], "seek_end": 2**47},
        {"topic": ["a"], "seek": 2**47},
    ]
    for query in same:
        assert numbers((await driver.list(cursor=cursor, **query))["events"]) == [2, 3, 4], query


async def test_cursor_takes_the_place_of_the_near_bound_and_keeps_the_far_one(driver: Driver) -> None:
    receipts = await driver.append([new(n) for n in range(10)])
    bounds = {"seek": receipts[2]["id"], "seek_end": receipts[8]["id"]}
    found = [numbers(page) for page in await pages(driver, limit=2, **bounds)]
    assert found == [[2, 3], [4, 5], [6, 7]]
    found = [numbers(page) for page in await pages(driver, limit=4, order="desc", **bounds)]
    assert found == [[7, 6, 5, 4], [3, 2]]


async def test_text_that_is_no_cursor_is_refused(driver: Driver) -> None:
    for cursor in ("", "nonsense", "AVK1cLLnJsWBAAAA", "é", "A" * 72, "A" * 100_000):
        for ask in (driver.list(cursor=cursor), driver.topics(cursor=cursor), told(driver, cursor=cursor)):
            assert await refusal(ask) == ("cursor_invalid", "cursor"), cursor[:80]


# --- What is refused ---------------------------------------------------------------------------------------------

BAD_QUERIES: list[tuple[Json, str]] = [
    ({"topic": ["a", ""]}, "topic[1]"),
    ({"topic": ["a/b"]}, "topic[0]"),
    ({"topic": ["a\n"]}, "topic[0]"),
    ({"topic": ["a"] * 17}, "topic"),
    ({"topics": []}, "topics"),
    ({"topics": [["a"], ["b", "c/d"]]}, "topics[1][1]"),
    ({"topics": [[str(n)] for n in range(65)]}, "topics"),
    ({"topic": ["a"], "topics": [["b"]]}, "topics"),
    ({"seek": "nonsense"}, "seek"),
    ({"seek": -1}, "seek"),
    ({"seek": 2**48}, "seek"),
    ({"seek_end": "2026-01-01T00:00:00"}, "seek_end"),
    ({"seek_end": "now"}, "seek_end"),
    ({"inclusive": "all"}, "inclusive"),
    ({"filter": {"outcome": "lost"}}, "filter.outcome"),
    ({"filter": {"actor": "x" * 257}}, "filter.actor"),
    ({"filter": {"nope": "x"}}, "filter.nope"),
    ({"limit": 0}, "limit"),
    ({"limit": -1}, "limit"),
]


async def told(driver: Driver, **query: Any) -> None:
    """Subscribe, until it has caught up."""
    async with driver.subscribe(**query) as tail:
        await tail.history()


async def test_bad_query_is_refused_by_the_name_of_what_is_bad(driver: Driver) -> None:
    for query, parameter in BAD_QUERIES:
        for ask in (driver.list(**query), told(driver, **query)):
            assert await refusal(ask) == ("invalid_params", parameter), query


async def test_bad_parameter_of_one_verb_is_refused(driver: Driver) -> None:
    bad: list[tuple[Awaitable[object], str]] = [
        (driver.list(limit=1_001), "limit"),
        (driver.list(order="up"), "order"),
        (driver.list(seek="now"), "seek"),
        (driver.topics(limit=0), "limit"),
        (driver.topics(limit=1_001), "limit"),
        (driver.topics(topic=["a/b"]), "topic[0]"),
    ]
    assert [await refusal(ask) for ask, _ in bad] == [("invalid_params", parameter) for _, parameter in bad]
