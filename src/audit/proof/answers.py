"""What a log answers when asked for a proof."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Consistency", "Inclusion"]


@dataclass(frozen=True, slots=True)
class Inclusion:
    """That an event is in the tree of a checkpoint.

    Attributes:
        index: The event's.
        leaf_hash: The event's leaf.
        hashes: From the leaf's sibling up to the root, as in RFC 6962.
        checkpoint: The note of a checkpoint that covers the event; its body alone when the log runs unsigned.
    """

    index: int
    leaf_hash: bytes
    hashes: list[bytes]
    checkpoint: str


@dataclass(frozen=True, slots=True)
class Consistency:
    """That the tree of one size starts with all leaves of a smaller one.

    Attributes:
        hashes: As in RFC 6962.
        checkpoint: The note of one that covers the greater size, or more.
    """

    hashes: list[bytes]
    checkpoint: str
