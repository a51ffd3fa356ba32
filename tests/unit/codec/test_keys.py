"""Keys: their byte order is the order of what they hold, and each can be named for people."""

from hypothesis import given
from hypothesis import strategies as st

from audit.codec import keys
from audit.codec.keys import describe, id_key, key_of_chunk, key_of_topic, prefix_of_postings
from audit.codec.terms import term_of_topic
from audit.model.ids import MAX_VALUE, format_id
from tests.strategies import ids, topics


@given(st.integers(0, MAX_VALUE + 1), st.integers(0, MAX_VALUE + 1))
def test_key_order_is_id_order(one: int, other: int) -> None:
    assert (one < other) == (id_key(one) < id_key(other))


@given(ids, ids, st.integers(0, 255), st.integers(0, 255))
def test_chunks_sort_by_segment_and_then_by_number(one: int, other: int, chunk: int, other_chunk: int) -> None:
    pairs = [(one, chunk), (other, other_chunk)]
    first, second = (key_of_chunk(id_key(value), number) for value, number in pairs)
    assert (first < second) == (pairs[0] < pairs[1])


@given(topics, ids, ids)
def test_posting_lists_of_a_term_sort_by_segment(topic: tuple[str, ...], one: int, other: int) -> None:
    prefix = prefix_of_postings(term_of_topic(topic))
    assert (prefix + id_key(one) < prefix + id_key(other)) == (one < other)


@given(topics, topics)
def test_each_topic_has_a_key_of_its_own(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    assert (key_of_topic(one) == key_of_topic(other)) == (one == other)


def test_the_end_mark_is_behind_every_record() -> None:
    kinds = [value for value in vars(keys).values() if isinstance(value, bytes) and value != keys.END]
    assert kinds
    assert all(kind + b"\xff" * 40 < keys.END for kind in kinds)


@given(ids, topics)
def test_a_record_is_named_by_what_it_belongs_to(value: int, topic: tuple[str, ...]) -> None:
    text, raw = format_id(value), id_key(value)
    assert describe(keys.COMMIT + raw) == f"commit {text}"
    assert describe(keys.SEGMENT + raw) == f"segment {text}"
    assert describe(key_of_chunk(raw, 3)) == f"chunk 3 of segment {text}"
    assert text in describe(prefix_of_postings(term_of_topic(topic)) + raw)
    assert topic[-1] in describe(key_of_topic(topic))


@given(st.binary(max_size=40))
def test_any_bytes_can_be_named(key: bytes) -> None:
    assert describe(key)
