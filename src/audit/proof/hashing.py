"""The two hashes of RFC 6962, and trees of hashes; nothing here knows what an event is.

A leaf's hash starts with a zero byte, a node's with a one byte, so that no node can be passed off as a leaf.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from audit.proof.sha256 import hash_each, hash_pairs

__all__ = [
    "EMPTY_ROOT",
    "HASH_BYTES",
    "fold",
    "hash_leaves",
    "hash_node",
    "hash_row",
    "join_peaks",
    "root_of",
    "split_point",
]

HASH_BYTES: Final = 32
_LEAF: Final = b"\0"
_NODE: Final = b"\1"
EMPTY_ROOT: Final = hashlib.sha256().digest()
"""Root of the tree without leaves."""


def hash_leaves(entries: list[bytes]) -> list[bytes]:
    """Return the leaf hash of each log entry."""
    return hash_each(_LEAF, entries)


def hash_node(left: bytes, right: bytes) -> bytes:
    """Return the hash of a node above two hashes."""
    return hash_pairs(_NODE, left + right)


def hash_row(hashes: bytes) -> bytes:
    """Return the hashes of the nodes above a row of hashes, both back to back; one without a partner is left out."""
    return hash_pairs(_NODE, hashes)


def fold(hashes: bytes) -> bytes:
    """Return the root above 1, 2, 4, 8 … hashes, given back to back: a subtree without a gap."""
    while len(hashes) > HASH_BYTES:
        hashes = hash_row(hashes)
    return hashes


def join_peaks(peaks: Iterable[bytes]) -> bytes:
    """Return the root above the peaks of a tree, given from right (the smallest) to left; at least one."""
    found = iter(peaks)
    root = next(found)
    for peak in found:
        root = hash_node(peak, root)
    return root


def split_point(count: int) -> int:
    """Return how many of `count` leaves (2 or more) are below a tree's left child: the largest power of two below."""
    return 1 << (count - 1).bit_length() - 1


def root_of(leaves: list[bytes]) -> bytes:
    """Return the root above these leaf hashes: the definition of RFC 6962, for what is small enough to hold."""
    if not leaves:
        return EMPTY_ROOT
    row = leaves
    while len(row) > 1:
        pairs = [hash_node(row[at], row[at + 1]) for at in range(0, len(row) - 1, 2)]
        row = pairs + row[-1:] if len(row) % 2 else pairs
    return row[0]
