"""Metrics of a log elsewhere: the verbs, and a metric that is kept up with over lost connections."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import anyio

from audit.client.core import RemoteCore
from audit.client.metricfeed import MetricFeed
from audit.client.waiting import Waiting
from audit.log.registered import Registration
from audit.log.tail import End
from audit.metrics.pace import DEFAULT_EVERY_MS, check_every
from audit.metrics.query import Metric, MetricQuery, MetricResult, MetricUpdate, query_of
from audit.model.errors import Unavailable
from audit.protocol.metricmessages import MetricEntry, MetricsParams, MetricsResult

__all__ = ["RemoteMetric", "RemoteMetrics"]


class RemoteMetrics:
    """`log.metrics` of a log elsewhere. Arguments and errors are those of an open log's."""

    def __init__(self, core: RemoteCore) -> None:
        self._core = core

    async def list(self) -> builtins.list[Registration]:
        """Return the metrics that are registered, by name, and how many events each has folded in."""
        found: MetricsResult = await self._core.call("metrics.list", MetricsParams(), MetricsResult)
        return [Registration(_metric(entry), entry.size) for entry in found.metrics]

    async def get(self, query: MetricQuery | Mapping[str, Any] | None = None, **members: Any) -> MetricResult:
        """Return a metric as of now: a query, or its members as keywords."""
        found: MetricResult = await self._core.call("metrics.get", query_of(query, members), MetricResult)
        return found

    def subscribe(
        self,
        query: MetricQuery | Mapping[str, Any] | None = None,
        *,
        every: int = DEFAULT_EVERY_MS,
        cursor: str | None = None,
        **members: Any,
    ) -> RemoteMetric:
        """Return a metric that is kept up with, by itself also when the connection is lost.

        Args:
            query: What is asked; or its members as keywords.
            every: Milliseconds between two updates at least; 0: one for each commit.
            cursor: Of what was told last; see `RemoteMetric.changes`.
            members: Those of a `MetricQuery`.
        """
        feed = MetricFeed(query_of(query, members), check_every(every), cursor)
        metric = RemoteMetric(self._core, feed)
        self._core.feeds.add(feed)
        return metric


def _metric(entry: MetricEntry) -> Metric:
    return Metric(**{name: getattr(entry, name) for name in Metric.__struct_fields__})


class RemoteMetric:
    """A metric of a log elsewhere, as it is now. For one task at a time."""

    def __init__(self, core: RemoteCore, feed: MetricFeed) -> None:
        self._core = core
        self._feed = feed
        self._waiting = Waiting(self, core, feed)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def latest(self) -> MetricResult | None:
        """All windows as of the newest notification, read or not; None before the first."""
        return self._feed.latest

    @property
    def cursor(self) -> str | None:
        """Resumes after what was told last; None before anything was."""
        return self._feed.cursor

    async def snapshot(self) -> MetricResult:
        """Return all windows, once there are any.

        Raises:
            Unavailable: they did not come in time.
            AuditError: the server refuses.
        """
        with anyio.move_on_after(self._core.options.call_timeout_s):
            while (found := self._feed.snapshot()) is None:
                if self._feed.over is not None:
                    raise Unavailable("the subscription has ended")
                await self._waiting.wait()
            return found
        raise Unavailable("the server did not tell the metric in time")

    async def changes(self, timeout_s: float | None = None) -> MetricUpdate | End | None:
        """Return what has changed since it was told last, waiting for it. Cancelling it loses nothing.

        The first one, without a `snapshot` before, tells all windows.

        Args:
            timeout_s: Return None when there was nothing to tell for so long.

        Raises:
            Unavailable: there was no connection for longer than `reconnect_timeout_s`.
            AuditError: the server refuses to go on.
        """
        with anyio.move_on_after(timeout_s):
            while (found := self._feed.take()) is None:
                await self._waiting.wait()
            return found
        return None

    def close(self) -> None:
        """End it; a `changes` in progress returns `End` with reason `cancelled`."""
        self._waiting.close()
