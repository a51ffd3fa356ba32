"""All routes of one server, as one application."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import WebSocketRoute

from audit.protocol.limits import PATH
from audit.server import http, operator, pages
from audit.server.context import ServerContext
from audit.server.hosts import KnownHosts
from audit.server.problems import EXCEPTION_HANDLERS
from audit.server.rpc import Rpc

__all__ = ["build_app"]


def build_app(context: ServerContext, *, local: bool) -> Starlette:
    """Return the ASGI application of a server.

    Args:
        context: What its parts share.
        local: Whether only this machine can reach it, and nobody has to say who they are.
    """
    origins = context.options.allow_origins
    app = Starlette(
        routes=[
            WebSocketRoute(PATH, Rpc(context)),
            *http.routes(context),
            *operator.routes(context),
            *pages.routes(framers=origins),
        ],
        middleware=[Middleware(KnownHosts, allow_origins=origins)] if local else [],
        exception_handlers=EXCEPTION_HANDLERS,
    )
    app.router.redirect_slashes = False
    return app
