"""Both sessions over one WebSocket: a conversation is the same however its bytes are cut, and ends as documented."""

from typing import Any, Final

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.model.errors import NotFound
from audit.protocol.client import Answer, ClientSession, EventBatch, Failure, Note
from audit.protocol.frames import batch_tail, encode_request
from audit.protocol.limits import CloseCode, Limits
from audit.protocol.messages import (
    CancelParams,
    CaughtUpNote,
    EndNote,
    GetParams,
    InfoParams,
    SubscribeParams,
    WireError,
    WireErrorData,
)
from audit.protocol.server import Broken, Call, CreditGranted, Refused, ServerSession
from tests.unit.protocol.fakelink import Cut, FakeLink, bytewise, cut_at, whole

_EVENTS: Final = [b'{"id":"%026d","text":"%s"}' % (n, "ä€\U0001f600".encode() * n) for n in range(12)]


class _Server:
    """A server of twelve events: sends as many as it may, then says that it has caught up."""

    def __init__(self, link: FakeLink) -> None:
        self._link = link
        self._session = ServerSession(Limits())
        self._sent: dict[str, int] = {}

    def run(self) -> None:
        """Handle what has arrived."""
        for message in self._link.deliver(self._link.client):
            if message.text is None:
                continue
            self._handle(self._session.receive(message.data, text=message.text))

    def _handle(self, event: Any) -> None:
        if isinstance(event, Call):
            self._call(event)
        elif isinstance(event, CreditGranted):
            self._pump(event.subscription)
        elif isinstance(event, Refused):
            self._send(event.frame)
        elif isinstance(event, Broken):
            if event.frame is not None:
                self._send(event.frame)
            self._link.server.send_close(event.code, event.reason)

    def _call(self, call: Call) -> None:
        session = self._session
        if call.method == "events.get":
            found = [event for event in _EVENTS if call.params.id.encode() in event[:40]]
            error = NotFound(f"no event has the id {call.params.id}")
            self._send(session.result(call.id, found[0]) if found else session.failure(call.id, error))
        elif call.method == "events.subscribe":
            name = session.subscribe(call.params.credit)
            self._sent[name] = 0
            self._send(session.subscribed(call.id, name))
            self._pump(name)
        elif call.method == "subscription.cancel":
            try:
                session.cancel(call.params.subscription)
                self._send(session.result(call.id, b"{}"))
            except NotFound as error:
                self._send(session.failure(call.id, error))
        else:
            self._send(session.result(call.id, b"{}"))

    def _pump(self, name: str) -> None:
        start = self._sent[name]
        some = _EVENTS[start : start + min(self._session.credit(name), 5)]
        if some:
            self._sent[name] = start + len(some)
            self._send(self._session.batch(name, len(some), batch_tail(some, f"c{start + len(some)}")))
            self._pump(name)
        elif start == len(_EVENTS):
            self._send(self._session.note("events.caught_up", name, f"c{start}"))
            self._send(self._session.end(name, f"c{start}", "shutdown", NotFound("over")))

    def _send(self, frame: bytes) -> None:
        self._link.send(self._link.server, frame)


def _conversation(cut: Cut, fragment_bytes: int | None = None) -> list[Any]:
    """Return all that a client got in one conversation with everything in it."""
    link = FakeLink(cut, fragment_bytes=fragment_bytes)
    server, session = _Server(link), ClientSession()
    got: list[Any] = []

    def exchange(*frames: bytes) -> None:
        for frame in frames:
            link.send(link.client, frame)
        server.run()
        got.extend(
            message.code if message.text is None else session.receive(message.data)
            for message in link.deliver(link.server)
        )

    exchange(session.request("server.info", InfoParams())[1])
    exchange(
        session.request("events.get", GetParams(id=f"{3:026d}"))[1], session.request("events.get", GetParams(id="ä"))[1]
    )
    exchange(session.request("events.subscribe", SubscribeParams(topic=["a"], credit=0))[1])
    exchange(session.request("events.subscribe", SubscribeParams(topic=["a"], credit=3))[1])
    exchange(session.credit("2", 4), session.credit("1", 1))
    exchange(session.credit("2", 99))
    exchange(session.request("subscription.cancel", CancelParams(subscription="1"))[1], session.credit("1", 1))
    exchange(session.request("subscription.cancel", CancelParams(subscription="2"))[1])
    exchange(encode_request("subscription.credit", None, {"subscription": "1", "events": -1}))
    return [_plain(one) for one in got]


