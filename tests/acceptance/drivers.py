"""One small interface to a log, in the words of the wire, and three ways to it: in process, by client, by bare socket.

Each driver only translates. Parameters, events, receipts and pages are plain JSON; an error is `Refused`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from datetime import datetime
from typing import Any, Final, Protocol

from websockets.exceptions import ConnectionClosed

from audit import Actor, Audit, AuditError, Batch, CaughtUp, End, NewEvent, Target
from audit.client import RemoteAudit, connect
from audit.log.tail import Notice
from audit.log.topics import TopicPage
from tests.bare import Bare, BareError, bare

__all__ = ["DRIVERS", "Driver", "Json", "Refused", "Tail", "new", "numbers", "pages", "refusal"]

Json = dict[str, Any]

_NUMBERS: Final = {
    "invalid_params": -32602,
    "not_found": -32003,
    "cursor_invalid": -32004,
    "too_large": -32005,
    "conflict": -32008,
}
"""The errors of the wire that can be had by asking for the wrong thing."""

_REQUESTS: Final = 256
"""What a server takes of one connection at once, `limits.requests`."""


class Refused(Exception):
    """What a verb said no to, and why."""

    def __init__(self, code: str, parameter: str | None, message: str) -> None:
        super().__init__(f"{code} {parameter}: {message}")
        self.code = code
        self.parameter = parameter


class Note(Protocol):
    """Returns the next thing that a tail tells: `batch` with `events`, `caught_up`, `end` with `reason`, or another."""

    async def __call__(self) -> Json: ...


class Tail:
    """A tail, read as far as a test has to know what comes. `cursor` is that of the last thing told."""

    def __init__(self, note: Note) -> None:
        self._note = note
        self._came: list[Json] = []
        self.cursor = ""

    async def _next(self) -> str:
        note = await self._note()
        self.cursor = note["cursor"]
        self._came += note.get("events", [])
        said: str = note["told"]
        return f"end: {note['reason']}" if said == "end" else said

    def _take(self) -> list[Json]:
        came, self._came = self._came, []
        return came

    async def events(self, count: int) -> list[Json]:
        """Return the next so many events, when no more than these come with them."""
        while len(self._came) < count:
            said = await self._next()
            assert not said.startswith("end"), said
        assert len(self._came) == count
        return self._take()

    async def history(self) -> list[Json]:
        """Return the events until it has caught up."""
        while (said := await self._next()) != "caught_up":
            assert not said.startswith("end"), said
        return self._take()

    async def rest(self) -> tuple[list[Json], str]:
        """Return the events until it ends, and why it did."""
        while not (said := await self._next()).startswith("end: "):
            pass
        return self._take(), said.removeprefix("end: ")


class Driver(Protocol):
    """A way to a log. All raise `Refused`; parameters are those of `proto/`."""

    async def append(self, events: Sequence[Json], idempotency_key: str | None = None) -> list[Json]:
        """Append events as one commit; return `{id, index}` for each."""
        ...

    async def append_one(self, event: Json) -> Json:
        """Append one event, by the verb for that if there is one."""
        ...

    async def get(self, event_id: str) -> Json:
        """Return an event."""
        ...

    async def list(self, **query: Any) -> Json:
        """Return `{events, cursor, has_more}`."""
        ...

    async def topics(self, **query: Any) -> Json:
        """Return `{topics: [{topic, events, first_id, last_id}], cursor, has_more}`."""
        ...

    async def store(self) -> Json:
        """Return `{id, size, first_id, last_id, origin, key}`."""
        ...

    def subscribe(self, **query: Any) -> AbstractAsyncContextManager[Tail]:
        """Open a tail; one that is refused is so on entering or when it is first read."""
        ...


# --- In process, and by the client: the same verbs ---------------------------------------------------------------


class _Verbs:
    """What `Audit` and `RemoteAudit` have in common, which is all but one verb."""

    def __init__(self, log: Audit | RemoteAudit) -> None:
        self._log = log

    async def append(self, events: Sequence[Json], idempotency_key: str | None = None) -> list[Json]:
        with _raised():
            receipts = await self._log.append_many([_new(one) for one in events], idempotency_key=idempotency_key)
        return [{"id": one.id, "index": one.index} for one in receipts]

    async def append_one(self, event: Json) -> Json:
        try:
            with _raised():
                receipt = await self._log.append(_new(event))
        except Refused as error:
            if error.parameter is not None and error.parameter.startswith("event"):
                # On the wire it is a list of one.
                error.parameter = f"events[0]{error.parameter.removeprefix('event')}"
            raise
        return {"id": receipt.id, "index": receipt.index}

    async def get(self, event_id: str) -> Json:
        with _raised():
            return _parsed(await self._log.get_raw(event_id))

    async def list(self, **query: Any) -> Json:
        with _raised():
            page = await self._log.list(**query)
        return {"events": [_parsed(one) for one in page.slices], "cursor": page.cursor, "has_more": page.has_more}

    async def topics(self, **query: Any) -> Json:
        with _raised():
            page: TopicPage = await self._log.topics(**query)
        rows = [one._asdict() | {"topic": [*one.topic]} for one in page.topics]
        return {"topics": rows, "cursor": page.cursor, "has_more": page.has_more}

    async def store(self) -> Json:
        info = await self._log.info() if isinstance(self._log, RemoteAudit) else self._log.info()
        ends = {"first_id": info.first_id, "last_id": info.last_id}
        return {"id": info.store_id, "size": info.size, **ends, "origin": info.origin, "key": info.key}

    @asynccontextmanager
    async def subscribe(self, **query: Any) -> AsyncIterator[Tail]:
        with _raised():
            tail = self._log.subscribe(**query)
            await tail.__aenter__()

        async def note() -> Json:
            with _raised():
                return _told(await tail.read())

        try:
            yield Tail(note)
        finally:
            await tail.__aexit__(None, None, None)


def _new(event: Json) -> NewEvent:
    """Return an event as a caller in Python makes it."""
    members = dict(event)
    if (moment := members.get("occurred_at")) is not None:
        members["occurred_at"] = datetime.fromisoformat(moment)
    if (actor := members.get("actor")) is not None:
        members["actor"] = Actor(**actor)
    if targets := members.get("targets"):
        members["targets"] = [Target(**target) for target in targets]
    return NewEvent(**members)


def _parsed(event: bytes) -> Json:
    parsed: Json = json.loads(event)
    return parsed


def _told(notice: Notice) -> Json:
    if isinstance(notice, Batch):
        return {"told": "batch", "cursor": notice.cursor, "events": [_parsed(one) for one in notice.slices]}
    if isinstance(notice, CaughtUp):
        return {"told": "caught_up", "cursor": notice.cursor}
    if isinstance(notice, End):
        return {"told": "end", "cursor": notice.cursor, "reason": notice.reason}
    return {"told": "fell_behind", "cursor": notice.cursor}


@contextmanager
def _raised() -> Iterator[None]:
    try:
        yield
    except AuditError as error:
        raise Refused(error.code, getattr(error, "parameter", None), str(error)) from error


@asynccontextmanager
async def in_process(log: Audit) -> AsyncIterator[Driver]:
    """Use the log itself."""
    yield _Verbs(log)


@asynccontextmanager
async def by_client(log: Audit) -> AsyncIterator[Driver]:
    """Use it through a server and `audit.client`."""
    async with log.serve("127.0.0.1:0") as server, connect(server.urls[0]) as remote:
        yield _Verbs(remote)


# --- By bare socket ----------------------------------------------------------------------------------------------


class _Socket:
    """Knows `proto/`, and nothing of the package. Each tail has a connection of its own."""

    def __init__(self, client: Bare, url: str) -> None:
        self._client = client
        self._url = url
        self._waiting: dict[int, asyncio.Future[Json]] = {}
        self._slots = asyncio.Semaphore(_REQUESTS)

    async def read(self) -> None:
        """Hand answers to who waits for them, in whatever order they come."""
        try:
            while True:
                message = await self._client.receive()
                self._waiting.pop(message["id"]).set_result(message)
        except ConnectionClosed as closed:
            for waiting in self._waiting.values():
                waiting.set_exception(closed)

    async def _call(self, method: str, **params: Any) -> Json:
        async with self._slots:
            request = await self._client.send(method, **params)
            answer = self._waiting[request] = asyncio.get_running_loop().create_future()
            message = await answer
        if "error" in message:
            raise _refused(message["error"])
        result: Json = message["result"]
        return result

    async def append(self, events: Sequence[Json], idempotency_key: str | None = None) -> list[Json]:
        keyed = {} if idempotency_key is None else {"idempotency_key": idempotency_key}
        receipts: list[Json] = (await self._call("events.append", events=events, **keyed))["receipts"]
        return receipts

    async def append_one(self, event: Json) -> Json:
        (receipt,) = await self.append([event])
        return receipt

    async def get(self, event_id: str) -> Json:
        return await self._call("events.get", id=event_id)

    async def list(self, **query: Any) -> Json:
        return await self._call("events.list", **query)

    async def topics(self, **query: Any) -> Json:
        return await self._call("topics.list", **query)

    async def store(self) -> Json:
        store: Json = (await self._call("server.info"))["store"]
        return store

    @asynccontextmanager
    async def subscribe(self, **query: Any) -> AsyncIterator[Tail]:
        async with bare(self._url) as client:
            try:
                name = (await client.call("events.subscribe", **query))["subscription"]
            except BareError as error:
                raise _refused({"code": error.code, "message": str(error), "data": error.data}) from error

            async def note() -> Json:
                message = await client.note()
                params: Json = message["params"]
                assert params["subscription"] == name
                if events := params.get("events"):
                    await client.notify("subscription.credit", subscription=name, events=len(events))
                return params | {"told": message["method"].removeprefix("events.")}

            yield Tail(note)


def _refused(error: Json) -> Refused:
    data = error["data"]
    assert error["code"] == _NUMBERS[data["code"]]
    assert data["retryable"] is False
    return Refused(data["code"], data.get("parameter"), error["message"])


@asynccontextmanager
async def by_socket(log: Audit) -> AsyncIterator[Driver]:
    """Use it through a server and what any WebSocket library gives."""
    async with log.serve("127.0.0.1:0") as server, bare(server.urls[0]) as client:
        driver = _Socket(client, server.urls[0])
        reading = asyncio.create_task(driver.read())
        try:
            yield driver
        finally:
            reading.cancel()
            await asyncio.wait((reading,))


DRIVERS: Final[Mapping[str, Callable[[Audit], AbstractAsyncContextManager[Driver]]]] = {
    "in process": in_process,
    "by client": by_client,
    "by socket": by_socket,
}


# --- What tests of all verbs say again and again -----------------------------------------------------------------


def new(number: int, *topics: str, **members: Any) -> Json:
    """Return a numbered event with topics, written `a/b`; `a` if there are none."""
    return {"topics": [topic.split("/") for topic in topics or ("a",)], "data": number} | members


def numbers(events: Sequence[Json]) -> list[int]:
    """Return the numbers of such events."""
    return [event["data"] for event in events]


async def pages(driver: Driver, **query: Any) -> list[list[Json]]:
    """Return all pages of a query; the last one is that after which there is nothing more."""
    found: list[list[Json]] = []
    more = True
    while more:
        page = await driver.list(**query)
        found.append(page["events"])
        query["cursor"], more = page["cursor"], page["has_more"]
    return found


async def refusal(call: Awaitable[object]) -> tuple[str, str | None] | None:
    """Return the code and the parameter of what a call is refused with; None if it is not."""
    try:
        await call
    except Refused as error:
        return error.code, error.parameter
    return None
