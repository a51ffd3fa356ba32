"""Subscriptions of several connections against a list: each is sent what it asked for, whatever happens to all."""

import asyncio
import json
from collections.abc import Callable
from functools import partial
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from audit import Audit, NewEvent, StoreOptions
from audit.server.access import ANONYMOUS
from audit.server.connection import Connection
from audit.server.context import ServerContext
from audit.server.options import ServeOptions
from audit.testing import memory_audit
from tests.bare import until
from tests.stores import TINY

TOPICS = ("a", "a/b", "a/c", "b")
SMALL = StoreOptions(recent_bytes=3_000, min_free_bytes=0, reserve_bytes=0)


class FakeLink:
    """A WebSocket's stead: collects what is sent, and takes nothing while paused."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.receiver: Callable[[bytes, bool], None] | None = None
        self.gone = asyncio.Event()
        self._flowing = asyncio.Event()
        self._flowing.set()

    def open(self, receiver: Callable[[bytes, bool], None]) -> None:
        self.receiver = receiver

    def send_message(self, message: bytes) -> None:
        self.messages.append(json.loads(message))

    def write_frame(self, frame: bytes) -> None:
        self.send_message(frame[frame.index(b'{"jsonrpc"') :])

    @property
    def paused(self) -> bool:
        return not self._flowing.is_set()

    async def drained(self) -> None:
        await self._flowing.wait()

    def pause(self, paused: bool) -> None:
        if paused:
            self._flowing.clear()
        else:
            self._flowing.set()


class Peer:
    """A connection and what its peer knows of its subscriptions: topics, credit, events, last cursor."""

    def __init__(self, context: ServerContext) -> None:
        self.link = FakeLink()
        self.task = asyncio.create_task(Connection(self.link, context, ANONYMOUS).run(self.link.gone.wait()))
        self.subscriptions: dict[str, Subscribed] = {}
        self.next = 0
        self.seen = 0

    def send(self, method: str, *, notify: bool = False, **params: Any) -> int:
        assert self.link.receiver is not None
        self.next += 1
        message = {"jsonrpc": "2.0", "method": method, "params": params} | ({} if notify else {"id": self.next})
        self.link.receiver(json.dumps(message).encode(), True)
        return self.next

    async def answer(self, request: int) -> Any:
        await until(lambda: any(message.get("id") == request for message in self.link.messages))
        return next(message["result"] for message in self.link.messages if message.get("id") == request)

    def look(self) -> None:
        """Account for the messages that came since the last look, and check each against what was agreed."""
        for message in self.link.messages[self.seen :]:
            if "method" not in message:
                continue
            params = message["params"]
            found = self.subscriptions[params["subscription"]]
            assert not found.cancelled, "a cancelled subscription was told something"
            found.cursor = params["cursor"]
            if message["method"] == "events.batch":
                found.events += [event["index"] for event in params["events"]]
                found.credit -= len(params["events"])
                assert found.credit >= 0, "more was sent than granted"
        self.seen = len(self.link.messages)


class Subscribed:
    def __init__(self, topic: str, after: int, credit: int) -> None:
        self.topic = topic
        self.after = after
        self.credit = credit
        self.events: list[int] = []
        self.cursor: str | None = None
        self.cancelled = False

    def expected(self, log: list[str]) -> list[int]:
        return [n for n, topic in enumerate(log) if n > self.after and (topic + "/").startswith(self.topic + "/")]


ACTIONS = st.one_of(
    st.tuples(st.just("append"), st.lists(st.sampled_from(TOPICS), min_size=1, max_size=12)),
    st.tuples(st.just("subscribe"), st.integers(0, 2), st.sampled_from(TOPICS), st.sampled_from([0, 1, 3, 1000])),
    st.tuples(st.just("grant"), st.integers(0, 20), st.sampled_from([1, 2, 5, 100])),
    st.tuples(st.just("pause"), st.integers(0, 2), st.booleans()),
    st.tuples(st.just("cancel"), st.integers(0, 20)),
    st.tuples(st.just("resume"), st.integers(0, 20), st.integers(0, 2), st.sampled_from([1, 1000])),
    st.tuples(st.just("run"), st.integers(1, 30)),
    st.tuples(st.just("vanish"), st.integers(0, 2)),
)


@settings(max_examples=150)
@given(st.lists(ACTIONS, min_size=3, max_size=30))
def test_each_subscription_is_sent_what_it_asked_for_once_and_in_order(actions: list[Any]) -> None:
    asyncio.run(_play(actions))


async def _play(actions: list[Any]) -> None:
    log = memory_audit(layout=TINY, options=SMALL)
    context = ServerContext(log._core, log, ServeOptions(progress_s=0.01))
    play = _Play(log, context)
    try:
        await play.start()
        for action, *arguments in actions:
            await getattr(play, action)(*arguments)
            play.look()
        await play.finish()
    finally:
        await play.stop()
        await log.close()


class _Play:
    def __init__(self, log: Audit, context: ServerContext) -> None:
        self.audit = log
        self.context = context
        self.log: list[str] = []
        self.peers: list[Peer] = []
        self.all: list[tuple[Peer, str, Subscribed]] = []

    async def start(self) -> None:
        self.peers = [Peer(self.context) for _ in range(3)]
        await until(lambda: all(peer.link.receiver for peer in self.peers))

    def look(self) -> None:
        for peer in self.peers:
            peer.look()

    async def append(self, topics: list[str]) -> None:
        await self.audit.append_many([NewEvent(topics=[tuple(topic.split("/"))], data="x" * 50) for topic in topics])
        self.log += topics

    async def subscribe(self, peer: int, topic: str, credit: int, after: int = -1, cursor: str | None = None) -> None:
        one = self.peers[peer]
        extra: dict[str, Any] = {} if cursor is None else {"cursor": cursor}
        subscribed = Subscribed(topic, after, credit)
        request = one.send("events.subscribe", topic=topic.split("/"), credit=credit, **extra)
        name = (await one.answer(request))["subscription"]
        one.subscriptions[name] = subscribed
        self.all.append((one, name, subscribed))

    async def grant(self, which: int, events: int) -> None:
        open_ones = [entry for entry in self.all if not entry[2].cancelled and entry[0] in self.peers]
        if open_ones:
            peer, name, subscribed = open_ones[which % len(open_ones)]
            subscribed.credit += events
            peer.send("subscription.credit", notify=True, subscription=name, events=events)

    async def pause(self, peer: int, paused: bool) -> None:
        self.peers[peer].link.pause(paused)

    async def cancel(self, which: int) -> None:
        open_ones = [entry for entry in self.all if not entry[2].cancelled and entry[0] in self.peers]
        if open_ones:
            peer, name, subscribed = open_ones[which % len(open_ones)]
            peer.look()
            await peer.answer(peer.send("subscription.cancel", subscription=name))
            # What came before the answer counts; the check in `look` starts after it.
            peer.look()
            subscribed.cancelled = True

    async def resume(self, which: int, peer: int, credit: int) -> None:
        told = [entry for entry in self.all if entry[2].cursor is not None]
        if told:
            one, _, subscribed = told[which % len(told)]
            if one in self.peers:
                one.look()
            last = max([subscribed.after, *subscribed.events])
            await self.subscribe(peer, subscribed.topic, credit, last, subscribed.cursor)

    async def run(self, steps: int) -> None:
        for _ in range(steps):
            await asyncio.sleep(0)

    async def vanish(self, peer: int) -> None:
        gone = self.peers[peer]
        gone.look()
        gone.link.gone.set()
        self.peers[peer] = Peer(self.context)
        await gone.task
        gone.look()
        await until(lambda: self.peers[peer].link.receiver)

    async def finish(self) -> None:
        """Let everything flow, and compare each subscription with the list."""
        for peer in self.peers:
            peer.link.pause(paused=False)
        for peer, name, subscribed in self.all:
            if peer in self.peers and not subscribed.cancelled:
                subscribed.credit += 1_000
                peer.send("subscription.credit", notify=True, subscription=name, events=1_000)
        for peer, _, subscribed in self.all:
            expected = subscribed.expected(self.log)
            if peer in self.peers and not subscribed.cancelled:
                await until(partial(self._has, subscribed, len(expected)))
                assert subscribed.events == expected
            else:
                assert subscribed.events == expected[: len(subscribed.events)]

    def _has(self, subscribed: Subscribed, count: int) -> bool:
        self.look()
        return len(subscribed.events) >= count

    async def stop(self) -> None:
        self.context.stopping.set()
        for peer in self.peers:
            peer.link.pause(paused=False)
        await asyncio.gather(*[peer.task for peer in self.peers])
        await self.context.feeds.close()


def test_member_that_lacks_credit_goes_on_right_after_what_its_feed_told() -> None:
    async def scene() -> None:
        log = memory_audit(layout=TINY, options=SMALL)
        play = _Play(log, ServerContext(log._core, log, ServeOptions()))
        await play.start()
        await play.subscribe(0, "a", 3)
        await play.subscribe(1, "a", 1000)
        one, two = (subscribed for _, _, subscribed in play.all)
        # Both are members of one feed by now, which tells both of these,
        await until(lambda: len(play.context.feeds) == 2)
        await play.append(["a", "a"])
        await until(partial(play._has, one, 2))
        # and of these only the second.
        await play.append(["a", "b", "a/c"])
        await until(partial(play._has, two, 4))
        await until(partial(play._has, one, 3))
        await play.grant(0, 5)
        await until(partial(play._has, one, 4))
        assert one.events == two.events == [0, 1, 2, 4]
        await play.append(["a"])
        await until(partial(play._has, one, 5))
        assert one.events == [0, 1, 2, 4, 5]
        await play.stop()
        await log.close()

    asyncio.run(scene())
