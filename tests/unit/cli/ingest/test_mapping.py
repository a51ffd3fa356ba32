import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.cli.ingest.lines import Line
from audit.cli.ingest.mapping import BadLine, decode_object, events_as_given, keyed, objects_under
from audit.model.event import NewEvent

TOPIC = ("node", "connection")


def key_of(line: Line, identity: str = "/var/log/app.jsonl") -> str:
    key = keyed(objects_under([TOPIC]), identity)(line).idempotency_key
    assert key is not None
    return key


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"{} {}", "is not JSON"),
        (b'{"a":NaN}', "is not JSON"),
        (b'{"a":1e400}', "out of range"),
        (b'{"a":"\xff"}', "is not valid UTF-8"),
        (b'{"a":"\\ud800"}', "is not JSON"),
        (b"[" * 100_000, "is nested too deeply"),
        (b"[]", "must be a JSON object, is an array"),
        (b"3", "must be a JSON object, is a number"),
        (b"true", "must be a JSON object, is a boolean"),
        (b"null", "must be a JSON object, is null"),
    ],
)
def test_line_that_is_no_object_is_bad(text: bytes, problem: str) -> None:
    with pytest.raises(BadLine, match=problem):
        decode_object(text)


@given(st.binary(max_size=64))
def test_no_bytes_raise_anything_but_bad_line(text: bytes) -> None:
    for mapping in (events_as_given, objects_under([TOPIC])):
        with contextlib.suppress(BadLine):
            assert isinstance(mapping(Line(1, text)), NewEvent)


def test_of_duplicate_keys_the_last_wins() -> None:
    assert decode_object(b'{"a":1,"a":2}') == {"a": 2}


def test_line_that_is_a_new_event_is_taken_as_given() -> None:
    event = events_as_given(Line(1, b'{"topics":[["a","b"]],"action":"x","idempotency_key":"k"}'))
    assert event == NewEvent(topics=[("a", "b")], action="x", idempotency_key="k")


def test_unknown_member_of_an_event_is_named() -> None:
    with pytest.raises(BadLine, match="unknown field `acton`"):
        events_as_given(Line(1, b'{"topics":[["a"]],"acton":"x"}'))


def test_any_object_goes_under_the_topics_as_data() -> None:
    event = objects_under([TOPIC, ("x",)])(Line(1, b'{"topics":1}'))
    assert event == NewEvent(topics=[TOPIC, ("x",)], data={"topics": 1})


def test_key_is_the_same_for_the_same_line_of_the_same_source() -> None:
    assert key_of(Line(7, b"{}")) == key_of(Line(7, b"{}"))


def test_key_differs_by_line_text_and_source() -> None:
    keys = [
        key_of(Line(7, b"{}")),
        key_of(Line(8, b"{}")),
        key_of(Line(7, b"{ }")),
        key_of(Line(7, b"{}"), "/var/log/other.jsonl"),
    ]
    assert len(set(keys)) == len(keys)


def test_key_that_an_event_brings_is_kept() -> None:
    event = keyed(events_as_given, "file")(Line(1, b'{"topics":[["a"]],"idempotency_key":"mine"}'))
    assert event.idempotency_key == "mine"
