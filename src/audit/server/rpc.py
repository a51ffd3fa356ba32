"""The WebSocket endpoint `/rpc`, as a raw ASGI application: handshake, connection, close."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any, Final

from audit.model.errors import AuditError, Overloaded, Unauthorized
from audit.protocol.limits import SUBPROTOCOL, CloseCode
from audit.server.connection import Connection
from audit.server.context import ServerContext
from audit.server.link import LINK
from audit.server.origin import origin_allowed

__all__ = ["Rpc"]

_REASON_BYTES: Final = 123

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Rpc:
    """Serves the connections of one server."""

    def __init__(self, context: ServerContext) -> None:
        self._context = context

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one WebSocket, as ASGI has it."""
        await receive()
        context = self._context
        if not origin_allowed(scope, context.options):
            await _refuse(send, HTTPStatus.FORBIDDEN, "this page's origin may not connect")
            return
        offered = scope["subprotocols"]
        # A tool for people (`python -m websockets`) offers none, and is let talk; one that offers others is mistaken.
        if offered and SUBPROTOCOL not in offered:
            await _refuse(send, HTTPStatus.BAD_REQUEST, f"the WebSocket subprotocol must be {SUBPROTOCOL}")
            return
        if context.stopping.is_set():
            await _refuse(send, HTTPStatus.SERVICE_UNAVAILABLE, "the server is stopping")
            return
        await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL if offered else None})
        code, reason = await self._serve(scope, receive)
        # A peer that left first is told nothing, by uvicorn.
        await send({"type": "websocket.close", "code": code, "reason": _short(reason)})

    async def _serve(self, scope: MutableMapping[str, Any], receive: Receive) -> tuple[int, str]:
        context = self._context
        if context.traffic.connections >= context.options.connections:
            return CloseCode.TOO_MANY, f"{context.traffic.connections} connections are open already"
        try:
            principal = await context.access.authenticate(scope)
        except Unauthorized as error:
            context.traffic.answered("connect", error.code)
            return CloseCode.UNAUTHORIZED, str(error)
        except AuditError as error:
            return CloseCode.FORBIDDEN, str(error)
        try:
            leave = context.access.admit(principal)
        except Overloaded as error:
            return CloseCode.TOO_MANY, str(error)
        context.traffic.connections += 1
        try:
            connection = Connection(scope[LINK], context, principal)
            return await connection.run(_gone(receive))
        finally:
            context.traffic.connections -= 1
            leave()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "websocket.disconnect":
        # Messages bypass ASGI, so that there is nothing else.
        pass


async def _refuse(send: Send, status: HTTPStatus, why: str) -> None:
    body = why.encode() + b"\n"
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "websocket.http.response.start", "status": int(status), "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})


def _short(reason: str) -> str:
    """Return as much of a reason as a close frame holds: 123 bytes."""
    return reason.encode()[:_REASON_BYTES].decode(errors="ignore")
