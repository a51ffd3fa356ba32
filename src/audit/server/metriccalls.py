"""`metrics.list` and `metrics.get` as operations of the log, and what `metrics.subscribe` asks for.

Whoever may ask for metrics of a topic is told numbers about it, and no event.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from audit.metrics.query import MetricQuery
from audit.model.errors import TooLarge
from audit.protocol.frames import encode
from audit.protocol.messages import MetricsParams, MetricsResult, WatchParams
from audit.server.access import Ask, Principal
from audit.server.context import ServerContext

__all__ = ["METRIC_READS", "authorise_metric", "query_of_watch"]

_ENVELOPE_BYTES: Final = 1_024
"""Of a frame, beside what it carries."""


def authorise_metric(context: ServerContext, principal: Principal, query: MetricQuery) -> None:
    """Return if a principal may ask this: for a registered metric, those of its topics.

    Raises:
        Forbidden: it may not.
        InvalidParameter: a parameter is out of form or bounds.
        NotFound: no metric of that name is registered.
    """
    context.access.authorise(principal, Ask("metrics", context.core.plan(query).query.topics))


def query_of_watch(params: WatchParams) -> MetricQuery:
    """Return what a subscription is to be told of, apart from how."""
    return MetricQuery(**{name: getattr(params, name) for name in MetricQuery.__struct_fields__})


def _list(context: ServerContext, principal: Principal, _params: MetricsParams) -> bytes:
    context.access.authorise(principal, Ask("metrics", [()]))
    return encode(MetricsResult(metrics=[]))


def _get(context: ServerContext, principal: Principal, params: MetricQuery) -> Awaitable[bytes]:
    authorise_metric(context, principal, params)
    most = context.options.limits.sent_frame_bytes - _ENVELOPE_BYTES

    def work() -> bytes:
        result = encode(context.log.sync.metrics.get(params))
        if len(result) > most:
            raise TooLarge("window", f"makes an answer of {len(result)} bytes, beyond a frame's {most}: ask for fewer")
        return result

    return context.core.threads.start(work)


METRIC_READS: Final[dict[str, Callable[[ServerContext, Principal, Any], bytes | Awaitable[bytes]]]] = {
    "metrics.list": _list,
    "metrics.get": _get,
}
