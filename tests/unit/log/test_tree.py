"""The tree beside the log: grown call by call it is the tree of all leaves, and it is found again as it was."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import StoreCorrupt
from audit.codec.segments import Layout
from audit.log.tree import grow_tree, load_tree
from audit.proof.frontier import Frontier
from audit.proof.hashing import root_of
from audit.proof.leaves import leaf_hashes
from audit.proof.tiles import TILE_WIDTH
from audit.storage.memory import Disk, MemoryStorage
from audit.storage.port import TreeHead
from audit.testing.logs import STORE_ID
from tests.stores import Writer, event, memory_opener


@given(st.lists(st.integers(1, 700), max_size=9))
def test_the_root_of_all_full_tiles_comes_with_the_tiles(sizes: list[int]) -> None:
    tree = Frontier()
    leaves: list[bytes] = []
    for size in sizes:
        added = [sha256(str(len(leaves) + at).encode()).digest() for at in range(size)]
        full = len(leaves) // TILE_WIDTH
        leaves += added
        growth = grow_tree(tree, added)
        tree = growth.tree
        numbers = list(range(full, len(leaves) // TILE_WIDTH))
        assert [tile.name.number for tile in growth.tiles] == numbers
        end = len(leaves) - len(leaves) % TILE_WIDTH
        assert growth.head == (TreeHead(end, root_of(leaves[:end])) if numbers else None)
        assert tree.root() == root_of(leaves)


def test_a_tree_of_three_levels_is_found_again() -> None:
    disk = Disk(STORE_ID, Layout())
    writer = Writer(MemoryStorage(disk))
    for _ in range(68):
        writer.append([event("a")] * 1_000)
    storage = MemoryStorage(disk)
    head = storage.load()
    assert storage.tile(1, 0)
    found = load_tree(head, storage)
    assert found == writer.tree
    assert [len(one) // 32 for one in found.partials] == [68_000 % 256, 68_000 // 256 % 256, 1]
    assert found.root() == root_of(leaf_hashes(writer.stored))


def test_a_tree_that_does_not_fit_its_store_is_refused() -> None:
    opener = memory_opener()
    storage = opener()
    writer = Writer(storage)
    writer.append([event("a")] * 600)
    head = storage.load()
    assert head.tree is not None
    for wrong, problem in (
        (None, "covers 0 events, expected 512"),
        (TreeHead(256, head.tree.root), "covers 256 events, expected 512"),
        (TreeHead(512, bytes(32)), "is not the root"),
    ):
        with pytest.raises(StoreCorrupt, match=problem):
            load_tree(head._replace(tree=wrong), storage)
    with pytest.raises(StoreCorrupt, match="from index 512 on: are not the 88"):
        load_tree(head._replace(last_sealed_id=head.last_sealed_id - 1), storage)
