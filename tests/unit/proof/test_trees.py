"""Frontier, tiles, proofs and their checks, against the definitions of RFC 6962 and RFC 9162."""

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.model.errors import HashMismatch, HistoryForked, InvalidParameter, ProofInvalid, ProofMalformed
from audit.proof.frontier import Frontier, restore_frontier
from audit.proof.hashing import EMPTY_ROOT, root_of
from audit.proof.proving import prove_consistency, prove_inclusion, read_root
from audit.proof.tiles import Tile, TileName
from audit.proof.verifying import inclusion_root, verify_consistency, verify_inclusion
from tests.unit.proof import trees

SIZES = st.one_of(st.integers(0, 40), st.integers(0, 1200), st.sampled_from([255, 256, 257, 511, 512, 513, 768]))
# Three levels of tiles, once: 65,536 + 300 leaves.
LARGE = trees.Stored(1, 255, 65_000, 280, 300)


def test_empty_tree_has_the_root_of_no_bytes() -> None:
    assert Frontier().root() == EMPTY_ROOT == trees.root([]) == root_of([])
    assert Frontier().grow([]) == (Frontier(), [])


@given(st.lists(st.one_of(st.integers(0, 5), st.integers(0, 600)), max_size=8))
def test_frontier_has_the_root_of_the_definition_however_it_grew(steps: list[int]) -> None:
    stored = trees.Stored(*steps)
    assert stored.frontier.size == sum(steps)
    assert stored.frontier.root() == trees.root(stored.leaves) == root_of(stored.leaves)
    assert stored.frontier == trees.Stored(sum(steps)).frontier
    assert stored.tiles == trees.Stored(sum(steps)).tiles


