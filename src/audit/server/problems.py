"""Errors as HTTP tells them: one table from codes to statuses, and bodies after RFC 9457 (problem+json)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from math import ceil
from typing import Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from audit.protocol.errors import to_wire

__all__ = ["EXCEPTION_HANDLERS", "STATUSES", "Problem", "problem_of", "response_to"]

_log: Final = logging.getLogger("audit.server")

STATUSES: Final[dict[str, HTTPStatus]] = {
    "parse_error": HTTPStatus.BAD_REQUEST,
    "invalid_request": HTTPStatus.BAD_REQUEST,
    "method_not_found": HTTPStatus.NOT_FOUND,
    "invalid_params": HTTPStatus.BAD_REQUEST,
    "internal": HTTPStatus.INTERNAL_SERVER_ERROR,
    "unauthorized": HTTPStatus.UNAUTHORIZED,
    "forbidden": HTTPStatus.FORBIDDEN,
    "not_found": HTTPStatus.NOT_FOUND,
    "cursor_invalid": HTTPStatus.BAD_REQUEST,
    "too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "overloaded": HTTPStatus.SERVICE_UNAVAILABLE,
    "unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "conflict": HTTPStatus.CONFLICT,
    # Not 503, which others may take for leave to send it again: that is safe with an idempotency key only.
    "outcome_unknown": HTTPStatus.INTERNAL_SERVER_ERROR,
    "cursor_expired": HTTPStatus.GONE,
    "clock_suspect": HTTPStatus.SERVICE_UNAVAILABLE,
}
"""The status of each code of the wire."""

_RETRY_AFTER_S: Final = 1


class _Body(msgspec.Struct, frozen=True, omit_defaults=True):
    title: str
    status: int
    detail: str
    code: str
    # No default, which would be left out: who reads it should not have to know one.
    retryable: bool
    parameter: str | None = None
    retry_after_ms: int | None = None


class Problem(Exception):
    """A request that HTTP alone knows how to refuse, such as one for a form that there is not.

    Attributes:
        status: The answer's status.
        code: A stable word, as the wire has them.
        detail: What is wrong, for a person.
        headers: More headers of the answer.
    """

    def __init__(self, status: HTTPStatus, code: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})


def problem_of(error: Exception) -> tuple[Response, str]:
    """Return the answer that tells an error, and its code. What is wrong on this side goes to the server's log."""
    if isinstance(error, Problem):
        body = _Body(error.status.phrase, error.status, error.detail, error.code, retryable=False)
        return _response(body, error.headers), error.code
    told = to_wire(error)
    code = told.data.code
    if code == "internal":
        # Only here: a peer learns nothing of how the server is made.
        _log.error("a request failed: %s", error, exc_info=error)
    status = STATUSES[code]
    headers = {}
    if told.data.retry_after_ms is not None:
        # Not the server's load: it is this one who asks too often.
        status = HTTPStatus.TOO_MANY_REQUESTS
        headers["retry-after"] = str(ceil(told.data.retry_after_ms / 1000))
    elif status == HTTPStatus.SERVICE_UNAVAILABLE and told.data.retryable:
        headers["retry-after"] = str(_RETRY_AFTER_S)
    if status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = 'Bearer realm="audit"'
    body = _Body(
        status.phrase, status, told.message, code, told.data.retryable, told.data.parameter, told.data.retry_after_ms
    )
    return _response(body, headers), code


def _response(body: _Body, headers: Mapping[str, str]) -> Response:
    return Response(
        msgspec.json.encode(body),
        body.status,
        {"cache-control": "no-store", **headers},
        media_type="application/problem+json",
    )


def response_to(error: Exception) -> Response:
    """Return the answer that tells an error."""
    return problem_of(error)[0]


async def _of_route(_request: Request, error: Exception) -> Response:
    """Answer what the router refuses: no such path, no such method."""
    if not isinstance(error, HTTPException):
        raise error
    status = HTTPStatus(error.status_code)
    code = {HTTPStatus.NOT_FOUND: "not_found", HTTPStatus.METHOD_NOT_ALLOWED: "method_not_allowed"}.get(status)
    detail = {HTTPStatus.NOT_FOUND: "there is nothing at this path"}.get(status, error.detail)
    return response_to(Problem(status, code or "invalid_request", detail, error.headers))


EXCEPTION_HANDLERS: Final = {HTTPException: _of_route}
"""For the application: what its router refuses is told in the same form."""