def _plain(event: Any) -> Any:
    """Return an event in a form that compares."""
    if isinstance(event, Answer):
        assert isinstance(event.result, msgspec.Raw)
        return ("answer", event.id, bytes(event.result))
    if isinstance(event, Failure):
        return ("failure", event.id, type(event.error), str(event.error))
    if isinstance(event, Note) and isinstance(event.params, EventBatch):
        return ("batch", event.params.subscription, event.params.cursor, event.params.cut())
    return event


_WHOLE: Final = _conversation(whole)


def test_a_conversation_says_what_it_should() -> None:
    over = WireError(code=-32003, message="over", data=WireErrorData(code="not_found", retryable=False))
    expected = [
        ("answer", 1, b"{}"),
        ("answer", 2, _EVENTS[3]),
        ("failure", 3, NotFound, "no event has the id ä"),
        ("answer", 4, b'{"subscription":"1"}'),
        ("answer", 5, b'{"subscription":"2"}'),
        ("batch", "2", "c3", _EVENTS[:3]),
        ("batch", "2", "c7", _EVENTS[3:7]),
        ("batch", "1", "c1", _EVENTS[:1]),
        ("batch", "2", "c12", _EVENTS[7:]),
        Note("events.caught_up", CaughtUpNote(subscription="2", cursor="c12")),
        Note("events.end", EndNote(subscription="2", cursor="c12", reason="shutdown", error=over)),
        ("answer", 6, b"{}"),
        ("failure", 7, NotFound, "no subscription '2' on this connection"),
        CloseCode.BAD_FRAME,
    ]
    assert expected == _WHOLE


def test_a_conversation_byte_by_byte_is_the_same() -> None:
    assert _conversation(bytewise) == _WHOLE


@settings(max_examples=30)
@given(st.lists(st.integers(1, 200), min_size=1, max_size=9), st.none() | st.integers(1, 50))
def test_a_conversation_in_any_pieces_and_fragments_is_the_same(places: list[int], fragment_bytes: int | None) -> None:
    assert _conversation(cut_at(places), fragment_bytes) == _WHOLE


@pytest.mark.parametrize("cut", [whole, bytewise])
@pytest.mark.parametrize(
    ("frame", "text", "told"),
    [
        (b"{", True, "parse_error"),
        (b'{"jsonrpc":"2.0","id":1,"method":"server.info"}', False, None),
        (b'{"jsonrpc":"2.0","method":"subscription.credit","params":{}}', True, None),
    ],
)
def test_a_bad_frame_closes_with_4400(cut: Cut, frame: bytes, text: bool, told: str | None) -> None:
    link = FakeLink(cut)
    link.send(link.client, frame, text=text)
    _Server(link).run()
    *errors, close = link.deliver(link.server)
    assert (close.text, close.code) == (None, 4400)
    assert len(errors) == (told is not None)
    assert all(told is not None and told.encode() in error.data for error in errors)


@pytest.mark.parametrize("cut", [whole, bytewise])
def test_text_that_is_no_utf8_is_refused_by_the_session_where_the_websocket_lets_it_pass(cut: Cut) -> None:
    link = FakeLink(cut)
    link.send(link.client, b'{"jsonrpc":"2.0","id":1,"method":"\xff"}')
    _Server(link).run()
    assert [message.code for message in link.deliver(link.server)] == [1007]
