"""The Merkle tree beside the log: what a commit adds to it, and how it is found again when a store is opened.

A snapshot has the tree of just its events. Hashes never change once they are there, so a proof for an older size can be
made from a newer tree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from audit.codec.events import event_index
from audit.codec.keys import TREE, describe
from audit.codec.terms import Match
from audit.model.errors import ProofMalformed, StoreCorrupt
from audit.model.span import EVERYTHING
from audit.proof.frontier import Frontier, restore_frontier
from audit.proof.hashing import EMPTY_ROOT, HASH_BYTES, fold, join_peaks
from audit.proof.leaves import leaf_hashes
from audit.proof.tiles import TILE_WIDTH, ReadTile, Tile, TileName
from audit.storage.port import Head, Search, Storage, TreeHead

__all__ = ["Growth", "grow_tree", "load_tree", "stored_tiles", "tree_root"]

_EVERYTHING: Final = Match((), ())
_UNBOUNDED: Final = 1 << 40

# A peak of many tiles stays the same while those after it come: only what is new in it is hashed.
_known_fold: Final = lru_cache(1024)(fold)


class Growth(NamedTuple):
    """What some events add to the tree.

    Attributes:
        tree: The tree with them.
        tiles: Tiles that they filled.
        head: Size and root of all that is in full tiles of leaves, when there are new ones.
    """

    tree: Frontier
    tiles: Sequence[Tile]
    head: TreeHead | None


def grow_tree(tree: Frontier, leaves: Sequence[bytes]) -> Growth:
    """Add leaf hashes to a tree."""
    grown, tiles = tree.grow(leaves)
    return Growth(grown, tiles, _full_head(grown) if tiles else None)


def _full_head(tree: Frontier) -> TreeHead:
    """Return size and root of all that is in full tiles of leaves."""
    return TreeHead(tree.size - tree.size % TILE_WIDTH, join_peaks(_peaks(tree.partials[1:])))


def tree_root(tree: Frontier) -> bytes:
    """Return the root of a tree, as `Frontier.root` does, hashing only what is new since the last time."""
    return join_peaks(_peaks(tree.partials)) if tree.size else EMPTY_ROOT


def _peaks(rows: Sequence[bytes]) -> Iterator[bytes]:
    for hashes in rows:
        end = len(hashes)
        width = end // HASH_BYTES
        while width:
            peak = (width & -width) * HASH_BYTES
            yield _known_fold(hashes[end - peak : end])
            end -= peak
            width &= width - 1


def stored_tiles(storage: Storage) -> ReadTile:
    """Return what reads full tiles from a storage."""

    def read(name: TileName) -> bytes:
        return storage.tile(name.level, name.number)

    return read


def load_tree(head: Head, storage: Storage) -> Frontier:
    """Return the tree of all events of an opened store.

    What is in no full tile follows from the newest events, at most 255, and at most 255 tiles of each level.

    Raises:
        StoreCorrupt: a tile or an event is damaged or missing, or the stored root is another.
    """
    size = head.first_index + sum(len(commit.events) for _, commit in head.commits)
    start = size - size % TILE_WIDTH
    stored = head.tree or TreeHead(0, b"")
    if stored.size != start:
        raise StoreCorrupt(describe(TREE), f"covers {stored.size} events, expected {start} of the store's {size}")
    events = _sealed_from(start, head, storage)
    events += [event for _, commit in head.commits for event in commit.events[max(0, start - commit.first_index) :]]
    if [event_index(event) for event in events] != list(range(start, size)):
        raise StoreCorrupt(f"the events from index {start} on", f"are not the {size - start} that are no full tile yet")
    try:
        tree = restore_frontier(size, leaf_hashes(events), stored_tiles(storage))
    except ProofMalformed as error:
        raise StoreCorrupt(f"the events from index {start} on", str(error)) from error
    if start and _full_head(tree) != stored:
        raise StoreCorrupt(describe(TREE), f"is not the root that the tiles of the first {start} events give")
    return tree


def _sealed_from(start: int, head: Head, storage: Storage) -> list[bytes]:
    """Return the sealed events from an index on: those of the last segments, fewer than a tile has."""
    events: list[bytes] = []
    never: Callable[[], bool] = lambda: False  # noqa: E731 - named for what it says
    span = EVERYTHING.below(head.last_sealed_id + 1)
    while (missing := head.first_index - start - len(events)) > 0:
        search = Search(_EVERYTHING, span, descending=True, limit=missing, max_bytes=_UNBOUNDED)
        found = storage.search(search, never)
        events += found.events
        if found.stopped is None:
            break
        span = span.below(found.stopped.last_id)
    return events[::-1]
