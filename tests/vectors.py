"""Plays the transcripts of `proto/vectors` against a server, by way of nothing but a connection: see the README there.

Knows JSON and the transcripts, and nothing of the package: what it finds wrong is what a stranger's client would.
"""

import asyncio
import base64
import json
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Protocol

__all__ = ["HERE", "Link", "Mismatch", "Names", "expand", "load", "names", "play"]

HERE: Final = Path(__file__).resolve().parents[1] / "proto" / "vectors"
_PATIENCE_S: Final = 20.0
_FIRST_CREDIT: Final = 1_000
_LAST: Final = "the end of the vector"
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_KINDS: Final[dict[str, type | tuple[type, ...]]] = {
    "string": str,
    "time": str,
    "integer": int,
    "boolean": bool,
    "object": dict,
    "array": list,
}
_ABSENT: Final = object()

Json = Any


class Mismatch(AssertionError):
    """What came is not what the transcript says."""


class Link(Protocol):
    """One connection."""

    async def send(self, data: bytes, /, *, text: bool) -> None:
        """Send a text or a binary frame; one on a connection that is closed already is dropped."""
        ...

    async def receive(self) -> str | bytes | int:
        """Return the next frame, or the code that the connection was closed with."""
        ...


def names() -> list[str]:
    """Return the names of all vectors."""
    return sorted(path.stem for path in HERE.glob("*.json"))


def load(name: str) -> dict[str, Json]:
    """Return a vector."""
    vector: dict[str, Json] = json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))
    return vector


class Names:
    """What the placeholders of a transcript stand for."""

    def __init__(self) -> None:
        self.captured: dict[str, str] = {}
        self.ids: dict[int, str] = {}
        self.events: dict[int, dict[str, Json]] = {}

    def recorded_ms(self, index: int) -> int:
        """Return the milliseconds that an event's id begins with."""
        value = 0
        for letter in self.ids[index][:10]:
            value = value * 32 + _ALPHABET.index(letter)
        return value


def expand(value: Json, names: Names) -> Json:
    """Return what is to be sent, its placeholders replaced."""
    if isinstance(value, list):
        return [expand(one, names) for one in value]
    if not isinstance(value, dict):
        return value
    mark = next((key for key in value if key.startswith("$")), None)
    if mark is None:
        return {key: expand(one, names) for key, one in value.items()}
    told = value[mark]
    if mark == "$ref":
        return names.captured[told]
    if mark == "$id":
        return names.ids[told]
    if mark == "$ms":
        return names.recorded_ms(told)
    if mark == "$time":
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=names.recorded_ms(told))
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if mark == "$text":
        return told * value["times"]
    if mark == "$list":
        return [expand(told, names) for _ in range(value["times"])]
    if mark == "$nested":
        nested: Json = []
        for _ in range(told - 1):
            nested = [nested]
        return nested
    raise ValueError(f"{mark} stands for nothing that can be sent")


async def play(
    vector: dict[str, Json],
    connect: Callable[[], Awaitable[Link]],
    shut_down: Callable[[], Awaitable[None]],
    inspect: Callable[[dict[str, Json], str | None], None] = lambda frame, method: None,
) -> None:
    """Play a vector against a server that holds an empty store.

    Args:
        vector: As of `load`.
        connect: Opens a connection.
        shut_down: Begins to stop the server; may return before it has.
        inspect: Called with each frame that came, and the method that it answers.

    Raises:
        Mismatch: the server does not do what the vector says.
    """
    names = Names()
    if "store" in vector:
        filling = _Player(await connect(), names, inspect)
        for number, events in enumerate(vector["store"]):
            await filling.send(
                {"jsonrpc": "2.0", "id": number, "method": "events.append", "params": {"events": events}}
            )
            answer = await filling.answer(number)
            if "result" not in answer:
                raise Mismatch(f"the store can't be filled: {answer}")
    player = _Player(await connect(), names, inspect)
    for number, step in enumerate(vector["steps"]):
        try:
            if "connect" in step:
                await player.finish()
                player = _Player(await connect(), names, inspect)
            elif "shutdown" in step:
                await shut_down()
            else:
                await player.step(step)
        except (Mismatch, TimeoutError) as error:
            raise Mismatch(f"step {number}, {json.dumps(step)[:300]}: {str(error) or 'nothing came'}") from error
    await player.finish()


