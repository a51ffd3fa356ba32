"""The client's side of one connection: which answers it waits for, and how much it lets the server send.

No I/O: the methods return the frame to send, and `receive` says what a frame means.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

import msgspec

from audit.model.errors import AuditError, InvalidParameter, ProtocolViolation
from audit.model.event import Event
from audit.protocol.errors import from_wire
from audit.protocol.frames import decode_contents, decode_envelope, encode_request, request_id
from audit.protocol.messages import BatchNote, CreditNote, WireError
from audit.protocol.methods import SERVER_NOTIFICATIONS

__all__ = [
    "Answer",
    "ClientSession",
    "CreditWindow",
    "EventBatch",
    "EventPage",
    "Failure",
    "Note",
    "SliceBatch",
    "SlicePage",
]


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


class _Batch(msgspec.Struct, gc=False):
    events: list[Event]


class _BatchFrame(msgspec.Struct, gc=False):
    """A whole batch, decoded in one pass: by its envelope first, its events would be scanned three times."""

    params: _Batch


class _Page(msgspec.Struct, gc=False):
    cursor: str
    has_more: bool
    events: list[Event]


class _PageFrame(msgspec.Struct, gc=False):
    """A whole page, in one pass as well."""

    jsonrpc: str
    id: int
    result: _Page


class _SliceBatchFrame(msgspec.Struct, gc=False):
    params: SliceBatch


class _SlicePageFrame(msgspec.Struct, gc=False):
    result: SlicePage


_BATCH: Final = "events.batch"
_BATCH_HEAD: Final = re.compile(
    rb'{"jsonrpc":"2\.0","method":"events\.batch","params":{"subscription":"([!#-\[\]-~]*)",'
    rb'"cursor":"([!#-\[\]-~]*)"(?:,"checkpoint":"(?:[^"\\]|\\.)*")?,"events":\[{'
)
"""What a batch with events starts with, as our server writes it."""
_BATCH_TAIL: Final = b"}]}}"
_ANSWER_HEAD: Final = b'{"jsonrpc":"2.0","id":'
_NUMBER_BYTES: Final = 20
_LIST: Final = "events.list"
_batches: Final = msgspec.json.Decoder(_BatchFrame)
_pages: Final = msgspec.json.Decoder(_PageFrame)
_slice_batches: Final = msgspec.json.Decoder(_SliceBatchFrame)
_slice_pages: Final = msgspec.json.Decoder(_SlicePageFrame)
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class EventBatch(NamedTuple):
    """A batch whose events are not looked at yet.

    Decoded when they are read: what came for many readers at once, decoded as it comes, would be there all together,
    and the garbage collector would look at all of it again and again.
    """

    subscription: str
    cursor: str
    frame: bytes

    def decode(self) -> list[Event]:
        """Return the events; errors as of `cut`."""
        try:
            return _batches.decode(self.frame).params.events
        except _UNREADABLE as error:
            raise _no_batch(error) from error

    def cut(self) -> list[bytes]:
        """Return the events as they came.

        Raises:
            ProtocolViolation: they are none.
        """
        try:
            return [bytes(event) for event in _slice_batches.decode(self.frame).params.events]
        except _UNREADABLE as error:
            raise _no_batch(error) from error


def _no_batch(error: Exception) -> ProtocolViolation:
    return ProtocolViolation(f"the server sent what is no batch of events: {error}")


class EventPage(NamedTuple):
    """A page with its events decoded."""

    cursor: str
    has_more: bool
    events: list[Event]
    frame: bytes

    def cut(self) -> list[bytes]:
        """Return the events as they came."""
        return [bytes(event) for event in _slice_pages.decode(self.frame).result.events]


class Answer(NamedTuple):
    """A request's result: still JSON, since whoever asked knows its type (`decode_contents`); of most pages decoded."""

    id: int
    result: msgspec.Raw | EventPage


class Failure(NamedTuple):
    """A request failed."""

    id: int
    error: AuditError


class Note(NamedTuple):
    """A notification: one of the `…Note` structs; of a batch an `EventBatch`, or else a `SliceBatch`."""

    method: str
    params: Any


class ClientSession:
    """What a client knows of one connection."""

    def __init__(self) -> None:
        self._next = 0
        self._waiting: dict[int, str] = {}

    def request(self, method: str, params: Any) -> tuple[int, bytes]:
        """Return the id of a new request, and its frame."""
        self._next += 1
        self._waiting[self._next] = method
        return self._next, encode_request(method, self._next, params)

    def forget(self, request: int) -> None:
        """Wait no longer for an answer; one that comes all the same is dropped."""
        self._waiting.pop(request, None)

    def credit(self, subscription: str, events: int) -> bytes:
        """Return the frame that lets the server send more."""
        return encode_request("subscription.credit", None, CreditNote(subscription=subscription, events=events))

    def _whole(self, data: bytes) -> Answer | Note | None:
        """Return a batch with events, or a page, decoded in one pass; None: it is neither, or not like that."""
        head = _BATCH_HEAD.match(data)
        if head is not None and data.endswith(_BATCH_TAIL):
            return Note(_BATCH, EventBatch(head[1].decode(), head[2].decode(), data))
        try:
            if data.startswith(_ANSWER_HEAD) and self._waiting.get(_number(data)) == _LIST:
                answer = _pages.decode(data)
                if answer.jsonrpc == "2.0" and self._waiting.get(answer.id) == _LIST:
                    del self._waiting[answer.id]
                    page = answer.result
                    return Answer(answer.id, EventPage(page.cursor, page.has_more, page.events, data))
        except _UNREADABLE:
            # What is wrong with it is found and told by the longer way.
            pass
        return None

    def receive(self, data: bytes) -> Answer | Failure | Note | None:
        """Return what a frame means; None: nothing that anybody waits for.

        Raises:
            ProtocolViolation: the server does not speak this protocol, or said that we don't: close the connection.
        """
        whole = self._whole(data)
        if whole is not None:
            return whole
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
        del self._waiting[request]
        if error is not None:
            return Failure(request, from_wire(error))
        return Answer(request, envelope.result)


def _number(data: bytes) -> int:
    """Return the id that an answer starts with; 0, which none has: it can't be told so soon."""
    start = len(_ANSWER_HEAD)
    digits = data[start : data.find(b",", start, start + _NUMBER_BYTES)]
    return int(digits) if digits.isdigit() else 0


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
