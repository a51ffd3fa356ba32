"""Small records: they come back as they were, or are known to be damaged."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import StoreCorrupt, StoreFormat
from audit.codec.checksum import open_record, seal_record
from audit.codec.keys import key_of_topic
from audit.codec.segments import Layout
from audit.storage.port import FORMAT, KnownClaim, StoreMeta
from audit.storage.records import (
    decode_count,
    decode_meta,
    decode_receipt,
    encode_count,
    encode_meta,
    encode_receipt,
    receipt_key,
)
from audit.testing.logs import STORE_ID
from tests.strategies import ids, topics
from tests.unit.codec.test_commits import damages

DIGESTS = st.binary(min_size=16, max_size=16)
CLAIMS = st.builds(KnownClaim, DIGESTS, ids, st.integers(0, 2**60), st.integers(1, 1_000), st.booleans())
KEY = key_of_topic(("a", "b"))


@given(topics, st.tuples(st.integers(1, 2**60), ids, ids))
def test_a_count_comes_back_as_it_was(topic: tuple[str, ...], count: tuple[int, int, int]) -> None:
    key = key_of_topic(topic)
    assert decode_count(key, encode_count(key, count)) == count


@given(DIGESTS, CLAIMS)
def test_a_receipt_comes_back_as_it_was(digest: bytes, claim: KnownClaim) -> None:
    key = receipt_key(digest)
    assert decode_receipt(key, encode_receipt(key, claim)) == claim


def test_any_flipped_bit_and_any_cut_of_a_count_or_receipt_is_found() -> None:
    for damaged in damages(encode_count(KEY, (3, 1 << 100, 1 << 101))):
        with pytest.raises(StoreCorrupt, match=r"^topic count of a/b: "):
            decode_count(KEY, damaged)
    key = receipt_key(b"d" * 16)
    for damaged in damages(encode_receipt(key, KnownClaim(b"f" * 16, 1 << 100, 3, 1, of_call=True))):
        with pytest.raises(StoreCorrupt, match=r"^receipt "):
            decode_receipt(key, damaged)


def test_a_whole_record_of_the_wrong_form_is_found() -> None:
    with pytest.raises(StoreCorrupt, match="can't be decoded"):
        decode_count(KEY, seal_record(KEY, b"short"))
    with pytest.raises(StoreCorrupt, match="can't be decoded"):
        decode_receipt(receipt_key(b"d" * 16), seal_record(receipt_key(b"d" * 16), b"short"))


@given(st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=40))
def test_a_record_is_bound_to_its_key(key: bytes, other: bytes, body: bytes) -> None:
    record = seal_record(key, body)
    assert bytes(open_record(key, record)) == body
    if key != other:
        with pytest.raises(StoreCorrupt):
            open_record(other, record)


def test_a_record_of_another_version_says_so() -> None:
    with pytest.raises(StoreCorrupt, match="has version 2, expected 1"):
        open_record(KEY, b"\x02" + seal_record(KEY, b"body")[1:])


def test_metadata_comes_back_as_it_was() -> None:
    meta = StoreMeta(format=FORMAT, store_id=STORE_ID, layout=Layout(4, 600, 2, 2))
    assert decode_meta(encode_meta(meta)) == meta


@pytest.mark.parametrize(
    ("version", "remedy"), [(FORMAT + 1, "upgrade"), (0, "export"), ("1", "export"), (None, "export")]
)
def test_another_format_is_refused_with_what_to_do(version: object, remedy: str) -> None:
    # A later version may have other members, and none of this one's.
    with pytest.raises(StoreFormat, match=remedy):
        decode_meta(msgspec.json.encode({"format": version, "anything": [1]}))


@pytest.mark.parametrize(
    "record", [b"", b"{", b"[]", b"{}", b"\xff", b'{"format":2}', b'{"format":2,"store_id":5,"layout":[]}']
)
def test_damaged_metadata_is_found(record: bytes) -> None:
    with pytest.raises(StoreCorrupt):
        decode_meta(record)
