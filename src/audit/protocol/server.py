"""The server's side of one connection: which requests are in flight, which subscriptions there are, and their credit.

No I/O: `receive` takes a frame and says what it means; the other methods return the frame to send. Invariant: they make
none of a subscription before the one with its result (`subscribed`), none after `end` or `cancel`, and no batch beyond
its credit; a caller that asks for one has a defect, and gets `ProtocolViolation`.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from audit.model.errors import AuditError, InvalidParameter, MethodNotFound, NotFound, Overloaded, ProtocolViolation
from audit.protocol.errors import to_wire
from audit.protocol.frames import (
    Request,
    RequestId,
    decode_contents,
    decode_request,
    encode,
    encode_batch,
    encode_end,
    encode_failure,
    encode_note,
    encode_result,
    find_id,
    request_id,
)
from audit.protocol.limits import CloseCode, Limits
from audit.protocol.messages import AppendParams, CreditNote, EndNote, EndReason, WireError, WireErrorData
from audit.protocol.methods import CLIENT_NOTIFICATIONS, METHODS

__all__ = ["Broken", "Call", "CreditGranted", "Refused", "ServerSession"]


class _AppendFrame(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A whole append, decoded in one pass: by its envelope first, its events would be scanned twice."""

    jsonrpc: str
    id: int
    method: str
    params: AppendParams


_appends: Final = msgspec.json.Decoder(_AppendFrame)
_APPEND: Final = b'"method":"events.append"'
_HEAD_BYTES: Final = 96
"""Bytes of a message in which an append says that it is one, as our client writes it."""
_MAX_USUAL_ID: Final = 2**53
_NOT_JSON: Final = -32700
_NAME_DIGITS: Final = 18
"""Of a subscription's name; no connection lives to see more."""
_REASON_BYTES: Final = 120
"""Of the 123 that RFC 6455 leaves for a close frame's reason."""


class Call(NamedTuple):
    """A request that is in form: do it, then send what `result` or `failure` returns."""

    id: RequestId
    method: str
    params: Any


class CreditGranted(NamedTuple):
    """A subscription may be sent more."""

    subscription: str


class Refused(NamedTuple):
    """A request that is answered already: send this."""

    frame: bytes


class Broken(NamedTuple):
    """The peer does not speak this protocol: send the frame, if there is one, then close."""

    frame: bytes | None
    code: int
    reason: str


