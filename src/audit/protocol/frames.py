"""JSON-RPC 2.0 messages <-> bytes. Pure functions; who may send what when is for the sessions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, TypeVar

import msgspec

from audit.model.errors import InvalidParameter, ProtocolViolation
from audit.protocol.limits import MAX_ID_BYTES
from audit.protocol.messages import EndNote, WireError

__all__ = [
    "Envelope",
    "Request",
    "RequestId",
    "batch_tail",
    "decode_contents",
    "decode_envelope",
    "decode_request",
    "encode",
    "encode_batch",
    "encode_end",
    "encode_failure",
    "encode_metric",
    "encode_note",
    "encode_page",
    "encode_request",
    "encode_result",
    "find_id",
    "metric_head",
    "metric_tail",
    "request_id",
]

RequestId = int | str
E = TypeVar("E", "Envelope", "Request")

_ABSENT: Final = msgspec.Raw(b"")
_NO_MEMBERS: Final = msgspec.Raw(b"{}")


class Envelope(msgspec.Struct, gc=False):
    """What a server sends, its contents not looked at yet; an absent member is an empty `Raw`."""

    jsonrpc: str = ""
    id: msgspec.Raw = _ABSENT
    method: str | None = None
    params: msgspec.Raw = _NO_MEMBERS
    result: msgspec.Raw = _ABSENT
    error: msgspec.Raw = _ABSENT


class Request(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """What a client sends, its contents not looked at yet. A misspelt `params` must not pass for none."""

    jsonrpc: str = ""
    id: msgspec.Raw = _ABSENT
    method: str | None = None
    params: msgspec.Raw = _NO_MEMBERS


class _Identified(msgspec.Struct, gc=False):
    id: msgspec.Raw = _ABSENT


_envelopes: Final = msgspec.json.Decoder(Envelope)
_requests: Final = msgspec.json.Decoder(Request)
_identified: Final = msgspec.json.Decoder(_Identified)
_ids: Final = msgspec.json.Decoder(int | str)
_encoder: Final = msgspec.json.Encoder()
_decoders: Final[dict[Any, msgspec.json.Decoder[Any]]] = {}
_PLACE: Final = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_MEMBER: Final = re.compile(
    r"^Object (?:contains )?(?P<what>missing required|unknown) field `(?P<name>.*)`$", re.DOTALL
)
_TOO_DEEP: Final = "JSON is nested too deeply"
_TOLD: Final = 200
"""Characters of a path, and of a problem, that an error repeats: both may hold what a peer sent, of any length."""

encode: Final = _encoder.encode
"""Encode any struct of `messages`."""


def decode_envelope(data: bytes) -> Envelope:
    """Return the outer members of what a server sent; errors as of `decode_request`."""
    return _decode(data, _envelopes)


def decode_request(data: bytes) -> Request:
    """Return the outer members of what a client sent.

    Raises:
        msgspec.DecodeError: it is no JSON, or nested so deeply that nobody reads it.
        UnicodeDecodeError: it is not in UTF-8.
        ProtocolViolation: it is JSON, but no message of JSON-RPC 2.0.
    """
    return _decode(data, _requests)


def _decode(data: bytes, decoder: msgspec.json.Decoder[E]) -> E:
    try:
        envelope = decoder.decode(data)
    except msgspec.ValidationError as error:
        if data.lstrip(b" \t\r\n").startswith(b"["):
            raise ProtocolViolation("batches are not taken: send many events in one events.append") from error
        raise ProtocolViolation(f"no message of JSON-RPC 2.0: {': '.join(filter(None, _problem(error)))}") from error
    except RecursionError as error:
        raise msgspec.DecodeError(_TOO_DEEP) from error
    if envelope.jsonrpc != "2.0":
        raise ProtocolViolation('jsonrpc must be "2.0"')
    return envelope


def find_id(data: bytes) -> RequestId | None:
    """Return the id of JSON that is no message, so that the answer can carry it; None: there is none.

    Raises:
        msgspec.DecodeError, UnicodeDecodeError: it is no JSON beyond the place where it was found to be no message.
    """
    try:
        return request_id(_identified.decode(data))
    except (msgspec.ValidationError, ProtocolViolation):
        return None
    except RecursionError as error:
        raise msgspec.DecodeError(_TOO_DEEP) from error


def request_id(envelope: Envelope | Request | _Identified) -> RequestId | None:
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
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ProtocolViolation("an id must be a string or an integer") from error
    return found


def decode_contents(raw: msgspec.Raw | bytes, kind: Any) -> Any:
    """Return a message's parameters, result or error as `kind`.

    Raises:
        InvalidParameter: they are not of this type; the parameter is named by its path.
        UnicodeDecodeError: they are not in UTF-8.
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
        problem = "is missing" if member["what"] == "missing required" else "is unknown"
    return path[:_TOLD], problem[:1].lower() + problem[1:_TOLD]


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


def encode_page(events: Sequence[bytes], cursor: str, *, has_more: bool, checkpoint: str | None = None) -> bytes:
    """Return the result of `events.list` from stored bytes."""
    more = b"true" if has_more else b"false"
    head = b'{"cursor":"' + cursor.encode() + b'","has_more":' + more + _checkpoint(checkpoint)
    return head + b',"events":[' + b",".join(events) + b"]}"


def _checkpoint(note: str | None) -> bytes:
    """Return the member `checkpoint`, with a comma before it, or nothing."""
    return b"" if note is None else b',"checkpoint":' + encode(note)


def batch_tail(events: Sequence[bytes], cursor: str, checkpoint: str | None = None) -> bytes:
    """Return a batch from after its subscription's name on: the same for all who get these events."""
    head = b'","cursor":"' + cursor.encode() + b'"' + _checkpoint(checkpoint)
    return head + b',"events":[' + b",".join(events) + b"]}}"


def encode_batch(subscription: str, tail: bytes) -> bytes:
    """Return the notification of a batch."""
    return b'{"jsonrpc":"2.0","method":"events.batch","params":{"subscription":"' + subscription.encode() + tail


def encode_note(method: str, subscription: str, cursor: str, checkpoint: str | None = None) -> bytes:
    """Return one of the notifications that only tell a cursor."""
    return (
        b'{"jsonrpc":"2.0","method":"' + method.encode() + b'","params":{"subscription":"' + subscription.encode()
        + b'","cursor":"' + cursor.encode() + b'"' + _checkpoint(checkpoint) + b"}}"
    )  # fmt: skip


def metric_head(cursor: str, as_of: bytes, total: bytes) -> bytes:
    """Return a metric's notification from after its subscription's name up to its windows; parts are JSON already."""
    return b'","cursor":"' + cursor.encode() + b'","as_of":' + as_of + b',"total":' + total


def metric_tail(windows: Sequence[bytes], *, since: bytes | None, whole: bool) -> bytes:
    """Return the rest of it: what becomes of windows told before, and the windows."""
    left = (b',"all":true' if whole else b"") + (b"" if since is None else b',"since":' + since)
    return left + b',"windows":[' + b",".join(windows) + b"]}}"


def encode_metric(method: str, subscription: str, tail: bytes) -> bytes:
    """Return `metrics.snapshot` or `metrics.update`."""
    return (
        b'{"jsonrpc":"2.0","method":"' + method.encode() + b'","params":{"subscription":"' + subscription.encode()
        + tail
    )  # fmt: skip


def encode_end(method: str, note: EndNote) -> bytes:
    """Return the notification that a subscription is over."""
    return b'{"jsonrpc":"2.0","method":"' + method.encode() + b'","params":' + encode(note) + b"}"
