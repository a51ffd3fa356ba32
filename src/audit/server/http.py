"""`/v1` over HTTP: pages, single events, topics and appends, and the stream of `streams`.

What is stored is joined and sent, never encoded again. Every call is authenticated and authorised, and counted.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from audit.codec.csvtext import EVENT_COLUMNS, encode_events, encode_rows
from audit.log.reader import Page
from audit.metrics.rows import WINDOW_COLUMNS, encode_windows
from audit.model.errors import Forbidden, InvalidParameter
from audit.protocol.frames import encode
from audit.protocol.messages import AppendResult, EraseParams, GetParams
from audit.protocol.metricmessages import MetricsParams
from audit.server import proofs, signin
from audit.server.access import Ask, Principal
from audit.server.bodies import JSON, LINES, decode_events, decode_params, posted_kind, read_body
from audit.server.calls import READS, appended_topics, asked_topics, erase, page_result
from audit.server.charging import charged
from audit.server.context import ServerContext
from audit.server.gauges import check_gauge
from audit.server.metriccalls import authorise_metric
from audit.server.negotiation import accepted
from audit.server.origin import origin_allowed
from audit.server.problems import problem_of, response_to
from audit.server.queries import (
    LIST_NAMES,
    METRIC_NAMES,
    TOPICS_NAMES,
    Query,
    list_params,
    metric_params,
    topics_params,
)
from audit.server.streams import Stream
from audit.server.upkeep import Upkeep

__all__ = ["routes"]

CSV: Final = "text/csv"
_EXPOSED: Final = ("Audit-Cursor", "Link", "Location", "Retry-After")
"""Headers that a page of an allowed origin may read."""
_SENT: Final = ("Authorization", "Cache-Control", "Content-Type", "Idempotency-Key", "Last-Event-ID")
"""Headers that it may send."""
_NOT_KEPT: Final = {"cache-control": "no-store", "x-content-type-options": "nosniff"}

Work = Callable[[ServerContext, Principal, Request], Awaitable[Response]]


def routes(context: ServerContext) -> list[BaseRoute]:
    """Return the routes of HTTP's part of the wire."""
    shared = [
        Middleware(
            CORSMiddleware,
            allow_origins=context.options.allow_origins,
            allow_methods=("GET", "HEAD", "POST"),
            allow_headers=_SENT,
            expose_headers=_EXPOSED,
        ),
        Middleware(_SameOrigin, context=context),
    ]
    upkeep = Upkeep()
    inner: list[BaseRoute] = [
        _route(context, "/events", GET=("events.list", _list), POST=("events.append", _append)),
        _route(context, "/events/erase", POST=("events.erase", _erase)),
        Route("/events/stream", Stream(context), methods=["GET"]),
        _route(context, "/events/{id}", GET=("events.get", _get)),
        _route(context, "/topics", GET=("topics.list", _topics)),
        _route(context, "/tickets", POST=("tickets", signin.ticket)),
        _route(context, "/session", POST=("session", signin.sign_in), DELETE=("session", signin.sign_out)),
        _route(context, "/metrics", GET=("metrics.get", _metrics)),
        _route(context, "/log/checkpoint", GET=("log.checkpoint", proofs.checkpoint)),
        _route(context, "/log/inclusion", GET=("log.inclusion", proofs.inclusion)),
        _route(context, "/log/consistency", GET=("log.consistency", proofs.consistency)),
        _route(context, "/backup", GET=("backup", upkeep.backup)),
        _route(context, "/fsck", POST=("fsck", upkeep.fsck)),
    ]
    # A path is right or wrong: a redirect would name the host that the peer says we are.
    return [
        Mount("/v1", Router(inner, redirect_slashes=False), middleware=shared),
        # Where tools that read such logs look for them: at the root of the log's URL.
        _route(context, "/checkpoint", GET=("log.checkpoint", proofs.note)),
        _route(context, "/tile/{path:path}", GET=("log.tile", proofs.tile)),
    ]