class ServerSession:
    """What the server knows of one connection."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._in_flight: set[RequestId] = set()
        self._credit: dict[str, int] = {}
        self._unannounced: set[str] = set()
        self._opened = 0

    @property
    def in_flight(self) -> int:
        """Requests that are not answered yet."""
        return len(self._in_flight)

    @property
    def subscriptions(self) -> int:
        """Subscriptions that have not ended."""
        return len(self._credit)

    def receive(self, data: bytes, *, text: bool = True) -> Call | CreditGranted | Refused | Broken | None:
        """Return what a frame means; None: nothing is to be done."""
        if not text:
            return Broken(None, CloseCode.BAD_FRAME, "frames must be text")
        # RFC 6455, 8.1: text that is no UTF-8 fails the connection. Most is ASCII, which is soon told.
        if not data.isascii():
            try:
                data.decode()
            except UnicodeDecodeError:
                return Broken(None, CloseCode.BAD_TEXT, "text must be valid UTF-8")
        try:
            return self._append(data) or self._message(data)
        except msgspec.DecodeError as error:
            data_of = WireErrorData(code="parse_error", retryable=False)
            told = WireError(code=_NOT_JSON, message=f"no JSON: {error}", data=data_of)
            return Broken(encode_failure(None, told), CloseCode.BAD_FRAME, "no JSON")

    def _append(self, data: bytes) -> Call | None:
        """Return the call that a usual append is; None: it is another message, or something may be wrong with it."""
        if _APPEND not in data[:_HEAD_BYTES]:
            return None
        try:
            frame = _appends.decode(data)
            usual = frame.jsonrpc == "2.0" and frame.method == "events.append" and 0 <= frame.id < _MAX_USUAL_ID
            if not usual:
                return None
            self._check_new(frame.id)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, AuditError):
            # Found again, and told.
            return None
        return self._admitted(frame.id, frame.method, frame.params)

    def _message(self, data: bytes) -> Call | CreditGranted | Refused | Broken | None:
        request: RequestId | None = None
        try:
            envelope = decode_request(data)
            request = request_id(envelope)
            if request is None and envelope.method in CLIENT_NOTIFICATIONS:
                return self._notified(envelope)
            return self._call(envelope, request)
        except AuditError as error:
            return self._refused(find_id(data) if request is None else request, error)

    def _call(self, envelope: Request, request: RequestId | None) -> Call:
        name = envelope.method
        if name is None:
            raise ProtocolViolation("method is missing")
        if name in CLIENT_NOTIFICATIONS:
            raise ProtocolViolation(f"{name} is a notification: send it without an id")
        method = METHODS.get(name)
        if method is None:
            raise MethodNotFound(f"no method {name[:80]!r}")
        if request is None:
            raise ProtocolViolation(f"{name} needs an id, so that it can be answered")
        self._check_new(request)
        return self._admitted(request, name, decode_contents(envelope.params, method.params))

    def _check_new(self, request: RequestId) -> None:
        if request in self._in_flight:
            raise ProtocolViolation(f"a request with the id {request!r} is in flight already")
        if len(self._in_flight) >= self._limits.requests:
            raise Overloaded(f"{len(self._in_flight)} requests of this connection are in flight already")

    def _admitted(self, request: RequestId, method: str, params: Any) -> Call:
        self._in_flight.add(request)
        return Call(request, method, params)

    def _refused(self, request: RequestId | None, error: AuditError) -> Refused:
        # An error with the id of another request would be taken for that one's answer.
        told = None if request in self._in_flight else request
        return Refused(encode_failure(told, to_wire(error)))

    def _notified(self, envelope: Request) -> CreditGranted | Broken | None:
        try:
            return self._granted(decode_contents(envelope.params, CreditNote))
        except AuditError as error:
            # Nobody waits for an answer, and a count that only one side believes in would stall the other.
            reason = str(error).encode(errors="replace")[:_REASON_BYTES].decode(errors="ignore")
            return Broken(None, CloseCode.BAD_FRAME, reason)

    def _granted(self, note: CreditNote) -> CreditGranted | None:
        if note.events < 0:
            raise InvalidParameter("events", f"must be at least 0, got {note.events}")
        credit = self._credit.get(note.subscription)
        if credit is None:
            if not self._was_opened(note.subscription):
                raise _no_subscription(note.subscription)
            # It has ended: its end and this grant crossed, which is no mistake.
            return None
        credit += note.events
        if credit > self._limits.credit:
            raise InvalidParameter("events", f"brings the credit to {credit}, it must be at most {self._limits.credit}")
        self._credit[note.subscription] = credit
        return CreditGranted(note.subscription)

    def _was_opened(self, name: str) -> bool:
        digits = name if len(name) <= _NAME_DIGITS and name.isascii() and name.isdigit() else "0"
        return name == str(int(digits)) and 1 <= int(digits) <= self._opened

    def result(self, request: RequestId, result: bytes) -> bytes:
        """Return the answer to a request, around its encoded result."""
        self._in_flight.discard(request)
        return encode_result(request, result)

    def failure(self, request: RequestId, error: Exception) -> bytes:
        """Return the answer to a request that failed."""
        self._in_flight.discard(request)
        return encode_failure(request, to_wire(error))

    def subscribe(self, credit: int) -> str:
        """Open a subscription and return its name.

        Raises:
            Overloaded: the connection has as many as it may have.
            InvalidParameter: the credit is out of bounds.
        """
        if not 0 <= credit <= self._limits.credit:
            raise InvalidParameter("credit", f"must be 0-{self._limits.credit}, got {credit}")
        if len(self._credit) >= self._limits.subscriptions:
            raise Overloaded(f"the connection has {len(self._credit)} subscriptions already")
        self._opened += 1
        # Small numbers, counted on each connection: batches are then the same bytes on most of them, and sent as such.
        name = str(self._opened)
        self._credit[name] = credit
        self._unannounced.add(name)
        return name

    def subscribed(self, request: RequestId, subscription: str) -> bytes:
        """Return the answer to the call that opened it; what else is sent of the subscription follows it."""
        self._unannounced.discard(subscription)
        return self.result(request, b'{"subscription":' + encode(subscription) + b"}")

    def cancel(self, subscription: str) -> None:
        """Forget a subscription; nothing more may be sent of it.

        Raises:
            NotFound: this connection has no such subscription.
        """
        if self._credit.pop(subscription, None) is None:
            raise _no_subscription(subscription)
        self._unannounced.discard(subscription)

    def is_open(self, subscription: str) -> bool:
        """Whether a subscription has not ended."""
        return subscription in self._credit

    def credit(self, subscription: str) -> int:
        """Return how many events a subscription may be sent now."""
        return self._credit.get(subscription, 0)

    def spend(self, subscription: str, events: int) -> None:
        """Count events that are about to be sent against the credit.

        Raises:
            ProtocolViolation: there is not enough, or the subscription has ended: nothing may be sent.
        """
        self.check_sendable(subscription)
        left = self._credit[subscription] - events
        if left < 0:
            raise ProtocolViolation(f"{events} events exceed the credit of subscription {subscription} by {-left}")
        self._credit[subscription] = left

    def batch(self, subscription: str, events: int, tail: bytes) -> bytes:
        """Return the frame of a batch of so many events, and count them against the credit."""
        self.spend(subscription, events)
        return encode_batch(subscription, tail)

    def note(self, method: str, subscription: str, cursor: str, checkpoint: str | None = None) -> bytes:
        """Return the frame of `events.caught_up`, `events.fell_behind` or `events.progress`."""
        self.check_sendable(subscription)
        return encode_note(method, subscription, cursor, checkpoint)

    def end(
        self,
        subscription: str,
        cursor: str,
        reason: EndReason,
        error: Exception | None = None,
        *,
        method: str = "events.end",
    ) -> bytes:
        """Return the frame that ends a subscription, and forget it."""
        self.check_sendable(subscription)
        del self._credit[subscription]
        told = None if error is None else to_wire(error)
        return encode_end(method, EndNote(subscription=subscription, cursor=cursor, reason=reason, error=told))

    def check_sendable(self, subscription: str) -> None:
        """Return if a notification of a subscription may be sent.

        Raises:
            ProtocolViolation: it has ended, or its result was not sent yet.
        """
        if subscription not in self._credit:
            raise ProtocolViolation(f"subscription {subscription} has ended")
        if subscription in self._unannounced:
            raise ProtocolViolation(f"subscription {subscription} is not known to the client yet")


def _no_subscription(name: str) -> NotFound:
    return NotFound(f"no subscription {name[:40]!r} on this connection")
