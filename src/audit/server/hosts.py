"""Which names a server on loopback answers to, while everybody may do everything there.

A page can make the browser take 127.0.0.1 for its own host (DNS rebinding): it is then of the same origin as this
server, and only the name in `Host` tells. So one that is neither an address nor `localhost` must have been allowed.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from audit.server.problems import Problem, response_to

__all__ = ["KnownHosts", "known_host"]

_LOCAL: Final = "localhost"


def known_host(host: str, allowed: Iterable[str]) -> bool:
    """Return whether the value of a header `Host` is an address, `localhost` or below it, or one of some names."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if not name or name == _LOCAL or name.endswith(f".{_LOCAL}") or name in allowed:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class KnownHosts:
    """Refuses what is addressed to another host."""

    def __init__(self, app: ASGIApp, allow_origins: Iterable[str]) -> None:
        self._app = app
        self._allowed = frozenset(urlsplit(origin).hostname or "" for origin in allow_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, as ASGI has it."""
        host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
        if known_host(host, self._allowed):
            await self._app(scope, receive, send)
            return
        detail = f"this server is not {host[:80]!r}: allow its origin (--allow-origin), or ask for it by its address"
        if scope["type"] == "websocket":
            await receive()
            body = detail.encode() + b"\n"
            await send({"type": "websocket.http.response.start", "status": 403, "headers": []})
            await send({"type": "websocket.http.response.body", "body": body})
        else:
            await response_to(Problem(HTTPStatus.MISDIRECTED_REQUEST, "forbidden", detail))(scope, receive, send)
