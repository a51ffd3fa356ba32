"""Metrics over real sockets: what a client has folded is what the log says, whatever happens to the connections."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from audit import Actor, Audit, Event, Forbidden, InvalidParameter, NewEvent, NotFound, TooLarge
from audit.client import Backoff, connect, connect_sync
from audit.codec.cursors import decode_cursor
from audit.codec.segments import Layout
from audit.log.tail import End
from audit.metrics.changes import folded
from audit.metrics.plan import plan_of
from audit.metrics.query import MetricQuery, MetricResult, MetricUpdate
from audit.protocol.limits import Limits
from audit.server.access import ANONYMOUS, Ask, OpenAccess, Principal
from audit.server.options import ServeOptions
from audit.server.serving import Serving
from audit.storage.memory import Disk
from audit.testing import memory_audit
from audit.testing.clock import FakeClock
from audit.testing.logs import STORE_ID
from tests.bare import BareError, bare, until
from tests.integration.relay import Relay
from tests.oracle import Oracle
from tests.streams import TOPICS, random_event, random_query

QUICKLY = Backoff(first_s=0.01, most_s=0.01)
LAYOUT = Layout(segment_events=16, chunk_blocks=2, block_events=4)


def new(topic: str = "a", **members: Any) -> NewEvent:
    return NewEvent(topics=[tuple(topic.split("/"))], **members)


@asynccontextmanager
async def served(**options: Any) -> AsyncIterator[tuple[Audit, Serving]]:
    async with memory_audit() as log, log.serve("127.0.0.1:0", options=ServeOptions(**options)) as server:
        yield log, server


async def all_events(log: Audit) -> list[Event]:
    found: list[Event] = []
    cursor, more = None, True
    while more:
        page = await log.list(limit=1000, cursor=cursor)
        found += page.events
        cursor, more = page.cursor, page.has_more
    return found


class Follower:
    """A client's subscription, and each state that it was in."""

    def __init__(self, query: MetricQuery) -> None:
        self.query = query
        self.states: list[MetricResult] = []
        self.live: Any = None

    async def run(self, url: str) -> None:
        async with connect(url, backoff=QUICKLY) as log, log.metrics.subscribe(self.query, every=0) as live:
            self.live = live
            self.states.append(await live.snapshot())
            while not isinstance(change := await live.changes(), End):
                assert change is not None
                self.states.append(folded(self.states[-1], change))
                latest = live.latest
                assert latest is not None
                assert latest.as_of != change.as_of or latest.windows == self.states[-1].windows

    def has(self, now: MetricResult) -> bool:
        """Whether what was told adds up to the answer now; of what time alone has moved, the next answer says it."""
        if not self.states:
            return False
        mine = self.states[-1]
        plain = [(w.value, w.count, w.final, w.rev, w.group) for w in mine.windows]
        return mine.total == now.total and plain == [(w.value, w.count, w.final, w.rev, w.group) for w in now.windows]


@pytest.mark.parametrize("seed", range(4))
async def test_folded_states_are_the_oracle_s_through_restarts_reconnects_and_late_events(seed: int) -> None:
    choose = random.Random(seed)
    clock, disk = FakeClock(), Disk(STORE_ID, LAYOUT)
    queries = [query for _ in range(40) if still(query := random_query(choose, clock.wall_ms()))][:5]
    followers = [Follower(query) for query in queries]
    async with Relay("") as relay, asyncio.TaskGroup() as tasks:
        running: list[asyncio.Task[None]] = []
        for restart in range(3):
            async with memory_audit(disk, clock=clock, seed=seed * 10 + restart) as log:
                async with log.serve("127.0.0.1:0") as server:
                    relay.lead_to(server.urls[0])
                    if not running:
                        running = [tasks.create_task(one.run(relay.url)) for one in followers]
                        await until(lambda: all(one.states for one in followers))
                    for _ in range(5):
                        clock.advance(choose.choice([0, 1, 900, 61_000]))
                        for _ in range(choose.randrange(4)):
                            await log.append_many([random_event(choose, clock.wall_ms()) for _ in range(3)])
                        # What wakes all of them: the turned clock does not.
                        await log.append(NewEvent(topics=TOPICS, action="opened", outcome="denied"))
                        if choose.random() < 0.3:
                            relay.cut()
                        for one in followers:
                            now = await log.metrics.get(one.query)
                            await until(lambda one=one, now=now: one.has(now))  # type: ignore[misc]
                if restart == 2:
                    events = await all_events(log)
                    for one in followers:
                        one.states.insert(0, await log.metrics.get(one.query))
                        check_all(log, one, events)
        for task in running:
            task.cancel()


def still(query: MetricQuery) -> bool:
    """Whether it changes by commits alone, so that it is known when a follower has everything; no inverted span."""
    low, high = query.seek, query.seek_end
    inverted = isinstance(low, int) and isinstance(high, int) and high < low
    return query.measure not in ("rate", "uptime") and not inverted


