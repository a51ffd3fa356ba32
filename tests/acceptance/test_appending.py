"""What is appended is there, whole, once, and where its receipt says."""

import asyncio

from tests.acceptance.drivers import Driver, Json, new, numbers, pages, refusal

FULL: Json = {
    "topics": [["node", "connection", "forward"], ["vault", "v-1"]],
    "action": "connection.opened",
    "occurred_at": "2026-11-21T10:00:00.123000Z",
    "actor": {"type": "user", "id": "u-7", "name": "Ada"},
    "targets": [{"type": "vault", "id": "v-1"}, {"type": "node", "id": "n-1", "name": "here"}],
    "outcome": "denied",
    "context": {"ip": "10.0.0.1", "request_id": "r-9"},
    "data": {"any": ["JSON", 1.5, 2**63, -(2**63), True, None, {"": "\u2028 é 🙂 \u0000"}]},
}


async def test_event_comes_back_as_it_was_appended(driver: Driver) -> None:
    receipt = await driver.append_one(FULL)
    found = await driver.get(receipt["id"])
    assert (found.pop("id"), found.pop("index")) == (receipt["id"], receipt["index"]) == (receipt["id"], 0)
    assert len(found.pop("salt")) == 22
    assert found == FULL


async def test_what_is_not_set_is_left_out(driver: Driver) -> None:
    (receipt,) = await driver.append([{"topics": [["a"]]}])
    assert set(await driver.get(receipt["id"])) == {"id", "index", "topics", "salt"}


async def test_events_of_one_call_are_next_to_each_other_and_in_order(driver: Driver) -> None:
    calls = [[new(100 * call + n) for n in range(20)] for call in range(8)]
    receipts = await asyncio.gather(*[driver.append(call) for call in calls[:4]])
    receipts += [await driver.append(call) for call in calls[4:]]
    stored = [event for page in await pages(driver) for event in page]
    assert [event["index"] for event in stored] == list(range(160))
    ids = [event["id"] for event in stored]
    assert ids == sorted(set(ids))
    for call, given in zip(calls, receipts, strict=True):
        first = given[0]["index"]
        assert given == [{"id": one["id"], "index": one["index"]} for one in stored[first : first + 20]]
        assert numbers(stored[first : first + 20]) == numbers(call)


async def test_single_events_at_once_are_each_there_once(driver: Driver) -> None:
    receipts = await asyncio.gather(*[driver.append_one(new(n)) for n in range(200)])
    stored = [event for page in await pages(driver) for event in page]
    by_index = {one["index"]: n for n, one in enumerate(receipts)}
    assert numbers(stored) == [by_index[index] for index in range(200)]


async def test_call_of_a_thousand_events_is_taken(driver: Driver) -> None:
    receipts = await driver.append([new(n) for n in range(1_000)])
    assert [one["index"] for one in receipts] == list(range(1_000))
    assert (await driver.store())["size"] == 1_000


async def test_store_tells_its_size_and_its_ends(driver: Driver) -> None:
    empty = await driver.store()
    assert (empty["size"], empty["first_id"], empty["last_id"]) == (0, None, None)
    receipts = await driver.append([new(n) for n in range(30)])
    store = await driver.store()
    ends = {"first_id": receipts[0]["id"], "last_id": receipts[-1]["id"]}
    assert store == {"id": empty["id"], "size": 30, **ends, "origin": f"audit/{empty['id']}", "key": None}


async def test_topics_are_normalised_and_found_in_either_form(driver: Driver) -> None:
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    (receipt,) = await driver.append([{"topics": [[decomposed], [composed], ["x"]]}])
    assert (await driver.get(receipt["id"]))["topics"] == [[composed], ["x"]]
    for topic in (composed, decomposed):
        assert len((await driver.list(topic=[topic]))["events"]) == 1


BAD_MEMBERS: list[tuple[Json, str, str]] = [
    ({"topics": []}, "invalid_params", "topics"),
    ({"topics": [["a"], []]}, "invalid_params", "topics[1]"),
    ({"topics": [["a"], ["b", "c/d"]]}, "invalid_params", "topics[1][1]"),
    ({"topics": [["a" * 129]]}, "invalid_params", "topics[0][0]"),
    ({"topics": [["a"] * 17]}, "invalid_params", "topics[0]"),
    ({"topics": [["audit", "x"]]}, "invalid_params", "topics[0]"),
    ({"action": ""}, "invalid_params", "action"),
    ({"outcome": "lost"}, "invalid_params", "outcome"),
    ({"actor": {"type": "user", "id": ""}}, "invalid_params", "actor.id"),
    ({"targets": [{"type": "t", "id": "1"}, {"type": "", "id": "2"}]}, "invalid_params", "targets[1].type"),
    ({"context": {"ip": "x" * 1025}}, "invalid_params", "context.ip"),
    ({"occurred_at": "2026-11-21T10:00:00"}, "invalid_params", "occurred_at"),
    ({"idempotency_key": "k" * 257}, "invalid_params", "idempotency_key"),
    ({"data": "x" * 65_536}, "too_large", ""),
]


