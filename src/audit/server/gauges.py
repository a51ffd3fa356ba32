"""Built-in metrics that are about the server, not about events: numbers as they are now, asked for by name.

They have one window, from the server's start until now. Who follows one is told when it has changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from audit.log.core import LogCore
from audit.log.tail import End
from audit.metrics.query import AsOf, Metric, MetricQuery, MetricResult, MetricUpdate, Window
from audit.model.errors import InvalidParameter

__all__ = ["GAUGES", "Gauge", "LiveGauge", "check_gauge", "gauge_result"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LOOK_MS: Final = 1_000
_NAMED: Final = MetricQuery(metric="")


class Gauge(NamedTuple):
    """One of them.

    Attributes:
        metric: As it is listed.
        read: Returns its number now; takes the log, and the connections that are open.
    """

    metric: Metric
    read: Callable[[LogCore, int], int]


GAUGES: Final[Mapping[str, Gauge]] = {
    "audit.connections": Gauge(
        Metric(name="audit.connections", measure="active", help="WebSocket connections that are open."),
        lambda _core, connections: connections,
    ),
    "audit.lag": Gauge(
        Metric(name="audit.lag", measure="max", help="Events that the slowest tail has not looked at yet."),
        lambda core, _connections: core.open_tails.lag().most,
    ),
}


def check_gauge(query: MetricQuery) -> Gauge | None:
    """Return the gauge that a query names; None: it names none.

    Raises:
        InvalidParameter: it asks for more of it than there is.
    """
    gauge = None if query.metric is None else GAUGES.get(query.metric)
    if gauge is None:
        return None
    for name in MetricQuery.__struct_fields__:
        if name != "metric" and getattr(query, name) != getattr(_NAMED, name):
            raise InvalidParameter(name, f"does not go with {query.metric}, which is a number of now")
    return gauge


def gauge_result(gauge: Gauge, core: LogCore, connections: int, started_ms: int) -> MetricResult:
    """Return a gauge as an answer."""
    value = gauge.read(core, connections)
    now = _EPOCH + timedelta(milliseconds=core.clock.wall_ms())
    start = _EPOCH + timedelta(milliseconds=started_ms)
    window = Window(start=start, end=max(now, start), value=value, count=value, final=False)
    return MetricResult(windows=[window], total=value, as_of=AsOf(cursor=gauge.metric.name, time=now))


class LiveGauge:
    """A gauge that is followed, as a `LiveMetric` is."""

    def __init__(self, read: Callable[[], MetricResult], every_ms: int) -> None:
        self._read = read
        self._every_s = max(every_ms, _LOOK_MS) / 1_000
        self._told: MetricResult | None = None

    async def snapshot(self) -> MetricResult:
        """Return it as it is now."""
        self._told = self._read()
        return self._told

    async def changes(self) -> MetricUpdate | End:
        """Return it once its number is another one."""
        while True:
            await asyncio.sleep(self._every_s)
            now = self._read()
            if self._told is None or now.total != self._told.total:
                self._told = now
                return MetricUpdate(windows=now.windows, total=now.total, as_of=now.as_of, all=True)

    def close(self) -> None:
        """Do nothing: it holds nothing."""