def check_all(log: Audit, follower: Follower, events: list[Event]) -> None:
    """Compare each state with all events that its cursor covers."""
    plan = plan_of(follower.query)
    digest = log._core.measuring.digest(plan)
    assert len(follower.states) > 1
    for state in follower.states:
        index = decode_cursor(state.as_of.cursor, digest).index
        Oracle(follower.query, events[: index + 1], plan, state.as_of.time).check(state)


async def test_a_reader_who_comes_late_gets_the_newest_state_in_one() -> None:
    async with served() as (log, server), connect(server.urls[0]) as client:
        live = client.metrics.subscribe(measure="count", window="1m", every=0)
        async with live:
            await live.snapshot()
            for _ in range(20):
                await log.append(new())
            await until(lambda: live.latest is not None and live.latest.total == 20)
            change = await live.changes()
            assert isinstance(change, MetricUpdate)
            assert (change.total, len(change.windows)) == (20, 1)
            assert await live.changes(timeout_s=0) is None
            assert live.latest == await client.metrics.get(measure="count", window="1m")
            live.close()
            end = await live.changes()
            assert isinstance(end, End)
            assert end.reason == "cancelled"


async def test_cancel_frees_the_computation_at_once() -> None:
    async with served() as (log, server), bare(server.urls[0]) as client:
        context = server._context
        first = await client.call("metrics.subscribe", measure="count", every=0)
        second = await client.call("metrics.subscribe", measure="count", every=0)
        assert (len(context.metric_feeds), len(log._core.live_metrics)) == (1, 1)
        assert context.traffic.subscriptions == 2
        await client.call("subscription.cancel", **first)
        assert len(context.metric_feeds) == 1
        await client.call("subscription.cancel", **second)
        await until(lambda: not len(context.metric_feeds) and not len(log._core.live_metrics))
        client.notes.clear()
        await log.append(new())
        await client.call("server.info")
        assert not client.notes
        assert context.traffic.subscriptions == 0
        # The same again begins anew.
        await client.call("metrics.subscribe", measure="count", every=0)
        assert (await client.note())["params"]["total"] == 1


async def test_a_lost_connection_frees_what_it_followed() -> None:
    async with served() as (log, server):
        async with bare(server.urls[0]) as client:
            await client.call("metrics.subscribe", measure="count")
        await until(lambda: not len(server._context.metric_feeds) and not len(log._core.live_metrics))


async def test_a_group_whose_event_is_erased_is_gone_for_who_follows_it() -> None:
    async with served() as (log, server), connect(server.urls[0]) as client:
        named = await log.append(new(actor=Actor(type="user", id="u-1")))
        lives = [
            client.metrics.subscribe(measure="count", group_by="actor.id", window=window, every=0)
            for window in ("1h", None)
        ]
        for one in lives:
            assert {window.group for window in (await one.snapshot()).windows} == {"u-1"}
        await log.erase([named.id], reason="asked for")
        await log.append(new(actor=Actor(type="user", id="u-2")))
        for one in lives:
            # Those without an actor are the erased one, and the event that says so.
            await until(lambda one=one: groups(one.latest) == {None: 2, "u-2": 1})  # type: ignore[misc]


def groups(result: MetricResult | None) -> dict[Any, Any]:
    return {} if result is None else {window.group: window.value for window in result.windows}


async def test_a_cursor_continues_with_what_has_changed_since() -> None:
    async with served() as (log, server), bare(server.urls[0]) as other, bare(server.urls[0]) as client:
        query = {"measure": "count", "window": "1h", "seek": "2025-12-31T20:00:00Z", "every": 0}
        await log.append(new())
        # Somebody else follows it, too: so the server knows what has changed.
        await other.call("metrics.subscribe", **query)
        whole = (await other.note())["params"]
        assert len(whole["windows"]) == 5
        await log.append(new())
        changed = (await other.note())["params"]
        assert [window["value"] for window in changed["windows"]] == [2]
        await client.call("metrics.subscribe", **query, cursor=whole["cursor"])
        note = await client.note()
        assert note["method"] == "metrics.update"
        assert note["params"]["windows"] == changed["windows"]
        # One that is not known any more begins with everything.
        await client.call("metrics.subscribe", **query | {"every": 7}, cursor=whole["cursor"])
        note = await client.note()
        assert note["method"] == "metrics.snapshot"
        assert len(note["params"]["windows"]) == 5


