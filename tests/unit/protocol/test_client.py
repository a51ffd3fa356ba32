"""The client's session: which answers it waits for, what it takes from a server, and how it grants credit."""

import json
from collections.abc import Callable
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.codec.events import decode_events
from audit.model.errors import NotFound, ProtocolViolation
from audit.protocol.client import (
    Answer,
    ClientSession,
    CreditWindow,
    EventBatch,
    EventPage,
    Failure,
    Note,
    SlicePage,
)
from audit.protocol.errors import to_wire
from audit.protocol.frames import (
    batch_tail,
    decode_contents,
    encode_batch,
    encode_end,
    encode_failure,
    encode_note,
    encode_page,
    encode_result,
)
from audit.protocol.messages import CaughtUpNote, EndNote, InfoParams, NoResult, SubscribeParams

_ODD: Final = b'{"id":"01JD", "x":1.0,"x":2}'
"""An event whose text would not survive being decoded and encoded again."""


_EVENT: Final = b'{"id":"01JD","index":7,"topics":[["a"]],"salt":"s", "later":{"events":[1]},"data":{"x":1.0}}'
"""One of a later server, at that."""


def _asked(session: ClientSession, method: str = "server.info") -> int:
    number, _ = session.request(method, InfoParams())
    return number


def test_requests_are_numbered_and_say_only_what_differs_from_the_defaults() -> None:
    session = ClientSession()
    first, frame = session.request("events.subscribe", SubscribeParams(topic=["a"], seek="now"))
    second, _ = session.request("server.info", InfoParams())
    assert first != second
    assert json.loads(frame) == {
        "jsonrpc": "2.0",
        "id": first,
        "method": "events.subscribe",
        "params": {"topic": ["a"], "seek": "now"},
    }


def test_an_answer_goes_to_its_request_once() -> None:
    session = ClientSession()
    first, second = _asked(session), _asked(session)
    answer = session.receive(encode_result(second, b'{"a":1}'))
    assert isinstance(answer, Answer)
    assert isinstance(answer.result, msgspec.Raw)
    assert (answer.id, bytes(answer.result)) == (second, b'{"a":1}')
    assert session.receive(encode_result(second, b"{}")) is None
    failure = session.receive(encode_failure(first, to_wire(NotFound("no event"))))
    assert isinstance(failure, Failure)
    assert (failure.id, type(failure.error), str(failure.error)) == (first, NotFound, "no event")


def test_an_answer_that_nobody_waits_for_is_dropped() -> None:
    session = ClientSession()
    forgotten = _asked(session)
    session.forget(forgotten)
    session.forget(forgotten)
    for request in (forgotten, 99, "x"):
        assert session.receive(encode_result(request, b"{}")) is None


def test_events_are_kept_as_they_came() -> None:
    session = ClientSession()
    note = session.receive(encode_batch("1", batch_tail([_ODD, _ODD], "c")))
    assert isinstance(note, Note)
    assert isinstance(note.params, EventBatch)
    assert (note.method, note.params.subscription, note.params.cursor) == ("events.batch", "1", "c")
    assert note.params.cut() == [_ODD, _ODD]
    with pytest.raises(ProtocolViolation, match="no batch of events: Object missing required field"):
        note.params.decode()
    answer = session.receive(encode_result(_asked(session, "events.list"), encode_page([_ODD], "c", has_more=True)))
    assert isinstance(answer, Answer)
    assert isinstance(answer.result, msgspec.Raw)
    page = decode_contents(answer.result, SlicePage)
    assert [bytes(event) for event in page.events] == [_ODD]


