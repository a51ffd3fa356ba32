"""Checking proofs against roots, after RFC 9162 (2.1.3.2 and 2.1.4.2); whoever checks trusts only the roots."""

from __future__ import annotations

from collections.abc import Sequence

from audit.model.errors import HashMismatch, HistoryForked, ProofMalformed
from audit.proof.hashing import EMPTY_ROOT, HASH_BYTES, hash_node

__all__ = ["inclusion_root", "verify_consistency", "verify_inclusion"]


def verify_inclusion(leaf: bytes, index: int, size: int, hashes: Sequence[bytes], root: bytes) -> None:
    """Check that the tree of `size` leaves with this root holds this leaf hash at this index.

    Raises:
        ProofMalformed: not as many hashes as such a proof has.
        HashMismatch: the tree holds something else there.
    """
    if inclusion_root(leaf, index, size, hashes) != root:
        raise HashMismatch(f"event {index}", f"is not the one that the checkpoint of size {size} covers")


def inclusion_root(leaf: bytes, index: int, size: int, hashes: Sequence[bytes]) -> bytes:
    """Return the root that an inclusion proof leads to.

    Raises:
        ProofMalformed: not as many hashes as such a proof has, or the tree does not reach to the leaf.
    """
    if not 0 <= index < size:
        raise ProofMalformed("index", f"must be below the tree's size, {size}, is {index}")
    sides = _lefts(index, size - 1)
    _count(hashes, len(sides))
    found = leaf
    for beside, left in zip(hashes, sides, strict=True):
        found = hash_node(beside, found) if left else hash_node(found, beside)
    return found


def verify_consistency(old_size: int, old_root: bytes, size: int, root: bytes, hashes: Sequence[bytes]) -> None:
    """Check that the tree of `size` leaves starts with all leaves of the one of `old_size`.

    Raises:
        ProofMalformed: not as many hashes as such a proof has, or `old_size` is greater than `size`.
        HistoryForked: the two trees tell different histories.
    """
    if not 0 <= old_size <= size:
        raise ProofMalformed("size", f"must be at least {old_size}, is {size}")
    forked = HistoryForked(f"checkpoint of size {size}", f"does not go on from the trusted one of size {old_size}")
    if old_size in {0, size}:
        _count(hashes, 0)
        if old_root != (EMPTY_ROOT if old_size == 0 else root):
            raise forked
        return
    # The highest node whose subtree the old tree ends with. If it is all of the old tree, its hash is the old root,
    # which the verifier has.
    height = (old_size & -old_size).bit_length() - 1
    whole = old_size == 1 << height
    sides = _lefts((old_size - 1) >> height, (size - 1) >> height)
    _count(hashes, len(sides) + (not whole))
    start, path = (old_root, hashes) if whole else (hashes[0], hashes[1:])
    old_found = found = start
    for beside, left in zip(path, sides, strict=True):
        # What stands on the left is in both trees, what stands on the right in the new one alone.
        if left:
            old_found = hash_node(beside, old_found)
            found = hash_node(beside, found)
        else:
            found = hash_node(found, beside)
    if old_found != old_root or found != root:
        raise forked


def _lefts(node: int, last: int) -> list[bool]:
    """Return, from a node of a row that ends with `last` up to the root, whether each hash beside it is on the left."""
    sides = []
    while last:
        if node & 1 or node == last:
            sides.append(True)
            # The last node of a row, when it is a left one, moves up as it is.
            while not node & 1 and node:
                node >>= 1
                last >>= 1
        else:
            sides.append(False)
        node >>= 1
        last >>= 1
    return sides


def _count(hashes: Sequence[bytes], expected: int) -> None:
    if len(hashes) != expected:
        raise ProofMalformed("hashes", f"must be {expected}, are {len(hashes)}")
    if any(len(one) != HASH_BYTES for one in hashes):
        raise ProofMalformed("hashes", f"must have {HASH_BYTES} bytes each")
