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


def test_all_come_in_while_there_is_room_and_then_who_is_asked_for_again() -> None:
    cache = BlockCache(2_000)
    for segment in (b"a", b"b", b"c"):
        assert cache.wants(segment)
        cache.put(segment, 0, ONE)
    # One had to go: from now on a first time is only remembered.
    assert cache.wants(b"b")
    assert [cache.wants(b"a") for _ in range(3)] == [False, True, False]
    cache.clear()
    assert cache.wants(b"a")


def test_reading_on_and_on_throws_nothing_out() -> None:
    cache = BlockCache(10_000)
    segments = [b"%d" % number for number in range(1_000)]
    for segment in segments[:11]:
        cache.put(segment, 0, ONE)
    kept = [segment for segment in segments if segment in cache]
    assert len(kept) == 10
    assert [segment for segment in segments if cache.wants(segment)] == kept
    # What was asked for too long ago is forgotten.
    assert not cache.wants(segments[11])
    assert cache.wants(segments[-1])


def test_a_cache_of_nothing_wants_nothing() -> None:
    assert not BlockCache(0).wants(b"a")


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
