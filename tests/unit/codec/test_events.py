"""Events as they are stored: header and payload, cut at one place, whatever a topic holds."""

import base64
import hashlib
import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from audit import NewEvent
from audit.codec.events import (
    SALT_STRIDE,
    decode_event,
    decode_events,
    event_id_text,
    event_index,
    event_value,
    join_events,
    salt_texts,
    split_event,
)
from audit.log.deciding import number_events
from audit.log.prepare import prepare_call
from audit.model.ids import format_id
from audit.model.topic import to_topic
from audit.testing.clock import START_MS
from tests.strategies import HOSTILE, new_events


def stored(events: list[NewEvent], index: int = 0) -> list[bytes]:
    return number_events(prepare_call(events).events, index, -1, START_MS, lambda bits: (1 << bits) - 1).events


@given(new_events, st.integers(0, 2**63 - 1))
def test_a_stored_event_says_what_was_given(event: NewEvent, index: int) -> None:
    (raw,) = stored([event], index)
    found = decode_event(raw)
    assert found.index == event_index(raw) == index
    assert found.id == event_id_text(raw).decode() == format_id(event_value(raw))
    assert found.topics == list(dict.fromkeys(to_topic(topic) for topic in event.topics))
    for name in ("action", "occurred_at", "actor", "targets", "outcome", "context", "data"):
        assert getattr(found, name) == getattr(event, name), name
    assert len(base64.urlsafe_b64decode(found.salt + "==")) == 16


@given(new_events)
def test_a_stored_event_is_plain_json_with_its_members_in_order(event: NewEvent) -> None:
    (raw,) = stored([event])
    members = list(json.loads(raw))
    assert members[:4] == ["id", "index", "topics", "salt"]
    order = ["action", "occurred_at", "actor", "targets", "outcome", "context", "data"]
    assert members[4:] == [name for name in order if name in members]
    # Unset members are left out; a set one is there, also when it is 0, false or empty text.
    assert ("data" in members) == (event.data is not None)
    assert ("action" in members) == (event.action is not None)
    assert ("targets" in members) == bool(event.targets)


@given(new_events, st.lists(st.sampled_from(HOSTILE), min_size=1, max_size=3))
def test_header_and_payload_are_cut_at_the_first_salt_even_for_hostile_topics(
    event: NewEvent, topic: list[str]
) -> None:
    (raw,) = stored([msgspec.structs.replace(event, topics=[tuple(topic), *event.topics])])
    header, payload = split_event(raw)
    assert header + payload == raw
    assert payload.startswith(b',"salt":"')
    # The header is a whole JSON object but for its brace, and holds nothing but what can't be erased.
    assert list(json.loads(header + b"}")) == ["id", "index", "topics"]
    rest = json.loads(b"{" + payload[1:])
    assert rest == {k: v for k, v in json.loads(raw).items() if k not in ("id", "index", "topics")}
    # A client that has only the text finds the same cut.
    assert raw.decode().index(',"salt":"') == len(header.decode())
    assert hashlib.sha256(payload).digest() != hashlib.sha256(header).digest()


@given(st.binary(max_size=100))
def test_salts_are_written_as_base64url_without_padding(drawn: bytes) -> None:
    texts = salt_texts(drawn[: len(drawn) // SALT_STRIDE * SALT_STRIDE])
    expected = [drawn[at : at + 16] for at in range(0, len(drawn) // SALT_STRIDE * SALT_STRIDE, SALT_STRIDE)]
    assert texts == [base64.urlsafe_b64encode(salt).rstrip(b"=") for salt in expected]


@given(st.lists(new_events, min_size=1, max_size=4))
def test_joined_events_are_a_json_array_of_the_stored_bytes(events: list[NewEvent]) -> None:
    raws = stored(events)
    assert json.loads(join_events(raws)) == [json.loads(raw) for raw in raws]
    assert decode_events(raws) == [decode_event(raw) for raw in raws]
    assert join_events([]) == b"[]"
    assert decode_events([]) == []


def test_no_two_salts_are_alike() -> None:
    salts = {decode_event(raw).salt for raw in stored([NewEvent(topics=[("a",)])] * 100)}
    assert len(salts) == 100
