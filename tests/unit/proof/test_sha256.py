"""Many hashes in one call: the same by hashlib and natively, and as one by one."""

import hashlib
import sys
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.proof import sha256

_native: types.ModuleType = pytest.importorskip(
    "audit.proof._native", reason="it is built where there are a C compiler and OpenSSL's headers"
)

EACH = {"by hashlib": sha256._plain_each, "natively": _native.hash_each}
PAIRS = {"by hashlib": sha256._plain_pairs, "natively": _native.hash_pairs}


def test_what_was_built_is_what_is_used() -> None:
    assert sha256.hash_each is _native.hash_each
    assert sha256.hash_pairs is _native.hash_pairs


@pytest.mark.parametrize("way", EACH)
@given(prefix=st.binary(max_size=100), inputs=st.lists(st.binary(max_size=300)))
def test_each_is_hashed_with_the_prefix(way: str, prefix: bytes, inputs: list[bytes]) -> None:
    assert EACH[way](prefix, inputs) == [hashlib.sha256(prefix + one).digest() for one in inputs]


@pytest.mark.parametrize("way", EACH)
def test_a_long_input_is_hashed_whole(way: str) -> None:
    long = bytes(range(256)) * 40_000
    assert EACH[way](b"", [long]) == [hashlib.sha256(long).digest()]


@pytest.mark.parametrize("way", PAIRS)
@given(prefix=st.binary(max_size=100), hashes=st.binary(max_size=700))
def test_pairs_are_hashed_and_a_rest_is_left_out(way: str, prefix: bytes, hashes: bytes) -> None:
    whole = range(0, len(hashes) - 63, 64)
    expected = [hashlib.sha256(prefix + hashes[at : at + 64]).digest() for at in whole]
    assert PAIRS[way](prefix, hashes) == b"".join(expected)


@pytest.mark.parametrize("way", EACH)
@pytest.mark.parametrize("wrong", [["text"], [b"", None], [b"", 3]])
def test_what_is_not_bytes_is_refused(way: str, wrong: list[bytes]) -> None:
    with pytest.raises(TypeError):
        EACH[way](b"", wrong)


@pytest.mark.parametrize("wrong", [("", []), (b"", (b"",)), (b"", None), (b"",), (b"", [], [])])
def test_other_arguments_than_bytes_and_a_list_are_refused(wrong: tuple[object, ...]) -> None:
    with pytest.raises(TypeError):
        _native.hash_each(*wrong)


@pytest.mark.parametrize("wrong", [("", b""), (b"", ""), (b"", None), (b"",), (b"", b"", b"")])
def test_pairs_of_other_than_bytes_are_refused(wrong: tuple[object, ...]) -> None:
    with pytest.raises(TypeError):
        _native.hash_pairs(*wrong)


def test_nothing_is_kept_of_what_was_hashed() -> None:
    inputs = [bytes([number]) * 1000 for number in range(256)]
    before = [sys.getrefcount(one) for one in inputs]
    found: list[bytes] = []
    for _ in range(10):
        found = _native.hash_each(b"x", inputs)
        with pytest.raises(TypeError):
            _native.hash_each(b"x", [*inputs, None])
    assert [sys.getrefcount(one) for one in inputs] == before
    first = found.pop()
    assert sys.getrefcount(first) == sys.getrefcount(bytes([*first]))
