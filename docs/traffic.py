"""Synthetic nodes, for a demonstration: 90 days of history by `occurred_at`, then life. `python docs/traffic.py URL`.

Each node is up or down, has planned maintenance now and then, and connections that are opened and closed.
"""

import asyncio
import contextlib
import random
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import audit.client
from audit import Actor, NewEvent
from audit.client import RemoteAudit

NODES = ("alpha", "bravo", "charlie", "delta")
DAYS = 90
CALL_EVENTS = 1000
CONNECTIONS_A_DAY = 25
MOST_OPEN = 12
REASONS = ("disk full", "out of memory", "no route to host", "kernel panic")


class Node:
    """One node, and what is open to it."""

    def __init__(self, name: str, seed: int) -> None:
        self.name = name
        self.random = random.Random(seed)  # noqa: S311 - the same history each time
        self.open: list[str] = []
        self.is_up = False
        self.opened = 0

    def says(self, when: datetime, what: str, *about: str, **data: object) -> NewEvent:
        """Return an event of this node."""
        return NewEvent(
            topics=[("nodes", self.name, *about)],
            action=f"node.{what}",
            occurred_at=when,
            actor=Actor(type="node", id=self.name),
            outcome="failure" if what == "down" else "success",
            data=data or None,
        )

    def goes_up(self, when: datetime) -> NewEvent:
        """Return what it says when it is up again."""
        self.is_up = True
        return self.says(when, "up")

    def goes_down(self, when: datetime, reason: str) -> list[NewEvent]:
        """Return what it says when it goes down: nothing is left open."""
        self.is_up = False
        closed = [self.closes(when) for _ in range(len(self.open))]
        return [*closed, self.says(when, "down", reason=reason)]

    def opens(self, when: datetime) -> NewEvent:
        """Return that a peer has connected."""
        self.opened += 1
        connection = f"{self.name}-{self.opened}"
        self.open.append(connection)
        port = self.random.choice((22, 443, 8080))
        return self.says(when, "connection.opened", "connection", connection=connection, port=port)

    def closes(self, when: datetime) -> NewEvent:
        """Return that one of its connections has ended."""
        connection = self.open.pop(self.random.randrange(len(self.open)))
        size = self.random.randrange(1_000_000)
        return self.says(when, "connection.closed", "connection", connection=connection, bytes=size)

    def moves(self, when: datetime) -> NewEvent:
        """Return that a connection was opened or closed."""
        if self.open and self.random.random() < len(self.open) / MOST_OPEN:
            return self.closes(when)
        return self.opens(when)

    def history(self, start: datetime, end: datetime) -> Iterator[NewEvent]:
        """Yield what it has said so far, in order."""
        yield self.goes_up(start)
        now = start
        while (now := now + timedelta(days=self.random.expovariate(CONNECTIONS_A_DAY))) < end:
            yield self.moves(now)
            chance = self.random.random()
            if chance < 1 / (CONNECTIONS_A_DAY * 25):
                # Once in 25 days or so, for ten minutes to five hours.
                yield from self.goes_down(now, self.random.choice(REASONS))
                now += timedelta(minutes=self.random.uniform(10, 300))
                yield self.goes_up(min(now, end))
            elif chance < 1 / (CONNECTIONS_A_DAY * 12):
                yield self.says(now, "maintenance.started", reason="upgrade")
                yield from self.goes_down(now, "upgrade")
                now += timedelta(minutes=self.random.uniform(5, 40))
                yield self.goes_up(min(now, end))
                yield self.says(min(now, end), "maintenance.ended")


async def live(log: RemoteAudit, nodes: list[Node]) -> None:
    """Go on for ever: some events a second, and now and then a node that is down for a quarter of a minute."""
    chance = random.Random(len(nodes))  # noqa: S311 - nothing secret
    downs: dict[Node, datetime] = {}
    while True:
        await asyncio.sleep(chance.uniform(0.1, 0.6))
        now = datetime.now(UTC)
        node = chance.choice(nodes)
        if node in downs:
            events = [node.goes_up(now)] if downs[node] < now else []
        elif not downs and chance.random() < 1 / 120:
            events = node.goes_down(now, chance.choice(REASONS))
            downs[node] = now + timedelta(seconds=15)
        else:
            events = [node.moves(now)]
        if node.is_up:
            downs.pop(node, None)
        if events:
            await log.append_many(events)


async def main(url: str) -> None:
    """Append the history, say so, and go on."""
    end = datetime.now(UTC)
    nodes = [Node(name, seed) for seed, name in enumerate(NODES)]
    told = [event for node in nodes for event in node.history(end - timedelta(days=DAYS), end)]
    told.sort(key=lambda event: event.occurred_at or end)
    async with audit.client.connect(url) as log:
        for at in range(0, len(told), CALL_EVENTS):
            await log.append_many(told[at : at + CALL_EVENTS])
        print(len(told), flush=True)
        await live(log, nodes)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(sys.argv[1]))