class _Player:
    """One connection: what came on it and was not asked for yet, and what must never come."""

    def __init__(self, link: Link, names: Names, inspect: Callable[[dict[str, Json], str | None], None]) -> None:
        self._link = link
        self._names = names
        self._inspect = inspect
        self._asked: dict[Json, tuple[str, dict[str, Json]]] = {}
        self._answers: dict[Json, deque[dict[str, Json]]] = defaultdict(deque)
        self._notes: dict[str, deque[dict[str, Json]]] = defaultdict(deque)
        self._credit: dict[str, int] = {}
        self._over: set[str] = set()
        self._closed: int | None = None

    async def step(self, step: dict[str, Json]) -> None:
        if "send" in step:
            await self.send(expand(step["send"], self._names))
        elif "send_text" in step:
            parts = step["send_text"]
            text = parts if isinstance(parts, str) else "".join(expand(parts, self._names))
            with suppress(json.JSONDecodeError, RecursionError):
                self._remember(json.loads(text))
            await self._link.send(text.encode(), text=True)
        elif "send_text_base64" in step:
            await self._link.send(base64.b64decode(step["send_text_base64"]), text=True)
        elif "send_binary" in step:
            await self._link.send(base64.b64decode(step["send_binary"]), text=False)
        elif "receive" in step:
            await self._expect(step["receive"])
        elif "events" in step:
            await self._expect_events(step["events"])
        elif "close" in step:
            await self._expect_close(step["close"])
        else:
            raise ValueError(f"unknown step {step}")

    # Sending

    async def send(self, frame: Json) -> None:
        """Send a frame."""
        self._remember(frame)
        await self._link.send(json.dumps(frame, ensure_ascii=False).encode(), text=True)

    def _remember(self, frame: Json) -> None:
        """Keep what a frame asks for, and the credit that it grants."""
        if isinstance(frame, dict) and isinstance(frame.get("method"), str):
            params = frame.get("params", {})
            if isinstance(frame.get("id"), (str, int)):
                self._asked.setdefault(frame["id"], (frame["method"], params))
            elif frame["method"] == "subscription.credit" and isinstance(params, dict):
                name, events = params.get("subscription"), params.get("events")
                if isinstance(name, str) and isinstance(events, int):
                    self._credit[name] = self._credit.get(name, 0) + events

    # Receiving

    async def _read(self) -> None:
        """Take one frame, check what must hold of any, and put it where it is looked for."""
        if self._closed is not None:
            raise Mismatch(f"the connection was closed with {self._closed}")
        async with asyncio.timeout(_PATIENCE_S):
            message = await self._link.receive()
        if isinstance(message, int):
            self._closed = message
            return
        if not isinstance(message, str):
            raise Mismatch("a binary frame came")
        frame: dict[str, Json] = json.loads(message)
        if "method" in frame:
            self._inspect(frame, None)
            self._take_note(frame)
            return
        method, params = self._asked.pop(frame["id"], (None, {})) if frame["id"] is not None else (None, {})
        self._inspect(frame, method)
        if method is None and frame["id"] is not None and "error" not in frame:
            raise Mismatch(f"an answer that nobody asked for: {message[:200]}")
        if "result" in frame:
            self._take_result(method, params, frame["result"])
        self._answers[frame["id"]].append(frame)

    def _take_note(self, frame: dict[str, Json]) -> None:
        params = frame["params"]
        name = params["subscription"]
        if name not in self._credit:
            raise Mismatch(f"{frame['method']} of {name!r} came before its subscription's result")
        if name in self._over:
            raise Mismatch(f"{frame['method']} of {name!r} came after its end")
        if frame["method"] == "events.batch":
            self._credit[name] -= len(params["events"])
            if self._credit[name] < 0:
                raise Mismatch(f"subscription {name!r} was sent {-self._credit[name]} events more than were granted")
        if frame["method"] in {"events.end", "metrics.end"}:
            self._over.add(name)
        # Whether time passes while a vector is played is nothing that it can say.
        if frame["method"] != "events.progress":
            self._notes[name].append(frame)

    def _take_result(self, method: str | None, params: dict[str, Json], result: dict[str, Json]) -> None:
        if method in {"events.subscribe", "metrics.subscribe"}:
            self._credit[result["subscription"]] = params.get("credit", _FIRST_CREDIT)
        elif method == "subscription.cancel":
            self._over.add(params["subscription"])
        elif method == "events.append":
            for event, receipt in zip(params["events"], result["receipts"], strict=True):
                known = self._names.ids.setdefault(receipt["index"], receipt["id"])
                if known != receipt["id"]:
                    raise Mismatch(f"the event {receipt['index']} has the ids {known} and {receipt['id']}")
                self._names.events.setdefault(receipt["index"], event)

    async def answer(self, request: Json) -> dict[str, Json]:
        """Return the next answer with this id."""
        while not self._answers[request]:
            await self._read()
            if self._closed is not None:
                raise Mismatch(f"the connection was closed with {self._closed}")
        return self._answers[request].popleft()

    async def _note(self, name: str) -> dict[str, Json]:
        while not self._notes[name]:
            await self._read()
            if self._closed is not None:
                raise Mismatch(f"the connection was closed with {self._closed}")
        return self._notes[name].popleft()

    # Expecting

    async def _expect(self, pattern: dict[str, Json]) -> None:
        if "method" in pattern:
            frame = await self._note(expand(pattern["params"]["subscription"], self._names))
        else:
            frame = await self.answer(pattern["id"])
        _match(pattern, frame, "", self._names)

    async def _expect_events(self, wanted: dict[str, Json]) -> None:
        """Take batches until all the events are there: where a server cuts them is its own affair."""
        name = expand(wanted["subscription"], self._names)
        found: list[Json] = []
        while len(found) < len(wanted["events"]):
            frame = await self._note(name)
            _match({"method": "events.batch", "params": {"cursor": {"$any": "string"}}}, frame, "", self._names)
            found += frame["params"]["events"]
            _match(wanted.get("cursor", {"$any": "string"}), frame["params"]["cursor"], "cursor", self._names)
        _match(wanted["events"], found, "events", self._names)

    async def _expect_close(self, code: int) -> None:
        while self._closed is None:
            await self._read()
        if self._closed != code:
            raise Mismatch(f"the connection was closed with {self._closed}")

    async def finish(self) -> None:
        """Check that nothing came, or comes, that the vector does not mention."""
        if self._closed is None:
            await self.send({"jsonrpc": "2.0", "id": _LAST, "method": "server.info"})
            await self.answer(_LAST)
        left = [frame for frames in (*self._answers.values(), *self._notes.values()) for frame in frames]
        if left:
            raise Mismatch(f"the vector does not mention {json.dumps(left)[:500]}")


