"""Frames: what is encoded reads as JSON of the documented shape, and what is decoded names what is wrong."""

import json
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import Event, InvalidParameter, ProtocolViolation
from audit.protocol.frames import (
    RequestId,
    batch_tail,
    decode_contents,
    decode_envelope,
    decode_request,
    encode,
    encode_batch,
    encode_end,
    encode_failure,
    encode_metric,
    encode_note,
    encode_page,
    encode_request,
    encode_result,
    find_id,
    metric_head,
    metric_tail,
    request_id,
)
from audit.protocol.limits import MAX_ID_BYTES
from audit.protocol.messages import (
    AppendParams,
    BatchNote,
    CaughtUpNote,
    EndNote,
    GetParams,
    ListParams,
    ListResult,
    WireError,
)
from audit.protocol.metricmessages import UpdateNote
from tests.unit.protocol.structs import structs

_ids: Final = st.one_of(st.integers(-(2**63), 2**64), st.text(max_size=20))
_cursors: Final = st.from_regex(r"[A-Za-z0-9_-]{0,80}", fullmatch=True)
_events: Final = st.lists(structs(Event), max_size=3)


@given(_ids, structs(ListParams))
def test_a_request_comes_back_as_it_was(request: RequestId, params: ListParams) -> None:
    envelope = decode_request(encode_request("events.list", request, params))
    assert request_id(envelope) == request
    assert envelope.method == "events.list"
    assert decode_contents(envelope.params, ListParams) == params


def test_a_notification_has_no_id() -> None:
    frame = encode_request("subscription.credit", None, {"subscription": "1", "events": 5})
    assert json.loads(frame) == {
        "jsonrpc": "2.0",
        "method": "subscription.credit",
        "params": {"subscription": "1", "events": 5},
    }
    assert request_id(decode_request(frame)) is None


@given(_ids, _cursors, st.booleans(), _events)
def test_a_page_of_stored_bytes_is_the_page(
    request: RequestId, cursor: str, has_more: bool, events: list[Event]
) -> None:
    page = encode_page([encode(event) for event in events], cursor, has_more=has_more)
    envelope = decode_envelope(encode_result(request, page))
    assert request_id(envelope) == request
    assert decode_contents(envelope.result, ListResult) == ListResult(cursor=cursor, has_more=has_more, events=events)
    assert page == encode(ListResult(cursor=cursor, has_more=has_more, events=events))


@given(_cursors, _events)
def test_a_batch_of_stored_bytes_is_the_batch(cursor: str, events: list[Event]) -> None:
    frame = encode_batch("7", batch_tail([encode(event) for event in events], cursor))
    envelope = decode_envelope(frame)
    note = decode_contents(envelope.params, BatchNote)
    assert (envelope.method, note) == ("events.batch", BatchNote(subscription="7", cursor=cursor, events=events))
    assert frame == encode_request("events.batch", None, note)


@given(_cursors)
def test_a_note_is_the_struct(cursor: str) -> None:
    frame = encode_note("events.caught_up", "7", cursor)
    assert frame == encode_request("events.caught_up", None, CaughtUpNote(subscription="7", cursor=cursor))


@given(structs(EndNote), st.sampled_from(["events.end", "metrics.end"]))
def test_an_end_is_the_struct(note: EndNote, method: str) -> None:
    assert encode_end(method, note) == encode_request(method, None, note)


@given(structs(UpdateNote), _cursors)
def test_a_metric_s_update_of_parts_is_the_struct(note: UpdateNote, cursor: str) -> None:
    since = None if note.since is None else encode(note.since)
    head = metric_head(cursor, encode(note.as_of), encode(note.total))
    tail = metric_tail([encode(window) for window in note.windows], since=since, whole=note.all)
    frame = encode_metric("metrics.update", "7", head + tail)
    expected = msgspec.structs.replace(note, subscription="7", cursor=cursor)
    assert decode_contents(decode_envelope(frame).params, UpdateNote) == expected


@given(st.none() | _ids, structs(WireError))
def test_a_failure_comes_back_as_it_was(request: RequestId | None, error: WireError) -> None:
    envelope = decode_envelope(encode_failure(request, error))
    assert json.loads(bytes(envelope.id)) == request
    assert decode_contents(envelope.error, WireError) == error


