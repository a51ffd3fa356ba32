"""The client's side of one connection: which answers it waits for, and how much it lets the server send.

No I/O: the methods return the frame to send, and `receive` says what a frame means.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from audit.model.errors import AuditError, InvalidParameter, ProtocolViolation
from audit.protocol.errors import from_wire
from audit.protocol.frames import decode_contents, decode_envelope, encode_request, request_id
from audit.protocol.messages import BatchNote, CreditNote, WireError
from audit.protocol.methods import SERVER_NOTIFICATIONS

__all__ = ["Answer", "ClientSession", "CreditWindow", "Failure", "Note", "SliceBatch", "SlicePage"]


class SliceBatch(msgspec.Struct, gc=False):
    """`BatchNote` with its events as they came."""

    subscription: str
    cursor: str
    events: list[msgspec.Raw]
    checkpoint: str | None = None


class SlicePage(msgspec.Struct, gc=False):
    """`ListResult` with its events as they came."""

    cursor: str
    has_more: bool
    events: list[msgspec.Raw]
    checkpoint: str | None = None


_NOTES: Final[dict[str, type[Any]]] = {
    name: SliceBatch if kind is BatchNote else kind for name, kind in SERVER_NOTIFICATIONS.items()
}


class _BatchFrame(msgspec.Struct, gc=False):
    """A whole batch, decoded in one pass: by its envelope first, its events would be scanned twice."""

    jsonrpc: str
    method: str
    params: SliceBatch


_BATCH: Final = "events.batch"
_BATCH_HEAD: Final = b'{"jsonrpc":"2.0","method":"events.batch",'
"""What a batch starts with, as our server writes it."""
_batches: Final = msgspec.json.Decoder(_BatchFrame)


class Answer(NamedTuple):
    """A request's result: still JSON, since whoever asked knows its type (`decode_contents`)."""

    id: int
    result: msgspec.Raw


class Failure(NamedTuple):
    """A request failed."""

    id: int
    error: AuditError


class Note(NamedTuple):
    """A notification: one of the `…Note` structs; of a batch a `SliceBatch`."""

    method: str
    params: Any


class ClientSession:
    """What a client knows of one connection."""

    def __init__(self) -> None:
        self._next = 0
        self._waiting: set[int] = set()

    def request(self, method: str, params: Any) -> tuple[int, bytes]:
        """Return the id of a new request, and its frame."""
        self._next += 1
        self._waiting.add(self._next)
        return self._next, encode_request(method, self._next, params)

    def forget(self, request: int) -> None:
        """Wait no longer for an answer; one that comes all the same is dropped."""
        self._waiting.discard(request)

    def credit(self, subscription: str, events: int) -> bytes:
        """Return the frame that lets the server send more."""
        return encode_request("subscription.credit", None, CreditNote(subscription=subscription, events=events))

    def receive(self, data: bytes) -> Answer | Failure | Note | None:
        """Return what a frame means; None: nothing that anybody waits for.

        Raises:
            ProtocolViolation: the server does not speak this protocol, or said that we don't: close the connection.
        """
        if data.startswith(_BATCH_HEAD):
            try:
                frame = _batches.decode(data)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                # What is wrong with it is found and told below.
                pass
            else:
                if frame.jsonrpc == "2.0" and frame.method == _BATCH:
                    return Note(_BATCH, frame.params)
        try:
            envelope = decode_envelope(data)
            if envelope.method is not None:
                kind = _NOTES.get(envelope.method)
                # A later server may tell more than this client knows of.
                return None if kind is None else Note(envelope.method, decode_contents(envelope.params, kind))
            error = decode_contents(envelope.error, WireError) if bytes(envelope.error) else None
            request = None if bytes(envelope.id) == b"null" else request_id(envelope)
        except (msgspec.DecodeError, InvalidParameter, ProtocolViolation, UnicodeDecodeError) as problem:
            raise ProtocolViolation(f"the server sent what is no message: {problem}") from problem
        if error is None and not bytes(envelope.result):
            raise ProtocolViolation("the server sent what has no method, no result and no error")
        if request is None:
            what = "the server sent a result without an id" if error is None else f"the server refuses: {error.message}"
            raise ProtocolViolation(what)
        if not isinstance(request, int) or request not in self._waiting:
            return None
        self._waiting.discard(request)
        if error is not None:
            return Failure(request, from_wire(error))
        return Answer(request, envelope.result)


class CreditWindow:
    """How much a consumer lets the server send ahead: refilled in halves, as events are consumed."""

    def __init__(self, events: int) -> None:
        self.events = events
        """The first grant."""
        self._consumed = 0

    def consumed(self, events: int) -> int:
        """Count events that were consumed; return how many to grant now, mostly 0."""
        self._consumed += events
        if 2 * self._consumed < self.events:
            return 0
        grant, self._consumed = self._consumed, 0
        return grant
