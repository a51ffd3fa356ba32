"""The transcripts of `proto/vectors` by the client's session: it asks as they ask, and understands what they answer."""

import json
from typing import Any, Final

import msgspec
import pytest

from audit.codec.events import decode_events
from audit.model.errors import AuditError, ProtocolViolation
from audit.model.ids import format_id
from audit.protocol.client import Answer, ClientSession, EventBatch, EventPage, Failure, Note, SliceBatch, SlicePage
from audit.protocol.errors import WIRE_CODES
from audit.protocol.frames import decode_contents, decode_request, encode
from audit.protocol.messages import ListResult
from audit.protocol.methods import CLIENT_NOTIFICATIONS, METHODS, SERVER_NOTIFICATIONS
from tests import vectors

_ANY: Final = {
    "string": "any",
    "integer": 7,
    "boolean": True,
    "object": {},
    "array": [],
    "time": "2026-11-21T10:00:00Z",
}
_KINDS: Final = {entry.code: entry.kind for entry in WIRE_CODES}


class _Stand:
    """A server that says what a vector wants, with values of its own where the vector leaves them open."""

    def __init__(self, vector: dict[str, Any]) -> None:
        self.names = vectors.Names()
        self.names.ids = {n: format_id((n + 1) << 80) for n in range(20)}
        self._appended = dict(enumerate(event for call in vector.get("store", []) for event in call))
        self._asked: dict[Any, Any] = {}

    def asked(self, frame: dict[str, Any]) -> None:
        """Keep what a request wants to append, until it is answered."""
        if frame.get("method") == "events.append":
            self._asked[frame["id"]] = frame.get("params", {}).get("events")

    def answered(self, frame: dict[str, Any]) -> None:
        """Take what a request appended."""
        receipts = frame.get("result", {}).get("receipts", [])
        self._appended.update(
            {
                receipt["index"]: event
                for event, receipt in zip(self._asked.get(frame.get("id")) or [], receipts, strict=False)
            }
        )

    def filled(self, pattern: Any) -> Any:
        """Return a pattern as the frame that it would match."""
        if isinstance(pattern, list):
            return [self.filled(one) for one in pattern]
        if not isinstance(pattern, dict):
            return pattern
        mark = next((key for key in pattern if key.startswith("$")), None)
        if mark is None:
            return {key: self.filled(one) for key, one in pattern.items() if one != {"$absent": True}}
        told = pattern[mark]
        if mark == "$capture":
            self.names.captured[told] = told
            return told
        if mark == "$event":
            rest = {key: value for key, value in self._appended[told].items() if key != "idempotency_key"}
            return {"id": self.names.ids[told], "index": told, "topics": rest["topics"], "salt": "s" * 22, **rest}
        return _ANY[told] if mark == "$any" else vectors.expand(pattern, self.names)


@pytest.mark.parametrize("name", vectors.names())
def test_client_asks_and_understands_as_the_vector_says(name: str) -> None:
    vector = vectors.load(name)
    stand, session = _Stand(vector), ClientSession()
    numbers: dict[Any, tuple[int, str]] = {}
    for step in vector["steps"]:
        if "connect" in step:
            session, numbers = ClientSession(), {}
        elif "send" in step:
            frame = vectors.expand(step["send"], stand.names)
            stand.asked(frame)
            _send(session, frame, numbers)
        elif "receive" in step and step["receive"].get("id", "") is not None:
            stand.answered(step["receive"])
            _receive(session, stand.filled(step["receive"]), numbers)
        elif "events" in step:
            note = {"cursor": "c"} | stand.filled(step["events"])
            _receive(session, {"jsonrpc": "2.0", "method": "events.batch", "params": note}, numbers)


def _send(session: ClientSession, frame: dict[str, Any], numbers: dict[Any, tuple[int, str]]) -> None:
    method, params = frame["method"], encode(frame.get("params", {}))
    known = METHODS[method].params if method in METHODS else CLIENT_NOTIFICATIONS.get(method)
    try:
        asked = decode_contents(params, known) if known is not None else None
    except AuditError:
        # Nothing that a client with these structs could send.
        return
    if asked is None:
        return
    if method in CLIENT_NOTIFICATIONS:
        made = decode_request(session.credit(asked.subscription, asked.events))
    else:
        number, text = session.request(method, asked)
        numbers[frame["id"]] = number, method
        made = decode_request(text)
    assert (made.method, decode_contents(made.params, known)) == (method, asked)


def _receive(session: ClientSession, frame: dict[str, Any], numbers: dict[Any, tuple[int, str]]) -> None:
    if "method" in frame:
        _check_note(session.receive(encode({"jsonrpc": "2.0"} | frame)), frame)
        return
    if frame["id"] not in numbers:
        return
    number, method = numbers.pop(frame["id"])
    event = session.receive(encode(frame | {"id": number}))
    if "error" in frame:
        assert isinstance(event, Failure)
        assert (event.id, type(event.error)) == (number, _KINDS[frame["error"]["data"]["code"]])
        assert getattr(event.error, "parameter", None) == frame["error"]["data"].get("parameter")
        return
    assert isinstance(event, Answer)
    assert event.id == number
    if isinstance(event.result, EventPage):
        assert [json.loads(one) for one in event.result.cut()] == frame["result"]["events"]
        assert event.result.events == decode_events(event.result.cut())
    elif _is_whole(METHODS[method].result, frame["result"]):
        kind = SlicePage if METHODS[method].result is ListResult else METHODS[method].result
        decode_contents(event.result, kind)


def _check_note(event: Any, frame: dict[str, Any]) -> None:
    assert isinstance(event, Note)
    assert event.method == frame["method"]
    assert event.params.subscription == frame["params"]["subscription"]
    assert event.params.cursor == frame["params"]["cursor"]
    if isinstance(event.params, EventBatch):
        assert [json.loads(one) for one in event.params.cut()] == frame["params"]["events"]
        cut = event.params.cut()
        try:
            events = decode_events(cut)
        except msgspec.ValidationError:
            # A vector gives of events what it is about.
            with pytest.raises(ProtocolViolation):
                event.params.decode()
        else:
            assert event.params.decode() == events
    elif isinstance(event.params, SliceBatch):
        assert [json.loads(bytes(one)) for one in event.params.events] == frame["params"]["events"]
    else:
        assert isinstance(event.params, SERVER_NOTIFICATIONS[event.method])


def _is_whole(kind: Any, result: dict[str, Any]) -> bool:
    """Return whether a vector gives all members of a result, and not only those that it is about."""
    required = {field.encode_name for field in msgspec.structs.fields(kind) if field.required}
    return required <= set(result) and all(
        not isinstance(value, dict) or "id" not in value or len(value) > 2 for value in result.values()
    )
