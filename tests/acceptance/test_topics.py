"""The tree of topics: children, how many events each has, and from when to when."""

from tests.acceptance.drivers import Driver, Json, new, refusal


async def everything(driver: Driver, **query: object) -> list[Json]:
    """Return the rows of all pages."""
    rows: list[Json] = []
    more = True
    while more:
        page = await driver.topics(**query)
        rows += page["topics"]
        query["cursor"], more = page["cursor"], page["has_more"]
    return rows


async def test_children_are_counted_with_all_below_them(driver: Driver) -> None:
    receipts = await driver.append([new(0, "a"), new(1, "a/b"), new(2, "b/x/y"), new(3, "a/b/c"), new(4, "a/d")])
    ids = [one["id"] for one in receipts]
    assert await everything(driver) == [
        {"topic": ["a"], "events": 4, "first_id": ids[0], "last_id": ids[4]},
        {"topic": ["b"], "events": 1, "first_id": ids[2], "last_id": ids[2]},
    ]
    assert await everything(driver, topic=["a"]) == [
        {"topic": ["a", "b"], "events": 2, "first_id": ids[1], "last_id": ids[3]},
        {"topic": ["a", "d"], "events": 1, "first_id": ids[4], "last_id": ids[4]},
    ]
    assert await everything(driver, topic=["b", "x", "y"]) == []
    assert await everything(driver, topic=["nobody"]) == []


async def test_empty_log_has_no_topics(driver: Driver) -> None:
    page = await driver.topics()
    assert (page["topics"], page["has_more"]) == ([], False)


async def test_event_counts_once_for_each_child(driver: Driver) -> None:
    for _ in range(10):
        await driver.append([new(0, "a/b", "a/c", "a/b/d", "z"), new(1, "a/b/e")])
    assert [(row["topic"], row["events"]) for row in await everything(driver)] == [(["a"], 20), (["z"], 10)]
    rows = await everything(driver, topic=["a"])
    assert [(row["topic"], row["events"]) for row in rows] == [(["a", "b"], 20), (["a", "c"], 10)]


async def test_children_are_ordered_by_the_bytes_of_their_names(driver: Driver) -> None:
    names = ["a", "B", "ä", "a,b", "a,bc", "😀", "￿", "10", "9", "aa", "a b"]
    await driver.append([{"topics": [["t", name]], "data": n} for n, name in enumerate(names)])
    wanted = [["t", name] for name in sorted(names, key=str.encode)]
    for limit in (1, 3, 11, 1_000):
        assert [row["topic"] for row in await everything(driver, topic=["t"], limit=limit)] == wanted


async def test_page_of_topics_goes_on_after_its_last_name(driver: Driver) -> None:
    await driver.append([new(n, f"t/{n}") for n in range(8)])
    page = await driver.topics(topic=["t"], limit=3)
    assert ([row["topic"][1] for row in page["topics"]], page["has_more"]) == (["0", "1", "2"], True)
    # What sorts before the cursor has been passed by, what sorts behind it has not.
    await driver.append([new(8, "t/00", "t/20", "t/9")])
    rest = await everything(driver, topic=["t"], cursor=page["cursor"])
    assert [row["topic"][1] for row in rest] == ["20", "3", "4", "5", "6", "7", "9"]


async def test_cursor_of_another_topic_is_refused(driver: Driver) -> None:
    await driver.append([new(n, f"t/{n}", f"u/{n}") for n in range(3)])
    cursor = (await driver.topics(topic=["t"], limit=1))["cursor"]
    assert await refusal(driver.topics(topic=["u"], cursor=cursor)) == ("cursor_invalid", "cursor")
    assert await refusal(driver.topics(cursor=(await driver.list())["cursor"])) == ("cursor_invalid", "cursor")
