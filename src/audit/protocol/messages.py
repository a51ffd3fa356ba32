"""The contents of messages about events, topics and subscriptions, of what a server says of itself, and of errors.

`events` stands last wherever it occurs: its elements are joined from stored bytes and never encoded again.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from audit.model.event import Actor, Event, NewEvent, Receipt
from audit.model.query import Filter
from audit.protocol.limits import DEFAULT_CREDIT, Limits
from audit.protocol.message import Message, Result

__all__ = [
    "AppendParams",
    "AppendResult",
    "BatchNote",
    "CancelParams",
    "CaughtUpNote",
    "CreditNote",
    "EndNote",
    "EndReason",
    "EraseParams",
    "EraseResult",
    "FellBehindNote",
    "GetParams",
    "InfoParams",
    "InfoResult",
    "ListParams",
    "ListResult",
    "NoResult",
    "ProgressNote",
    "StoreResult",
    "SubscribeParams",
    "SubscribeResult",
    "TopicResult",
    "TopicsParams",
    "TopicsResult",
    "WireError",
    "WireErrorData",
]

Inclusive = Literal["left", "right", "both", "neither"]
Order = Literal["asc", "desc"]
EndReason = Literal["seek_end", "limit", "cancelled", "shutdown", "slow", "error"]


class InfoParams(Message, frozen=True):
    """No parameters."""


class StoreResult(Result, frozen=True):
    """A store's id, its size, and the ids of its first and last event; null where there is none.

    `origin` is its name in checkpoints, `key` the public key that they are signed with: null when it runs unsigned.
    """

    id: str
    size: int
    first_id: str | None
    last_id: str | None
    origin: str | None = None
    key: str | None = None


class InfoResult(Result, frozen=True):
    """What a server says of itself."""

    name: str
    version: str
    protocol: str
    store: StoreResult
    limits: Limits
    auth: Literal["off", "required"]


class AppendParams(Message, frozen=True):
    """1-1,000 events of at most 4 MiB, committed together or not at all; a key for the call, or one for each event."""

    events: list[NewEvent]
    idempotency_key: str | None = None


class AppendResult(Result, frozen=True):
    """A receipt for each event, in order."""

    receipts: list[Receipt]


class EraseParams(Message, frozen=True):
    """1-1,000 ids of events whose payloads are to be destroyed, why, and perhaps by whom; all of that is kept."""

    ids: list[str]
    reason: str
    actor: Actor | None = None


class EraseResult(Result, frozen=True):
    """How many were erased by this call, and the receipt of the event that says so; null: none was left to erase."""

    erased: int
    receipt: Receipt | None


class GetParams(Message, frozen=True):
    """The id of an event; the result is the event."""

    id: str


class ListParams(Message, frozen=True):
    """A query for one page; `seek` is the lower bound and `seek_end` the upper, in both orders."""

    topic: list[str] = msgspec.field(default_factory=list)
    topics: list[list[str]] | None = None
    seek: str | int | None = None
    seek_end: str | int | None = None
    inclusive: Inclusive = "left"
    order: Order = "asc"
    limit: int = 100
    cursor: str | None = None
    filter: Filter | None = None


class ListResult(Result, frozen=True, kw_only=True, omit_defaults=True):
    """A page: possibly short, or even empty, while `has_more` is true. `checkpoint`: the newest of a log that signs."""

    cursor: str
    has_more: bool
    checkpoint: str | None = None
    events: list[Event]


class SubscribeParams(Message, frozen=True):
    """A query for a tail; `seek` may be `"now"`; `credit` is the number of events that may be sent at first."""

    topic: list[str] = msgspec.field(default_factory=list)
    topics: list[list[str]] | None = None
    seek: str | int | None = None
    seek_end: str | int | None = None
    inclusive: Inclusive = "left"
    limit: int | None = None
    cursor: str | None = None
    filter: Filter | None = None
    credit: int = DEFAULT_CREDIT


class SubscribeResult(Result, frozen=True):
    """The subscription's name, on this connection alone."""

    subscription: str


class CancelParams(Message, frozen=True):
    """The subscription to end; nothing of it follows the result."""

    subscription: str


class NoResult(Result, frozen=True):
    """Nothing to tell."""


class TopicsParams(Message, frozen=True):
    """The parent whose children are asked for; `[]` for the first level."""

    topic: list[str] = msgspec.field(default_factory=list)
    limit: int = 100
    cursor: str | None = None


class TopicResult(Result, frozen=True):
    """A topic, with the events of it and of what is nested below it, each counted once."""

    topic: list[str]
    events: int
    first_id: str
    last_id: str


class TopicsResult(Result, frozen=True):
    """Children of a topic, by name."""

    topics: list[TopicResult]
    cursor: str
    has_more: bool


class CreditNote(Message, frozen=True):
    """So many more events may be sent."""

    subscription: str
    events: int


class BatchNote(Result, frozen=True, kw_only=True, omit_defaults=True):
    """Events of a subscription; `cursor` resumes right after them."""

    subscription: str
    cursor: str
    checkpoint: str | None = None
    events: list[Event]


class CaughtUpNote(Result, frozen=True, omit_defaults=True):
    """Everything committed so far was sent; what follows is live."""

    subscription: str
    cursor: str
    checkpoint: str | None = None


class FellBehindNote(Result, frozen=True, omit_defaults=True):
    """The subscription reads from disk again, since it was slower than the log; nothing is left out."""

    subscription: str
    cursor: str
    checkpoint: str | None = None


class ProgressNote(Result, frozen=True, omit_defaults=True):
    """Time passed and nothing matched; the cursor moved."""

    subscription: str
    cursor: str
    checkpoint: str | None = None


class WireErrorData(Result, frozen=True, omit_defaults=True):
    """What a program needs to know of an error.

    `parameter` is the path of the one that is wrong; `retry_after_ms` says when to try again what was done too often.
    """

    code: str
    retryable: bool
    parameter: str | None = None
    retry_after_ms: int | None = None


class WireError(Result, frozen=True):
    """An error of JSON-RPC."""

    code: int
    message: str
    data: WireErrorData


class EndNote(Result, frozen=True, kw_only=True, omit_defaults=True):
    """The subscription is over; `cursor` resumes it. `error` is there when the reason is `error`."""

    subscription: str
    cursor: str
    checkpoint: str | None = None
    reason: EndReason
    error: WireError | None = None
