"""Segments: sealed into records and read back whole, in part, or not at all when anything is damaged."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import NewEvent, StoreCorrupt
from audit.codec.checksum import open_record
from audit.codec.commits import Commit
from audit.codec.events import event_id_text, event_value
from audit.codec.keys import id_key
from audit.codec.segments import (
    Layout,
    Segment,
    block_events,
    chunk_blocks,
    decode_block,
    decode_directory,
    encode_chunks,
    encode_directory,
    event_bounds,
    place_in_block,
)
from tests.stores import TINY, event
from tests.strategies import new_events
from tests.unit.codec.test_commits import commit_of, damages

LAYOUTS = st.builds(
    Layout, st.just(256), st.just(1 << 20), chunk_blocks=st.integers(1, 3), block_events=st.integers(1, 4)
)


def sealed(commit: Commit, layout: Layout) -> Segment:
    segment = Segment(commit.first_index)
    segment.add(commit, 0, len(commit.events))
    segment.seal()
    return segment


@given(st.lists(new_events, min_size=1, max_size=9), LAYOUTS, st.integers(0, 2**40))
def test_a_sealed_segment_comes_back_as_it_was(events: list[NewEvent], layout: Layout, index: int) -> None:
    commit = commit_of(events, index)
    segment = sealed(commit, layout)
    directory = decode_directory(*encode_directory(segment, layout))
    assert directory.first_index == index
    assert directory.length == len(events)
    assert directory.last_id == id_key(event_value(commit.events[-1]))
    blocks = []
    for key, record in encode_chunks(segment, layout):
        body = open_record(key, record)
        bounds = chunk_blocks(key, body)
        assert len(bounds) <= layout.chunk_blocks + 1
        blocks += [decode_block(key, body[start:end]) for start, end in pairwise(bounds)]
    assert [raw for block in blocks for raw in block_events(block)] == commit.events
    for number, raw in enumerate(commit.events):
        value = event_value(raw)
        at, offset = divmod(number, layout.block_events)
        assert directory.block_holding(id_key(value)) == at
        assert directory.block_holding(id_key(value + 1)) == at
        start, end = event_bounds(blocks[at], 4 * offset)
        assert blocks[at][start:end] == raw
    assert directory.block_holding(id_key(0)) == 0
    for block in blocks:
        ids = [event_id_text(raw) for raw in block_events(block)]
        assert [place_in_block(block, text) for text in ids] == list(range(len(ids)))
        assert place_in_block(block, b"0") == 0
        assert place_in_block(block, b"8") == len(ids)


@given(st.lists(new_events, min_size=1, max_size=9))
def test_posting_lists_hold_the_positions_of_their_terms(events: list[NewEvent]) -> None:
    commit = commit_of(events)
    segment = sealed(commit, TINY)
    expected: dict[bytes, list[int]] = {}
    for position, terms in enumerate(commit.terms):
        for term in terms:
            expected.setdefault(term, []).append(position)
    assert {term: list(found) for term, found in segment.postings.items()} == expected
    assert all(type(found) is bytes for found in segment.postings.values())


def test_any_flipped_bit_and_any_cut_of_a_directory_or_chunk_is_found() -> None:
    segment = sealed(commit_of([event("a", data=number) for number in range(4)]), TINY)
    key, record = encode_directory(segment, TINY)
    for damaged in damages(record):
        with pytest.raises(StoreCorrupt, match=r"^segment 01"):
            decode_directory(key, damaged)
    for key, record in encode_chunks(segment, TINY):
        for damaged in damages(record):
            with pytest.raises(StoreCorrupt, match=r"^chunk \d of segment 01"):
                open_record(key, damaged)


def test_a_chunk_in_the_place_of_another_is_found() -> None:
    segment = sealed(commit_of([event("a")] * 8), TINY)
    (one, _), (_, record) = encode_chunks(segment, TINY)
    with pytest.raises(StoreCorrupt):
        open_record(one, record)


@pytest.mark.parametrize("body", [b"", b"\0", b"\0\0\0\0", b"\x08\0\0\0\x09\0\0\0", b"\x0c\0\0\0\x0c\0\0\0\x0b\0\0\0"])
def test_blocks_outside_their_chunk_are_found(body: bytes) -> None:
    with pytest.raises(StoreCorrupt):
        chunk_blocks(b"B" + b"\0" * 17, memoryview(body))


@pytest.mark.parametrize("packed", [b"", b"\x10", b"\x10\0\0\0garbage", b"\xff\xff\xff\xff\0"])
def test_a_block_that_cant_be_decompressed_is_found(packed: bytes) -> None:
    with pytest.raises(StoreCorrupt, match="can't be decompressed"):
        decode_block(b"B" + b"\0" * 17, memoryview(packed))


@given(st.lists(st.integers(1, 300), min_size=1, max_size=12), st.integers(1, 6), st.integers(1, 600))
def test_room_counts_what_fits_and_one_event_always_does(sizes: list[int], most: int, most_bytes: int) -> None:
    layout = Layout(segment_events=most, segment_bytes=most_bytes)
    events = [b"x" * size for size in sizes]
    segment = Segment(0)
    room = segment.room_for(events, 0, layout)
    assert 1 <= room <= most
    assert room == 1 or sum(sizes[:room]) <= most_bytes
    if room < min(most, len(sizes)):
        assert sum(sizes[: room + 1]) > most_bytes