# Patterns


def _match(pattern: Json, found: Json, place: str, names: Names) -> None:
    """Return if what was found is what the pattern says."""
    mark = next((key for key in pattern if key.startswith("$")), None) if isinstance(pattern, dict) else None
    if mark is not None:
        _match_mark(mark, pattern[mark], found, place, names)
    elif isinstance(pattern, dict):
        if not isinstance(found, dict):
            raise Mismatch(f"{place} is {found!r:.200}, not an object")
        for key, one in pattern.items():
            _match(one, found.get(key, _ABSENT), f"{place}.{key}", names)
    elif isinstance(pattern, list):
        if not isinstance(found, list) or len(found) != len(pattern):
            raise Mismatch(f"{place} is {found!r:.500}, not {len(pattern)} elements")
        for number, one in enumerate(pattern):
            _match(one, found[number], f"{place}[{number}]", names)
    elif type(found) is not type(pattern) or found != pattern:
        raise Mismatch(f"{place} is {_shown(found)}, not {pattern!r}")


def _match_mark(mark: str, told: Json, found: Json, place: str, names: Names) -> None:
    if mark == "$absent":
        good = found is _ABSENT
    elif mark == "$any":
        good = isinstance(found, _KINDS[told]) and (told == "boolean" or not isinstance(found, bool))
        good = good and (told != "time" or datetime.fromisoformat(found).utcoffset() == timedelta())
    elif mark == "$capture":
        good = isinstance(found, str)
        names.captured[told] = found
    elif mark == "$ref":
        good = found == names.captured[told]
    elif mark == "$id":
        good = found == names.ids[told]
    elif mark == "$event":
        _match_event(told, found, place, names)
        return
    else:
        raise ValueError(f"{mark} stands for nothing that can come")
    if not good:
        raise Mismatch(f"{place} is {_shown(found)}, not {mark} {told}")


def _match_event(index: int, found: Json, place: str, names: Names) -> None:
    """Return if this is the event with this index: what was appended, under a header, without what was unset."""
    if not isinstance(found, dict) or [*found][:4] != ["id", "index", "topics", "salt"]:
        raise Mismatch(f"{place} does not begin with id, index, topics and salt: {_shown(found)}")
    sent = names.events[index]
    expected = {key: value for key, value in sent.items() if key != "idempotency_key" and value not in (None, [], {})}
    rest = {key: value for key, value in found.items() if key not in {"id", "index", "salt"}}
    for event in (expected, rest):
        if "occurred_at" in event:
            event["occurred_at"] = datetime.fromisoformat(event["occurred_at"])
    if (found["id"], found["index"], rest) != (names.ids[index], index, expected):
        raise Mismatch(f"{place} is {_shown(found)}, not the event {index}: {expected}")


def _shown(found: Json) -> str:
    return "absent" if found is _ABSENT else repr(found)[:300]
