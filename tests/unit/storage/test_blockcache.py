"""The block cache: never over its bytes, and the segment not used for longest goes first."""

from hypothesis import given
from hypothesis import strategies as st

from audit.storage.blockcache import BlockCache

ONE = [b"x" * 459]
"""A block that takes 1,000 bytes with its segment."""


def test_the_segment_not_used_for_longest_is_thrown_out() -> None:
    cache = BlockCache(2_000)
    cache.put(b"a", 0, ONE)
    cache.put(b"b", 0, ONE)
    assert cache.get(b"a") == [ONE]
    cache.put(b"c", 0, ONE)
    assert cache.get(b"b") is None
    assert cache.get(b"a") == [ONE]
    cache.clear()
    assert cache.get(b"a") is None


def test_blocks_of_a_segment_come_in_any_order_and_the_others_are_empty() -> None:
    cache = BlockCache(10_000)
    cache.put(b"a", 2, [b"4", b"5"])
    assert cache.get(b"a") == [(), (), [b"4", b"5"]]
    cache.put(b"a", 0, [b"0", b"1"])
    assert cache.get(b"a") == [[b"0", b"1"], (), [b"4", b"5"]]


@given(
    st.lists(st.integers(0, 300), min_size=6, max_size=6),
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5))),
    st.integers(0, 4_000),
)
def test_a_block_comes_back_as_it_was_or_not_at_all(sizes: list[int], puts: list[tuple[int, int]], most: int) -> None:
    cache = BlockCache(most)
    blocks = [[bytes([number]) * size, b"e"] for number, size in enumerate(sizes)]
    for segment, number in puts:
        cache.put(b"%d" % segment, number, blocks[number])
        found = [cache.get(b"%d" % one) or [] for one in range(3)]
        assert sum(len(event) for kept in found for block in kept for event in block) <= most
        assert all(not block or block == blocks[at] for kept in found for at, block in enumerate(kept))
