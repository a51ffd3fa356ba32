"""Errors <-> codes, as one table; an error that crosses the wire keeps its class, its message and its parameter."""

from __future__ import annotations

from typing import Final, NamedTuple

from audit.model import errors
from audit.model.errors import AuditError, InvalidParameter
from audit.protocol.messages import WireError, WireErrorData

__all__ = ["WIRE_CODES", "WireCode", "from_wire", "to_wire"]


class WireCode(NamedTuple):
    """A number of JSON-RPC and the stable word that goes with it; `kind` is what a client raises."""

    number: int
    code: str
    kind: type[AuditError]


WIRE_CODES: Final = (
    WireCode(-32700, "parse_error", errors.ProtocolViolation),
    WireCode(-32600, "invalid_request", errors.ProtocolViolation),
    WireCode(-32601, "method_not_found", errors.MethodNotFound),
    WireCode(-32602, "invalid_params", errors.InvalidParameter),
    WireCode(-32603, "internal", errors.AuditError),
    WireCode(-32001, "unauthorized", errors.Unauthorized),
    WireCode(-32002, "forbidden", errors.Forbidden),
    WireCode(-32003, "not_found", errors.NotFound),
    WireCode(-32004, "cursor_invalid", errors.CursorInvalid),
    WireCode(-32005, "too_large", errors.TooLarge),
    WireCode(-32006, "overloaded", errors.Overloaded),
    WireCode(-32007, "unavailable", errors.Unavailable),
    WireCode(-32008, "conflict", errors.Conflict),
    WireCode(-32009, "outcome_unknown", errors.OutcomeUnknown),
    WireCode(-32010, "cursor_expired", errors.CursorExpired),
    WireCode(-32011, "clock_suspect", errors.ClockSuspect),
)

_BY_CODE: Final = {entry.code: entry for entry in WIRE_CODES}
_BY_NUMBER: Final = {entry.number: entry for entry in WIRE_CODES}
_INTERNAL: Final = _BY_CODE["internal"]
_UNAVAILABLE: Final = _BY_CODE["unavailable"]


def to_wire(error: Exception) -> WireError:
    """Return what a peer is told of an error: never a trace, and of one that is not ours not even its text."""
    if isinstance(error, errors.StoreClosed):
        return _wire(_UNAVAILABLE, "the log is being closed", retryable=True)
    if not isinstance(error, AuditError) or error.code not in _BY_CODE:
        # What is wrong with the store is for its operator, who finds it in the server's log.
        return _wire(_INTERNAL, "internal error", retryable=False)
    parameter = getattr(error, "parameter", None)
    retry_after_ms = error.retry_after_ms if isinstance(error, errors.Overloaded) else None
    data = WireErrorData(error.code, error.retryable, parameter, retry_after_ms)
    return WireError(_BY_CODE[error.code].number, str(error), data)


def _wire(entry: WireCode, message: str, *, retryable: bool) -> WireError:
    return WireError(entry.number, message, WireErrorData(entry.code, retryable))


def from_wire(error: WireError) -> AuditError:
    """Return the error that the other side raised; one with an unknown code is a plain `AuditError`."""
    entry = _BY_CODE.get(error.data.code) or _BY_NUMBER.get(error.code) or _INTERNAL
    if issubclass(entry.kind, (InvalidParameter, errors.Conflict)):
        parameter = "params" if error.data.parameter is None else error.data.parameter
        return entry.kind(parameter, error.message.removeprefix(f"{parameter}: "))
    if issubclass(entry.kind, errors.Overloaded):
        return entry.kind(error.message, error.data.retry_after_ms)
    return entry.kind(error.message)