class _SameOrigin:
    """Refuses what a page of another site would change: its reader's browser can reach what the page can't."""

    def __init__(self, app: ASGIApp, context: ServerContext) -> None:
        self._app = app
        self._context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, as ASGI has it."""
        if scope["method"] in {"GET", "HEAD"} or origin_allowed(scope, self._context.options):
            await self._app(scope, receive, send)
        else:
            await response_to(Forbidden("this page's origin may not append"))(scope, receive, send)


def _route(context: ServerContext, path: str, **works: tuple[str, Work]) -> Route:
    """Return the route that does, for each method of HTTP, one method of the wire."""

    async def endpoint(request: Request) -> Response:
        method, work = works["GET" if request.method == "HEAD" else request.method]
        try:
            principal = await context.access.authenticate(request.scope)
            response = await work(context, principal, request)
            code = "ok"
        except ClientDisconnect:
            # Nobody is left to answer.
            response, code = Response(status_code=HTTPStatus.BAD_REQUEST), "disconnected"
        except Exception as error:  # noqa: BLE001 - told to the peer by its code, and logged when it is our own fault
            response, code = problem_of(error)
        context.traffic.answered(method, code)
        return response

    return Route(path, endpoint, methods=list(works))


async def _list(context: ServerContext, principal: Principal, request: Request) -> Response:
    form = accepted(request.scope, (JSON, LINES, CSV))
    query = Query(request.scope["query_string"], LIST_NAMES)
    params = list_params(query)
    context.access.authorise(principal, Ask("read", asked_topics(params)))
    page = await context.log.list(
        topics=params.topics,
        seek=params.seek,
        seek_end=params.seek_end,
        inclusive=params.inclusive,
        order=params.order,
        limit=params.limit,
        cursor=params.cursor,
        filter=params.filter,
    )
    context.access.charge(principal, sum(map(len, page.slices)), len(page))
    headers = {**_NOT_KEPT, "audit-cursor": page.cursor, "vary": "Accept"}
    if page.has_more:
        # Relative to the request's own path, which a proxy may know under another name.
        headers["link"] = f'<?{query.after(page.cursor)}>; rel="next"'
    return Response(await _body(context, page, form), headers=headers, media_type=form)


async def _body(context: ServerContext, page: Page, form: str) -> bytes:
    if form == JSON:
        return page_result(context, page)
    if form == LINES:
        return b"".join([event + b"\n" for event in page.slices])
    # A thousand rows take as long as many other requests together.
    return await context.core.threads.run(lambda: encode_rows([EVENT_COLUMNS]) + encode_events(page.slices))


async def _get(context: ServerContext, principal: Principal, request: Request) -> Response:
    accepted(request.scope, (JSON,))
    Query(request.scope["query_string"], ())
    found = await _read(context, principal, "events.get", GetParams(id=request.path_params["id"]))
    return Response(found, headers=_NOT_KEPT, media_type=JSON)


async def _topics(context: ServerContext, principal: Principal, request: Request) -> Response:
    accepted(request.scope, (JSON,))
    params = topics_params(Query(request.scope["query_string"], TOPICS_NAMES))
    found = await _read(context, principal, "topics.list", params)
    return Response(found, headers=_NOT_KEPT, media_type=JSON)


async def _metrics(context: ServerContext, principal: Principal, request: Request) -> Response:
    form = accepted(request.scope, (JSON, CSV))
    params = metric_params(Query(request.scope["query_string"], METRIC_NAMES))
    headers = {**_NOT_KEPT, "vary": "Accept"}
    if params is None:
        found = await _read(context, principal, "metrics.list", MetricsParams())
        return Response(found, headers=headers, media_type=JSON)
    if form == JSON:
        return Response(await _read(context, principal, "metrics.get", params), headers=headers, media_type=JSON)
    authorise_metric(context, principal, params)
    gauge, plan = check_gauge(params), context.core.plan
    if gauge is not None:
        rows = encode_windows(context.gauge(gauge).windows)
    else:
        measuring = context.core.measuring
        rows = await charged(
            context, principal, lambda spend: encode_windows(measuring.result(plan(params), spend).windows)
        )
    context.access.charge(principal, len(rows))
    return Response(encode_rows([WINDOW_COLUMNS]) + rows, headers=headers, media_type=CSV)


async def _read(context: ServerContext, principal: Principal, method: str, params: Any) -> bytes:
    result = READS[method](context, principal, params)
    body = result if isinstance(result, bytes) else await result
    context.access.charge(principal, len(body))
    return body


async def _append(context: ServerContext, principal: Principal, request: Request) -> Response:
    accepted(request.scope, (JSON,))
    Query(request.scope["query_string"], ())
    kind = posted_kind(request)
    key = _idempotency_key(request)
    events = decode_events(kind, await read_body(request, context.options.limits.call_bytes))
    context.access.authorise(principal, Ask("append", appended_topics(events)))
    receipts = await context.log.append_many(context.access.stamp(principal, events), idempotency_key=key)
    headers = dict(_NOT_KEPT)
    if len(receipts) == 1:
        headers["location"] = f"events/{receipts[0].id}"
    body = encode(AppendResult(receipts=receipts))
    return Response(body, HTTPStatus.CREATED, headers, media_type=JSON)


async def _erase(context: ServerContext, principal: Principal, request: Request) -> Response:
    accepted(request.scope, (JSON,))
    Query(request.scope["query_string"], ())
    params = decode_params(request, await read_body(request, context.options.limits.call_bytes), EraseParams)
    return Response(await erase(context, principal, params), headers=_NOT_KEPT, media_type=JSON)


def _idempotency_key(request: Request) -> str | None:
    """Return the key of a call, the same text that the wire's other side would give."""
    values = request.headers.getlist("idempotency-key")
    if not values:
        return None
    if len(values) > 1:
        raise InvalidParameter("idempotency_key", "the header Idempotency-Key is given twice")
    try:
        return values[0].encode("latin-1").decode()
    except UnicodeDecodeError as error:
        raise InvalidParameter("idempotency_key", "the header Idempotency-Key must be valid UTF-8") from error
