"""The server's session: what a frame means, what is answered, and what closes the connection."""

import json
from collections.abc import Callable
from typing import Any, Final

import pytest

from audit import NewEvent
from audit.model.errors import InvalidParameter, NotFound, Overloaded, ProtocolViolation
from audit.protocol.frames import batch_tail, encode_request
from audit.protocol.limits import CloseCode, Limits
from audit.protocol.messages import AppendParams, GetParams, InfoParams, ListParams
from audit.protocol.server import Broken, Call, CreditGranted, Refused, ServerSession

_INFO: Final = b'{"jsonrpc":"2.0","id":1,"method":"server.info"}'


def _session(**limits: int) -> ServerSession:
    return ServerSession(Limits(**limits))


def _error(event: object) -> tuple[Any, int, str, dict[str, Any]]:
    """Return id, number and message of an error, and its data."""
    frame = event.frame if isinstance(event, (Refused, Broken)) else event
    assert isinstance(frame, bytes)
    message = json.loads(frame)
    assert set(message) == {"jsonrpc", "id", "error"}
    error = message["error"]
    assert set(error) == {"code", "message", "data"}
    return message["id"], error["code"], error["message"], error["data"]


def _credit(name: object, events: object) -> bytes:
    return encode_request("subscription.credit", None, {"subscription": name, "events": events})


def _subscribed(session: ServerSession, credit: int = 5) -> str:
    session.receive(encode_request("events.subscribe", 1, {}))
    name = session.subscribe(credit)
    session.subscribed(1, name)
    return name


# Requests


@pytest.mark.parametrize("request_id", [0, 2**53, 2**70, -1, "a"])
@pytest.mark.parametrize("head", [b'{"jsonrpc":"2.0",', b'{"jsonrpc":"2.0"  ,' + b" " * 100])
def test_an_append_is_the_same_call_however_it_is_written(request_id: Any, head: bytes) -> None:
    session = _session(requests=1)
    params = AppendParams(events=[NewEvent(topics=[("a", "b")], data={"n": 1})], idempotency_key="k")
    usual = b'{"jsonrpc":"2.0",'
    frame = head + encode_request("events.append", request_id, params).removeprefix(usual)
    assert session.receive(frame) == Call(request_id, "events.append", params)
    assert session.in_flight == 1
    number, _, message, _ = _error(session.receive(frame))
    assert (number, "in flight already" in message) == (None, True)
    assert _error(session.receive(encode_request("events.append", 7, params)))[3]["code"] == "overloaded"
    assert session.in_flight == 1


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (b'"topics"', b'"topic"', "events[0].topic"),
        (b'"2.0"', b'"1.0"', "jsonrpc"),
        (b'"params"', b'"parms"', "parms"),
        (b'[["a"]]', b"[[1]]", "events[0].topics[0][0]"),
    ],
)
def test_what_is_wrong_with_an_append_is_named(old: bytes, new: bytes, told: str) -> None:
    session = _session()
    frame = encode_request("events.append", 3, AppendParams(events=[NewEvent(topics=[("a",)])]))
    assert told in _error(session.receive(frame.replace(old, new)))[2]
    assert session.in_flight == 0


@pytest.mark.parametrize("request_id", [0, -5, 2**70, "", "a", "ä"])
def test_a_request_is_a_call_and_its_answer_has_its_id(request_id: Any) -> None:
    session = _session()
    call = session.receive(encode_request("events.get", request_id, {"id": "x"}))
    assert call == Call(request_id, "events.get", GetParams(id="x"))
    assert session.in_flight == 1
    assert json.loads(session.result(request_id, b'{"a":1}')) == {
        "jsonrpc": "2.0",
        "id": request_id,
        "result": {"a": 1},
    }
    assert session.in_flight == 0


def test_params_may_be_left_out() -> None:
    assert _session().receive(_INFO) == Call(1, "server.info", InfoParams())
    assert _session().receive(_INFO.replace(b"server.info", b"events.list")) == Call(1, "events.list", ListParams())


def test_of_duplicate_members_the_last_wins() -> None:
    frame = b'{"jsonrpc":"2.0","id":1,"id":2,"method":"events.get","params":{"id":"a","id":"b"}}'
    assert _session().receive(frame) == Call(2, "events.get", GetParams(id="b"))


