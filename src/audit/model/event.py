"""Events as callers give them (`NewEvent`) and as the log keeps them (`Event`), and the bounds on both."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Literal, get_args

import msgspec

from audit.model.ids import EventId, recorded_at
from audit.model.topic import Topic

__all__ = [
    "MAX_CALL_BYTES",
    "MAX_CALL_EVENTS",
    "MAX_CONTEXT_BYTES",
    "MAX_CONTEXT_FIELDS",
    "MAX_DATA_DEPTH",
    "MAX_ERASED",
    "MAX_EVENT_BYTES",
    "MAX_KEY_BYTES",
    "MAX_NAME_BYTES",
    "MAX_REASON_BYTES",
    "MAX_TARGETS",
    "MAX_TOPICS",
    "OUTCOMES",
    "Actor",
    "Erased",
    "Event",
    "NewEvent",
    "Outcome",
    "Receipt",
    "Target",
]

Outcome = Literal["success", "failure", "denied", "unknown"]

OUTCOMES: Final = frozenset(get_args(Outcome))
MAX_EVENT_BYTES: Final = 64 * 1024
"""Bytes of one encoded event."""
MAX_CALL_EVENTS: Final = 1_000
MAX_CALL_BYTES: Final = 4 * 1024 * 1024
"""Encoded bytes of all the events of one call."""
MAX_TOPICS: Final = 16
MAX_TARGETS: Final = 32
MAX_NAME_BYTES: Final = 256
"""Bytes of an id, type or name of an actor or target, and of an action."""
MAX_CONTEXT_FIELDS: Final = 32
MAX_CONTEXT_BYTES: Final = 1024
"""Bytes of the name and of the value of a context field."""
MAX_KEY_BYTES: Final = 256
"""Bytes of an idempotency key."""
MAX_DATA_DEPTH: Final = 64
"""Levels of nesting in `data`."""
MAX_ERASED: Final = 1_000
"""Events that one call erases at most."""
MAX_REASON_BYTES: Final = 1024
"""Bytes of the reason given for an erasure."""


class Actor(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True, forbid_unknown_fields=True):
    """Who did it. Found by `id`."""

    type: str
    id: str
    name: str | None = None


class Target(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True, forbid_unknown_fields=True):
    """What it was done to. Found by `id`."""

    type: str
    id: str
    name: str | None = None


class NewEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True, forbid_unknown_fields=True):
    """What happened, as a caller gives it: not yet recorded.

    Attributes:
        topics: 1-16 paths of 1-16 segments, each such as ``("node", "connection", "forward")``.
        action: What was done, such as ``connection.opened``.
        occurred_at: When it happened (with a time zone); the time of recording is the id's.
        actor: Who did it.
        targets: At most 32 things it was done to.
        outcome: ``success``, ``failure``, ``denied`` or ``unknown``.
        context: At most 32 strings; ``request_id``, ``trace_id``, ``ip`` and ``user_agent`` are the known ones.
        data: Anything that is JSON: finite numbers, integers of 64 bits, valid UTF-8.
        idempotency_key: A second event with this key is not appended; its call gets the first one's receipt.
    """

    topics: list[Topic]
    action: str | None = None
    occurred_at: datetime | None = None
    actor: Actor | None = None
    targets: list[Target] = []
    outcome: Outcome | None = None
    context: dict[str, str] = {}
    data: Any = None
    idempotency_key: str | None = None


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """What happened, committed and immutable. Once erased, only `payload_hash` is left beside id, index and topics.

    Attributes:
        id: A ULID; strictly increasing in commit order.
        index: Dense position in the log: 0, 1, 2 …
        salt: 16 random bytes in base64url: keeps the payload's hash from being guessed once the payload is erased.
            Empty once it is.
        payload_hash: SHA-256 of the payload that was erased, in base64url; None: nothing was.
    """

    id: EventId
    index: int
    topics: list[Topic]
    salt: str = ""
    action: str | None = None
    occurred_at: datetime | None = None
    actor: Actor | None = None
    targets: list[Target] = []
    outcome: Outcome | None = None
    context: dict[str, str] = {}
    data: Any = None
    payload_hash: str | None = None

    @property
    def erased(self) -> bool:
        """Whether the event was erased: who did it and why is recorded under `audit/erased`."""
        return self.payload_hash is not None

    @property
    def recorded_at(self) -> datetime:
        """When the event was recorded, in UTC, to the millisecond."""
        return recorded_at(self.id)


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """What an append returns: the event is durable, and this is its place."""

    id: EventId
    index: int


class Erased(msgspec.Struct, frozen=True, gc=False):
    """What an erasure returns: the payloads are in no file of the store any more.

    Attributes:
        erased: Events erased by this call; those that had been erased before are not among them.
        receipt: Of the event that records it; None: there was nothing left to erase.
    """

    erased: int
    receipt: Receipt | None
