"""One proof for many events: the hashes of all subtrees that hold none of them, from left to right.

A page, an export or a tail's batch is a selection of leaves. Together with their own leaf hashes, the proof leads to
the root. Of all events of a log it has no hash at all; of one it has those of its inclusion proof, in another order.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise

from audit.model.errors import InvalidParameter, ProofMalformed
from audit.proof.hashing import EMPTY_ROOT, HASH_BYTES, hash_node, root_of, split_point
from audit.proof.proving import read_hashes
from audit.proof.tiles import ReadTile

__all__ = ["prove_selection", "selection_root"]


def prove_selection(indexes: Sequence[int], size: int, read: ReadTile) -> list[bytes]:
    """Return the proof that these leaves, in ascending order, are in the tree of the first `size` leaves.

    Raises:
        InvalidParameter: they are not in ascending order, or the tree does not reach to them.
    """
    if not _ascending(indexes, size):
        raise InvalidParameter("indexes", f"must be in ascending order, and below the tree's size, {size}")
    return read_hashes(_gaps(indexes, size), size, read)


def selection_root(indexes: Sequence[int], leaves: Sequence[bytes], size: int, hashes: Sequence[bytes]) -> bytes:
    """Return the root that the proof of a selection leads to.

    Args:
        indexes: The leaves' places, in ascending order.
        leaves: Their hashes, as many.
        size: Leaves of the tree.
        hashes: The proof.

    Raises:
        ProofMalformed: the indexes are no such selection, or the proof has not as many hashes as it should.
    """
    if not _ascending(indexes, size) or len(leaves) != len(indexes):
        raise ProofMalformed("events", f"must be in ascending order, and below the tree's size, {size}")
    # Every gap takes one hash, and is found by its place: nothing that was sent decides how the tree is cut.
    expected = sum(1 for _ in _gaps(indexes, size))
    if len(hashes) != expected or any(len(one) != HASH_BYTES for one in hashes):
        raise ProofMalformed("hashes", f"must be {expected} of {HASH_BYTES} bytes, are {len(hashes)}")
    given = iter(hashes)

    def root(start: int, end: int, low: int, high: int) -> bytes:
        if low == high:
            return next(given)
        if high - low == end - start:
            return root_of(list(leaves[low:high]))
        middle = start + split_point(end - start)
        between = bisect_left(indexes, middle, low, high)
        return hash_node(root(start, middle, low, between), root(middle, end, between, high))

    return root(0, size, 0, len(indexes)) if size else EMPTY_ROOT


def _ascending(indexes: Sequence[int], size: int) -> bool:
    if not indexes:
        return True
    return indexes[0] >= 0 and indexes[-1] < size and all(one < other for one, other in pairwise(indexes))


def _gaps(indexes: Sequence[int], size: int) -> Iterator[tuple[int, int]]:
    """Yield start and end of each subtree without a selected leaf, as large as can be, from left to right."""

    def walk(start: int, end: int, low: int, high: int) -> Iterator[tuple[int, int]]:
        if low == high:
            yield start, end
        elif high - low < end - start:
            middle = start + split_point(end - start)
            between = bisect_left(indexes, middle, low, high)
            yield from walk(start, middle, low, between)
            yield from walk(middle, end, between, high)

    return walk(0, size, 0, len(indexes)) if size else iter(())