def test_a_failure_is_told_and_the_request_is_over() -> None:
    session = _session()
    session.receive(_INFO)
    frame = session.failure(1, InvalidParameter("limit", "must be an integer of 1-1000, got 0"))
    assert _error(frame) == (
        1,
        -32602,
        "limit: must be an integer of 1-1000, got 0",
        {"code": "invalid_params", "retryable": False, "parameter": "limit"},
    )
    assert session.in_flight == 0


def test_an_id_may_be_used_again_once_it_is_answered() -> None:
    session = _session()
    assert isinstance(session.receive(_INFO), Call)
    session.result(1, b"{}")
    assert isinstance(session.receive(_INFO), Call)


def test_an_id_in_flight_is_refused_without_that_id() -> None:
    session = _session()
    session.receive(_INFO)
    # With it, the error would pass for the answer to the first request.
    assert _error(session.receive(_INFO)) == (
        None,
        -32600,
        "a request with the id 1 is in flight already",
        {"code": "invalid_request", "retryable": False},
    )
    assert _error(session.receive(_INFO.replace(b"server.info", b"no.such")))[0] is None
    assert _error(session.receive(_INFO.replace(b"method", b"methods")))[0] is None
    assert session.in_flight == 1


def test_a_number_and_a_string_are_different_ids() -> None:
    session = _session()
    assert isinstance(session.receive(_INFO), Call)
    assert isinstance(session.receive(_INFO.replace(b'"id":1', b'"id":"1"')), Call)


def test_requests_in_flight_are_bounded() -> None:
    session = _session(requests=2)
    for number in range(2):
        assert isinstance(session.receive(encode_request("server.info", number, {})), Call)
    told = _error(session.receive(encode_request("server.info", 2, {})))
    assert told[:2] == (2, -32006)
    assert told[3] == {"code": "overloaded", "retryable": True}
    session.result(0, b"{}")
    assert isinstance(session.receive(encode_request("server.info", 2, {})), Call)


@pytest.mark.parametrize(
    ("frame", "told", "number", "word"),
    [
        (b"[]", None, -32600, "batches are not taken"),
        (b"{}", None, -32600, "jsonrpc"),
        (b'{"jsonrpc":"2.0","id":3}', 3, -32600, "method is missing"),
        (b'{"jsonrpc":"2.0","id":3,"result":{}}', 3, -32600, "result: is unknown"),
        (b'{"jsonrpc":"2.0","id":3,"error":{}}', 3, -32600, "error: is unknown"),
        (b'{"jsonrpc":"2.0","id":3,"method":"server.info","param":{}}', 3, -32600, "param: is unknown"),
        (b'{"jsonrpc":"2.0","id":3,"method":["server.info"]}', 3, -32600, "method: expected"),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"server.info"}', None, -32600, "an id must be"),
        (b'{"jsonrpc":"2.0","id":null,"method":"server.info"}', None, -32600, "an id must be"),
        (b'{"jsonrpc":"2.0","id":"%s","method":"server.info"}' % (b"x" * 300), None, -32600, "at most 256 bytes"),
        (b'{"jsonrpc":"2.0","id":3,"method":"no.such"}', 3, -32601, "no method 'no.such'"),
        (b'{"jsonrpc":"2.0","method":"no.such"}', None, -32601, "no method 'no.such'"),
        (b'{"jsonrpc":"2.0","id":3,"method":"events.batch","params":{}}', 3, -32601, "no method 'events.batch'"),
        (b'{"jsonrpc":"2.0","method":"events.append","params":{"events":[]}}', None, -32600, "needs an id"),
        (b'{"jsonrpc":"2.0","id":3,"method":"subscription.credit","params":{}}', 3, -32600, "is a notification"),
        (b'{"jsonrpc":"2.0","id":3,"method":"events.get","params":["x"]}', 3, -32602, "params: expected `object`"),
        (b'{"jsonrpc":"2.0","id":3,"method":"events.get","params":{"id":1}}', 3, -32602, "id: expected `str`"),
    ],
)
def test_a_bad_request_is_answered_and_the_connection_goes_on(frame: bytes, told: Any, number: int, word: str) -> None:
    session = _session()
    refused = session.receive(frame)
    assert isinstance(refused, Refused)
    found, code, message, _ = _error(refused)
    assert (found, code) == (told, number)
    assert word in message
    assert session.in_flight == 0
    assert isinstance(session.receive(_INFO), Call)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"{",
        b"hello",
        b'{"jsonrpc":"2.0"',
        b'{"a":NaN}',
        b'{"a":"\\ud800"}',
        b"{" * 9,
        b'{"a":' * 99_999 + b"1" + b"}" * 99_999,
    ],
    ids=lambda frame: repr(frame[:12]),
)
def test_what_is_no_json_is_told_and_closes_the_connection(frame: bytes) -> None:
    broken = _session().receive(frame)
    assert isinstance(broken, Broken)
    assert broken.code == CloseCode.BAD_FRAME
    assert _error(broken)[:2] == (None, -32700)
    assert _error(broken)[3] == {"code": "parse_error", "retryable": False}


