from datetime import UTC, datetime
from typing import Any

import pytest

from audit.cli.compose import compose
from audit.model.errors import InvalidParameter
from audit.model.event import Actor, NewEvent, Target


def test_options_become_the_event_they_describe() -> None:
    event = compose(
        topics=["node/connection", "x"],
        action="connection.opened",
        actor="user:u-7:Ada",
        targets=["vault:v-1", '{"type":"role","id":"arn:aws:iam::1:role/r"}'],
        outcome="success",
        context=["ip=10.0.0.1", "note=a=b", "empty="],
        data='{"a":1}',
        occurred_at="2026-11-21T10:00:00Z",
        idempotency_key="k",
    )
    assert event == NewEvent(
        topics=[("node", "connection"), ("x",)],
        action="connection.opened",
        actor=Actor(type="user", id="u-7", name="Ada"),
        targets=[Target(type="vault", id="v-1"), Target(type="role", id="arn:aws:iam::1:role/r")],
        outcome="success",
        context={"ip": "10.0.0.1", "note": "a=b", "empty": ""},
        data={"a": 1},
        occurred_at=datetime(2026, 11, 21, 10, tzinfo=UTC),
        idempotency_key="k",
    )


@pytest.mark.parametrize(
    ("option", "given"),
    [
        ("--topic", {"topics": None}),
        ("--topic", {"topics": ["a//b"]}),
        ("--actor", {"actor": "ada"}),
        ("--actor", {"actor": ":u-7"}),
        ("--actor", {"actor": "user:"}),
        ("--actor", {"actor": "user:arn:aws:iam::1:user/ada"}),
        ("--actor", {"actor": '{"type":"user"}'}),
        ("--actor", {"actor": "{\udcff"}),
        ("--target", {"targets": ["vault"]}),
        ("--context", {"context": ["ip"]}),
        ("--context", {"context": ["=x"]}),
        ("--context", {"context": ["ip=1", "ip=2"]}),
        ("--event-data", {"data": "{"}),
        ("--event-data", {"data": "[" * 100_000}),
        ("--event-data", {"data": '"\udcff"'}),
        ("--occurred-at", {"occurred_at": "yesterday"}),
    ],
)
def test_malformed_option_is_named(option: str, given: dict[str, Any]) -> None:
    with pytest.raises(InvalidParameter) as caught:
        compose(**({"topics": ["a"]} | given))
    assert caught.value.parameter.startswith(option)