@pytest.mark.parametrize(
    ("frame", "problem"),
    [
        (b"[]", "batches are not taken: send many events in one events.append"),
        (b" \n[{}", "batches are not taken: send many events in one events.append"),
        (b"7", "no message of JSON-RPC 2.0: expected `object`, got `int`"),
        (b'"x"', "no message of JSON-RPC 2.0: expected `object`, got `str`"),
        (b"null", "no message of JSON-RPC 2.0: expected `object`, got `null`"),
        (b"{}", 'jsonrpc must be "2.0"'),
        (b'{"jsonrpc":"1.0","id":1,"method":"server.info"}', 'jsonrpc must be "2.0"'),
        (
            b'{"jsonrpc":2,"id":1,"method":"server.info"}',
            "no message of JSON-RPC 2.0: jsonrpc: expected `str`, got `int`",
        ),
        (
            b'{"jsonrpc":"2.0","id":1,"method":7}',
            "no message of JSON-RPC 2.0: method: expected `str | null`, got `int`",
        ),
        (b'{"jsonrpc":"2.0","id":1,"method":"m","param":{}}', "no message of JSON-RPC 2.0: param: is unknown"),
        (b'{"jsonrpc":"2.0","id":1,"result":{}}', "no message of JSON-RPC 2.0: result: is unknown"),
    ],
)
def test_json_that_is_no_request_is_a_violation(frame: bytes, problem: str) -> None:
    with pytest.raises(ProtocolViolation) as caught:
        decode_request(frame)
    assert str(caught.value) == problem


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"  ",
        b"{",
        b"hello",
        b"{'jsonrpc':'2.0'}",
        b'{"jsonrpc":"2.0"} {}',
        b'\xef\xbb\xbf{"jsonrpc":"2.0"}',
        b'{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":NaN}}',
        b'{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":Infinity}}',
        b'{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":01}}',
        b'{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":"\\x"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"m","params":{"a":"\\ud800"}}',
        b'{"jsonrpc":"2.0","id":1,"method":"m","params":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_what_is_no_json_is_told_from_what_is_no_request(frame: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_request(frame)


@pytest.mark.parametrize("value", ["1.0", "1e3", "true", "null", "{}", "[1]"])
def test_an_id_of_another_type_is_a_violation(value: str) -> None:
    with pytest.raises(ProtocolViolation, match="an id must be a string or an integer"):
        request_id(decode_request(b'{"jsonrpc":"2.0","id":' + value.encode() + b',"method":"m"}'))


def test_an_id_that_is_no_utf8_is_a_violation() -> None:
    with pytest.raises(ProtocolViolation, match="an id must be a string or an integer"):
        request_id(decode_request(b'{"jsonrpc":"2.0","id":"\xff","method":"m"}'))


def test_an_id_has_at_most_256_bytes() -> None:
    longest = "x" * (MAX_ID_BYTES - 2)
    assert request_id(decode_request(encode_request("m", longest, {}))) == longest
    with pytest.raises(ProtocolViolation, match="an id must have at most 256 bytes, has 257"):
        request_id(decode_request(encode_request("m", longest + "x", {})))


@pytest.mark.parametrize(
    ("frame", "found"),
    [
        (b'{"id":7,"method":1}', 7),
        (b'{"id":"a"}', "a"),
        (b'{"id":[1]}', None),
        (b'{"id":"\xff"}', None),
        (b"[{}]", None),
        (b"{}", None),
    ],
)
def test_the_id_of_what_is_no_message_is_found_where_there_is_one(frame: bytes, found: RequestId | None) -> None:
    assert find_id(frame) == found


@pytest.mark.parametrize("frame", [b"no", b'{"id":1,"a":NaN}', b'{"id":1,"a":' + b"[" * 99_999 + b"]" * 99_999 + b"}"])
def test_no_id_is_found_in_what_is_no_json(frame: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        find_id(frame)


@pytest.mark.parametrize(
    ("kind", "contents", "parameter", "problem"),
    [
        (GetParams, b"{}", "id", "is missing"),
        (GetParams, b"[]", "params", "expected `object`, got `array`"),
        (GetParams, b"null", "params", "expected `object`, got `null`"),
        (GetParams, b'{"id":1e999}', "id", "number out of range"),
        (ListParams, b'{"limit":"5"}', "limit", "expected `int`, got `str`"),
        (ListParams, b'{"limit":5.0}', "limit", "expected `int`, got `float`"),
        (ListParams, b'{"order":"up"}', "order", "invalid enum value 'up'"),
        (ListParams, b'{"filter":{"actr":"u"}}', "filter.actr", "is unknown"),
        (ListParams, b'{"topics":[["a"],["b",3]]}', "topics[1][1]", "expected `str`, got `int`"),
        (AppendParams, b'{"events":[{"topics":[["a"]]},{}]}', "events[1].topics", "is missing"),
        (AppendParams, b'{"events":[{"topics":[["a"]],"data":1e999}]}', "events[0].data", "number out of range"),
        (AppendParams, b'{"events":[{"topics":[["a"]],"id":"x"}]}', "events[0].id", "is unknown"),
    ],
)
def test_a_wrong_parameter_is_named_by_its_path(kind: Any, contents: bytes, parameter: str, problem: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        decode_contents(contents, kind)
    assert (caught.value.parameter, caught.value.problem) == (parameter, problem)


@pytest.mark.parametrize("contents", [b'{"%s":1}', b'{"order":"%s"}', b'{"filter":{"%s":1}}', b'{"a\\n%s":1}'])
def test_an_error_repeats_little_of_what_was_sent(contents: bytes) -> None:
    with pytest.raises(InvalidParameter) as caught:
        decode_contents(contents.replace(b"%s", b"x" * 1_000_000), ListParams)
    assert len(str(caught.value)) < 500


def test_contents_nested_too_deeply_are_told() -> None:
    deep = b'{"events":[{"topics":[["a"]],"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}]}"
    with pytest.raises(InvalidParameter, match="is nested too deeply"):
        decode_contents(deep, AppendParams)
