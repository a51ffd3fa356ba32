"""What whoever runs a server asks it: does it live, does it take appends, and what has it done so far."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

import msgspec
from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from audit.model.errors import AuditError, Unavailable
from audit.protocol.errors import to_wire
from audit.server.access import Ask
from audit.server.collector import registry_of
from audit.server.context import ServerContext
from audit.server.problems import response_to

__all__ = ["routes"]

_NOT_KEPT: Final = {"cache-control": "no-store"}
_READY_WITHIN_S: Final = 5.0


class _NotReady(msgspec.Struct, frozen=True):
    ready: bool
    code: str
    reason: str


def routes(context: ServerContext) -> list[BaseRoute]:
    """Return the routes for operators."""
    return [
        Route("/healthz", _alive),
        Route("/readyz", _readiness(context)),
        Route("/metrics", _metrics(context)),
    ]


async def _alive(_request: Request) -> Response:
    """Answer: the process and its event loop do."""
    return PlainTextResponse("ok\n", headers=_NOT_KEPT)


def _readiness(context: ServerContext) -> Callable[[Request], Awaitable[Response]]:
    async def ready(_request: Request) -> Response:
        """Answer whether appends are taken; a balancer that asks sends nothing here while they are not."""
        try:
            async with asyncio.timeout(_READY_WITHIN_S):
                await _check_ready(context)
        except TimeoutError:
            return _not_ready(Unavailable(f"the disk did not answer within {_READY_WITHIN_S:g} s"))
        except AuditError as error:
            return _not_ready(error)
        return Response(b'{"ready":true}\n', headers=_NOT_KEPT, media_type="application/json")

    return ready


async def _check_ready(context: ServerContext) -> None:
    if context.stopping.is_set():
        raise Unavailable("the server is stopping")
    # Asks the disk for its free space, and a disk may hang.
    await asyncio.to_thread(context.core.sequencer.check_ready)


def _not_ready(error: AuditError) -> Response:
    told = to_wire(error)
    body = msgspec.json.encode(_NotReady(ready=False, code=told.data.code, reason=told.message)) + b"\n"
    return Response(body, HTTPStatus.SERVICE_UNAVAILABLE, _NOT_KEPT, media_type="application/json")


def _metrics(context: ServerContext) -> Callable[[Request], Awaitable[Response]]:
    registry = registry_of(context)

    async def metrics(request: Request) -> Response:
        try:
            principal = await context.access.authenticate(request.scope)
            context.access.authorise(principal, Ask("metrics", [()]))
        except AuditError as error:
            return response_to(error)
        encode, kind = choose_encoder(request.headers.get("accept", ""))
        # Free space of the disk is among them: see `_check_ready`.
        body = await asyncio.to_thread(encode, registry)
        return Response(body, headers={**_NOT_KEPT, "content-type": kind})

    return metrics
