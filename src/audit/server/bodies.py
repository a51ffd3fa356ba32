"""Bodies of requests: read with an end to their size and to the time they take, then decoded as events."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, Final

import msgspec
from starlette.requests import Request

from audit.model.errors import InvalidParameter, TooLarge
from audit.model.event import MAX_CALL_EVENTS, NewEvent
from audit.protocol.frames import decode_contents
from audit.server.negotiation import content_type
from audit.server.problems import Problem

__all__ = ["JSON", "LINES", "decode_events", "decode_params", "posted_kind", "read_body"]

JSON: Final = "application/json"
LINES: Final = "application/x-ndjson"
_OVERHEAD_BYTES: Final = 1024 * 1024
"""What white space and escapes may add to events that are stored without them."""
READ_S: Final = 60.0
"""When a body must have arrived."""
_CLOSE: Final = {"connection": "close"}


async def read_body(request: Request, call_bytes: int) -> bytes:
    """Return a request's body.

    Args:
        request: Nothing of its body was read yet.
        call_bytes: Encoded bytes that the events of a call may have; a body may have 1 MiB more.

    Raises:
        TooLarge: it is larger; told as soon as that is clear.
        Problem: 408, it did not arrive in time.
    """
    most = call_bytes + _OVERHEAD_BYTES
    said = request.headers.get("content-length", "")
    if said.isascii() and said.isdigit() and (len(said) > len(str(most)) or int(said) > most):
        raise TooLarge("body", f"must have at most {most} bytes, has {said[:20]}")
    body = bytearray()
    try:
        async with asyncio.timeout(READ_S):
            async for piece in request.stream():
                body += piece
                if len(body) > most:
                    raise TooLarge("body", f"must have at most {most} bytes")
    except TimeoutError as error:
        detail = f"the body did not arrive within {READ_S:g} s"
        raise Problem(HTTPStatus.REQUEST_TIMEOUT, "timeout", detail, _CLOSE) from error
    return bytes(body)


def posted_kind(request: Request) -> str:
    """Return the media type of a body with events.

    Raises:
        Problem: 415, it is another: which also keeps out what a page of another site can send without asking.
    """
    kind = content_type(request.scope)
    if kind in {JSON, LINES}:
        return kind
    detail = f"the content type must be {JSON} or {LINES}, it is {kind[:60] or 'not given'}"
    raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)


def decode_events(kind: str, body: bytes) -> list[NewEvent]:
    """Return the events of a body: a JSON array, one JSON object, or an object a line.

    Raises:
        Problem: 400, it is no JSON.
        InvalidParameter: it is JSON, and no events; the member is named as `events[n].…`.
    """
    if kind == LINES:
        return _decode_lines(body)
    if body.lstrip(b" \t\r\n").startswith(b"["):
        found: list[NewEvent] = _decode(body, list[NewEvent], "events")
        return found
    return [_decode(body, NewEvent, "events[0]")]


def _decode_lines(body: bytes) -> list[NewEvent]:
    # Counted before anything is made of them: millions of empty lines fit into a body.
    if body.count(b"\n") > 2 * MAX_CALL_EVENTS:
        raise TooLarge("events", f"must hold 1-{MAX_CALL_EVENTS} events")
    lines = [line for line in body.splitlines() if line.strip()]
    return [_decode(line, NewEvent, f"events[{number}]") for number, line in enumerate(lines)]


def decode_params(request: Request, body: bytes, kind: Any) -> Any:
    """Return the parameters of a call, from a body that holds them as one JSON object.

    Raises:
        Problem: 415, it says that it is no JSON; 400, it is none.
        InvalidParameter: they are others; the parameter is named.
    """
    if posted_kind(request) != JSON:
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", f"the content type must be {JSON}")
    try:
        return decode_contents(body, kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem(HTTPStatus.BAD_REQUEST, "parse_error", f"no JSON: {error}") from error


def _decode(body: bytes, kind: Any, place: str) -> Any:
    try:
        return decode_contents(body, kind)
    except InvalidParameter as error:
        path = "" if error.parameter == "params" else error.parameter
        joined = f"{place}{path}" if not path or path.startswith("[") else f"{place}.{path}"
        raise InvalidParameter(joined, error.problem) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Problem(HTTPStatus.BAD_REQUEST, "parse_error", f"{place}: no JSON: {error}") from error
