"""NATS JetStream through nats-py: one stream, a subject for each topic, so that wildcards find what is nested."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import nats
from nats.js import api
from nats.js.errors import NotFoundError

from audit import NewEvent
from tests.bench.peers.sides import LIVE, PAGE, TOPIC, Link, Side, Told, decode, encode, free_port, wait_until

__all__ = ["JetStream"]

_STREAM = "log"
_SUBJECTS = "log.>"


def _subject(topic: Sequence[str]) -> str:
    # The last token is there so that one wildcard finds a topic and what is nested in it.
    return ".".join(("log", *topic, "e"))


def _below(topic: Sequence[str]) -> str:
    return ".".join(("log", *topic, ">"))


class _Link(Link):
    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._stream = connection.jetstream(publish_async_max_pending=4_000)

    async def append(self, event: NewEvent) -> None:
        await self._stream.publish(_subject(event.topics[0]), encode(event))

    async def append_many(self, events: Sequence[NewEvent]) -> None:
        publish = self._stream.publish_async
        await asyncio.gather(*[await publish(_subject(event.topics[0]), encode(event)) for event in events])

    async def places(self) -> list[Any]:
        info = await self._stream.stream_info(_STREAM)
        return list(range(info.state.first_seq, info.state.last_seq, 97))

    async def page(self, place: Any) -> Sequence[Any]:
        # What its client has for "a hundred from here on": a consumer made, asked once, and deleted.
        config = api.ConsumerConfig(
            deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=place, ack_policy=api.AckPolicy.NONE
        )
        asked = await self._stream.pull_subscribe(_below(TOPIC), stream=_STREAM, config=config)
        found: list[Any] = []
        while len(found) < PAGE:
            found += [decode(message.data) for message in await asked.fetch(PAGE - len(found))]
        await self._end(asked)
        return found

    async def replay(self) -> int:
        tail = await self._stream.subscribe(_below(TOPIC), ordered_consumer=True)
        count = 0
        async for message in tail.messages:
            decode(message.data)
            count += 1
            if message.metadata.num_pending == 0:
                break
        await self._end(tail)
        return count

    async def tail(self, ready: asyncio.Event, told: Told) -> None:
        async def came(message: Any) -> None:
            told((decode(message.data),))

        policy = api.DeliverPolicy.NEW
        tail = await self._stream.subscribe(_below(LIVE), ordered_consumer=True, deliver_policy=policy, cb=came)
        ready.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await self._end(tail)

    async def _end(self, asked: Any) -> None:
        # The server keeps a consumer for five minutes after its last reader, and has a most of them.
        with contextlib.suppress(NotFoundError):
            await self._stream.delete_consumer(_STREAM, (await asked.consumer_info()).name)
        await asked.unsubscribe()

    async def close(self) -> None:
        await self._connection.close()


class JetStream(Side):
    """NATS; `unsynced` is as it comes, with an fsync every two minutes."""

    durability: ClassVar[str] = "sync_interval: always (nats); fsync every two minutes (nats-unsynced)"
    most_events: ClassVar[int] = 1_000_000  # filling it takes an hour otherwise

    def __init__(self, *, unsynced: bool = False) -> None:
        super().__init__()
        self.name = "nats-unsynced" if unsynced else "nats"
        self.durable = not unsynced
        self.offers = frozenset() if unsynced else frozenset({"page", "replay", "tail"})
        self._port = 0
        self._made = False

    def start(self) -> None:
        self._port = free_port()
        always = "sync_interval: always\n" if self.durable else ""
        config = self.directory.parent / f"{self.name}.conf"
        config.write_text(
            f"listen: 127.0.0.1:{self._port}\njetstream {{\n store_dir: {self.directory}\n {always}\n"
            "max_memory_store: 1GB\n max_file_store: 200GB\n}\n"
        )
        self.run([Path(sys.executable).with_name("nats-server"), "-c", config])
        wait_until(self, self._answers)
        if not self._made:
            asyncio.run(self._make())
            self._made = True

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self._port), 1.0) as asked:
                return asked.recv(100).startswith(b"INFO") and "Server is ready" in self.words()
        except OSError:
            return False

    async def _make(self) -> None:
        connection = await self._open()
        await connection.jetstream().add_stream(name=_STREAM, subjects=[_SUBJECTS], storage=api.StorageType.FILE)
        await connection.close()

    async def _open(self) -> Any:
        return await nats.connect(f"nats://127.0.0.1:{self._port}")

    async def connect(self) -> Link:
        return _Link(await self._open())
