"""PostgreSQL through asyncpg."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import asyncpg

from audit import NewEvent
from tests.bench.peers.sides import (
    ACTION,
    ACTOR,
    LIVE,
    PAGE,
    TOPIC,
    Link,
    Side,
    Told,
    decode,
    encode,
    free_port,
    owner,
    paths,
    wait_until,
)

__all__ = ["Postgres"]

_PLAIN = "CREATE TABLE events (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body bytea NOT NULL)"
# A column for each depth of topic: the fastest of the usual ways to have what is nested below one, in order.
_INDEXED = """
CREATE TABLE events (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, topic1 text, topic2 text, topic3 text,
    action text, actor text, outcome text, target text, body bytea NOT NULL);
CREATE INDEX ON events (topic1, seq); CREATE INDEX ON events (topic2, seq); CREATE INDEX ON events (topic3, seq);
CREATE INDEX ON events (action, seq); CREATE INDEX ON events (actor, seq);
CREATE INDEX ON events (outcome, seq); CREATE INDEX ON events (target, seq);
"""
_COLUMNS = ("topic1", "topic2", "topic3", "action", "actor", "outcome", "target", "body")
_SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "listen_addresses": "127.0.0.1",
    "max_connections": "1200",
    "shared_buffers": "1GB",  # a quarter of a small server, as its manual advises
    "max_wal_size": "4GB",
}


def _row(event: NewEvent) -> tuple[Any, ...]:
    topics = [*paths(event.topics[0]), None, None][:3]
    target = event.targets[0].id if event.targets else None
    return (*topics, event.action, event.actor and event.actor.id, event.outcome, target, encode(event))


def _plain_row(event: NewEvent) -> tuple[Any, ...]:
    return (encode(event),)


class _Link(Link):
    def __init__(self, connection: Any, *, plain: bool) -> None:
        self._connection = connection
        self._columns = _COLUMNS[-1:] if plain else _COLUMNS
        self._row = _plain_row if plain else _row
        values = ", ".join(f"${number + 1}" for number in range(len(self._columns)))
        # Every name in these is from above.
        self._insert = f"INSERT INTO events ({', '.join(self._columns)}) VALUES ({values})"  # noqa: S608
        live = f"WITH made AS ({self._insert} RETURNING seq) SELECT pg_notify('live', '') FROM made"  # noqa: S608
        self._insert_live = live
        self._page = "SELECT seq, body FROM events WHERE topic3 = $1 AND seq >= $2 ORDER BY seq LIMIT $3"
        self._facets = "SELECT body FROM events WHERE actor = $1 AND action = $2 AND seq >= $3 ORDER BY seq LIMIT $4"
        self._live = "SELECT seq, body FROM events WHERE topic1 = $1 AND seq > $2 ORDER BY seq LIMIT 1000"

    async def append(self, event: NewEvent) -> None:
        await self._connection.execute(self._insert, *self._row(event))

    async def append_many(self, events: Sequence[NewEvent]) -> None:
        rows = [self._row(event) for event in events]
        await self._connection.copy_records_to_table("events", records=rows, columns=self._columns)

    async def append_live(self, events: Sequence[NewEvent]) -> None:
        if len(events) == 1:
            await self._connection.execute(self._insert_live, *self._row(events[0]))
            return
        async with self._connection.transaction():
            await self.append_many(events)
            await self._connection.execute("SELECT pg_notify('live', '')")

    async def places(self) -> list[Any]:
        rows = await self._connection.fetch("SELECT seq FROM events WHERE topic3 = $1 ORDER BY seq", "/".join(TOPIC))
        return [row[0] for row in rows[::97]]

    async def page(self, place: Any) -> Sequence[Any]:
        rows = await self._connection.fetch(self._page, "/".join(TOPIC), place, PAGE)
        return [decode(row[1]) for row in rows]

    async def page_by_facets(self, place: Any) -> Sequence[Any]:
        return [decode(row[0]) for row in await self._connection.fetch(self._facets, ACTOR, ACTION, place, PAGE)]

    async def replay(self) -> int:
        count = place = 0
        while rows := await self._connection.fetch(self._page, "/".join(TOPIC), place, 1_000):
            count += len([decode(row[1]) for row in rows])
            place = rows[-1][0] + 1
        return count

    async def tail(self, ready: asyncio.Event, told: Told) -> None:
        woken = asyncio.Event()
        await self._connection.add_listener("live", lambda *_: woken.set())
        place = await self._connection.fetchval("SELECT coalesce(max(seq), 0) FROM events")
        ready.set()
        while True:
            await woken.wait()
            woken.clear()
            while rows := await self._connection.fetch(self._live, LIVE[0], place):
                told([decode(row[1]) for row in rows])
                place = rows[-1][0]
                if len(rows) < 1_000:
                    break

    async def close(self) -> None:
        await self._connection.close()


class Postgres(Side):
    """PostgreSQL; `plain` is a table of bodies with no index but the key's."""

    durability: ClassVar[str] = "fsync=on, synchronous_commit=on"

    def __init__(self, *, plain: bool = False) -> None:
        super().__init__()
        self._plain = plain
        self.name = "postgresql-plain" if plain else "postgresql"
        self.finds = not plain
        self.offers = frozenset() if plain else Side.offers
        self._port = 0

    def prepare(self, directory: Path) -> None:
        super().prepare(directory)
        self._user = owner(self.directory, "postgres")
        command = [_program("initdb"), "--pgdata", str(self.directory / "data"), "--auth=trust", "--username=postgres"]
        command += ["--encoding=UTF8", "--locale=C"]
        subprocess.run(command, check=True, capture_output=True, user=self._user, cwd=self.directory)
        self.start()
        asyncio.run(self._make())
        self.stop()

    async def _make(self) -> None:
        connection = await self._open()
        await connection.execute(_PLAIN if self._plain else _INDEXED)
        await connection.close()

    def start(self) -> None:
        self._port = free_port()
        settings = {**_SETTINGS, "port": str(self._port), "unix_socket_directories": str(self.directory)}
        command = [_program("postgres"), "-D", str(self.directory / "data")]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        # SIGINT is its "fast" end: connections are closed, a checkpoint is written.
        self.run(command, user=self._user, stop=signal.SIGINT)
        wait_until(self, lambda: asyncio.run(self._answers()))

    async def _answers(self) -> bool:
        try:
            await (await self._open()).close()
        except (OSError, asyncpg.PostgresError):
            return False
        return True

    async def _open(self) -> Any:
        return await asyncpg.connect(host="127.0.0.1", port=self._port, user="postgres", database="postgres", ssl=False)

    async def connect(self) -> Link:
        return _Link(await self._open(), plain=self._plain)


def _program(name: str) -> str:
    # Debian keeps the server's programs out of PATH, one folder a version.
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    program = str(found[-1]) if found else shutil.which(name)
    if program is None:
        raise FileNotFoundError(f"{name}: install the package postgresql")
    return program