@pytest.mark.parametrize(
    "frame",
    [
        b'{"jsonrpc":"2.0","id":1,"method":"\xff"}',
        b'{"jsonrpc":"2.0","id":"\xff","method":"server.info"}',
        b'{"jsonrpc":"2.0","id":3,"method":"events.get","params":{"id":"\xff"}}',
        b'{"jsonrpc":"2.0","id":3,"method":"events.get","params":{"\xed\xa0\x80":1}}',
        b'{"jsonrpc":"2.0","method":"subscription.credit","params":{"subscription":"\xff","events":1}}',
        b"\xff",
    ],
)
def test_text_that_is_no_utf8_closes_the_connection_wherever_it_is(frame: bytes) -> None:
    assert _session().receive(frame) == Broken(None, CloseCode.BAD_TEXT, "text must be valid UTF-8")


def test_text_beyond_ascii_is_read() -> None:
    text = '{"jsonrpc":"2.0","id":"ä€😀","method":"server.info"}'
    assert isinstance(_session().receive(text.encode()), Call)


@pytest.mark.parametrize("data", [b"", b"\x00\xff", _INFO])
def test_a_binary_frame_closes_the_connection(data: bytes) -> None:
    broken = _session().receive(data, text=False)
    assert broken == Broken(None, CloseCode.BAD_FRAME, "frames must be text")


def test_an_answer_to_a_bad_request_is_small() -> None:
    name = b"x" * 3_000_000
    for frame in (
        b'{"jsonrpc":"2.0","id":1,"method":"%s"}' % name,
        b'{"jsonrpc":"2.0","id":1,"method":"events.list","params":{"%s":1}}' % name,
        b'{"jsonrpc":"2.0","id":1,"method":"events.list","params":{"order":"%s"}}' % name,
        b'{"jsonrpc":"2.0","id":1,"%s":1}' % name,
    ):
        refused = _session().receive(frame)
        assert isinstance(refused, Refused)
        assert len(refused.frame) < 1_000


# Subscriptions


def test_subscriptions_are_named_apart_and_bounded() -> None:
    session = _session(subscriptions=2)
    names = {session.subscribe(0), session.subscribe(0)}
    assert len(names) == session.subscriptions == 2
    with pytest.raises(Overloaded, match="2 subscriptions already"):
        session.subscribe(0)
    session.cancel(names.pop())
    assert session.subscribe(0) not in names


@pytest.mark.parametrize("credit", [-1, 11])
def test_a_first_credit_out_of_bounds_is_named(credit: int) -> None:
    session = _session(credit=10)
    with pytest.raises(InvalidParameter) as caught:
        session.subscribe(credit)
    assert (caught.value.parameter, caught.value.problem) == ("credit", f"must be 0-10, got {credit}")
    assert session.subscriptions == 0


