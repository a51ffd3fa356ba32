"""Bounds: ids and times, inclusive or not, in both orders and of tails; a time is a whole millisecond."""

from itertools import product
from typing import Any

import pytest

from audit.testing import FakeClock
from audit.testing.clock import START_MS
from tests.acceptance.drivers import Driver, Json, new, numbers, pages

EACH_MS = 4
SPAN_MS = 5


async def spread(driver: Driver, clock: FakeClock) -> list[Json]:
    """Append a few events in each of a few milliseconds, beginning one after the clock's start; return receipts."""
    receipts: list[Json] = []
    for _ in range(SPAN_MS):
        clock.advance(1)
        # One by one and together: neither may matter.
        receipts.append(await driver.append_one(new(len(receipts))))
        receipts += await driver.append([new(len(receipts) + n) for n in range(EACH_MS - 1)])
    return receipts


def as_text(ms: int, zone: str = "Z") -> str:
    """Return a time of the milliseconds after the clock's start."""
    return f"2026-01-01T00:00:00.{ms:03}Z" if zone == "Z" else f"2026-01-01T05:30:00.{ms:03}+05:30"


async def found(driver: Driver, **query: Any) -> list[int]:
    """Return what a range holds, found in all three ways."""
    ascending = [n for page in await pages(driver, limit=3, **query) for n in numbers(page)]
    descending = [n for page in await pages(driver, limit=3, order="desc", **query) for n in numbers(page)]
    assert descending == ascending[::-1]
    async with driver.subscribe(**query, limit=len(ascending) + 1) as tail:
        # One that reaches beyond the log has no end yet.
        rest = numbers(await tail.history()) if "seek_end" not in query else numbers((await tail.rest())[0])
    assert rest == ascending
    return ascending


@pytest.mark.parametrize("inclusive", ["left", "right", "both", "neither"])
async def test_time_takes_in_all_of_its_millisecond_or_none(driver: Driver, clock: FakeClock, inclusive: str) -> None:
    await spread(driver, clock)
    # The clock is beyond them all: what has an end can be told to be over.
    clock.advance(100)
    for low, high in product((0, 1, 2, 5, 7), repeat=2):
        expected = [
            n
            for n in range(EACH_MS * SPAN_MS)
            if (ms := 1 + n // EACH_MS) > low - (inclusive in ("left", "both"))
            and ms < high + (inclusive in ("right", "both"))
        ]
        bounds: list[Json] = [
            {"seek": START_MS + low, "seek_end": START_MS + high},
            {"seek": as_text(low), "seek_end": as_text(high, "+05:30")},
        ]
        for bound in bounds[: 1 if (low + high) % 2 else 2]:
            assert await found(driver, inclusive=inclusive, **bound) == expected, bound


@pytest.mark.parametrize("inclusive", ["left", "right", "both", "neither"])
async def test_id_is_a_bound_in_the_middle_of_its_millisecond(driver: Driver, clock: FakeClock, inclusive: str) -> None:
    receipts = await spread(driver, clock)
    clock.advance(100)
    for low, high in ((0, 19), (5, 6), (6, 6), (9, 14), (14, 9)):
        first = low + (inclusive in ("right", "neither"))
        last = high - (inclusive in ("left", "neither"))
        bounds = {"seek": receipts[low]["id"], "seek_end": receipts[high]["id"].lower()}
        assert await found(driver, inclusive=inclusive, **bounds) == list(range(first, last + 1)), bounds


async def test_bound_may_be_absent_and_of_two_kinds(driver: Driver, clock: FakeClock) -> None:
    receipts = await spread(driver, clock)
    clock.advance(100)
    assert await found(driver) == list(range(20))
    assert await found(driver, seek=receipts[7]["id"]) == list(range(7, 20))
    assert await found(driver, seek_end=START_MS + 3) == list(range(8))
    assert await found(driver, seek=receipts[3]["id"], seek_end=as_text(3), inclusive="both") == list(range(3, 12))
    # An end that lies ahead: all that there is, and more to come.
    assert numbers((await driver.list(seek=0, seek_end=2**48 - 1))["events"]) == list(range(20))
    async with driver.subscribe(seek=0, seek_end=2**48 - 1) as tail:
        assert numbers(await tail.history()) == list(range(20))


async def test_id_that_no_event_has_is_a_bound(driver: Driver, clock: FakeClock) -> None:
    receipts = await spread(driver, clock)
    clock.advance(100)
    least = receipts[8]["id"][:10] + "0" * 16
    assert await found(driver, seek=least) == list(range(8, 20))
    assert await found(driver, seek_end=least, inclusive="both") == list(range(8))
    assert await found(driver, seek="7" + "Z" * 25) == []


async def test_part_of_a_millisecond_is_that_millisecond(driver: Driver, clock: FakeClock) -> None:
    await spread(driver, clock)
    clock.advance(100)
    query = {"seek": "2026-01-01T00:00:00.002999Z", "seek_end": "2026-01-01T00:00:00.003001Z"}
    assert await found(driver, **query) == list(range(4, 8))
    assert await found(driver, **query, inclusive="both") == list(range(4, 12))


async def test_bounds_are_of_the_recording_and_not_of_what_happened(driver: Driver) -> None:
    await driver.append_one(new(0, occurred_at="2020-01-01T00:00:00Z"))
    assert numbers((await driver.list(seek="2026-01-01T00:00:00Z"))["events"]) == [0]
    assert (await driver.list(seek_end="2026-01-01T00:00:00Z"))["events"] == []
