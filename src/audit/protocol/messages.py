"""The messages' contents: parameters and result of each method, parameters of each notification, as structs.

The JSON Schemas in `proto/` are generated from these. `events` stands last wherever it occurs: its elements are joined
from stored bytes and never encoded again.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

import msgspec

from audit.metrics.pace import DEFAULT_EVERY_MS
from audit.metrics.query import AsOf, Metric, MetricQuery, MetricResult, MetricValue, Window
from audit.model.event import Actor, Event, NewEvent, Receipt
from audit.model.query import Filter
from audit.protocol.limits import DEFAULT_CREDIT, Limits

__all__ = [
    "CLIENT_NOTIFICATIONS",
    "METHODS",
    "SERVER_NOTIFICATIONS",
    "AppendParams",
    "AppendResult",
    "BatchNote",
    "CancelParams",
    "CaughtUpNote",
    "CheckpointParams",
    "CheckpointResult",
    "ConsistencyParams",
    "ConsistencyResult",
    "CreditNote",
    "EndNote",
    "EndReason",
    "EraseParams",
    "EraseResult",
    "FellBehindNote",
    "GetParams",
    "InclusionParams",
    "InclusionResult",
    "InfoParams",
    "InfoResult",
    "ListParams",
    "ListResult",
    "Method",
    "MetricEntry",
    "MetricsParams",
    "MetricsResult",
    "NoResult",
    "ProgressNote",
    "SelectionParams",
    "SelectionResult",
    "SnapshotNote",
    "StoreResult",
    "SubscribeParams",
    "SubscribeResult",
    "TopicResult",
    "TopicsParams",
    "TopicsResult",
    "UpdateNote",
    "WatchParams",
    "WireError",
    "WireErrorData",
]

Inclusive = Literal["left", "right", "both", "neither"]
Order = Literal["asc", "desc"]
EndReason = Literal["seek_end", "limit", "cancelled", "shutdown", "slow", "error"]


class _Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    pass


class _Result(msgspec.Struct, frozen=True, kw_only=True):
    """A later server may add members: a client ignores what it does not know."""


class InfoParams(_Message, frozen=True):
    """No parameters."""


class StoreResult(_Result, frozen=True):
    """A store's id, its size, and the ids of its first and last event; null where there is none.

    `origin` is its name in checkpoints, `key` the public key that they are signed with: null when it runs unsigned.
    """

    id: str
    size: int
    first_id: str | None
    last_id: str | None
    origin: str | None = None
    key: str | None = None


class InfoResult(_Result, frozen=True):
    """What a server says of itself."""

    name: str
    version: str
    protocol: str
    store: StoreResult
    limits: Limits
    auth: Literal["off", "required"]


class AppendParams(_Message, frozen=True):
    """1-1,000 events of at most 4 MiB, committed together or not at all; a key for the call, or one for each event."""

    events: list[NewEvent]
    idempotency_key: str | None = None


class AppendResult(_Result, frozen=True):
    """A receipt for each event, in order."""

    receipts: list[Receipt]


class EraseParams(_Message, frozen=True):
    """1-1,000 ids of events whose payloads are to be destroyed, why, and perhaps by whom; all of that is kept."""

    ids: list[str]
    reason: str
    actor: Actor | None = None


class EraseResult(_Result, frozen=True):
    """How many were erased by this call, and the receipt of the event that says so; null: none was left to erase."""

    erased: int
    receipt: Receipt | None


class GetParams(_Message, frozen=True):
    """The id of an event; the result is the event."""

    id: str


class ListParams(_Message, frozen=True):
    """A query for one page; `seek` is the lower bound and `seek_end` the upper, in both orders."""

    topic: list[str] = []
    topics: list[list[str]] | None = None
    seek: str | int | None = None
    seek_end: str | int | None = None
    inclusive: Inclusive = "left"
    order: Order = "asc"
    limit: int = 100
    cursor: str | None = None
    filter: Filter | None = None


class ListResult(_Result, frozen=True, kw_only=True, omit_defaults=True):
    """A page: possibly short, or even empty, while `has_more` is true. `checkpoint`: the newest of a log that signs."""

    cursor: str
    has_more: bool
    checkpoint: str | None = None
    events: list[Event]


class SubscribeParams(_Message, frozen=True):
    """A query for a tail; `seek` may be `"now"`; `credit` is the number of events that may be sent at first."""

    topic: list[str] = []
    topics: list[list[str]] | None = None
    seek: str | int | None = None
    seek_end: str | int | None = None
    inclusive: Inclusive = "left"
    limit: int | None = None
    cursor: str | None = None
    filter: Filter | None = None
    credit: int = DEFAULT_CREDIT


class SubscribeResult(_Result, frozen=True):
    """The subscription's name, on this connection alone."""

    subscription: str


