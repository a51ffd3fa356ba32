"""One proof for many events, against the root of the definition."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.model.errors import InvalidParameter, ProofMalformed
from audit.proof.proving import prove_inclusion, read_root
from audit.proof.selections import prove_selection, selection_root
from tests.unit.proof import trees

STORED = trees.Stored(900)


@st.composite
def selections(draw: st.DrawFn) -> tuple[int, list[int]]:
    size = draw(st.one_of(st.integers(1, 40), st.integers(1, 900)))
    few = st.lists(st.integers(0, size - 1), unique=True, max_size=12).map(sorted)
    run = st.tuples(st.integers(0, size), st.integers(0, size)).map(lambda ends: list(range(min(ends), max(ends))))
    return size, draw(st.one_of(few, run, st.just(list(range(size)))))


@given(selections())
def test_proof_of_a_selection_leads_to_the_root(selection: tuple[int, list[int]]) -> None:
    size, indexes = selection
    proof = prove_selection(indexes, size, STORED.read)
    chosen = [STORED.leaves[index] for index in indexes]
    assert selection_root(indexes, chosen, size, proof) == read_root(size, STORED.read)
    assert len(proof) <= max(1, len(indexes)) * size.bit_length()


def test_proof_of_all_has_no_hash_of_none_has_the_root_and_of_one_those_of_its_inclusion() -> None:
    assert prove_selection(range(900), 900, STORED.read) == []
    assert prove_selection([], 900, STORED.read) == [read_root(900, STORED.read)]
    assert prove_selection([], 0, STORED.read) == []
    assert selection_root([], [], 0, []) == trees.root([])
    assert sorted(prove_selection([77], 900, STORED.read)) == sorted(prove_inclusion(77, 900, STORED.read))


@given(selections().filter(lambda one: bool(one[1])), st.data())
def test_what_is_not_so_leads_elsewhere(selection: tuple[int, list[int]], data: st.DataObject) -> None:
    size, indexes = selection
    root = read_root(size, STORED.read)
    proof = prove_selection(indexes, size, STORED.read)
    leaves = [STORED.leaves[index] for index in indexes]
    at = data.draw(st.integers(0, len(leaves) - 1))
    assert selection_root(indexes, [*leaves[:at], bytes(32), *leaves[at + 1 :]], size, proof) != root
    for short in (leaves[:at] + leaves[at + 1 :], [*leaves, bytes(32)]):
        with pytest.raises(ProofMalformed):
            selection_root(indexes, short, size, proof)
    if proof:
        place = data.draw(st.integers(0, len(proof) - 1))
        assert selection_root(indexes, leaves, size, [*proof[:place], bytes(32), *proof[place + 1 :]]) != root
        with pytest.raises(ProofMalformed, match="hashes: must be"):
            selection_root(indexes, leaves, size, proof[:-1])
    with pytest.raises(ProofMalformed, match="hashes: must be"):
        selection_root(indexes, leaves, size, [*proof, bytes(32)])


@pytest.mark.parametrize("indexes", [[1, 1], [2, 1], [-1, 0], [5, 10]])
def test_what_is_no_selection_is_refused(indexes: list[int]) -> None:
    with pytest.raises(InvalidParameter, match=r"^indexes: "):
        prove_selection(indexes, 10, STORED.read)
    with pytest.raises(ProofMalformed, match=r"^events: "):
        selection_root(indexes, [bytes(32)] * 2, 10, [])