async def test_one_bad_event_is_named_and_nothing_of_its_call_appended(driver: Driver) -> None:
    expected = [(code, f"events[2].{member}".rstrip(".")) for _, code, member in BAD_MEMBERS]
    calls = [[new(0), new(1), new(2) | wrong, new(3)] for wrong, _, _ in BAD_MEMBERS]
    assert [await refusal(driver.append(call)) for call in calls] == expected
    assert (await driver.store())["size"] == 0


async def test_single_bad_event_is_named(driver: Driver) -> None:
    expected = [(code, f"events[0].{member}".rstrip(".")) for _, code, member in BAD_MEMBERS]
    assert [await refusal(driver.append_one(new(0) | wrong)) for wrong, _, _ in BAD_MEMBERS] == expected


async def test_call_of_no_events_or_too_many_is_refused(driver: Driver) -> None:
    assert await refusal(driver.append([])) == ("invalid_params", "events")
    assert await refusal(driver.append([new(n) for n in range(1_001)])) == ("too_large", "events")
    # Each is small, and so is what a client sends: with ids and salts it is over 4 MiB.
    assert await refusal(driver.append([new(n, data="x" * 4_100) for n in range(1_000)])) == ("too_large", "events")
    assert (await driver.store())["size"] == 0


# --- Idempotency -------------------------------------------------------------------------------------------------


async def test_call_repeated_with_its_key_answers_its_receipts(driver: Driver) -> None:
    call = [new(n) for n in range(3)]
    receipts = await driver.append(call, "k")
    await driver.append([new(3)])
    assert await driver.append(call, "k") == receipts
    assert (await driver.store())["size"] == 4
    assert [one["index"] for one in await driver.append(call, "another")] == [4, 5, 6]


async def test_call_repeated_at_once_is_appended_once(driver: Driver) -> None:
    call = [new(n) for n in range(3)]
    answers = await asyncio.gather(*[driver.append(call, "k") for _ in range(10)])
    assert [[one["index"] for one in receipts] for receipts in answers] == [[0, 1, 2]] * 10
    assert (await driver.store())["size"] == 3


async def test_events_with_known_keys_are_not_appended_again(driver: Driver) -> None:
    first = await driver.append([new(n, idempotency_key=f"k{n}") for n in range(3)])
    again = await driver.append([new(n, idempotency_key=f"k{n}") for n in (3, 1, 4, 0)])
    assert [one["index"] for one in again] == [3, 1, 4, 0]
    assert (again[1], again[3]) == (first[1], first[0])
    assert await driver.append_one(new(2, idempotency_key="k2")) == first[2]
    assert numbers((await driver.list())["events"]) == [0, 1, 2, 3, 4]
    assert "idempotency_key" not in (await driver.list())["events"][0]


async def test_events_without_a_key_are_appended_each_time(driver: Driver) -> None:
    for index in range(3):
        assert (await driver.append_one(new(0)))["index"] == index


async def test_key_used_for_something_else_is_a_conflict(driver: Driver) -> None:
    await driver.append([new(0), new(1)], "call")
    await driver.append([new(2, idempotency_key="event")])
    assert await refusal(driver.append([new(9)], "call")) == ("conflict", "idempotency_key")
    assert await refusal(driver.append([new(0), new(1), new(2)], "call")) == ("conflict", "idempotency_key")
    events = [new(8), new(9, idempotency_key="event")]
    assert await refusal(driver.append(events)) == ("conflict", "events[1].idempotency_key")
    assert await refusal(driver.append_one(events[1])) == ("conflict", "events[0].idempotency_key")
    assert (await driver.store())["size"] == 3


async def test_keys_of_calls_and_of_events_are_apart(driver: Driver) -> None:
    await driver.append([new(0)], "k")
    assert (await driver.append_one(new(1, idempotency_key="k")))["index"] == 1


async def test_bad_key_of_a_call_is_named(driver: Driver) -> None:
    assert await refusal(driver.append([new(0)], "")) == ("invalid_params", "idempotency_key")
    assert await refusal(driver.append([new(0)], "k" * 257)) == ("invalid_params", "idempotency_key")
    both = driver.append([new(0), new(1, idempotency_key="e")], "k")
    assert await refusal(both) == ("invalid_params", "idempotency_key")
