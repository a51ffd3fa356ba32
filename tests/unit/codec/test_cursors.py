"""Cursors: what went in comes out, for the same store, query and order only."""

import base64
import hashlib
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import CursorInvalid, Filter
from audit.codec.cursors import (
    START,
    Position,
    decode_cursor,
    decode_name_cursor,
    encode_cursor,
    encode_name_cursor,
    query_digest,
)
from audit.model.ids import MAX_VALUE
from audit.model.query import to_query
from tests.strategies import ids, segments

STORE = "01JD8Z5K3V9Q0T7W2X4Y6Z8A1B"
OTHER_STORE = "01JD8Z5K3V9Q0T7W2X4Y6Z8A1C"
DIGEST = query_digest(STORE, to_query(), "asc")
POSITIONS = st.one_of(st.just(START), st.builds(Position, st.integers(-1, 2**62), ids, st.integers(0, MAX_VALUE + 1)))
URL_SAFE = set(string.ascii_letters + string.digits + "-_")


@given(POSITIONS)
def test_a_position_comes_back_as_it_was(position: Position) -> None:
    token = encode_cursor(DIGEST, position)
    assert decode_cursor(token, DIGEST) == position
    assert set(token) <= URL_SAFE


@given(segments)
def test_a_name_comes_back_as_it_was(name: str) -> None:
    token = encode_name_cursor(DIGEST, name)
    assert decode_name_cursor(token, DIGEST) == name
    assert set(token) <= URL_SAFE


def test_equal_questions_share_their_cursors_and_others_do_not() -> None:
    base = query_digest(STORE, to_query(("a", "b")), "asc")
    assert base == query_digest(STORE, to_query(["a", "b"], filter={}), "asc")
    assert base == query_digest(STORE, to_query(topics=[("a", "b", "c"), ("a", "b")]), "asc")
    others = [
        query_digest(OTHER_STORE, to_query(("a", "b")), "asc"),
        query_digest(STORE, to_query(("a", "b")), "desc"),
        query_digest(STORE, to_query(("a,b",)), "asc"),
        query_digest(STORE, to_query(("ab",)), "asc"),
        query_digest(STORE, to_query(("a",)), "asc"),
        query_digest(STORE, to_query(topics=[("a", "b"), ("c",)]), "asc"),
        query_digest(STORE, to_query(topics=[("a",), ("b",)]), "asc"),
        query_digest(STORE, to_query(("a", "b"), filter=Filter(actor="u")), "asc"),
        query_digest(STORE, to_query(("a", "b"), filter=Filter(target="u")), "asc"),
    ]
    assert len({base, *others}) == len(others) + 1
    token = encode_cursor(base, START)
    for other in others:
        with pytest.raises(CursorInvalid, match="another store, query or order"):
            decode_cursor(token, other)
        with pytest.raises(CursorInvalid, match="another store, query or order"):
            decode_name_cursor(encode_name_cursor(base, "a"), other)


@given(POSITIONS, st.integers(0, 71), st.sampled_from(sorted(URL_SAFE)))
def test_a_changed_character_makes_a_cursor_invalid(position: Position, at: int, character: str) -> None:
    token = encode_cursor(DIGEST, position)
    changed = token[:at] + character + token[at + 1 :]
    if changed != token:
        with pytest.raises(CursorInvalid):
            decode_cursor(changed, DIGEST)


@given(segments, st.data())
def test_a_changed_byte_makes_a_name_cursor_invalid(name: str, data: st.DataObject) -> None:
    token = encode_name_cursor(DIGEST, name)
    raw = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(CursorInvalid):
        decode_name_cursor(base64.urlsafe_b64encode(raw).decode().rstrip("="), DIGEST)


@pytest.mark.parametrize(
    "token", ["", "x", "====", "now", "\ud800", "é", "a b", 5, None, b"AXQb", [], "A" * 72, "A" * 10_000]
)
def test_what_is_no_cursor_is_refused(token: object) -> None:
    for decode in (decode_cursor, decode_name_cursor):
        with pytest.raises(CursorInvalid) as caught:
            decode(token, DIGEST)
        assert caught.value.parameter == "cursor"


def test_cursors_of_the_two_kinds_are_not_mixed_up() -> None:
    with pytest.raises(CursorInvalid):
        decode_cursor(encode_name_cursor(DIGEST, "x" * 42), DIGEST)
    with pytest.raises(CursorInvalid):
        decode_name_cursor(encode_cursor(DIGEST, START), DIGEST)


def test_a_made_up_name_that_is_no_text_is_refused() -> None:
    form = DIGEST + b"\xff"
    token = base64.urlsafe_b64encode(hashlib.blake2b(form, digest_size=4).digest() + form).rstrip(b"=").decode()
    with pytest.raises(CursorInvalid, match="is no cursor"):
        decode_name_cursor(token, DIGEST)
