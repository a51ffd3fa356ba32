"""The contents of messages about proofs."""

from __future__ import annotations

import msgspec

from audit.protocol.message import Message, Result

__all__ = [
    "CheckpointParams",
    "CheckpointResult",
    "ConsistencyParams",
    "ConsistencyResult",
    "InclusionParams",
    "InclusionResult",
    "SelectionParams",
    "SelectionResult",
]


class CheckpointParams(Message, frozen=True):
    """No parameters."""


class CheckpointResult(Result, frozen=True):
    """A checkpoint's note; unsigned, its three lines alone."""

    checkpoint: str


class InclusionParams(Message, frozen=True):
    """The id of the event that is to be proved."""

    id: str


class InclusionResult(Result, frozen=True):
    """The event's index and leaf, the hashes from there to the root (in base64), and a checkpoint that covers it."""

    index: int
    leaf_hash: str
    hashes: list[str]
    checkpoint: str


class ConsistencyParams(Message, frozen=True):
    """Two sizes that the log has had, the smaller one first."""

    from_: int = msgspec.field(name="from")
    to: int


class ConsistencyResult(Result, frozen=True):
    """The hashes, in base64, and a checkpoint that covers the greater size, or more."""

    hashes: list[str]
    checkpoint: str


class SelectionParams(Message, frozen=True):
    """Indexes of 1-1,000 events, ascending, and a size that the log has had, above them all."""

    indexes: list[int]
    size: int


class SelectionResult(Result, frozen=True):
    """The hashes, in base64, of all subtrees that hold none of the events, from left to right."""

    hashes: list[str]