def test_tiles_are_those_of_the_definition() -> None:
    # MTH(D[(n * 256 + i) * 256**l : (n * 256 + i + 1) * 256**l]), and nothing but full ones.
    count = len(LARGE.leaves)
    assert {name[:2] for name in LARGE.tiles} == {(0, number) for number in range(count // 256)} | {(1, 0)}
    for (level, number, _), hashes in LARGE.tiles.items():
        step = 256**level
        for place in (0, 1, 100, 255):
            first = (number * 256 + place) * step
            assert hashes[place * 32 : place * 32 + 32] == trees.root(LARGE.leaves[first : first + step])
    assert [len(hashes) // 32 for hashes in LARGE.frontier.partials] == [300 - 256, 1, 1]


@given(SIZES)
def test_frontier_is_restored_from_full_tiles_and_the_newest_leaves(size: int) -> None:
    stored = trees.Stored(size)
    newest = stored.leaves[size - size % 256 :]
    assert restore_frontier(size, newest, stored.tiles.__getitem__) == stored.frontier


def test_frontier_of_a_large_tree_is_restored() -> None:
    size = len(LARGE.leaves)
    assert restore_frontier(size, LARGE.leaves[size - size % 256 :], LARGE.tiles.__getitem__) == LARGE.frontier


@given(SIZES.filter(bool), st.data())
def test_inclusion_proof_is_that_of_the_definition_and_holds(size: int, data: st.DataObject) -> None:
    stored = trees.Stored(size)
    covered = data.draw(st.integers(1, size))
    index = data.draw(st.integers(0, covered - 1))
    proof = prove_inclusion(index, covered, stored.read)
    assert proof == trees.inclusion(index, stored.leaves[:covered])
    root = read_root(covered, stored.read)
    assert root == trees.root(stored.leaves[:covered])
    verify_inclusion(stored.leaves[index], index, covered, proof, root)


@given(SIZES, st.data())
def test_consistency_proof_is_that_of_the_definition_and_holds(size: int, data: st.DataObject) -> None:
    stored = trees.Stored(size)
    covered = data.draw(st.integers(0, size))
    old = data.draw(st.integers(0, covered))
    proof = prove_consistency(old, covered, stored.read)
    assert proof == (trees.consistency(old, stored.leaves[:covered]) if old else [])
    verify_consistency(old, trees.root(stored.leaves[:old]), covered, trees.root(stored.leaves[:covered]), proof)


@given(st.integers(1, len(LARGE.leaves)), st.data())
def test_proofs_hold_over_three_levels_of_tiles(covered: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, covered - 1))
    old = data.draw(st.integers(1, covered))
    root, old_root = read_root(covered, LARGE.read), read_root(old, LARGE.read)
    verify_inclusion(LARGE.leaves[index], index, covered, prove_inclusion(index, covered, LARGE.read), root)
    verify_consistency(old, old_root, covered, root, prove_consistency(old, covered, LARGE.read))


def _refused(check: Callable[..., None], *args: object) -> type[ProofInvalid]:
    with pytest.raises(ProofInvalid) as caught:
        check(*args)
    return type(caught.value)


@pytest.mark.parametrize("size", range(1, 20))
def test_inclusion_proof_shows_nothing_else(size: int) -> None:
    known = trees.leaves(size)
    root = trees.root(known)
    for index in range(size):
        leaf, proof = known[index], trees.inclusion(index, known)
        for other in {*range(-1, size + 2)} - {index}:
            # Another place: a number of hashes that does not fit it, or another root.
            _refused(verify_inclusion, leaf, other, size, proof, root)
        for at in range(len(proof)):
            changed = [*proof[:at], bytes(32), *proof[at + 1 :]]
            assert _refused(verify_inclusion, leaf, index, size, changed, root) is HashMismatch
            assert _refused(verify_inclusion, leaf, index, size, proof[:at], root) is ProofMalformed
        assert _refused(verify_inclusion, bytes(32), index, size, proof, root) is HashMismatch
        assert _refused(verify_inclusion, leaf, index, size, [*proof, bytes(32)], root) is ProofMalformed


@pytest.mark.parametrize("size", range(20))
def test_consistency_proof_shows_nothing_else(size: int) -> None:
    known = trees.leaves(size)
    root = trees.root(known)
    for old in range(size + 1):
        old_root = trees.root(known[:old])
        proof = trees.consistency(old, known) if old else []
        assert _refused(verify_consistency, old, bytes(32), size, root, proof) is HistoryForked
        if old:  # an empty tree is the start of every other
            assert _refused(verify_consistency, old, old_root, size, bytes(32), proof) is HistoryForked
        for at in range(len(proof)):
            changed = [*proof[:at], bytes(32), *proof[at + 1 :]]
            assert _refused(verify_consistency, old, old_root, size, root, changed) is HistoryForked
            assert _refused(verify_consistency, old, old_root, size, root, proof[:at]) is ProofMalformed
        assert _refused(verify_consistency, old, old_root, size, root, [*proof, bytes(32)]) is ProofMalformed
        assert _refused(verify_consistency, size + 1, old_root, size, root, []) is ProofMalformed


def test_a_hash_of_another_length_is_refused() -> None:
    known = trees.leaves(3)
    root = trees.root(known)
    with pytest.raises(ProofMalformed, match="32 bytes"):
        inclusion_root(known[0], 0, 3, [known[1][:31], known[2]])
    with pytest.raises(ProofMalformed, match="32 bytes"):
        verify_consistency(2, trees.root(known[:2]), 3, root, [known[2] + b"x"])


def test_a_proof_of_what_the_tree_does_not_have_is_not_made() -> None:
    stored = trees.Stored(10)
    for index, size in ((10, 10), (-1, 10), (0, 0)):
        with pytest.raises(InvalidParameter, match=r"index: must be below the tree's size"):
            prove_inclusion(index, size, stored.read)
    for old in (11, -1):
        with pytest.raises(InvalidParameter, match=r"from: must be between 0 and"):
            prove_consistency(old, 10, stored.read)


def test_a_proof_reads_two_tiles_a_level_at_most_and_no_tile_twice() -> None:
    names: list[TileName] = []

    def read(name: TileName) -> bytes:
        names.append(name)
        return LARGE.read(name)

    size = len(LARGE.leaves)
    for old, new in pairwise(range(1, size, 9_973)):
        names.clear()
        prove_consistency(old, new, read)
        assert len(names) == len(set(names)) <= 6
        names.clear()
        prove_inclusion(old, size, read)
        assert len(names) == len(set(names)) <= 6


def test_growing_leaves_the_old_frontier_as_it_was() -> None:
    before, _ = Frontier().grow(trees.leaves(250))
    root = before.root()
    _, full = before.grow(trees.leaves(10))
    assert full == [Tile(TileName(0, 0), full[0].hashes)]
    assert (before.size, before.root()) == (250, root)
