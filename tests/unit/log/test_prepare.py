"""Preparing a call: what is good comes out encoded, what is bad is a typed error that names the parameter."""

from collections import deque
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from enum import Enum, StrEnum
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import Actor, InvalidParameter, NewEvent, Target, TooLarge
from audit.codec.events import decode_event
from audit.log.deciding import number_events
from audit.log.prepare import check_call, prepare_call, prepare_calls
from audit.log.problems import check_event
from audit.model.event import MAX_CALL_BYTES, MAX_EVENT_BYTES
from audit.testing import memory_log
from audit.testing.clock import START_MS
from tests.strategies import json_values, new_events

USER = Actor(type="user", id="u-1")


class Plain(str):  # noqa: SLOT000 - any subclass will do
    pass


class Word(StrEnum):
    SUCCESS = "success"
    OTHER = "other"


class Number(Enum):
    ONE = 1


class Moment(datetime):
    pass


def event(**members: Any) -> NewEvent:
    return NewEvent(**({"topics": [("a",)]} | members))


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


BAD: list[tuple[dict[str, Any], str]] = [
    ({"topics": []}, ".topics"),
    ({"topics": [()]}, ".topics[0]"),
    ({"topics": [("a",), ()]}, ".topics[1]"),
    ({"topics": [("a",)] * 17}, ".topics"),
    ({"topics": None}, ".topics"),
    ({"topics": "a"}, ".topics"),
    ({"topics": b"a"}, ".topics"),
    ({"topics": ("a", "b")}, ".topics[0]"),
    ({"topics": ["a/b"]}, ".topics[0]"),
    ({"topics": {("a",)}}, ".topics"),
    ({"topics": {"a": 1}}, ".topics"),
    ({"topics": 5}, ".topics"),
    ({"topics": [None]}, ".topics[0]"),
    ({"topics": [{"a"}]}, ".topics[0]"),
    ({"topics": [deque(["a"])]}, ".topics[0]"),
    ({"topics": [("a", "")]}, ".topics[0][1]"),
    ({"topics": [("x" * 129,)]}, ".topics[0][0]"),
    ({"topics": [("ä" * 65,)]}, ".topics[0][0]"),
    ({"topics": [("\u0958" * 22,)]}, ".topics[0][0]"),
    ({"topics": [("a",) * 17]}, ".topics[0]"),
    ({"topics": [("a/b",)]}, ".topics[0][0]"),
    ({"topics": [("a\0",)]}, ".topics[0][0]"),
    ({"topics": [("\ud800",)]}, ".topics[0][0]"),
    ({"topics": [("a", 1)]}, ".topics[0][1]"),
    ({"topics": [("a", ["b"])]}, ".topics[0][1]"),
    ({"topics": [("audit",)]}, ".topics[0]"),
    ({"topics": [("a",), ("audit", "anything")]}, ".topics[1]"),
    ({"action": ""}, ".action"),
    ({"action": "x" * 257}, ".action"),
    ({"action": "ä" * 129}, ".action"),
    ({"action": "\ud800"}, ".action"),
    ({"action": 5}, ".action"),
    ({"action": b"x"}, ".action"),
    ({"action": ["x"]}, ".action"),
    ({"outcome": "maybe"}, ".outcome"),
    ({"outcome": ""}, ".outcome"),
    ({"outcome": True}, ".outcome"),
    ({"outcome": []}, ".outcome"),
    ({"outcome": {}}, ".outcome"),
    ({"occurred_at": datetime(2026, 1, 1)}, ".occurred_at"),  # noqa: DTZ001 - the case
    ({"occurred_at": date(2026, 1, 1)}, ".occurred_at"),
    ({"occurred_at": "2026-01-01T00:00:00Z"}, ".occurred_at"),
    ({"occurred_at": 1_700_000_000_000}, ".occurred_at"),
    ({"occurred_at": datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))}, ".occurred_at"),
    ({"occurred_at": datetime.min.replace(tzinfo=timezone(timedelta(hours=1)))}, ".occurred_at"),
    ({"actor": {"type": "user", "id": "u"}}, ".actor"),
    ({"actor": "u"}, ".actor"),
    ({"actor": Target(type="user", id="u")}, ".actor"),
    ({"actor": Actor(type="", id="u")}, ".actor.type"),
    ({"actor": Actor(type="user", id="")}, ".actor.id"),
    ({"actor": Actor(type="user", id="x" * 257)}, ".actor.id"),
    ({"actor": Actor(type="user", id=5)}, ".actor.id"),  # type: ignore[arg-type]
    ({"actor": Actor(type="user", id=None)}, ".actor.id"),  # type: ignore[arg-type]
    ({"actor": Actor(type="user", id=["u"])}, ".actor.id"),  # type: ignore[arg-type]
    ({"actor": Actor(type="user", id="u", name="")}, ".actor.name"),
    ({"actor": Actor(type="user", id="u", name="\ud800")}, ".actor.name"),
    ({"actor": Actor}, ".actor"),
    ({"targets": None}, ".targets"),
    ({"targets": ""}, ".targets"),
    ({"targets": 0}, ".targets"),
    ({"targets": {}}, ".targets"),
    ({"targets": Target(type="vault", id="v")}, ".targets"),
    ({"targets": [{"type": "vault", "id": "v"}]}, ".targets[0]"),
    ({"targets": [Actor(type="vault", id="v")]}, ".targets[0]"),
    ({"targets": [Target(type="vault", id="v"), Target(type="vault", id="")]}, ".targets[1].id"),
    ({"targets": [Target(type="vault", id="v")] * 33}, ".targets"),
    ({"context": None}, ".context"),
    ({"context": []}, ".context"),
    ({"context": ""}, ".context"),
    ({"context": 0}, ".context"),
    ({"context": {"": "x"}}, ".context.''"),
    ({"context": {"ip": 5}}, ".context.ip"),
    ({"context": {"ip": None}}, ".context.ip"),
    ({"context": {5: "x"}}, ".context.5"),
    ({"context": {"ip": "x" * 1025}}, ".context.ip"),
    ({"context": {"ip": "\ud800"}}, ".context.ip"),
    ({"context": {str(n): "x" for n in range(33)}}, ".context"),
    ({"data": float("nan")}, ".data"),
    ({"data": float("inf")}, ".data"),
    ({"data": {"a": [1.0, float("-inf")]}}, ".data.a[1]"),
    ({"data": 2**64}, ".data"),
    ({"data": [-(2**63) - 1]}, ".data[0]"),
    ({"data": {"a": 2**64}}, ".data.a"),
    ({"data": "\ud800"}, ".data"),
    ({"data": ["ok", "\udfff"]}, ".data[1]"),
    ({"data": {"\ud800": 1}}, ".data"),
    ({"data": {"a": {5: 1}}}, ".data.a"),
    ({"data": {None: 1}}, ".data"),
    ({"data": b"bytes"}, ".data"),
    ({"data": bytearray(b"bytes")}, ".data"),
    ({"data": {"at": datetime(2026, 1, 1, tzinfo=UTC)}}, ".data.at"),
    ({"data": {"on": date(2026, 1, 1)}}, ".data.on"),
    ({"data": timedelta(1)}, ".data"),
    ({"data": {1, 2}}, ".data"),
    ({"data": 1j}, ".data"),
    ({"data": object()}, ".data"),
    ({"data": Number.ONE}, ".data"),
    ({"data": msgspec.Raw(b"NaN")}, ".data"),
    ({"data": USER}, ".data"),
    ({"data": nested(65)}, ".data" + "[0]" * 64),
    ({"data": nested(5_000)}, ".data" + "[0]" * 64),
    ({"idempotency_key": ""}, ".idempotency_key"),
    ({"idempotency_key": "x" * 257}, ".idempotency_key"),
    ({"idempotency_key": 5}, ".idempotency_key"),
    ({"idempotency_key": b"k"}, ".idempotency_key"),
    ({"idempotency_key": "\ud800"}, ".idempotency_key"),
]
ODD: list[dict[str, Any]] = [
    {"action": Plain("x")},
    {"action": Word.OTHER},
    {"outcome": Plain("success")},
    {"outcome": Word.SUCCESS},
    {"topics": [(Plain("plain"),)]},
    {"topics": [(Word.OTHER,)]},
    {"topics": (["a"], ["b"])},
    {"topics": [("a",), ("a",), ["a"]]},
    {"actor": Actor(type="user", id=Plain("u"))},
    {"actor": Actor(type="user", id=Word.OTHER)},
    {"targets": ()},
    {"targets": (Target(type="vault", id=Word.OTHER),)},
    {"context": {"ip": Plain("x")}},
    {"context": {Plain("ip"): "x"}},
    {"data": {"a": Plain("x")}},
    {"data": {Plain("a"): 1}},
    {"data": Word.OTHER},
    {"data": (1, 2)},
    {"data": nested(64)},
    {"data": [2**64 - 1, -(2**63), 1e308, -0.0, 5e-324]},
    {"data": "\0\u2028\U0010ffff"},
    {"occurred_at": Moment(2026, 1, 1, tzinfo=UTC)},
    {"occurred_at": datetime.max.replace(tzinfo=UTC)},
    {"occurred_at": datetime.min.replace(tzinfo=UTC)},
    {"occurred_at": datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=5, minutes=30, seconds=7)))},
    {"idempotency_key": Plain("k")},
    {"topics": [("audit ",)]},
    {"topics": [("AUDIT",)]},
    {"topics": [("a", "audit")]},
]
# Equal to values that are wrong in type only: a cache that knows these may not stand in for the check.
SEEN = [
    event(action="x"),
    event(action="other", actor=Actor(type="user", id="other"), targets=[Target(type="vault", id="other")]),
    event(outcome="success", actor=Actor(type="user", id="u"), topics=[("plain",)]),
    event(topics=[("other",)]),
]