@pytest.mark.parametrize(
    ("params", "code", "parameter"),
    [
        ({"measure": "count", "every": -1}, "invalid_params", "every"),
        ({"measure": "count", "window": "1m", "seek": 0}, "too_large", "window"),
        ({"measure": "avg"}, "invalid_params", "field"),
        ({"measure": "count", "cursor": "x"}, "cursor_invalid", "cursor"),
        ({"metric": "nobody"}, "not_found", None),
        ({"measure": "count", "colour": 1}, "invalid_params", "colour"),
    ],
)
async def test_what_is_wrong_is_the_answer(params: dict[str, Any], code: str, parameter: str | None) -> None:
    async with served() as (_, server), bare(server.urls[0]) as client:
        with pytest.raises(BareError) as caught:
            await client.call("metrics.subscribe", **params)
        assert caught.value.data["code"] == code
        assert caught.value.data.get("parameter") == parameter
        assert not len(server._context.metric_feeds)


async def test_an_answer_beyond_a_frame_is_refused() -> None:
    async with served(limits=Limits(sent_frame_bytes=50_000)) as (_, server), connect(server.urls[0]) as client:
        seek = "2025-01-01T00:00:00Z"
        with pytest.raises(TooLarge):
            await client.metrics.get(measure="count", seek=seek, seek_end="2025-01-02T00:00:00Z", window="1m")
        live = client.metrics.subscribe(measure="count", seek=seek, seek_end="2025-01-02T00:00:00Z", window="1m")
        with pytest.raises(TooLarge):
            await live.snapshot()


async def test_a_client_says_at_once_what_it_knows_to_be_wrong() -> None:
    async with served() as (_, server), connect(server.urls[0]) as client:
        for members in ({"measure": "count", "colour": 1}, {"measure": 7}, {"measure": "count", "every": -1}):
            with pytest.raises(InvalidParameter):
                client.metrics.subscribe(**members)
        with pytest.raises(NotFound):
            await client.metrics.get(metric="nobody")


class OnlyNode(OpenAccess):
    def authorise(self, principal: Principal, ask: Ask) -> None:
        assert principal == ANONYMOUS
        if ask.verb == "metrics" and any(topic[:1] != ("node",) for topic in ask.topics):
            raise Forbidden("these are not yours")


async def test_metrics_are_asked_for_by_topic() -> None:
    async with memory_audit() as log, log.serve("127.0.0.1:0", access=OnlyNode()) as server:
        client = await connect(server.urls[0])
        async with client:
            assert (await client.metrics.get(measure="count", topic=("node",))).total == 0
            for topics in ([("node",), ("vault",)], [()]):
                with pytest.raises(Forbidden):
                    await client.metrics.get(measure="count", topics=topics)
                with pytest.raises(Forbidden):
                    await client.metrics.subscribe(measure="count", topics=topics).snapshot()
            with pytest.raises(Forbidden):
                await client.metrics.list()


async def test_a_log_that_closes_first_ends_subscriptions_in_order() -> None:
    log = memory_audit()
    async with log.serve("127.0.0.1:0") as server, bare(server.urls[0]) as client:
        await client.call("metrics.subscribe", measure="count")
        snapshot = await client.note()
        await log.close()
        end = await client.note()
        assert (end["method"], end["params"]["reason"]) == ("metrics.end", "shutdown")
        assert end["params"]["cursor"] == snapshot["params"]["cursor"]
        with pytest.raises(BareError) as caught:
            await client.call("metrics.get", measure="count")
        assert caught.value.data["code"] == "unavailable"


async def test_blocking_verbs_are_the_same() -> None:
    async with served() as (log, server):
        await log.append(new())

        def follow() -> None:
            with connect_sync(server.urls[0]) as client:
                assert client.metrics.get(measure="count").total == 1
                with client.metrics.subscribe(measure="count", every=0) as live:
                    assert live.snapshot().total == 1
                    assert live.changes(timeout_s=0) is None
                    client.append(new())
                    change = live.changes()
                    assert isinstance(change, MetricUpdate)
                    assert change.total == 2
                    assert live.latest is not None
                    assert live.latest.total == 2
                    assert live.cursor == change.as_of.cursor
                    live.close()
                    assert isinstance(live.changes(), End)

        await asyncio.to_thread(follow)


async def test_over_http() -> None:
    async with served() as (log, server):
        await log.append(new(outcome="denied"))
        await log.append(new("b"))
        got = await http(server, "/v1/metrics?measure=count&topic=a&topic=b&outcome=denied")
        assert json.loads(got)["total"] == 1
        rows = await http(
            server, "/v1/metrics?measure=quantiles&field=data.n&quantiles=0.5,0.9&group_by=action", "text/csv"
        )
        assert rows.splitlines()[0] == "start,end,group,value,count,final"
        problem = json.loads(await http(server, "/v1/metrics?measure=count&windows=1m"))
        assert (problem["status"], problem["parameter"]) == (400, "windows")
        problem = json.loads(await http(server, "/v1/metrics?measure=quantiles&field=data.n&quantiles=many"))
        assert (problem["status"], problem["parameter"]) == (400, "quantiles")


async def http(server: Serving, path: str, accept: str = "*/*") -> str:
    host, port = server.addresses[0].removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode())
    body = (await reader.read()).partition(b"\r\n\r\n")[2].decode()
    writer.close()
    return body
