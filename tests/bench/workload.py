"""The events that benchmarks append: about 300 bytes stored, 7 terms each, in shares that queries can name."""

from __future__ import annotations

import random

from audit import Actor, NewEvent, Target

DENSE = ("node", "connection", "forward")
"""Topic of half the log."""
SPARSE = ("vault", "secret", "read")
"""Topic of 5 % of the log."""
OTHER = ("node", "connection", "reverse")
ACTORS = 1_000
"""Each actor has 0.1 % of the log."""


class Workload:
    """Events from a seed."""

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)
        self._number = 0

    def event(self, *, unique: bool = False) -> NewEvent:
        """Return the next event; `unique` adds a request id and an idempotency key of its own."""
        choose = self._random.random()
        self._number += 1
        topic = DENSE if choose < 0.5 else SPARSE if choose < 0.55 else OTHER
        return NewEvent(
            topics=[topic],
            action="connection.opened" if choose < 0.8 else "connection.closed",
            actor=Actor(type="user", id=f"u-{self._random.randrange(ACTORS)}"),
            targets=[Target(type="vault", id=f"v-{self._random.randrange(100)}")],
            outcome="success",
            context={"request_id": f"request-{self._number}"} if unique else {},
            data={"duration_ms": round(choose * 1000, 3), "peer": "10.0.0.17", "bytes": self._number},
            idempotency_key=f"key-{self._number}" if unique else None,
        )

    def batches(self, count: int, size: int, *, unique: bool = False) -> list[list[NewEvent]]:
        """Return `count` events in batches of `size`."""
        return [[self.event(unique=unique) for _ in range(size)] for _ in range(count // size)]