def test_credit_adds_up_and_batches_use_it() -> None:
    session = _session()
    name = _subscribed(session, 5)
    assert session.receive(_credit(name, 3)) == CreditGranted(name)
    assert session.credit(name) == 8
    frame = json.loads(session.batch(name, 8, batch_tail([b"1"] * 8, "c")))
    assert frame["params"] == {"subscription": name, "cursor": "c", "events": [1] * 8}
    assert session.credit(name) == 0
    with pytest.raises(ProtocolViolation, match="1 events exceed the credit of subscription 1 by 1"):
        session.batch(name, 1, batch_tail([b"1"], "c"))
    assert session.receive(_credit(name, 0)) == CreditGranted(name)


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"subscription": "1", "events": -1}, "events: must be at least 0, got -1"),
        ({"subscription": "1", "events": 6}, "events: brings the credit to 11, it must be at most 10"),
        (
            {"subscription": "1", "events": 2**63},
            "events: brings the credit to 9223372036854775813, it must be at most 10",
        ),
        ({"subscription": "1", "events": 10**30}, "events: "),
        ({"subscription": "1", "events": "5"}, "events: expected `int`, got `str`"),
        ({"subscription": "1", "events": 5.0}, "events: expected `int`, got `float`"),
        ({"subscription": "1", "events": True}, "events: expected `int`, got `bool`"),
        ({"subscription": "1"}, "events: is missing"),
        ({"subscription": 1, "events": 5}, "subscription: expected `str`, got `int`"),
        ({"subscription": "1", "events": 5, "more": 1}, "more: is unknown"),
        ({"subscription": "2", "events": 5}, "no subscription '2' on this connection"),
        ({"subscription": "01", "events": 5}, "no subscription '01' on this connection"),
        ({"subscription": "0", "events": 5}, "no subscription '0' on this connection"),
        ({"subscription": "-1", "events": 5}, "no subscription '-1' on this connection"),
        ({"subscription": "\u00b9", "events": 5}, "no subscription '\u00b9' on this connection"),
        ({"subscription": "", "events": 5}, "no subscription '' on this connection"),
        ({"subscription": "1" * 9_999, "events": 5}, "no subscription '11111"),
        ({"subscription": "x" * 999, "events": 5}, f"no subscription '{'x' * 40}' on this connection"),
        ([], "params: expected `object`, got `array`"),
    ],
    ids=str,
)
def test_a_bad_grant_closes_the_connection(params: Any, reason: str) -> None:
    # Nobody waits for an answer to a notification, and a count that one side alone believes in would stall the other.
    session = _session(credit=10)
    name = _subscribed(session, 5)
    frame = json.dumps({"jsonrpc": "2.0", "method": "subscription.credit", "params": params}).encode()
    broken = session.receive(frame)
    assert isinstance(broken, Broken)
    assert (broken.frame, broken.code) == (None, CloseCode.BAD_FRAME)
    assert broken.reason.startswith(reason)
    assert session.credit(name) == 5


@pytest.mark.parametrize("name", ["x", "ä", "\U0001f600", "\\", "\n"])
def test_the_reason_of_a_close_fits_into_its_frame(name: str) -> None:
    broken = _session().receive(encode_request("subscription.credit", None, {name * 500: 1}))
    assert isinstance(broken, Broken)
    assert 0 < len(broken.reason.encode()) <= 123


@pytest.mark.parametrize("over", ["end", "cancel"])
def test_a_grant_that_crossed_the_end_is_no_mistake(over: str) -> None:
    session = _session()
    name = _subscribed(session)
    if over == "end":
        session.end(name, "c", "limit")
    else:
        session.cancel(name)
    assert session.receive(_credit(name, 3)) is None
    assert session.credit(name) == 0
    assert not session.is_open(name)


def test_nothing_of_a_subscription_precedes_its_result() -> None:
    session = _session()
    session.receive(encode_request("events.subscribe", 1, {}))
    name = session.subscribe(5)
    frames: list[Callable[[], bytes]] = [
        lambda: session.batch(name, 1, batch_tail([b"1"], "c")),
        lambda: session.note("events.caught_up", name, "c"),
        lambda: session.end(name, "c", "shutdown"),
    ]
    for frame in frames:
        with pytest.raises(ProtocolViolation, match="not known to the client yet"):
            frame()
    assert json.loads(session.subscribed(1, name))["result"] == {"subscription": name}
    assert session.in_flight == 0
    session.batch(name, 1, batch_tail([b"1"], "c"))


@pytest.mark.parametrize("over", ["end", "cancel"])
def test_nothing_of_a_subscription_follows_its_end(over: str) -> None:
    session = _session()
    name = _subscribed(session)
    if over == "end":
        session.end(name, "c", "limit")
    else:
        session.cancel(name)
    assert session.subscriptions == 0
    frames: list[Callable[[], bytes]] = [
        lambda: session.batch(name, 0, batch_tail([], "c")),
        lambda: session.note("events.progress", name, "c"),
        lambda: session.end(name, "c", "limit"),
    ]
    for frame in frames:
        with pytest.raises(ProtocolViolation, match="has ended"):
            frame()
    with pytest.raises(NotFound, match=f"no subscription '{name}' on this connection"):
        session.cancel(name)


def test_an_end_tells_its_reason_and_its_error() -> None:
    session = _session()
    plain = json.loads(session.end(_subscribed(session), "c1", "seek_end"))
    assert plain == {
        "jsonrpc": "2.0",
        "method": "events.end",
        "params": {"subscription": "1", "cursor": "c1", "reason": "seek_end"},
    }
    failed = json.loads(session.end(_subscribed(session), "c2", "error", NotFound("gone")))["params"]
    assert failed["error"] == {"code": -32003, "message": "gone", "data": {"code": "not_found", "retryable": False}}
