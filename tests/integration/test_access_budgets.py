"""How much somebody may ask for, over real sockets: calls, bytes and events a second, in answers and as they follow."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audit import NewEvent
from audit.client import connect
from audit.metrics.query import MetricUpdate
from audit.server.access.port import Principal
from audit.server.access.rules import ROLES, AccessRules, Role
from audit.server.charging import charged
from audit.testing import FakeClock
from tests.doors import bearer, door
from tests.web import fetch, stream


async def test_what_is_asked_too_often_says_when_to_come_back(tmp_path: Path) -> None:
    role = Role(verbs=frozenset({"read"}), per_second={"read": 1.0})
    clock = FakeClock()
    async with door(tmp_path, AccessRules(roles=dict(ROLES) | {"slow": role}), clock) as place:
        headers = bearer(place.token("slow", "/"))
        answers = [await fetch(place.base, "/v1/events", headers=headers) for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 429]
        assert answers[-1].json["code"] == "overloaded"
        assert answers[-1].json["retry_after_ms"] == 1_000
        assert answers[-1].headers["retry-after"] == "1"
        clock.advance(1_000)
        assert (await fetch(place.base, "/v1/events", headers=headers)).status == 200


async def test_what_is_read_counts_by_its_bytes(tmp_path: Path) -> None:
    role = Role(verbs=frozenset({"read"}), bytes_per_second=1_000.0)
    clock = FakeClock()
    async with door(tmp_path, AccessRules(roles=dict(ROLES) | {"small": role}), clock) as place:
        await place.log.append(NewEvent(topics=[("a",)], data="x" * 10_000))
        headers = bearer(place.token("small", "/"))
        assert (await fetch(place.base, "/v1/events", headers=headers)).status == 200
        refused = await fetch(place.base, "/v1/events", headers=headers)
        assert refused.status == 429
        clock.advance(refused.json["retry_after_ms"])
        assert (await fetch(place.base, "/v1/events", headers=headers)).status == 200


@pytest.mark.parametrize(
    "path", ["/v1/events", "/v1/metrics?measure=sum&field=data", "/v1/metrics?measure=max&field=data"]
)
@pytest.mark.parametrize("form", ["application/json", "text/csv"])
async def test_what_is_read_counts_by_its_events(tmp_path: Path, path: str, form: str) -> None:
    role = Role(verbs=frozenset({"read", "metrics"}), events_per_second=50.0)
    clock = FakeClock()
    async with door(tmp_path, AccessRules(roles=dict(ROLES) | {"small": role}), clock) as place:
        await place.log.append_many([NewEvent(topics=[("a",)], data=number) for number in range(90)])
        headers = bearer(place.token("small", "a")) | {"accept": form}
        topic = f"{'&' if '?' in path else '?'}topic=a"
        assert (await fetch(place.base, path + topic, headers=headers)).status == 200
        assert (await fetch(place.base, path + topic, headers=headers)).status == 200
        # 100 were saved up, 180 were read.
        for asked in (path + topic, "/v1/events?topic=a", "/v1/metrics?measure=count&topic=a"):
            refused = await fetch(place.base, asked, headers=headers)
            assert (refused.status, refused.json["retry_after_ms"]) == (429, 1_600)
            assert "may read 50 events a second" in refused.json["detail"]
        clock.advance(1_600)
        assert (await fetch(place.base, path + topic, headers=headers)).status == 200


async def test_what_is_read_counts_on_every_way(tmp_path: Path) -> None:
    role = Role(verbs=frozenset({"read", "metrics"}), events_per_second=1.0)
    clock = FakeClock()
    async with door(tmp_path, AccessRules(roles=dict(ROLES) | {"small": role}), clock) as place:
        receipts = await place.log.append_many([NewEvent(topics=[("a",)], data=number) for number in range(10)])
        token = place.token("small", "a")
        async with connect(place.url, token=token) as log:

            async def costs(call: Any) -> int:
                await call
                owes_ms: int = place.access._budgets.owes_ms(Principal(token.split("_")[1], "token", "small"))
                clock.advance(60_000)
                # Two seconds' worth may be saved up.
                return owes_ms // 1_000 + 2

            assert await costs(log.list(("a",), limit=7)) == 7
            assert await costs(log.metrics.get(measure="sum", field="data", topic=["a"])) == 10
            for _ in range(3):
                await log.get(receipts[0].id)
            assert await costs(log.info()) == 3
            assert await costs(fetch(place.base, f"/v1/events/{receipts[0].id}", headers=bearer(token))) == 2
            assert await costs(fetch(place.base, "/v1/events?topic=a&limit=5", headers=bearer(token))) == 5


def _large(number: int) -> NewEvent:
    return NewEvent(topics=[("a",)], data={"number": number, "text": "x" * 60_000})


async def test_who_subscribes_is_sent_no_more_than_they_may_read(tmp_path: Path) -> None:
    role = Role(verbs=frozenset({"read"}), bytes_per_second=2_000_000.0)
    clock = FakeClock()
    async with door(tmp_path, AccessRules(roles=dict(ROLES) | {"small": role}), clock) as place:
        for start in range(0, 120, 40):
            await place.log.append_many([_large(number) for number in range(start, start + 40)])
        context: Any = place.server._served and place.server._served._context
        async with connect(place.url, token=place.token("small", "a")) as log, log.subscribe(("a",)) as tail:
            found = [(await anext(tail)).data["number"] for _ in range(66)]
            await fetch(place.base, "/healthz")
            # 4 MB were saved up, which the last batch may go beyond.
            assert context.traffic.deliveries < 100
            clock.advance(60_000)
            found += [(await anext(tail)).data["number"] for _ in range(120 - len(found))]
            assert found == list(range(120))


async def test_who_streams_is_sent_no_more_than_they_may_read(tmp_path: Path) -> None:
    role = Role(verbs=frozenset({"read"}), events_per_second=1_000.0)
    clock = FakeClock()
    async with door(tmp_path, AccessRules(roles=dict(ROLES) | {"small": role}), clock) as place:
        for start in range(0, 3_000, 1_000):
            await place.log.append_many([NewEvent(topics=[("a",)], data=n) for n in range(start, start + 1_000)])
        context: Any = place.server._served and place.server._served._context
        headers = bearer(place.token("small", "a"))
        async with stream(place.base, "/v1/events/stream?topic=a", headers=headers) as opened:
            found = [event.json["data"] for event in await opened.events(2_100)]
            # It says now and then that it is there.
            assert (message := await opened.message()) is not None
            assert message.kind == ":"
            # 2,000 were saved up, which the last hundred go beyond.
            assert context.traffic.deliveries == 2_100
            clock.advance(60_000)
            found += [event.json["data"] for event in await opened.events(900)]
            assert found == list(range(3_000))


async def test_who_follows_live_waits_as_well(tmp_path: Path) -> None:
    role = Role(verbs=frozenset({"read"}), events_per_second=2.0)
    clock = FakeClock()
    async with door(tmp_path, AccessRules(roles=dict(ROLES) | {"small": role}), clock) as place:
        context: Any = place.server._served and place.server._served._context
        async with (
            connect(place.url, token=place.token("small", "a")) as slow,
            connect(place.url, token=place.token("reader", "a")) as free,
            slow.subscribe(("a",), seek="now") as paced,
            free.subscribe(("a",), seek="now") as all_of_it,
        ):
            await paced.read(1)
            await all_of_it.read(1)
            for number in range(12):
                await place.log.append(NewEvent(topics=[("a",)], data=number))
                event = await anext(all_of_it)
                assert event.data == number
            found = [(await anext(paced)).data for _ in range(4)]
            # What is over is what one batch may go beyond what was saved up, no more.
            assert context.traffic.deliveries < 24
            clock.advance(60_000)
            async with asyncio.timeout(60):
                found += [(await anext(paced)).data for _ in range(8)]
            assert found == list(range(12))


async def test_who_follows_a_metric_is_sent_no_more_than_they_may_read(tmp_path: Path) -> None:
    role = Role(verbs=frozenset({"read", "metrics"}), bytes_per_second=500.0)
    clock = FakeClock()
    async with (
        door(tmp_path, AccessRules(roles=dict(ROLES) | {"small": role}), clock) as place,
        connect(place.url, token=place.token("small", "a")) as slow,
        connect(place.url, token=place.token("reader", "a")) as free,
        slow.metrics.subscribe(measure="count", topic=["a"], every=0) as paced,
        free.metrics.subscribe(measure="count", topic=["a"], every=0) as all_of_it,
    ):
        await paced.snapshot()
        await all_of_it.snapshot()
        told = []
        for number in range(30):
            await place.log.append(NewEvent(topics=[("a",)], data=number))
            change = await all_of_it.changes()
            assert isinstance(change, MetricUpdate)
            assert change.total == number + 1
            if (fewer := await paced.changes(timeout_s=0)) is not None:
                assert isinstance(fewer, MetricUpdate)
                told.append(fewer.total)
        # 1,000 bytes were saved up: room for a few updates, and one that goes beyond.
        assert len(told) < 10
        clock.advance(60_000)
        async with asyncio.timeout(60):
            while not told or told[-1] != 30:
                change = await paced.changes()
                assert isinstance(change, MetricUpdate)
                told.append(change.total)


async def test_who_has_a_metric_begun_pays_for_the_events_that_are_read_for_it(tmp_path: Path) -> None:
    role = Role(verbs=frozenset({"read", "metrics"}), events_per_second=1.0)
    clock = FakeClock()
    async with door(tmp_path, AccessRules(roles=dict(ROLES) | {"small": role}), clock) as place:
        await place.log.append_many([NewEvent(topics=[("a",)], data=number) for number in range(10)])
        token = place.token("small", "a")
        principal = Principal(token.split("_")[1], "token", "small")
        async with (
            connect(place.url, token=token) as log,
            log.metrics.subscribe(measure="sum", field="data", topic=["a"]) as first,
        ):
            assert (await first.snapshot()).total == 45
            assert place.access._budgets.owes_ms(principal) == 8_000
            clock.advance(60_000)
            # Another who follows the same costs nothing, at its pace or at another.
            for every in (1_000, 250):
                async with log.metrics.subscribe(measure="sum", field="data", topic=["a"], every=every) as other:
                    assert (await other.snapshot()).total == 45
                    assert not place.access._budgets.owes_ms(principal)


async def test_who_leaves_before_the_answer_pays_for_it(tmp_path: Path) -> None:
    role = Role(verbs=frozenset({"read"}), events_per_second=1.0)
    async with door(tmp_path, AccessRules(roles=dict(ROLES) | {"small": role}), FakeClock()) as place:
        context: Any = place.server._served and place.server._served._context
        principal = Principal("somebody", "token", "small")
        started, left, done = threading.Event(), threading.Event(), threading.Event()

        def work(spend: Callable[[int], object]) -> None:
            started.set()
            left.wait(60)
            spend(7)
            done.set()

        reading = charged(context, principal, work)
        assert await asyncio.to_thread(started.wait, 60)
        reading.cancel()
        left.set()
        assert await asyncio.to_thread(done.wait, 60)
        assert place.access._budgets.owes_ms(principal) == 5_000
