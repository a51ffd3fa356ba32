"""Our log: `audit serve` in a process of its own through `audit.client`, and in this process."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import audit.client
from audit import Audit, Batch, CaughtUp, NewEvent
from audit.client import RemoteAudit
from tests.bench.peers.sides import ACTION, ACTOR, LIVE, PAGE, TOPIC, Link, Side, Told, wait_until

__all__ = ["Embedded", "Served"]

_FACETS = {"actor": ACTOR, "action": ACTION}
_CREDIT = 20_000


class OurLink(Link):
    """Both kinds of log have the same verbs."""

    def __init__(self, log: RemoteAudit | Audit) -> None:
        self.log = log

    async def append(self, event: NewEvent) -> None:
        await self.log.append(event)

    async def append_many(self, events: Sequence[NewEvent]) -> None:
        await self.log.append_many(events)

    async def places(self) -> list[Any]:
        found: list[str] = []
        cursor = None
        while True:
            page = await self.log.list(TOPIC, limit=1_000, cursor=cursor)
            found += [str(event.id) for event in page.events[::97]]
            cursor = page.cursor
            if not page.has_more:
                return found

    async def page(self, place: Any) -> Sequence[Any]:
        return (await self.log.list(TOPIC, seek=place, limit=PAGE)).events

    async def page_by_facets(self, place: Any) -> Sequence[Any]:
        return (await self.log.list(seek=place, limit=PAGE, filter=_FACETS)).events

    async def replay(self) -> int:
        count = 0
        async with self.log.subscribe(TOPIC) as tail:
            while not isinstance(notice := await tail.read(), CaughtUp):
                count += len(notice.events) if isinstance(notice, Batch) else 0
        return count

    async def tail(self, ready: asyncio.Event, told: Told) -> None:
        async with self.log.subscribe(LIVE, seek="now") as tail:
            ready.set()
            while True:
                notice = await tail.read()
                if isinstance(notice, Batch):
                    told(notice.events)

    async def close(self) -> None:
        await self.log.close()


class Served(Side):
    """Over a socket."""

    name = "ours"
    durability: ClassVar[str] = "fsync of each group commit"

    def start(self) -> None:
        command = Path(sys.executable).with_name("audit")
        self.run([command, "serve", "--data", self.directory / "store", "--create", "--listen", "127.0.0.1:0"])
        wait_until(self, lambda: self._url() is not None)

    def _url(self) -> str | None:
        found = re.findall(r"^http://(\S+)$", self.words(), re.MULTILINE)
        return f"ws://{found[-1]}/rpc" if found else None

    async def connect(self) -> Link:
        url = self._url()
        assert url is not None
        return OurLink(await audit.client.connect(url, credit=_CREDIT))


class Embedded(Side):
    """In this process."""

    name = "ours"
    durability: ClassVar[str] = "fsync of each group commit"
    over_socket: ClassVar[bool] = False

    async def connect(self) -> Link:
        return OurLink(await Audit.open(self.directory / "store", create=True))