@pytest.mark.parametrize(("members", "parameter"), BAD)
@pytest.mark.parametrize("many", [True, False])
def test_a_bad_event_is_refused_by_the_name_of_its_member(members: dict[str, Any], parameter: str, many: bool) -> None:
    events = [event(), event(**members)] if many else [event(**members)]
    with pytest.raises(InvalidParameter) as caught:
        prepare_call(events, many=many)
    assert caught.value.parameter == ("events[1]" if many else "event") + parameter
    assert type(caught.value) is InvalidParameter
    assert "can't be encoded" not in caught.value.problem


def test_a_bad_event_writes_nothing_of_its_call() -> None:
    with memory_log() as log:
        for members, _ in BAD:
            with pytest.raises(InvalidParameter):
                log.append(event(**members))
            with pytest.raises(InvalidParameter):
                log.append_many([event(), event(**members)])
            with pytest.raises(InvalidParameter):
                log.append_nowait(event(**members))
        assert log.info().size == 0
        assert log.append(event()).index == 0


@pytest.mark.parametrize("members", [*(members for members, _ in BAD), *ODD])
@pytest.mark.parametrize("seen", [False, True])
def test_what_the_quick_check_refuses_the_slow_one_explains_and_the_other_way_round(
    members: dict[str, Any], seen: bool
) -> None:
    if seen:
        prepare_call(SEEN)
    agree(event(**members), lenient=seen and bool(members.keys() & {"topics", "actor", "targets"}))