def test_whole_events_are_decoded_with_their_frame_and_can_still_be_had_as_they_came() -> None:
    session = ClientSession()
    note = session.receive(encode_batch("1", batch_tail([_EVENT, _EVENT], "c", "a note")))
    assert isinstance(note, Note)
    assert isinstance(note.params, EventBatch)
    assert (note.params.subscription, note.params.cursor) == ("1", "c")
    assert note.params.decode() == decode_events([_EVENT, _EVENT])
    assert note.params.cut() == [_EVENT, _EVENT]
    number = _asked(session, "events.list")
    answer = session.receive(encode_result(number, encode_page([_EVENT], "c", has_more=True, checkpoint="a note")))
    assert isinstance(answer, Answer)
    assert isinstance(answer.result, EventPage)
    assert (answer.id, answer.result.cursor, answer.result.has_more) == (number, "c", True)
    assert answer.result.events == decode_events([_EVENT])
    assert answer.result.cut() == [_EVENT]
    # Answered once.
    assert session.receive(encode_result(number, encode_page([_EVENT], "c", has_more=True))) is None


@pytest.mark.parametrize(
    "head", [b'{"jsonrpc":"2.0","id":%d', b'{"id":%d,"jsonrpc":"2.0"', b'{"jsonrpc":"2.0", "id":%d']
)
def test_an_answer_means_the_same_however_it_is_written(head: bytes) -> None:
    session = ClientSession()
    number = _asked(session, "events.list")
    answer = session.receive(head % number + b',"result":' + encode_page([_EVENT], "c", has_more=False) + b"}")
    assert isinstance(answer, Answer)
    page = answer.result if isinstance(answer.result, EventPage) else decode_contents(answer.result, SlicePage)
    events = page.cut() if isinstance(page, EventPage) else [bytes(event) for event in page.events]
    assert (page.cursor, page.has_more, events) == ("c", False, [_EVENT])


@pytest.mark.parametrize("other", ["log.checkpoint", "events.get"])
def test_what_looks_like_a_page_and_was_not_asked_for_as_one_is_left_as_it_came(other: str) -> None:
    session = ClientSession()
    page = encode_page([_EVENT], "c", has_more=True)
    answer = session.receive(encode_result(_asked(session, other), page))
    assert isinstance(answer, Answer)
    assert isinstance(answer.result, msgspec.Raw)
    assert bytes(answer.result) == page


def test_notes_are_structs() -> None:
    session = ClientSession()
    assert session.receive(encode_note("events.caught_up", "1", "c")) == Note(
        "events.caught_up", CaughtUpNote(subscription="1", cursor="c")
    )
    end = EndNote(subscription="1", cursor="c", reason="error", error=to_wire(NotFound("gone")))
    assert session.receive(encode_end("events.end", end)) == Note("events.end", end)


def test_a_notification_of_a_later_server_is_dropped() -> None:
    assert ClientSession().receive(b'{"jsonrpc":"2.0","method":"events.mood","params":{"mood":"good"}}') is None


def test_members_of_a_later_server_are_ignored() -> None:
    session = ClientSession()
    number = _asked(session)
    answer = session.receive(b'{"jsonrpc":"2.0","id":%d,"trace":"t","result":{"more":1}}' % number)
    assert isinstance(answer, Answer)
    assert isinstance(answer.result, msgspec.Raw)
    assert decode_contents(answer.result, NoResult) == NoResult()


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"no",
        b"[]",
        b"7",
        b"{}",
        b'{"jsonrpc":"1.0","id":1,"result":{}}',
        b'{"jsonrpc":"2.0","id":1}',
        b'{"jsonrpc":"2.0","id":1.5,"result":{}}',
        b'{"jsonrpc":"2.0","id":"\xff","result":{}}',
        b'{"jsonrpc":"2.0","id":"' + b"x" * 300 + b'","result":{}}',
        b'{"jsonrpc":"2.0","result":{}}',
        b'{"jsonrpc":"2.0","id":1,"error":{}}',
        b'{"jsonrpc":"2.0","id":1,"error":7}',
        b'{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"\xff","data":{"code":"x","retryable":false}}}',
        b'{"jsonrpc":"2.0","method":"\xff"}',
        b'{"jsonrpc":"2.0","method":"events.batch","params":{"subscription":"1"}}',
        b'{"jsonrpc":"2.0","method":"events.batch","params":{"subscription":"1","cursor":"c","events":{}}}',
        b'{"jsonrpc":"2.0","method":"events.end","params":{"subscription":"1","cursor":"c","reason":"bored"}}',
        b'{"jsonrpc":"2.0","method":"events.caught_up"}',
        b'{"a":' * 99_999 + b"1" + b"}" * 99_999,
    ],
    ids=lambda frame: repr(frame[:60]),
)
def test_a_server_that_does_not_speak_the_protocol_is_told_of(frame: bytes) -> None:
    session = ClientSession()
    _asked(session)
    with pytest.raises(ProtocolViolation, match="the server sent"):
        session.receive(frame)


