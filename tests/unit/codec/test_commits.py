"""Commits and claims: what was decided comes back as it was, or not at all."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import NewEvent, StoreCorrupt
from audit.codec.commits import Claim, Commit, commit_key, decode_claims, decode_commit, encode_claims, encode_commit
from audit.codec.events import decode_event
from audit.codec.terms import event_terms
from tests.stores import event
from tests.strategies import new_events
from tests.unit.codec.test_events import stored

CLAIMS = st.lists(
    st.builds(
        Claim,
        st.binary(min_size=16, max_size=16),
        st.binary(min_size=16, max_size=16),
        st.integers(0, 65_535),
        st.integers(0, 65_535),
        st.booleans(),
    ),
    max_size=3,
)


def commit_of(events: list[NewEvent], index: int = 0, claims: list[Claim] | None = None) -> Commit:
    raws = stored(events, index)
    return Commit(index, raws, [event_terms(decode_event(raw)) for raw in raws], claims or [])


@given(st.lists(new_events, min_size=1, max_size=4), st.integers(0, 2**40), CLAIMS)
def test_a_commit_comes_back_as_it_was(events: list[NewEvent], index: int, claims: list[Claim]) -> None:
    commit = commit_of(events, index, claims)
    key = commit_key(commit.events[0])
    assert decode_commit(key, encode_commit(key, commit)) == commit


@given(CLAIMS)
def test_claims_come_back_as_they_were(claims: list[Claim]) -> None:
    assert decode_claims(encode_claims(claims)) == claims


def test_any_flipped_bit_and_any_cut_of_a_commit_is_found() -> None:
    commit = commit_of([event("a", data="x"), event("b")], claims=[Claim(b"d" * 16, b"f" * 16, 0, 1, of_call=True)])
    key = commit_key(commit.events[0])
    record = encode_commit(key, commit)
    for damaged in damages(record):
        with pytest.raises(StoreCorrupt, match=r"^commit 01"):
            decode_commit(key, damaged)


def test_a_commit_under_another_key_is_found() -> None:
    one, other = commit_of([event("a")]), commit_of([event("a"), event("b")])
    key = commit_key(other.events[1])
    with pytest.raises(StoreCorrupt):
        decode_commit(key, encode_commit(commit_key(one.events[0]), one))
    # Even one that was sealed under this very key does not start with the event the key names.
    with pytest.raises(StoreCorrupt, match="does not start with the event"):
        decode_commit(key, encode_commit(key, one))


def test_an_id_of_too_many_bits_is_found() -> None:
    commit = commit_of([event("a")])
    key = commit_key(commit.events[0])
    beyond = commit.events[0].replace(b'{"id":"0', b'{"id":"Z')
    with pytest.raises(StoreCorrupt, match="can't be decoded"):
        decode_commit(key, encode_commit(key, commit._replace(events=[beyond])))


def damages(record: bytes) -> list[bytes]:
    """Return the record with each byte flipped in a random bit, and cut short or lengthened."""
    rng = random.Random(record)
    found = [record[:n] for n in range(len(record))] if len(record) < 400 else [record[:-1], record[: len(record) // 2]]
    for at in range(len(record)):
        bits = {rng.randrange(8) for _ in range(2)}
        found += [record[:at] + bytes([record[at] ^ 1 << bit]) + record[at + 1 :] for bit in bits]
    return [*found, record + b"\0", b""]
