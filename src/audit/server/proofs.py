"""Proofs over plain HTTP: the wire's three methods, and the static paths of C2SP tlog-tiles, for tools that know those.

A tile of a name never changes: it may be kept for ever. A checkpoint is asked for anew each time.
"""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from audit.model.errors import InvalidParameter, NotFound, ProofMalformed
from audit.proof.tiles import ENTRIES, parse_tile_path
from audit.protocol.proofmessages import CheckpointParams, ConsistencyParams, InclusionParams
from audit.server.access import Ask, Principal
from audit.server.bodies import JSON
from audit.server.calls import READS
from audit.server.context import ServerContext
from audit.server.negotiation import accepted
from audit.server.queries import Query

__all__ = ["checkpoint", "consistency", "inclusion", "note", "tile"]

_NOT_KEPT: Final = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
_ASKED_ANEW: Final = {"cache-control": "no-cache", "x-content-type-options": "nosniff"}
_KEPT: Final = {"cache-control": "max-age=31536000, immutable", "x-content-type-options": "nosniff"}
_NONE: Final = -1


async def checkpoint(context: ServerContext, principal: Principal, request: Request) -> Response:
    """Answer `GET /v1/log/checkpoint`."""
    Query(request.scope["query_string"], ())
    return await _answer(context, principal, request, "log.checkpoint", CheckpointParams())


async def inclusion(context: ServerContext, principal: Principal, request: Request) -> Response:
    """Answer `GET /v1/log/inclusion`."""
    event_id = Query(request.scope["query_string"], ("id",)).text("id")
    if event_id is None:
        raise InvalidParameter("id", "is missing")
    return await _answer(context, principal, request, "log.inclusion", InclusionParams(id=event_id))


async def consistency(context: ServerContext, principal: Principal, request: Request) -> Response:
    """Answer `GET /v1/log/consistency`."""
    query = Query(request.scope["query_string"], ("from", "to"))
    sizes = {name: query.number(name, _NONE) for name in ("from", "to")}
    for name, size in sizes.items():
        if size == _NONE:
            raise InvalidParameter(name, "is missing")
    params = ConsistencyParams(from_=sizes["from"], to=sizes["to"])
    return await _answer(context, principal, request, "log.consistency", params)


async def _answer(context: ServerContext, principal: Principal, request: Request, method: str, params: Any) -> Response:
    accepted(request.scope, (JSON,))
    result = READS[method](context, principal, params)
    body = result if isinstance(result, bytes) else await result
    return Response(body, headers=_NOT_KEPT, media_type=JSON)


async def note(context: ServerContext, principal: Principal, request: Request) -> Response:
    """Answer `GET /checkpoint`."""
    Query(request.scope["query_string"], ())
    context.access.authorise(principal, Ask("prove", [()]))
    told = await context.core.threads.run(context.core.proofs.checkpoint)
    return Response(told, headers=_ASKED_ANEW, media_type="text/plain; charset=utf-8")


async def tile(context: ServerContext, principal: Principal, request: Request) -> Response:
    """Answer `GET /tile/…`."""
    Query(request.scope["query_string"], ())
    try:
        name = parse_tile_path(request.scope["path"].removeprefix("/"))
    except ProofMalformed as error:
        raise NotFound(error.problem) from error
    context.access.authorise(principal, Ask("prove", [()]))
    # A hash shows nothing of an event; an entry has its header, topics included.
    if name.level == ENTRIES:
        context.access.authorise(principal, Ask("read", [()]))
    found = await context.core.threads.run(lambda: context.core.proofs.tile(name))
    return Response(found, headers=_KEPT, media_type="application/octet-stream")
