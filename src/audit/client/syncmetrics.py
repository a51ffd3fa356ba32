"""Metrics of a log elsewhere, for plain threads."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from audit.client.loopthread import LoopThread
from audit.client.metrics import RemoteMetric, RemoteMetrics
from audit.log.registered import Registration
from audit.log.tail import End
from audit.metrics.pace import DEFAULT_EVERY_MS
from audit.metrics.query import MetricQuery, MetricResult, MetricUpdate
from audit.model.errors import StoreClosed

__all__ = ["SyncRemoteMetric", "SyncRemoteMetrics"]


class SyncRemoteMetrics:
    """`log.metrics` with blocking verbs. Arguments and errors are those of `RemoteMetrics`."""

    def __init__(self, metrics: RemoteMetrics, loop: LoopThread) -> None:
        self._metrics = metrics
        self._loop = loop

    def list(self) -> builtins.list[Registration]:
        """Return the metrics that are registered, by name."""
        return self._loop.run(self._metrics.list)

    def get(self, query: MetricQuery | Mapping[str, Any] | None = None, **members: Any) -> MetricResult:
        """Return a metric as of now. See `RemoteMetrics.get`."""
        return self._loop.run(lambda: self._metrics.get(query, **members))

    def subscribe(
        self,
        query: MetricQuery | Mapping[str, Any] | None = None,
        *,
        every: int = DEFAULT_EVERY_MS,
        cursor: str | None = None,
        **members: Any,
    ) -> SyncRemoteMetric:
        """Return a metric that is kept up with. See `RemoteMetrics.subscribe`."""
        metric = self._loop.do(lambda: self._metrics.subscribe(query, every=every, cursor=cursor, **members))
        return SyncRemoteMetric(metric, self._loop)


class SyncRemoteMetric:
    """A metric of a log elsewhere, in a thread. For one thread at a time."""

    def __init__(self, metric: RemoteMetric, loop: LoopThread) -> None:
        self._metric = metric
        self._loop = loop

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def latest(self) -> MetricResult | None:
        """All windows as of the newest notification; None before the first."""
        return self._loop.do(lambda: self._metric.latest)

    @property
    def cursor(self) -> str | None:
        """Resumes after what was told last; None before anything was."""
        return self._metric.cursor

    def snapshot(self) -> MetricResult:
        """Return all windows, once there are any. See `RemoteMetric.snapshot`."""
        return self._loop.run(self._metric.snapshot)

    def changes(self, timeout_s: float | None = None) -> MetricUpdate | End | None:
        """Return what has changed, or None when nothing has in time. See `RemoteMetric.changes`."""
        return self._loop.run(lambda: self._metric.changes(timeout_s))

    def close(self) -> None:
        """End it, from any thread; a `changes` in progress returns `End` with reason `cancelled`."""
        try:
            self._loop.do(self._metric.close)
        except StoreClosed:
            # The client was closed before: with it, everything of the subscription.
            return
