"""Redis Streams through redis-py: every event in a stream of all, and in one for each ancestor of its topic."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import redis.asyncio

from audit import NewEvent
from tests.bench.peers.sides import LIVE, PAGE, TOPIC, Link, Side, Told, decode, encode, free_port, paths, wait_until

__all__ = ["Redis"]

_TOPIC = "topic:" + "/".join(TOPIC)
_LIVE = "topic:" + LIVE[0]
# One step for the server: all or none of an event's streams have it, under one id.
_APPEND = """
local id = redis.call('XADD', KEYS[1], '*', 'e', ARGV[1])
for i = 2, #KEYS do redis.call('XADD', KEYS[i], id, 'e', ARGV[1]) end
return id
"""


class _Link(Link):
    def __init__(self, client: Any, script: str | None) -> None:
        self._client = client
        self._script = script

    async def append(self, event: NewEvent) -> None:
        await self._put(self._client, event)

    def _put(self, client: Any, event: NewEvent) -> Any:
        if self._script is None:
            return client.xadd("all", {"e": encode(event)})
        keys = ["all", *(f"topic:{path}" for path in paths(event.topics[0]))]
        return client.evalsha(self._script, len(keys), *keys, encode(event))

    async def append_many(self, events: Sequence[NewEvent]) -> None:
        async with self._client.pipeline(transaction=False) as pipeline:
            for event in events:
                self._put(pipeline, event)
            await pipeline.execute()

    async def places(self) -> list[Any]:
        found: list[bytes] = []
        start = b"-"
        while rows := await self._client.xrange(_TOPIC, min=start, count=1_000):
            found += [row[0] for row in rows[::97]]
            start = b"(" + rows[-1][0]
        return found

    async def page(self, place: Any) -> Sequence[Any]:
        return [decode(fields[b"e"]) for _, fields in await self._client.xrange(_TOPIC, min=place, count=PAGE)]

    async def replay(self) -> int:
        count, start = 0, b"-"
        while rows := await self._client.xrange(_TOPIC, min=start, count=1_000):
            count += len([decode(fields[b"e"]) for _, fields in rows])
            start = b"(" + rows[-1][0]
        return count

    async def tail(self, ready: asyncio.Event, told: Told) -> None:
        last = await self._client.xrevrange("all", count=1)
        place = last[0][0] if last else b"0"
        ready.set()
        while True:
            for _, rows in _streams(await self._client.xread({_LIVE: place}, block=60_000, count=1_000)):
                told([decode(fields[b"e"]) for _, fields in rows])
                place = rows[-1][0]

    async def close(self) -> None:
        await self._client.aclose()


def _streams(answer: Any) -> list[tuple[bytes, list[Any]]]:
    """Return an answer to XREAD, which is a list in one version of the protocol and a mapping in the next."""
    if not answer:
        return []
    if isinstance(answer, dict):
        return [(name, rows[0] if rows and isinstance(rows[0], list) else rows) for name, rows in answer.items()]
    return [(name, rows) for name, rows in answer]


class Redis(Side):
    """Redis; `plain` is one stream, in which nothing can be found by topic."""

    durability: ClassVar[str] = "appendonly yes, appendfsync always"
    most_events: ClassVar[int] = 1_000_000  # all of it is in memory, four times over

    def __init__(self, *, plain: bool = False) -> None:
        super().__init__()
        self._plain = plain
        self.name = "redis-plain" if plain else "redis"
        self.finds = not plain
        self.offers = frozenset() if plain else frozenset({"page", "replay", "tail"})
        self._port = 0

    def start(self) -> None:
        self._port = free_port()
        settings = {"port": self._port, "bind": "127.0.0.1", "dir": self.directory, "appendonly": "yes"}
        settings |= {"appendfsync": "always", "save": "", "maxclients": 4_000}
        command: list[str | Path] = ["redis-server"]
        for name, value in settings.items():
            command += [f"--{name}", str(value)]
        self.run(command)
        wait_until(self, self._answers)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self._port), 1.0) as asked:
                asked.sendall(b"PING\r\n")
                # Not while it still reads its log.
                return asked.recv(100).startswith(b"+PONG")
        except OSError:
            return False

    async def connect(self) -> Link:
        client = redis.asyncio.Redis(host="127.0.0.1", port=self._port, single_connection_client=True)
        await client.initialize()
        script = None if self._plain else await client.script_load(_APPEND)
        return _Link(client, script)