@pytest.mark.parametrize("told", [b'"id":null,', b""])
def test_an_error_without_an_id_says_that_the_client_is_wrong(told: bytes) -> None:
    error = encode_failure(None, to_wire(ProtocolViolation("no JSON"))).partition(b'"id":null,')[2]
    with pytest.raises(ProtocolViolation, match="the server refuses: no JSON"):
        ClientSession().receive(b'{"jsonrpc":"2.0",' + told + error)


def test_a_grant_is_a_notification() -> None:
    assert json.loads(ClientSession().credit("3", 500)) == {
        "jsonrpc": "2.0",
        "method": "subscription.credit",
        "params": {"subscription": "3", "events": 500},
    }


@given(st.integers(1, 50), st.data())
def test_a_window_never_grants_beyond_its_size_and_never_dries_up(size: int, data: st.DataObject) -> None:
    window = CreditWindow(size)
    credit, waiting = window.events, 0
    for _ in range(40):
        sent = data.draw(st.integers(0, credit))
        credit, waiting = credit - sent, waiting + sent
        read = data.draw(st.integers(0, waiting))
        waiting -= read
        credit += window.consumed(read)
        # What is granted and what waits to be read are never more than the consumer has room for.
        assert credit + waiting <= size
        # A consumer that has read all it got is sent more.
        assert waiting or credit


def test_a_window_is_refilled_in_halves() -> None:
    window = CreditWindow(10)
    grants: list[Any] = [window.consumed(1) for _ in range(10)]
    assert grants == [0, 0, 0, 0, 5, 0, 0, 0, 0, 5]


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame,
        lambda frame: frame.replace(b'"jsonrpc":"2.0",', b'"jsonrpc": "2.0",'),
        lambda frame: frame[:-1] + b',"later":[1]}',
        lambda frame: frame.replace(b'"params":{', b'"params":{"later":null,'),
    ],
)
def test_a_batch_is_understood_however_it_is_written(change: Callable[[bytes], bytes]) -> None:
    events = [b'{"id":"a","index":0}', b'{"id":"b","data":"\xc3\xa4"}']
    note = ClientSession().receive(change(encode_batch("7", batch_tail(events, "cursor"))))
    assert isinstance(note, Note)
    assert (note.method, note.params.subscription, note.params.cursor) == ("events.batch", "7", "cursor")
    found = note.params.cut() if isinstance(note.params, EventBatch) else map(bytes, note.params.events)
    assert list(found) == events


@pytest.mark.parametrize(
    "frame",
    [
        b'{"jsonrpc":"2.0","method":"events.batch","params":{"subscription":"7","cursor":"c"}}',
        b'{"jsonrpc":"2.0","method":"events.batch","params":{"subscription":7,"cursor":"c","events":[]}}',
        b'{"jsonrpc":"2.0","method":"events.batch","params":{"subscription":"7","cursor":"\xff","events":[]}}',
        b'{"jsonrpc":"2.0","method":"events.batch","params":{"subscription":"7","cursor":"c","events":[]},"jsonrpc":"1"}',
        b'{"jsonrpc":"2.0","method":"events.batch","params":',
    ],
)
def test_a_batch_that_is_none_is_a_violation(frame: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        ClientSession().receive(frame)


@pytest.mark.parametrize("events", [b"{}{}", b"{]}", b'{"a":{}'])
def test_events_that_are_none_are_a_violation_once_they_are_read(events: bytes) -> None:
    note = ClientSession().receive(encode_batch("7", batch_tail([events], "cursor")))
    assert isinstance(note, Note)
    for read in (note.params.decode, note.params.cut):
        with pytest.raises(ProtocolViolation, match="no batch of events"):
            read()