def refusal(check: Callable[[], object]) -> str | None:
    try:
        check()
    except InvalidParameter as error:
        return str(error)
    return None


def agree(given_event: NewEvent, *, lenient: bool = False) -> None:
    """Assert that both checks say the same, and that what the quick one lets through can be read back.

    Args:
        given_event: Any event.
        lenient: Whether the quick check may also let an equal of something it has seen through.
    """
    problem = refusal(lambda: check_event(given_event, "events[0]"))
    refused = refusal(lambda: prepare_call([given_event]))
    assert refused == problem or (lenient and refused is None and "plain string" in str(problem))
    if refused is not None:
        return
    call = prepare_call([given_event])
    (raw,) = number_events(call.events, 0, -1, START_MS, lambda bits: 0).events
    assert len(raw) <= min(call.size_bytes, MAX_EVENT_BYTES)
    found = decode_event(raw)
    assert given_event.data in (found.data, (1, 2))
    assert found.context == given_event.context
    assert found.actor == given_event.actor
    assert found.targets == list(given_event.targets)


@given(new_events)
def test_every_event_within_the_bounds_is_taken(some: NewEvent) -> None:
    if any(topic[0] == "audit" for topic in some.topics):
        return
    check_event(some, "event")
    agree(some)


@given(
    st.recursive(json_values | st.sampled_from([float("nan"), 2**64, b"x", "\ud800", object()]), st.lists, max_leaves=4)
)
def test_both_checks_agree_on_any_data(value: Any) -> None:
    agree(event(data=value))


