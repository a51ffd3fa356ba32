"""Stores that are libraries: SQLite by the module of the standard library, and `eventsourcing` on SQLite."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Sequence
from typing import Any, ClassVar

from eventsourcing.persistence import StoredEvent
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteDatastore

from audit import NewEvent
from tests.bench.peers.sides import ACTION, ACTOR, PAGE, TOPIC, Link, Side, decode, encode, paths

__all__ = ["EventSourcing", "Sqlite"]

_PLAIN = "CREATE TABLE IF NOT EXISTS events (seq INTEGER PRIMARY KEY, body BLOB NOT NULL)"
_INDEXED = """
CREATE TABLE IF NOT EXISTS events (seq INTEGER PRIMARY KEY, topic1 TEXT, topic2 TEXT, topic3 TEXT,
    action TEXT, actor TEXT, outcome TEXT, target TEXT, body BLOB NOT NULL);
"""
_TERMS = ("topic1", "topic2", "topic3", "action", "actor", "outcome", "target")
_TOPIC = "/".join(TOPIC)


class _SqliteLink(Link):
    def __init__(self, database: sqlite3.Connection, *, plain: bool) -> None:
        self._database = database
        self._plain = plain
        columns = ("body",) if plain else (*_TERMS, "body")
        marks = ", ".join("?" for _ in columns)
        self._insert = f"INSERT INTO events ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608 - names from above
        self._page = "SELECT seq, body FROM events WHERE topic3 = ? AND seq >= ? ORDER BY seq LIMIT ?"
        self._facets = "SELECT body FROM events WHERE actor = ? AND action = ? AND seq >= ? ORDER BY seq LIMIT ?"

    def _row(self, event: NewEvent) -> tuple[Any, ...]:
        if self._plain:
            return (encode(event),)
        topics = [*paths(event.topics[0]), None, None][:3]
        target = event.targets[0].id if event.targets else None
        return (*topics, event.action, event.actor and event.actor.id, event.outcome, target, encode(event))

    async def append(self, event: NewEvent) -> None:
        with self._database:
            self._database.execute(self._insert, self._row(event))

    async def append_many(self, events: Sequence[NewEvent]) -> None:
        with self._database:
            self._database.executemany(self._insert, [self._row(event) for event in events])

    async def places(self) -> list[Any]:
        rows = self._database.execute("SELECT seq FROM events WHERE topic3 = ? ORDER BY seq", (_TOPIC,)).fetchall()
        return [row[0] for row in rows[::97]]

    async def page(self, place: Any) -> Sequence[Any]:
        return [decode(row[1]) for row in self._database.execute(self._page, (_TOPIC, place, PAGE)).fetchall()]

    async def page_by_facets(self, place: Any) -> Sequence[Any]:
        return [decode(row[0]) for row in self._database.execute(self._facets, (ACTOR, ACTION, place, PAGE)).fetchall()]

    async def replay(self) -> int:
        count = place = 0
        while rows := self._database.execute(self._page, (_TOPIC, place, 1_000)).fetchall():
            count += len([decode(row[1]) for row in rows])
            place = rows[-1][0] + 1
        return count

    async def close(self) -> None:
        self._database.close()


class Sqlite(Side):
    """SQLite; `plain` is a table of bodies with no index but the key's."""

    durability: ClassVar[str] = "journal_mode=WAL, synchronous=FULL"
    over_socket: ClassVar[bool] = False

    def __init__(self, *, plain: bool = False) -> None:
        super().__init__()
        self._plain = plain
        self.name = "sqlite-plain" if plain else "sqlite"
        self.finds = not plain
        self.offers = frozenset() if plain else frozenset({"page", "facets", "replay"})

    async def connect(self) -> Link:
        database = sqlite3.connect(self.directory / "events.db")
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "cache_size=-262144", "mmap_size=1073741824"):
            database.execute(f"PRAGMA {pragma}")
        database.executescript(_PLAIN if self._plain else _INDEXED)
        for term in () if self._plain else _TERMS:
            database.execute(f"CREATE INDEX IF NOT EXISTS by_{term} ON events ({term}, seq)")
        return _SqliteLink(database, plain=self._plain)


class _RecorderLink(Link):
    def __init__(self, datastore: Any) -> None:
        self._datastore = datastore
        self._recorder = SQLiteApplicationRecorder(datastore)
        self._recorder.create_table()
        self._log = uuid.uuid4()
        self._version = 0

    def _stored(self, event: NewEvent) -> Any:
        self._version += 1
        return StoredEvent(self._log, self._version, "/".join(event.topics[0]), encode(event))

    async def append(self, event: NewEvent) -> None:
        self._recorder.insert_events([self._stored(event)])

    async def append_many(self, events: Sequence[NewEvent]) -> None:
        self._recorder.insert_events([self._stored(event) for event in events])

    async def places(self) -> list[Any]:
        return list(range(1, self._recorder.max_notification_id(), 97))

    async def page(self, place: Any) -> Sequence[Any]:
        found = self._recorder.select_notifications(place, PAGE, topics=[_TOPIC])
        return [decode(one.state) for one in found]

    async def replay(self) -> int:
        count = place = 0
        while found := self._recorder.select_notifications(place, 1_000, topics=[_TOPIC]):
            count += len([decode(one.state) for one in found])
            place = found[-1].id + 1
        return count

    async def close(self) -> None:
        self._datastore.close()


class EventSourcing(Side):
    """The recorder of `eventsourcing`: exact topics, which it does not index."""

    name = "eventsourcing"
    durability: ClassVar[str] = "journal_mode=WAL, synchronous as SQLite comes (FULL)"
    over_socket: ClassVar[bool] = False
    finds = False
    offers = frozenset({"page", "replay"})

    async def connect(self) -> Link:
        return _RecorderLink(SQLiteDatastore(str(self.directory / "events.db")))
