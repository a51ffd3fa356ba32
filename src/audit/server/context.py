"""What every part of one server shares."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from audit.log.core import LogCore
from audit.log.verbs import AsyncVerbs
from audit.metrics.query import MetricResult
from audit.server.access import Access, OpenAccess
from audit.server.feeds import Feeds
from audit.server.gauges import Gauge, gauge_result
from audit.server.intake import Intake
from audit.server.metricfeeds import MetricFeeds
from audit.server.options import ServeOptions
from audit.server.shared import SharedBatches

__all__ = ["ServerContext", "Traffic"]


@dataclass
class Traffic:
    """What passed through a server so far; read by `/metrics`."""

    connections: int = 0
    """WebSocket connections that are open."""
    streams: int = 0
    """Server-Sent Event streams that are open."""
    subscriptions: int = 0
    """Subscriptions that are open."""
    deliveries: int = 0
    """Events sent to subscriptions and streams."""
    aborted: int = 0
    """Connections aborted because the peer took nothing any more."""
    requests: dict[tuple[str, str], int] = field(default_factory=dict)
    """Answered calls, by method and code: `ok`, or that of the error."""

    def answered(self, method: str, code: str) -> None:
        """Count an answered call."""
        place = (method, code)
        self.requests[place] = self.requests.get(place, 0) + 1


@dataclass(frozen=True)
class ServerContext:
    """One server: the log it serves, its settings, and whether it is stopping."""

    core: LogCore
    log: AsyncVerbs
    options: ServeOptions
    access: Access = field(default_factory=OpenAccess)
    traffic: Traffic = field(default_factory=Traffic)
    shared: SharedBatches = field(default_factory=SharedBatches)
    feeds: Feeds = field(init=False)
    metric_feeds: MetricFeeds = field(init=False)
    intake: Intake = field(init=False)
    started_ms: int = field(init=False)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        """Make the feeds, which depend on settings, and let the log empty the frames when events are erased."""
        object.__setattr__(self, "feeds", Feeds(self.options.progress_s))
        object.__setattr__(self, "intake", Intake(self.core))
        object.__setattr__(self, "started_ms", self.core.clock.wall_ms())
        feeds = MetricFeeds(self.core, self.gauge, self.options.limits.sent_frame_bytes)
        object.__setattr__(self, "metric_feeds", feeds)
        self.core.copies.add(self.shared)

    def gauge(self, gauge: Gauge) -> MetricResult:
        """Return a built-in metric about this server as it is now."""
        return gauge_result(gauge, self.core, self.traffic.connections, self.started_ms)
