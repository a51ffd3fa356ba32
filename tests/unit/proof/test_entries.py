"""From encoded bodies to stored events and leaves: the same in plain Python and natively, and as said one by one."""

import base64
import hashlib
import sys
import types
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.codec.events import SALT_STRIDE, Body, encode_bodies, encode_topics
from audit.model.ids import MAX_VALUE, EventId, format_id
from audit.proof import entries
from audit.proof.leaves import leaf_hashes, log_entries

_native: types.ModuleType = pytest.importorskip(
    "audit.proof._native", reason="it is built where there are a C compiler and OpenSSL's headers"
)

SALT: dict[str, Callable[..., Any]] = {"plain": entries._plain_salt, "native": _native.salt_bodies}
NUMBER: dict[str, Callable[..., Any]] = {"plain": entries._plain_number, "native": _native.number_bodies}

LOOKALIKES = st.sampled_from([',"salt":""', ",", '","salt":"', ',"salt', '\\,"salt":""', "\n{"])
TEXT = st.one_of(LOOKALIKES, st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))
BODIES = st.lists(
    st.builds(
        lambda topic, action, data: Body(encode_topics([topic]), "", action, data=data),
        st.lists(TEXT, min_size=1, max_size=3).map(tuple),
        st.none() | TEXT,
        st.none() | st.dictionaries(TEXT, TEXT | st.integers(-9, 9), max_size=3),
    ),
    min_size=1,
    max_size=5,
).map(encode_bodies)
INDEXES = st.sampled_from([0, 9, 10, 2**32, 2**53, 2**63 - 10])


def drawn(bodies: list[bytes], seed: int) -> bytes:
    return hashlib.shake_256(str(seed).encode()).digest(SALT_STRIDE * len(bodies))


def ids_of(bodies: list[bytes], first: int) -> list[EventId]:
    return [format_id(first + number) for number in range(len(bodies))]


def test_what_was_built_is_what_is_used() -> None:
    assert entries.salt_bodies is _native.salt_bodies
    assert entries.number_bodies is _native.number_bodies


@pytest.mark.parametrize("way", SALT)
@given(bodies=BODIES, seed=st.integers(0, 99), index=INDEXES, first=st.integers(0, MAX_VALUE - 9))
def test_events_have_their_salts_ids_and_indexes_and_the_leaves_that_they_are_verified_by(
    way: str, bodies: list[bytes], seed: int, index: int, first: int
) -> None:
    random_bytes, ids = drawn(bodies, seed), ids_of(bodies, first)
    full, begun = SALT[way](bodies, random_bytes)
    events, leaves = NUMBER[way](full, begun, ids, index)
    assert leaves == leaf_hashes(events)
    for number, (body, event) in enumerate(zip(bodies, events, strict=True)):
        salt = random_bytes[SALT_STRIDE * number :][:16]
        read = msgspec.json.decode(event)
        text = base64.urlsafe_b64encode(salt).decode().rstrip("=")
        expected = msgspec.json.decode(b"{" + body) | {"id": ids[number], "index": index + number, "salt": text}
        assert read == expected
        assert list(read) == ["id", "index", *msgspec.json.decode(b"{" + body)]
        assert log_entries([event])[0].endswith(begun[number])


@given(bodies=BODIES, seed=st.integers(0, 99), index=INDEXES)
def test_both_ways_come_to_the_same(bodies: list[bytes], seed: int, index: int) -> None:
    random_bytes, ids = drawn(bodies, seed), ids_of(bodies, 5)
    plain = entries._plain_salt(bodies, random_bytes)
    assert plain == _native.salt_bodies(bodies, random_bytes)
    assert entries._plain_number(*plain, ids, index) == _native.number_bodies(*plain, ids, index)


@pytest.mark.parametrize("way", SALT)
@pytest.mark.parametrize("body", [b"", b",", b',"salt":"', b'"topics":[],"salt":"x"}', b',"salt":' * 9])
def test_a_body_without_a_place_for_a_salt_is_refused(way: str, body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever it says: it would be a mistake of ours
        SALT[way]([b'"topics":[],"salt":""}', body], bytes(2 * SALT_STRIDE))


@pytest.mark.parametrize("way", SALT)
@pytest.mark.parametrize("count", [0, 1, 3])
def test_there_are_as_many_salts_as_bodies(way: str, count: int) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        SALT[way]([b'"topics":[],"salt":""}'] * 2, bytes(count * SALT_STRIDE))


@pytest.mark.parametrize("way", NUMBER)
@pytest.mark.parametrize(("bodies", "begun", "ids"), [(1, 2, 2), (2, 1, 2), (2, 2, 1)])
def test_there_are_as_many_of_each(way: str, bodies: int, begun: int, ids: int) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        NUMBER[way]([b"}"] * bodies, [b""] * begun, ["0" * 26] * ids, 0)


@pytest.mark.parametrize(
    "wrong",
    [([None], [b""], ["0" * 26], 0), ([b""], [None], ["0" * 26], 0), ([b""], [b""], [b"0" * 26], 0), ([], [], [], "0")],
)
def test_what_is_of_another_type_is_refused(wrong: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError):
        _native.number_bodies(*wrong)
    with pytest.raises(TypeError):
        _native.salt_bodies([None], bytes(SALT_STRIDE))


@pytest.mark.parametrize("text", ["0" * 25, "0" * 27, "", "\ud800"])
def test_an_id_has_26_characters(text: str) -> None:
    with pytest.raises((ValueError, UnicodeEncodeError)):
        _native.number_bodies([b""], [b""], [text], 0)


def test_nothing_is_kept_of_what_went_in() -> None:
    bodies = [b'"topics":[["%d"]],"salt":""}' % number for number in range(50)]
    random_bytes, ids = drawn(bodies, 1), ids_of(bodies, 7)
    before = [sys.getrefcount(one) for one in (*bodies, *ids)]
    full, begun = [], []
    for _ in range(10):
        full, begun = _native.salt_bodies(bodies, random_bytes)
        events, leaves = _native.number_bodies(full, begun, ids, 0)
        with pytest.raises(ValueError, match="no place"):
            _native.salt_bodies([*bodies, b""], random_bytes + bytes(SALT_STRIDE))
        with pytest.raises(ValueError, match="26"):
            _native.number_bodies(full, begun, [*ids[:-1], ""], 0)
        fresh = [bytes([*b"one of its own"])]
        assert len({sys.getrefcount(one) for some in (fresh, events, leaves) for one in some}) == 1
        del events, leaves
    assert [sys.getrefcount(one) for one in (*bodies, *ids)] == before
    assert len({sys.getrefcount(one) for one in (*full, *begun)}) == 1
