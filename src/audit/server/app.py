"""All routes of one server, as one application."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from audit.protocol.limits import PATH
from audit.server import http, operator
from audit.server.context import ServerContext
from audit.server.problems import EXCEPTION_HANDLERS
from audit.server.rpc import Rpc

__all__ = ["build_app"]


def build_app(context: ServerContext) -> Starlette:
    """Return the ASGI application of a server."""
    app = Starlette(
        routes=[WebSocketRoute(PATH, Rpc(context)), *http.routes(context), *operator.routes(context)],
        exception_handlers=EXCEPTION_HANDLERS,
    )
    app.router.redirect_slashes = False
    return app
