"""Deciding and applying commits: pure, deterministic, and never a step back."""

import random
from collections.abc import Callable

import pytest
import ulid
from hypothesis import example, given
from hypothesis import strategies as st

from audit import Unavailable
from audit.codec.commits import Claim, Commit
from audit.codec.events import decode_event, event_index, event_value
from audit.codec.segments import Layout, Segment
from audit.codec.terms import event_terms
from audit.log.deciding import apply_commit, number_events
from audit.model.ids import MAX_TIMESTAMP_MS, MAX_VALUE, RANDOM_BITS, parse_id
from audit.proof.frontier import Frontier
from audit.proof.hashing import root_of
from audit.proof.leaves import leaf_hashes
from audit.testing.clock import START_MS
from tests.stores import event, prepared

EVENTS = prepared([event("a")] * 20)


def constant(bit: int) -> Callable[[int], int]:
    return lambda bits: ((1 << bits) - 1) * bit


@given(
    last_id=st.one_of(
        st.just(-1),
        st.integers(0, MAX_VALUE - (1 << RANDOM_BITS)),
        # Right below the end of a millisecond: the random part overflows into the time.
        st.builds(lambda ms, left: ((ms + 1) << RANDOM_BITS) - 1 - left, st.integers(0, START_MS), st.integers(0, 300)),
        st.builds(lambda high, left: (high << 20) - 1 - left, st.integers(1, 1 << 100), st.integers(0, 300)),
    ),
    now_ms=st.one_of(st.integers(0, MAX_TIMESTAMP_MS - 1), st.integers(START_MS - 2, START_MS + 2)),
    seed=st.integers(0, 2**32),
    count=st.integers(1, len(EVENTS)),
    first_index=st.integers(0, 2**60),
)
@example(((START_MS + 1) << RANDOM_BITS) - 1, START_MS - 1000, 0, 20, 0)
@example(-1, 0, 0, 1, 0)
def test_ids_strictly_increase_whatever_clock_and_seed(
    last_id: int, now_ms: int, seed: int, count: int, first_index: int
) -> None:
    for bits in (random.Random(seed).getrandbits, constant(0), constant(1)):
        numbered = number_events(EVENTS[:count], first_index, last_id, now_ms, bits)
        values = [parse_id(receipt.id) for receipt in numbered.receipts]
        assert all(one < other for one, other in zip([last_id, *values], values, strict=False))
        assert values[-1] == numbered.last_id <= MAX_VALUE
        assert [ulid.from_str(receipt.id).int for receipt in numbered.receipts] == values
        assert [event_value(raw) for raw in numbered.events] == values
        assert [receipt.index for receipt in numbered.receipts] == list(range(first_index, first_index + count))
        assert [event_index(raw) for raw in numbered.events] == list(range(first_index, first_index + count))
        # Dated now, or right after the last one when the clock is behind it.
        assert values[0] >> RANDOM_BITS in (now_ms, last_id >> RANDOM_BITS, (last_id >> RANDOM_BITS) + 1)
        assert values[0] >> RANDOM_BITS >= min(now_ms, last_id >> RANDOM_BITS)
        if now_ms > last_id >> RANDOM_BITS:
            assert values[0] >> RANDOM_BITS == now_ms


@pytest.mark.parametrize("left", [0, 1, 5])
def test_at_the_end_of_time_appends_are_refused(left: int) -> None:
    with pytest.raises(Unavailable, match="end of time"):
        number_events(EVENTS, 0, MAX_VALUE - left, START_MS, constant(0))


def test_the_same_seed_gives_the_same_commit() -> None:
    once, again = (number_events(EVENTS, 0, -1, START_MS, random.Random(7).getrandbits) for _ in range(2))
    assert once == again


LAYOUTS = st.builds(
    Layout,
    segment_events=st.integers(1, 6),
    segment_bytes=st.one_of(st.integers(1, 1_000), st.just(1 << 20)),
    chunk_blocks=st.just(2),
    block_events=st.just(2),
)


@given(LAYOUTS, st.lists(st.lists(st.integers(0, 400), min_size=1, max_size=9), min_size=1, max_size=8))
def test_applied_commits_leave_each_event_in_one_place(layout: Layout, sizes: list[list[int]]) -> None:
    head = Segment(0)
    tree = Frontier()
    stored: list[bytes] = []
    sealed: list[bytes] = []
    claimed: list[tuple[bytes, int]] = []
    unsealed: dict[bytes, Commit] = {}
    last_id = -1
    for call in sizes:
        numbered = number_events(
            prepared([event("a", data="x" * n) for n in call]), len(stored), last_id, START_MS, constant(0)
        )
        last_id = numbered.last_id
        claims = [Claim(bytes([at]) * 16, b"f" * 16, at, 1, of_call=False) for at in range(len(call))]
        terms = [event_terms(decode_event(raw)) for raw in numbered.events]
        commit = Commit(len(stored), numbered.events, terms, claims)
        applied = apply_commit(head, tree, commit, numbered.leaves, layout)
        tree = applied.tree
        stored += numbered.events
        for key in applied.batch.dropped:
            del unsealed[key]
        for segment in applied.batch.sealed:
            assert segment.first_index == len(sealed)
            assert 1 <= len(segment) <= layout.segment_events
            assert segment.size_bytes == sum(map(len, segment.events))
            assert segment.size_bytes <= layout.segment_bytes or len(segment) == 1
            assert segment.first_id == event_value(segment.events[0])
            sealed += segment.events
            claimed += [(segment.events[claim.position], claim.digest[0]) for claim in segment.claims]
        if applied.batch.head is not None:
            key = b"C" + event_value(applied.batch.head.events[0]).to_bytes(16, "big")
            assert key not in unsealed
            unsealed[key] = applied.batch.head
        head = applied.head
        assert list(head.commits) == list(unsealed)
        assert sealed + head.events == stored
        assert [raw for commit in unsealed.values() for raw in commit.events] == head.events
        assert all(commit.first_index == event_index(commit.events[0]) for commit in unsealed.values())
        assert len(head) < layout.segment_events
        # Each claim still names the event it came with, wherever that went.
        in_head = [(commit.events[c.position], c.digest[0]) for commit in unsealed.values() for c in commit.claims]
        in_memory = [(head.events[c.position], c.digest[0]) for c in head.claims]
        assert in_head == in_memory
        assert len(claimed) + len(in_head) == len(stored)
        assert tree.root() == root_of(leaf_hashes(stored))
    assert [raw for raw, _ in claimed] == sealed
