"""The block cache: never over its bytes, and the least recently used goes first."""

from hypothesis import given
from hypothesis import strategies as st

from audit.storage.blockcache import BlockCache


def test_the_block_not_used_for_longest_is_thrown_out() -> None:
    cache = BlockCache(10)
    cache.put((b"a", 0), b"x" * 5)
    cache.put((b"b", 0), b"y" * 5)
    assert cache.get((b"a", 0)) == b"x" * 5
    cache.put((b"c", 0), b"z" * 5)
    assert cache.get((b"b", 0)) is None
    assert cache.get((b"a", 0)) == b"x" * 5
    cache.clear()
    assert cache.get((b"a", 0)) is None


@given(st.lists(st.integers(0, 15), min_size=6, max_size=6), st.lists(st.integers(0, 5)), st.integers(0, 20))
def test_a_block_comes_back_as_it_was_or_not_at_all(sizes: list[int], puts: list[int], most: int) -> None:
    cache = BlockCache(most)
    blocks = [bytes([number]) * size for number, size in enumerate(sizes)]
    for number in puts:
        cache.put((b"s", number), blocks[number])
        found = {one: block for one in range(6) if (block := cache.get((b"s", one))) is not None}
        assert sum(map(len, found.values())) <= most
        assert all(blocks[one] == block for one, block in found.items())
        assert number in found or len(blocks[number]) > most
