"""The server's and the log's own numbers as metrics of Prometheus, read when somebody scrapes."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from audit.log.core import LogCore
from audit.log.meters import Histogram
from audit.model.errors import AuditError
from audit.server.access.port import AccessTally
from audit.server.calls import version
from audit.server.context import ServerContext, Traffic
from audit.server.exposed import Exposed

__all__ = ["registry_of"]


def registry_of(context: ServerContext) -> CollectorRegistry:
    """Return what a server has to tell: a registry of its own, so that one process may serve several logs."""
    registry = CollectorRegistry()
    registry.register(_Collector(context))
    ProcessCollector(registry=registry)
    return registry


class _Collector(Collector):
    def __init__(self, context: ServerContext) -> None:
        self._context = context
        self._exposed = Exposed(context.log.sync)

    def collect(self) -> Iterator[Metric]:
        """Yield every number as it is now."""
        yield _gauge("audit_build_info", "The version that runs, as a label.", 1, version=version())
        yield from _of_log(self._context.core)
        yield from _of_traffic(self._context.traffic)
        yield from _of_access(self._context.access.tally())
        yield from self._exposed.collect()

    def describe(self) -> list[Metric]:
        """Return nothing: what is here depends on nothing but this class."""
        return []


def _of_log(core: LogCore) -> Iterator[Metric]:
    meters = core.sequencer.meters
    yield _counter("audit_appended_events", "Events committed since the log was opened.", meters.events)
    yield _counter("audit_failed_commits", "Commits whose write failed; each fences the store.", meters.failed)
    yield _histogram("audit_commit_events", "Events of a commit.", meters.commit_events)
    yield _histogram("audit_commit_size_bytes", "Stored bytes of a commit's events.", meters.commit_bytes)
    yield _histogram("audit_commit_duration_seconds", "From deciding a commit to its publication.", meters.commit_s)
    yield _histogram("audit_commit_write_duration_seconds", "The synchronous write of a commit.", meters.write_s)
    yield _gauge("audit_append_queue_events", "Events that wait for the writer.", len(core.sequencer))
    yield _gauge("audit_store_events", "Events in the store.", core.sequencer.snapshot.size)
    yield _gauge("audit_store_fenced", "1 while the store is closed after a failed write.", int(core.handle.fenced))
    yield _gauge("audit_store_ready", "1 while appends are taken.", int(_is_ready(core)))
    yield _gauge("audit_reads_busy", "Reads from disk under way, or waiting for a thread.", core.threads.busy)
    lag = core.open_tails.lag()
    yield _gauge("audit_tails", "Tails that are open, of this server and in its process.", lag.tails)
    yield _gauge("audit_tail_lag_events", "Events not looked at yet, summed over all tails.", lag.total)
    yield _gauge("audit_tail_lag_max_events", "Events that the slowest tail has not looked at yet.", lag.most)


def _is_ready(core: LogCore) -> bool:
    try:
        core.sequencer.check_ready()
    except AuditError:
        return False
    return True


def _of_traffic(traffic: Traffic) -> Iterator[Metric]:
    yield _gauge("audit_connections", "WebSocket connections that are open.", traffic.connections)
    yield _gauge("audit_streams", "Server-Sent Event streams that are open.", traffic.streams)
    yield _gauge("audit_subscriptions", "Subscriptions that are open.", traffic.subscriptions)
    yield _counter("audit_delivered_events", "Events sent to subscriptions and streams.", traffic.deliveries)
    yield _counter(
        "audit_aborted_connections", "Connections aborted because their peer took nothing any more.", traffic.aborted
    )
    calls = CounterMetricFamily(
        "audit_calls", "Calls answered; the code is ok, or that of the error.", labels=("method", "code")
    )
    for (method, code), count in sorted(traffic.requests.items()):
        calls.add_metric((method, code), count)
    yield calls


def _of_access(tally: AccessTally) -> Iterator[Metric]:
    yield _counter("audit_refused_logins", "Requests that showed something that is not good.", tally.refused_logins)
    yield _counter("audit_policy_errors", "Times that a policy failed; each denies.", tally.policy_errors)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=value)


def _gauge(name: str, text: str, value: float, **labels: str) -> Metric:
    family = GaugeMetricFamily(name, text, labels=tuple(labels))
    family.add_metric(tuple(labels.values()), value)
    return family


def _histogram(name: str, text: str, histogram: Histogram) -> Metric:
    bounds = [*map(str, map(float, histogram.bounds)), "+Inf"]
    family = HistogramMetricFamily(name, text)
    family.add_metric((), list(zip(bounds, histogram.cumulative(), strict=True)), histogram.total)
    return family
