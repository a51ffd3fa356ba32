"""Registered metrics as metrics of Prometheus: for each group, how many events it is made from, and its value.

Both are about all events of the log, since a scraper has windows of its own. Followed from one scrape to the next, so
that a scrape costs what was appended in between.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from typing import Final, NamedTuple

from msgspec import UNSET
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.core import Metric as Family

from audit.log.following import SyncLiveMetric
from audit.log.sync import SyncAudit
from audit.metrics.query import Group, Metric, MetricResult
from audit.model.errors import AuditError

__all__ = ["Exposed"]

_LABELS: Final = ("metric", "group", "quantile")
_log: Final = logging.getLogger("audit.server")


class _Followed(NamedTuple):
    metric: Metric
    live: SyncLiveMetric


class Exposed:
    """The registered metrics of one log, for one server. Any thread may collect; it blocks."""

    def __init__(self, log: SyncAudit) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._followed: dict[str, _Followed] = {}

    def collect(self) -> Iterator[Family]:
        """Yield the two families."""
        events = CounterMetricFamily(
            "audit_metric_events", "Events that a registered metric is made from.", labels=_LABELS[:2]
        )
        values = GaugeMetricFamily("audit_metric_value", "A registered metric's value.", labels=_LABELS)
        with self._lock:
            for metric in self._registered():
                try:
                    result = self._result(metric)
                except AuditError as error:
                    # The others are told all the same; and this one is missing, which a scraper can see.
                    _log.warning("the metric %s can't be told: %s", metric.name, error)
                    continue
                _add(metric, result, events, values)
        yield events
        yield values

    def _registered(self) -> list[Metric]:
        metrics = [metric for metric, _ in self._log.metrics.list()]
        for name in self._followed.keys() - {metric.name for metric in metrics}:
            del self._followed[name]
        return metrics

    def _result(self, metric: Metric) -> MetricResult:
        followed = self._followed.get(metric.name)
        if followed is None or followed.metric != metric:
            live = self._log.metrics.subscribe(metric=metric.name)
            followed = self._followed[metric.name] = _Followed(metric, live)
        return followed.live.snapshot()


def _add(metric: Metric, result: MetricResult, events: CounterMetricFamily, values: GaugeMetricFamily) -> None:
    for window in result.windows:
        group = _label(None if window.group is UNSET else window.group)
        events.add_metric((metric.name, group), window.count)
        if metric.measure == "rate":
            # Over all time it tells nothing; of the events, a scraper makes one over any time.
            continue
        several = window.value.items() if isinstance(window.value, dict) else [("", window.value)]
        for quantile, value in several:
            if value is not None:
                values.add_metric((metric.name, group, quantile), value)


def _label(group: Group) -> str:
    if group is None:
        return ""
    return group if isinstance(group, str) else json.dumps(group)
