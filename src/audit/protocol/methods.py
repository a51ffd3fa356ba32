"""Every request and notification there is, with the structs of its contents; the schemas in `proto/` are made of it."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from audit.metrics.query import MetricQuery, MetricResult
from audit.model.event import Event
from audit.protocol.messages import (
    AppendParams,
    AppendResult,
    BatchNote,
    CancelParams,
    CaughtUpNote,
    CreditNote,
    EndNote,
    EraseParams,
    EraseResult,
    FellBehindNote,
    GetParams,
    InfoParams,
    InfoResult,
    ListParams,
    ListResult,
    NoResult,
    ProgressNote,
    SubscribeParams,
    SubscribeResult,
    TopicsParams,
    TopicsResult,
)
from audit.protocol.metricmessages import MetricsParams, MetricsResult, SnapshotNote, UpdateNote, WatchParams
from audit.protocol.proofmessages import (
    CheckpointParams,
    CheckpointResult,
    ConsistencyParams,
    ConsistencyResult,
    InclusionParams,
    InclusionResult,
    SelectionParams,
    SelectionResult,
)

__all__ = ["CLIENT_NOTIFICATIONS", "METHODS", "SERVER_NOTIFICATIONS", "Method"]


class Method(NamedTuple):
    """A method's parameters and its result."""

    params: type[Any]
    result: type[Any]


METHODS: Final[dict[str, Method]] = {
    "server.info": Method(InfoParams, InfoResult),
    "events.append": Method(AppendParams, AppendResult),
    "events.erase": Method(EraseParams, EraseResult),
    "events.get": Method(GetParams, Event),
    "events.list": Method(ListParams, ListResult),
    "events.subscribe": Method(SubscribeParams, SubscribeResult),
    "subscription.cancel": Method(CancelParams, NoResult),
    "topics.list": Method(TopicsParams, TopicsResult),
    "metrics.list": Method(MetricsParams, MetricsResult),
    "metrics.get": Method(MetricQuery, MetricResult),
    "metrics.subscribe": Method(WatchParams, SubscribeResult),
    "log.checkpoint": Method(CheckpointParams, CheckpointResult),
    "log.inclusion": Method(InclusionParams, InclusionResult),
    "log.consistency": Method(ConsistencyParams, ConsistencyResult),
    "log.selection": Method(SelectionParams, SelectionResult),
}
"""Every request that a client may send."""

CLIENT_NOTIFICATIONS: Final[dict[str, type[Any]]] = {"subscription.credit": CreditNote}

SERVER_NOTIFICATIONS: Final[dict[str, type[Any]]] = {
    "events.batch": BatchNote,
    "events.caught_up": CaughtUpNote,
    "events.fell_behind": FellBehindNote,
    "events.progress": ProgressNote,
    "events.end": EndNote,
    "metrics.snapshot": SnapshotNote,
    "metrics.update": UpdateNote,
    "metrics.end": EndNote,
}
