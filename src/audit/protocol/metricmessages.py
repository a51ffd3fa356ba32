"""The contents of messages about metrics. What asks for one is `audit.metrics.query.MetricQuery` itself."""

from __future__ import annotations

from datetime import datetime

from audit.metrics.pace import DEFAULT_EVERY_MS
from audit.metrics.query import AsOf, Metric, MetricQuery, MetricValue, Window
from audit.protocol.message import Message, Result

__all__ = ["MetricEntry", "MetricsParams", "MetricsResult", "SnapshotNote", "UpdateNote", "WatchParams"]


class MetricsParams(Message, frozen=True):
    """No parameters."""


class MetricEntry(Metric, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=False):
    """A metric that is registered; a later server may say more of it.

    Attributes:
        size: Events of the log that its panes have folded in; an answer is exact however far that is.
    """

    size: int


class MetricsResult(Result, frozen=True):
    """The metrics that are registered, by name."""

    metrics: list[MetricEntry]


class WatchParams(MetricQuery, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A metric to be kept up with: the parameters of `metrics.get`, and how.

    Attributes:
        cursor: Of the last notification of the same query, on whatever connection.
        every: Milliseconds between two updates at least; 0: one for each commit.
    """

    cursor: str | None = None
    every: int = DEFAULT_EVERY_MS


class SnapshotNote(Result, frozen=True):
    """A whole result: what was known of this subscription's metric before is void."""

    subscription: str
    cursor: str
    as_of: AsOf
    total: MetricValue
    windows: list[Window]


class UpdateNote(Result, frozen=True):
    """What has changed: a window replaces the one with its start and group.

    Attributes:
        all: Whether these are all windows there are, in place of those before.
        since: Windows that start before it are gone; null: none is.
    """

    subscription: str
    cursor: str
    as_of: AsOf
    total: MetricValue
    windows: list[Window]
    all: bool = False
    since: datetime | None = None
