"""What the client sends of an append: refused as a log in this process refuses it; the events as they were given."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import NewEvent
from audit.client.appending import encode_events
from audit.log.prepare import prepare_call
from audit.model.errors import InvalidParameter, TooLarge
from audit.model.event import MAX_CALL_BYTES, MAX_EVENT_BYTES
from audit.protocol.messages import AppendParams
from tests.strategies import new_events


def _event(**members: Any) -> NewEvent:
    return NewEvent(**({"topics": [("a",)]} | members))


def _sent(events: list[NewEvent], key: str | None = None) -> AppendParams:
    return msgspec.json.decode(msgspec.json.encode(encode_events(events, key)), type=AppendParams)


def _refusal(call: Any, *arguments: Any, many: bool = True) -> str:
    with pytest.raises((InvalidParameter, TooLarge)) as caught:
        call(*arguments, many=many)
    return f"{type(caught.value).__name__} {caught.value}"


@given(st.lists(new_events, min_size=1, max_size=5))
def test_events_are_sent_as_they_are_and_each_with_a_key(events: list[NewEvent]) -> None:
    sent = _sent(events)
    given_keys = [event.idempotency_key for event in events]
    if any(given_keys):
        assert sent.idempotency_key is None
        assert all(event.idempotency_key for event in sent.events)
        assert len({event.idempotency_key for event in sent.events}) >= len(events) - given_keys.count(None)
    else:
        assert sent.idempotency_key is not None
        assert sent.idempotency_key != _sent(events).idempotency_key
    plain = [msgspec.structs.replace(event, idempotency_key=None) for event in sent.events]
    stored = [msgspec.structs.replace(event, idempotency_key=None) for event in events]
    assert prepare_call(plain, "k").fingerprint == prepare_call(stored, "k").fingerprint


def test_a_calls_own_key_is_sent() -> None:
    assert _sent([_event(), _event(data=1)], "mine").idempotency_key == "mine"


@pytest.mark.parametrize("many", [True, False])
@pytest.mark.parametrize(
    "members",
    [
        {"topics": []},
        {"topics": [("audit", "x")]},
        {"action": "\ud800"},
        {"data": {"a": "\ud800"}},
        {"data": {"a": b"bytes"}},
        {"data": float("nan")},
        {"context": {"a": 1}},
        {"idempotency_key": ""},
        {"data": "x" * MAX_EVENT_BYTES},
        {"data": "x" * (MAX_EVENT_BYTES - 100)},
        {"targets": [None]},
    ],
)
def test_what_a_log_refuses_is_not_sent(members: dict[str, Any], many: bool) -> None:
    events = [_event(), _event(**members)] if many else [_event(**members)]
    assert _refusal(encode_events, events, None, many=many) == _refusal(prepare_call, events, None, many=many)


@pytest.mark.parametrize(
    ("events", "key"),
    [
        ([], None),
        ("event", None),
        ([_event()] * 1_001, None),
        ([_event(data="x" * 60_000)] * (MAX_CALL_BYTES // 60_000 + 1), None),
        ([_event(idempotency_key="a")], "b"),
        ([_event()], ""),
        (["event"], None),
    ],
)
def test_a_call_that_a_log_refuses_is_not_sent(events: Any, key: str | None) -> None:
    assert _refusal(encode_events, events, key) == _refusal(prepare_call, events, key)


def test_what_is_just_small_enough_is_sent() -> None:
    room = MAX_EVENT_BYTES - prepare_call([_event(data="")]).size_bytes
    assert len(_sent([_event(data="x" * room)]).events[0].data) == room
    with pytest.raises(TooLarge, match="event"):
        encode_events([_event(data="x" * (room + 1))], None, many=False)
