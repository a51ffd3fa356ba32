"""JSON-RPC 2.0 messages <-> bytes. Pure functions; who may send what when is for the sessions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from audit.model.errors import InvalidParameter, ProtocolViolation
from audit.protocol.limits import MAX_ID_BYTES
from audit.protocol.messages import EndNote, WireError

__all__ = [
    "Envelope",
    "RequestId",
    "batch_tail",
    "decode_contents",
    "decode_envelope",
    "encode",
    "encode_batch",
    "encode_end",
    "encode_failure",
    "encode_note",
    "encode_page",
    "encode_request",
    "encode_result",
    "request_id",
]

RequestId = int | str

_ABSENT: Final = msgspec.Raw(b"")
_NO_MEMBERS: Final = msgspec.Raw(b"{}")


class Envelope(msgspec.Struct, gc=False):
    """Any JSON-RPC message, its contents not looked at yet; an absent member is an empty `Raw`."""

    jsonrpc: str = ""
    id: msgspec.Raw = _ABSENT
    method: str | None = None
    params: msgspec.Raw = _NO_MEMBERS
    result: msgspec.Raw = _ABSENT
    error: msgspec.Raw = _ABSENT


_envelopes: Final = msgspec.json.Decoder(Envelope)
_ids: Final = msgspec.json.Decoder(int | str)
_encoder: Final = msgspec.json.Encoder()
_decoders: Final[dict[Any, msgspec.json.Decoder[Any]]] = {}
_PLACE: Final = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_MEMBER: Final = re.compile(r"^Object (?:contains )?(?P<what>missing required|unknown) field `(?P<name>.*)`$")

encode: Final = _encoder.encode
"""Encode any struct of `messages`."""


def decode_envelope(data: bytes) -> Envelope:
    """Return a message's outer members.

    Raises:
        msgspec.DecodeError: it is no JSON, or nested so deeply that nobody reads it.
        ProtocolViolation: it is JSON, but no message of JSON-RPC 2.0.
    """
    try:
        envelope = _envelopes.decode(data)
    except msgspec.ValidationError as error:
        if data.lstrip(b" \t\r\n").startswith(b"["):
            raise ProtocolViolation("batches are not taken: send many events in one events.append") from error
        raise ProtocolViolation(f"no message of JSON-RPC 2.0: {_problem(error)[1]}") from error
    except RecursionError as error:
        raise msgspec.DecodeError("JSON is nested too deeply") from error
    if envelope.jsonrpc != "2.0":
        raise ProtocolViolation('jsonrpc must be "2.0"')
    return envelope


def request_id(envelope: Envelope) -> RequestId | None:
    """Return a message's id; None: it has none, and is a notification.

    Raises:
        ProtocolViolation: it is neither a string nor an integer, or too long.
    """
    raw = bytes(envelope.id)
    if not raw:
        return None
    if len(raw) > MAX_ID_BYTES:
        raise ProtocolViolation(f"an id must have at most {MAX_ID_BYTES} bytes, has {len(raw)}")
    try:
        found: RequestId = _ids.decode(raw)
    except msgspec.MsgspecError as error:
        raise ProtocolViolation("an id must be a string or an integer") from error
    return found


def decode_contents(raw: msgspec.Raw | bytes, kind: Any) -> Any:
    """Return a message's parameters, result or error as `kind`.

    Raises:
        InvalidParameter: they are not of this type; the parameter is named by its path.
    """
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind)
    try:
        return decoder.decode(raw)
    except (msgspec.ValidationError, RecursionError) as error:
        path, problem = _problem(error)
        raise InvalidParameter(path or "params", problem) from error


def _problem(error: Exception) -> tuple[str, str]:
    """Return the path and the rest of what msgspec says of a value."""
    if isinstance(error, RecursionError):
        return "", "is nested too deeply"
    text = str(error)
    found = _PLACE.search(text)
    path = found["path"] if found else ""
    problem = text[: found.start()] if found else text
    member = _MEMBER.match(problem)
    if member:
        path = f"{path}.{member['name']}" if path else member["name"]
        return path, "is missing" if member["what"] == "missing required" else "is unknown"
    return path, problem[:1].lower() + problem[1:]


def encode_request(method: str, request: RequestId | None, params: Any) -> bytes:
    """Return a request, or without an id a notification."""
    head = b'{"jsonrpc":"2.0",' if request is None else b'{"jsonrpc":"2.0","id":' + encode(request) + b","
    return head + b'"method":"' + method.encode() + b'","params":' + encode(params) + b"}"


def encode_result(request: RequestId, result: bytes) -> bytes:
    """Return the answer to a request, around a result that is encoded already."""
    return b'{"jsonrpc":"2.0","id":' + encode(request) + b',"result":' + result + b"}"


def encode_failure(request: RequestId | None, error: WireError) -> bytes:
    """Return the answer to a request that failed; without an id: to something that was none."""
    return b'{"jsonrpc":"2.0","id":' + encode(request) + b',"error":' + encode(error) + b"}"


def encode_page(events: Sequence[bytes], cursor: str, *, has_more: bool) -> bytes:
    """Return the result of `events.list` from stored bytes."""
    more = b"true" if has_more else b"false"
    return b'{"cursor":"' + cursor.encode() + b'","has_more":' + more + b',"events":[' + b",".join(events) + b"]}"


def batch_tail(events: Sequence[bytes], cursor: str) -> bytes:
    """Return a batch from after its subscription's name on: the same for all who get these events."""
    return b'","cursor":"' + cursor.encode() + b'","events":[' + b",".join(events) + b"]}}"


def encode_batch(subscription: str, tail: bytes) -> bytes:
    """Return the notification of a batch."""
    return b'{"jsonrpc":"2.0","method":"events.batch","params":{"subscription":"' + subscription.encode() + tail


def encode_note(method: str, subscription: str, cursor: str) -> bytes:
    """Return one of the notifications that only tell a cursor."""
    return (
        b'{"jsonrpc":"2.0","method":"' + method.encode() + b'","params":{"subscription":"' + subscription.encode()
        + b'","cursor":"' + cursor.encode() + b'"}}'
    )  # fmt: skip


def encode_end(note: EndNote) -> bytes:
    """Return the notification that a subscription is over."""
    return b'{"jsonrpc":"2.0","method":"events.end","params":' + encode(note) + b"}"
