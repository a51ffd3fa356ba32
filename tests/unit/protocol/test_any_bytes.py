"""Whatever bytes arrive, a session says one of the things it is documented to say, and raises nothing else."""

import contextlib
import json
from typing import Any, Final

from hypothesis import example, given, settings
from hypothesis import strategies as st

from audit.model.errors import ProtocolViolation
from audit.protocol.client import Answer, ClientSession, EventPage, Failure, Note
from audit.protocol.frames import encode_request
from audit.protocol.limits import CloseCode, Limits
from audit.protocol.messages import CreditNote, InfoParams, ListParams
from audit.protocol.methods import CLIENT_NOTIFICATIONS, METHODS, SERVER_NOTIFICATIONS
from audit.protocol.server import Broken, Call, CreditGranted, Refused, ServerSession
from tests.strategies import json_values
from tests.unit.protocol.structs import structs

_MEMBERS: Final = [
    *["jsonrpc", "id", "method", "params", "result", "error", "subscription", "cursor", "events", "reason", "code"],
    *["message", "data", "topic", "topics", "limit", "seek", "order", "filter", "credit", "idempotency_key"],
]
_METHODS: Final = [*METHODS, *CLIENT_NOTIFICATIONS, *SERVER_NOTIFICATIONS, "2.0"]
_values: Final = st.recursive(
    st.one_of(json_values, st.sampled_from(_METHODS), st.integers(-2, 3), st.integers(10**20, 10**400)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(_MEMBERS), inner, max_size=5)),
    max_leaves=10,
)
_requests: Final = st.sampled_from(sorted(METHODS)).flatmap(
    lambda name: structs(METHODS[name].params).map(lambda params: encode_request(name, 1, params))
)
_unknown: Final = st.builds(
    encode_request, st.sampled_from(["no.such", *SERVER_NOTIFICATIONS]), st.integers(0, 3), json_values
)
_wrong: Final = st.builds(encode_request, st.sampled_from(sorted(METHODS)), st.integers(0, 3), json_values)
_grants: Final = structs(CreditNote).map(lambda note: encode_request("subscription.credit", None, note))
_messages: Final = st.fixed_dictionaries(
    {"jsonrpc": st.just("2.0")},
    optional={
        "id": st.integers(0, 3) | _values,
        "method": st.sampled_from(_METHODS) | st.sampled_from(_METHODS) | _values,
        "params": _values,
        "result": _values,
        "error": _values,
    },
)


def _spoilt(text: bytes, place: int, byte: bytes) -> bytes:
    place %= len(text) + 1
    return text[:place] + byte + text[place + 1 :]


_texts: Final = st.one_of(
    _requests,
    _requests,
    _grants,
    _unknown,
    _wrong,
    st.one_of(_messages, _values).map(lambda value: json.dumps(value, ensure_ascii=False).encode()),
)
frames: Final = st.one_of(
    _texts,
    st.binary(max_size=60),
    st.builds(
        _spoilt, _texts, st.integers(0, 500), st.sampled_from([b"", b"\xff", b'"', b"\\", b"[", b"}", b"0", b"\x00"])
    ),
    st.builds(bytes.__mul__, st.sampled_from([b"[", b'{"a":', b'"', b"-", b"9"]), st.integers(0, 3_000)),
)


@given(st.lists(frames, max_size=5), st.booleans())
@example([b'{"jsonrpc":"2.0","id":"\xff","method":"server.info"}'], True)
@example([b'{"jsonrpc":"2.0","id":1,"method":"events.get","params":{"id":"\xff"}}'], True)
def test_a_server_says_what_a_frame_means(received: list[bytes], text: bool) -> None:
    session = ServerSession(Limits())
    session.subscribed(0, session.subscribe(5))
    for data in received:
        event = session.receive(data, text=text)
        if isinstance(event, Call):
            assert isinstance(event.params, METHODS[event.method].params)
            json.loads(session.result(event.id, b"{}"))
        elif isinstance(event, (Refused, Broken)):
            _check_told(event)
        else:
            assert event in (None, CreditGranted("1"))


def _check_told(event: Refused | Broken) -> None:
    if isinstance(event, Broken):
        assert event.code in {CloseCode.BAD_FRAME, CloseCode.BAD_TEXT}
        assert 0 < len(event.reason.encode()) <= 123
    if event.frame is not None:
        assert len(event.frame) < 2_000
        message = json.loads(event.frame)
        assert message["error"]["data"]["code"] in {
            "parse_error",
            "invalid_request",
            "method_not_found",
            "invalid_params",
        }
        # A client can read it, whoever it was meant for.
        client = ClientSession()
        client.request("server.info", InfoParams())
        with contextlib.suppress(ProtocolViolation):
            assert isinstance(client.receive(event.frame), (Failure, type(None)))


@given(st.lists(frames, max_size=5))
@example([b'{"jsonrpc":"2.0","id":1}'])
@example([b'{"jsonrpc":"2.0","id":"\xff","result":1}'])
@example(
    [b'{"jsonrpc":"2.0","id":2,"result":{"cursor":"","has_more":false,"events":[{"id":"","index":0,"topics":[]}]}}']
)
def test_a_client_says_what_a_frame_means(received: list[bytes]) -> None:
    session = ClientSession()
    session.request("server.info", InfoParams())
    session.request("events.list", ListParams())
    for data in received:
        try:
            event: Any = session.receive(data)
        except ProtocolViolation:
            continue
        if isinstance(event, Answer):
            if isinstance(event.result, EventPage):
                assert len(event.result.cut()) == len(event.result.events)
            else:
                json.loads(bytes(event.result))
        elif isinstance(event, Note):
            assert isinstance(event.params.subscription, str)
        else:
            assert event is None or isinstance(event, Failure)


def test_the_frames_reach_every_outcome() -> None:
    """The strategy above is worth something only if it leads past the first check."""
    seen: set[str] = set()

    # The same frames every time: what is looked at is the strategy, not luck.
    @settings(max_examples=500, derandomize=True, database=None)
    @given(frames)
    def look(data: bytes) -> None:
        session = ServerSession(Limits())
        session.subscribed(0, session.subscribe(5))
        event = session.receive(data)
        seen.add(type(event).__name__)
        if isinstance(event, Refused):
            seen.add(json.loads(event.frame)["error"]["data"]["code"])

    look()
    assert {"Refused", "Broken", "invalid_request", "method_not_found", "invalid_params", "Call"} <= seen
