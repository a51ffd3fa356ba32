"""Whatever is asked of a session in whatever order: it frames no event that was not granted, and none after an end."""

import json
from typing import Any, Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from audit.model.errors import InvalidParameter, NotFound, Overloaded, ProtocolViolation
from audit.protocol.frames import batch_tail, encode_request
from audit.protocol.limits import Limits
from audit.protocol.server import Broken, CreditGranted, ServerSession

_MOST: Final = 20
_OPEN: Final = 3


class _Client:
    """What a client has granted and got, by the frames alone."""

    def __init__(self) -> None:
        self.granted: dict[str, int] = {}
        self.received: dict[str, int] = {}
        self.over: set[str] = set()

    def take(self, frame: bytes) -> None:
        message = json.loads(frame)
        if "result" in message:
            name = message["result"]["subscription"]
            assert name not in self.received
            self.received[name] = 0
            return
        params: dict[str, Any] = message["params"]
        name = params["subscription"]
        assert name in self.received, "a notification came before the result"
        assert name not in self.over, "a notification came after the end"
        self.received[name] += len(params.get("events", []))
        assert self.received[name] <= self.granted[name], "more events came than were granted"
        if message["method"] == "events.end":
            self.over.add(name)


class Credit(RuleBasedStateMachine):
    """One session; the model is what its client has seen."""

    opening = Bundle("opening")
    named = Bundle("named")

    def __init__(self) -> None:
        super().__init__()
        self.session = ServerSession(Limits(credit=_MOST, subscriptions=_OPEN))
        self.client = _Client()
        self.requests = 0
        self.broken = False

    def _alive(self, name: str) -> bool:
        return name in self.client.received and name not in self.client.over

    @rule(target=opening, credit=st.integers(-1, _MOST + 1))
    def subscribe(self, credit: int) -> Any:
        full = self.session.subscriptions >= _OPEN
        try:
            name = self.session.subscribe(credit)
        except InvalidParameter:
            assert not 0 <= credit <= _MOST
            return multiple()
        except Overloaded:
            assert full
            return multiple()
        assert not full
        assert name not in self.client.granted
        self.client.granted[name] = credit
        return name

    @rule(target=named, name=consumes(opening))
    def announce(self, name: str) -> str:
        self.requests += 1
        self.client.take(self.session.subscribed(self.requests, name))
        return name

    @rule(name=opening, events=st.integers(0, 3))
    def send_too_early(self, name: str, events: int) -> None:
        with pytest.raises(ProtocolViolation):
            self.session.batch(name, events, batch_tail([b"1"] * events, "c"))
        with pytest.raises(ProtocolViolation):
            self.session.note("events.progress", name, "c")

    @rule(name=named, events=st.integers(-1, _MOST + 1))
    def grant(self, name: str, events: int) -> None:
        before = self.session.credit(name)
        frame = encode_request("subscription.credit", None, {"subscription": name, "events": events})
        outcome = self.session.receive(frame)
        if events < 0 or (self._alive(name) and before + events > _MOST):
            # A server closes now; for the session, nothing has changed.
            assert isinstance(outcome, Broken)
            assert self.session.credit(name) == before
        elif self._alive(name):
            assert outcome == CreditGranted(name)
            self.client.granted[name] += events
        else:
            assert outcome is None

    @rule(name=named, more=st.integers(-3, 2))
    def send(self, name: str, more: int) -> None:
        events = max(0, self.session.credit(name) + more)
        allowed = self._alive(name) and events <= self.session.credit(name)
        try:
            frame = self.session.batch(name, events, batch_tail([b"1"] * events, "c"))
        except ProtocolViolation:
            assert not allowed
        else:
            self.client.take(frame)
            assert allowed

    @rule(name=named)
    def tell(self, name: str) -> None:
        try:
            self.client.take(self.session.note("events.caught_up", name, "c"))
        except ProtocolViolation:
            assert not self._alive(name)

    @rule(name=named)
    def end(self, name: str) -> None:
        try:
            self.client.take(self.session.end(name, "c", "limit"))
        except ProtocolViolation:
            assert not self._alive(name)

    @rule(name=named)
    def cancel(self, name: str) -> None:
        try:
            self.session.cancel(name)
        except NotFound:
            assert not self._alive(name)
        else:
            assert self._alive(name)
            self.client.over.add(name)

    @invariant()
    def the_credit_is_what_was_granted_and_not_sent(self) -> None:
        for name, received in self.client.received.items():
            left = self.client.granted[name] - received if self._alive(name) else 0
            assert self.session.credit(name) == left
            assert self.session.is_open(name) is self._alive(name)
            assert 0 <= left <= _MOST


TestCredit = Credit.TestCase
TestCredit.settings = settings(stateful_step_count=40)
