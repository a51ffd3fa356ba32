"""Leaves of stored events: what they cover, and that erasing changes none."""

import base64
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import NewEvent
from audit.codec.events import erase_event, split_event
from audit.log.deciding import number_events
from audit.log.prepare import prepare_call
from audit.model.errors import ProofMalformed
from audit.proof.leaves import leaf_hash, leaf_hashes, log_entries
from audit.testing.clock import START_MS
from tests.strategies import HOSTILE, new_events


def stored(events: list[NewEvent]) -> list[bytes]:
    return number_events(prepare_call(events).events, 0, -1, START_MS, lambda bits: (1 << bits) - 1).events


def hostile() -> bytes:
    (event,) = stored([NewEvent(topics=[(text,) for text in HOSTILE], data={',"payload_hash":"': ',"salt":"'})])
    return event


@given(st.lists(new_events, min_size=1, max_size=5))
def test_leaf_covers_header_and_payload_hash(events: list[NewEvent]) -> None:
    found = stored(events)
    for event, entry, leaf in zip(found, log_entries(found), leaf_hashes(found), strict=True):
        header, payload = split_event(event)
        assert entry == header + sha256(payload).digest()
        assert leaf == leaf_hash(event) == sha256(b"\0" + entry).digest()


@given(st.lists(st.tuples(new_events, st.booleans()), min_size=1, max_size=5))
def test_erased_events_among_others_keep_their_place(events: list[tuple[NewEvent, bool]]) -> None:
    found = stored([event for event, _ in events])
    some_erased = [erase_event(one) if erased else one for one, (_, erased) in zip(found, events, strict=True)]
    assert leaf_hashes(some_erased) == leaf_hashes(found)


@given(new_events)
def test_an_erased_event_has_the_leaf_it_had(event: NewEvent) -> None:
    (before,) = stored([event])
    after = erase_event(before)
    header, payload = split_event(before)
    hashed = base64.urlsafe_b64encode(sha256(payload).digest()).rstrip(b"=")
    assert after == header + b',"payload_hash":"' + hashed + b'"}'
    assert leaf_hash(after) == leaf_hash(before)
    assert erase_event(after) == after


def test_names_of_members_inside_topics_and_data_fool_nobody() -> None:
    event = hostile()
    assert leaf_hash(erase_event(event)) == leaf_hash(event)


@pytest.mark.parametrize("form", [lambda event: event, erase_event], ids=["stored", "erased"])
def test_every_bit_of_an_event_counts(form: type[bytes]) -> None:
    event = form(hostile())
    leaf = leaf_hash(event)
    for at in range(len(event)):
        for bit in range(8):
            changed = event[:at] + bytes([event[at] ^ 1 << bit]) + event[at + 1 :]
            try:
                found = leaf_hash(changed)
            except ProofMalformed:
                continue
            assert found != leaf, (at, bit)


@pytest.mark.parametrize(
    "event",
    [
        b"",
        b"{}",
        b',"payload_hash":"' + b"A" * 43 + b'"}',
        b'{"id":"x","payload_hash":"' + b"A" * 42 + b'"}',
        b'{"id":"x","payload_hash":"' + b"A" * 44 + b'"}',
        b'{"id":"x","payload_hash":"' + b"A" * 42 + b'B"}',
        b'{"id":"x","payload_hash":"' + b"A" * 42 + b'="}',
        b'{"id":"x","payload_hash":"' + b"A" * 42 + b'+"}',
        b'{"id":"x","payload_hash":"' + b"A" * 43 + b'"} ',
    ],
)
def test_what_is_no_event_has_no_leaf(event: bytes) -> None:
    with pytest.raises(ProofMalformed, match=r"^event: "):
        leaf_hash(event)