@given(
    st.sampled_from([b"x", "ä".encode(), b"\\", b"\x01", "\u0958".encode()]),
    st.integers(-40, 40),
    st.sampled_from(
        [
            {},
            {"topics": [("\u0958" * 21,) * 16] * 3},
            {"topics": [("a\u0308" * 40, "b")] * 16},
            {"occurred_at": datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=5)))},
            {"idempotency_key": "k" * 256},
            {"context": {"request_id": "r" * 1000}, "actor": USER, "outcome": "success"},
        ]
    ),
)
def test_both_checks_agree_around_64_kib(letter: bytes, over: int, members: dict[str, Any]) -> None:
    text = letter.decode()
    width = len(msgspec.json.encode(text)) - 2
    bare = prepare_call([event(**members, data="")]).size_bytes
    fits = event(**members, data=text * ((MAX_EVENT_BYTES - bare) // width + min(over, 0)))
    agree(fits)
    prepare_call([fits])
    large = event(**members, data=text * ((MAX_EVENT_BYTES - bare) // width + max(over, 1)))
    agree(large)
    with pytest.raises(TooLarge, match=r"at most 65536 bytes encoded, has 6[56]\d\d\d$") as caught:
        prepare_call([large])
    assert caught.value.parameter == "events[0]"
    assert int(caught.value.problem.split()[-1]) > MAX_EVENT_BYTES


@pytest.mark.parametrize("events", ["abc", b"abc", None, 5, event(), {event().action: 1}, iter([event()])])
def test_what_is_no_list_of_events_is_refused(events: Any) -> None:
    with pytest.raises(InvalidParameter, match=r"^events: must be a list"):
        prepare_call(events)


@pytest.mark.parametrize("wrong", [None, "x", {"topics": [["a"]]}, NewEvent, decode_event, 5])
def test_what_is_no_event_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidParameter, match=r"^events\[1\]: must be a NewEvent"):
        prepare_call([event(), wrong])


def test_a_call_has_1_to_1000_events_and_4_mib() -> None:
    assert len(prepare_call([event()] * 1_000).events) == 1_000
    with pytest.raises(TooLarge, match=r"^events: must hold 1-1000 events, holds 1001"):
        prepare_call([event()] * 1_001)
    with pytest.raises(InvalidParameter, match=r"^events: .*holds none"):
        prepare_call([])
    large = event(data="x" * 60_000)
    each = prepare_call([large]).size_bytes
    fitting = MAX_CALL_BYTES // each
    assert prepare_call([large] * fitting).size_bytes == fitting * each
    with pytest.raises(TooLarge, match=r"^events: must have at most 4194304 bytes"):
        prepare_call([large] * (fitting + 1))


@pytest.mark.parametrize("key", ["", "x" * 257, 5, b"k", "\ud800", ["k"], False])
def test_a_bad_key_of_a_call_is_refused_by_name(key: Any) -> None:
    with pytest.raises(InvalidParameter, match=r"^idempotency_key: "):
        prepare_call([event()], key)


def test_a_call_has_one_key_or_one_for_each_event() -> None:
    with pytest.raises(InvalidParameter, match=r"^idempotency_key: .*not both"):
        prepare_call([event(), event(idempotency_key="k")], "call")


@given(new_events, new_events)
def test_a_fingerprint_is_of_the_request_as_sent(one: NewEvent, other: NewEvent) -> None:
    def prints(*events: NewEvent) -> bytes:
        return prepare_call(events, "key").fingerprint

    def own(given_event: NewEvent) -> bytes:
        return prepare_call([msgspec.structs.replace(given_event, idempotency_key="key")]).events[0].fingerprint

    assert prints(one) == prints(one)
    assert own(one) == own(one)
    assert prints(one, other) == prints(one, other)
    same = one == other
    if not same and one.occurred_at == other.occurred_at:
        assert (prints(one) == prints(other)) == (own(one) == own(other))
    assert prints(one) != prints(one, one)
    changed = msgspec.structs.replace(one, data=[one.data])
    assert own(changed) != own(one)
    assert prints(changed) != prints(one)


@given(st.lists(st.tuples(st.lists(new_events, min_size=1, max_size=3), st.none()), max_size=4), st.data())
def test_calls_prepared_together_are_those_prepared_one_by_one(calls: list[Any], data: st.DataObject) -> None:
    calls = [
        (events, None if any(one.idempotency_key for one in events) else key)
        for (events, _), key in zip(calls, "abcdef", strict=False)
    ]
    wrong = data.draw(st.none() | st.integers(0, len(calls)))
    if wrong is not None:
        calls.insert(wrong, ([event(), event(topics=[])], None))
    together = prepare_calls(calls)
    assert len(together) == len(calls)
    for (events, key), found in zip(calls, together, strict=True):
        if isinstance(found, InvalidParameter):
            assert refusal(lambda: prepare_call(events, key)) == str(found) != ""  # noqa: B023 - called at once
            continue
        assert not isinstance(found, Exception)
        alone = prepare_call(events, key)
        assert (found.key, found.fingerprint, found.keyed) == (alone.key, alone.fingerprint, alone.keyed)
        assert (found.size_bytes, found.many) == (alone.size_bytes, alone.many)
        for one, same in zip(found.events, alone.events, strict=True):
            assert (one.terms, one.key, one.fingerprint) == (same.terms, same.key, same.fingerprint)
            assert len(one.body) == len(same.body)


@pytest.mark.parametrize("members", [members for members, _ in BAD])
def test_a_check_alone_refuses_what_preparing_refuses_but_for_its_text(members: dict[str, Any]) -> None:
    events = [event(), event(**members)]
    found = refusal(lambda: check_call(events))
    assert found is None or found == refusal(lambda: prepare_call(events))
    assert found is not None or "\\ud" in ascii(members)


def test_keys_of_calls_and_of_events_are_kept_apart() -> None:
    call = prepare_call([event()], "k")
    single = prepare_call([event(idempotency_key="k")])
    assert call.key is not None
    assert call.key != single.events[0].key
    assert call.key == prepare_call([event(data=1)], "k").key
    assert call.keyed
    assert single.keyed
    assert not prepare_call([event()]).keyed


def test_the_logs_own_topics_are_for_the_log() -> None:
    assert prepare_call([event(topics=[("audit", "rejected")])], internal=True).events