class CancelParams(_Message, frozen=True):
    """The subscription to end; nothing of it follows the result."""

    subscription: str


class NoResult(_Result, frozen=True):
    """Nothing to tell."""


class TopicsParams(_Message, frozen=True):
    """The parent whose children are asked for; `[]` for the first level."""

    topic: list[str] = []
    limit: int = 100
    cursor: str | None = None


class TopicResult(_Result, frozen=True):
    """A topic, with the events of it and of what is nested below it, each counted once."""

    topic: list[str]
    events: int
    first_id: str
    last_id: str


class TopicsResult(_Result, frozen=True):
    """Children of a topic, by name."""

    topics: list[TopicResult]
    cursor: str
    has_more: bool


class MetricsParams(_Message, frozen=True):
    """No parameters."""


class MetricEntry(Metric, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=False):
    """A metric that is registered; a later server may say more of it.

    Attributes:
        size: Events of the log that its panes have folded in; an answer is exact however far that is.
    """

    size: int


class MetricsResult(_Result, frozen=True):
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


class CheckpointParams(_Message, frozen=True):
    """No parameters."""


class CheckpointResult(_Result, frozen=True):
    """A checkpoint's note; unsigned, its three lines alone."""

    checkpoint: str


class InclusionParams(_Message, frozen=True):
    """The id of the event that is to be proved."""

    id: str


class InclusionResult(_Result, frozen=True):
    """The event's index and leaf, the hashes from there to the root (in base64), and a checkpoint that covers it."""

    index: int
    leaf_hash: str
    hashes: list[str]
    checkpoint: str


class ConsistencyParams(_Message, frozen=True):
    """Two sizes that the log has had, the smaller one first."""

    from_: int = msgspec.field(name="from")
    to: int


class ConsistencyResult(_Result, frozen=True):
    """The hashes, in base64, and a checkpoint that covers the greater size, or more."""

    hashes: list[str]
    checkpoint: str


class SelectionParams(_Message, frozen=True):
    """Indexes of 1-1,000 events, ascending, and a size that the log has had, above them all."""

    indexes: list[int]
    size: int


class SelectionResult(_Result, frozen=True):
    """The hashes, in base64, of all subtrees that hold none of the events, from left to right."""

    hashes: list[str]


class CreditNote(_Message, frozen=True):
    """So many more events may be sent."""

    subscription: str
    events: int


class BatchNote(_Result, frozen=True, kw_only=True, omit_defaults=True):
    """Events of a subscription; `cursor` resumes right after them."""

    subscription: str
    cursor: str
    checkpoint: str | None = None
    events: list[Event]


class CaughtUpNote(_Result, frozen=True, omit_defaults=True):
    """Everything committed so far was sent; what follows is live."""

    subscription: str
    cursor: str
    checkpoint: str | None = None


class FellBehindNote(_Result, frozen=True, omit_defaults=True):
    """The subscription reads from disk again, since it was slower than the log; nothing is left out."""

    subscription: str
    cursor: str
    checkpoint: str | None = None


class ProgressNote(_Result, frozen=True, omit_defaults=True):
    """Time passed and nothing matched; the cursor moved."""

    subscription: str
    cursor: str
    checkpoint: str | None = None


class SnapshotNote(_Result, frozen=True):
    """A whole result: what was known of this subscription's metric before is void."""

    subscription: str
    cursor: str
    as_of: AsOf
    total: MetricValue
    windows: list[Window]


class UpdateNote(_Result, frozen=True):
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


class WireErrorData(_Result, frozen=True, omit_defaults=True):
    """What a program needs to know of an error.

    `parameter` is the path of the one that is wrong; `retry_after_ms` says when to try again what was done too often.
    """

    code: str
    retryable: bool
    parameter: str | None = None
    retry_after_ms: int | None = None


class WireError(_Result, frozen=True):
    """An error of JSON-RPC."""

    code: int
    message: str
    data: WireErrorData


class EndNote(_Result, frozen=True, kw_only=True, omit_defaults=True):
    """The subscription is over; `cursor` resumes it. `error` is there when the reason is `error`."""

    subscription: str
    cursor: str
    checkpoint: str | None = None
    reason: EndReason
    error: WireError | None = None


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
