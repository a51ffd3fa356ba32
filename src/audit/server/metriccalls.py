"""`metrics.list` and `metrics.get` as operations of the log, and what `metrics.subscribe` asks for.

Whoever may ask for metrics of a topic is told numbers about it, and no event.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from audit.log.measuring import Spend
from audit.log.registered import Registration
from audit.metrics.query import MetricQuery
from audit.model.errors import TooLarge
from audit.protocol.frames import encode
from audit.protocol.metricmessages import MetricEntry, MetricsParams, MetricsResult, WatchParams
from audit.server.access import Ask, Principal
from audit.server.charging import charged
from audit.server.context import ServerContext
from audit.server.gauges import GAUGES, check_gauge

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
    topics = [()] if check_gauge(query) is not None else context.core.plan(query).query.topics
    context.access.authorise(principal, Ask("metrics", topics))


def query_of_watch(params: WatchParams) -> MetricQuery:
    """Return what a subscription is to be told of, apart from how."""
    return MetricQuery(**{name: getattr(params, name) for name in MetricQuery.__struct_fields__})


def _list(context: ServerContext, principal: Principal, _params: MetricsParams) -> bytes:
    context.access.authorise(principal, Ask("metrics", [()]))
    found = context.log.metrics.list()
    found += [Registration(gauge.metric, context.core.sequencer.snapshot.size) for gauge in GAUGES.values()]
    found.sort(key=lambda one: one.metric.name)
    entries = [MetricEntry(**msgspec.structs.asdict(one.metric), size=one.size) for one in found]
    return encode(MetricsResult(metrics=entries))


def _get(context: ServerContext, principal: Principal, params: MetricQuery) -> bytes | Awaitable[bytes]:
    authorise_metric(context, principal, params)
    gauge = check_gauge(params)
    if gauge is not None:
        return encode(context.gauge(gauge))
    most = context.options.limits.sent_frame_bytes - _ENVELOPE_BYTES

    def work(spend: Spend) -> bytes:
        result = encode(context.core.measuring.result(context.core.plan(params), spend))
        if len(result) > most:
            raise TooLarge("window", f"makes an answer of {len(result)} bytes, beyond a frame's {most}: ask for fewer")
        return result

    return charged(context, principal, work)


METRIC_READS: Final[dict[str, Callable[[ServerContext, Principal, Any], bytes | Awaitable[bytes]]]] = {
    "metrics.list": _list,
    "metrics.get": _get,
}
