"""How browsers come in: a ticket for a WebSocket, and a session for people, whose cookie no script can read.

`POST /v1/tickets` gives a ticket to whoever shows a token; `POST /v1/session` a cookie; `DELETE /v1/session` ends it.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from audit.server.access import Principal
from audit.server.access.callers import SESSION_MS
from audit.server.access.guard import GuardedAccess
from audit.server.access.identity import cookie_name, shown_by
from audit.server.access.tickets import TICKET_MS, TICKET_PROTOCOL
from audit.server.context import ServerContext
from audit.server.queries import Query

__all__ = ["sign_in", "sign_out", "ticket"]

_NOT_KEPT: Final = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


class _Ticket(msgspec.Struct, frozen=True):
    ticket: str
    subprotocol: str
    expires_in_ms: int


class _Session(msgspec.Struct, frozen=True):
    name: str
    kind: str
    role: str
    expires_in_ms: int


async def ticket(context: ServerContext, principal: Principal, request: Request) -> Response:
    """Answer with a ticket, and the subprotocol that carries it."""
    Query(request.scope["query_string"], ())
    secret = context.access.ticket(principal)
    body = msgspec.json.encode(_Ticket(secret, TICKET_PROTOCOL + secret, TICKET_MS))
    return Response(body, HTTPStatus.CREATED, _NOT_KEPT, media_type="application/json")


async def sign_in(context: ServerContext, principal: Principal, request: Request) -> Response:
    """Answer with who somebody is, and a cookie that stands for them."""
    Query(request.scope["query_string"], ())
    told = _Session(principal.name, principal.kind, principal.role, SESSION_MS)
    answer = Response(msgspec.json.encode(told), HTTPStatus.CREATED, _NOT_KEPT, media_type="application/json")
    if isinstance(context.access, GuardedAccess):
        answer.set_cookie(
            cookie_name(request.scope),
            context.access.sign_in(principal),
            max_age=SESSION_MS // 1000,
            path="/",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
    return answer


async def sign_out(context: ServerContext, _principal: Principal, request: Request) -> Response:
    """Forget the session that the cookie stands for."""
    Query(request.scope["query_string"], ())
    session = shown_by(request.scope).session
    if session is not None and isinstance(context.access, GuardedAccess):
        context.access.sign_out(session)
    answer = Response(status_code=HTTPStatus.NO_CONTENT, headers=_NOT_KEPT)
    answer.delete_cookie(cookie_name(request.scope), path="/", httponly=True, samesite="strict")
    return answer
