"""Every struct of the wire comes back from its JSON as it was, and takes nothing that it does not know."""

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.metrics.query import MetricQuery, MetricResult
from audit.model.errors import InvalidParameter
from audit.protocol import messages, metricmessages, proofmessages
from audit.protocol.frames import decode_contents, encode
from audit.protocol.limits import Limits
from audit.protocol.methods import CLIENT_NOTIFICATIONS, METHODS, SERVER_NOTIFICATIONS
from tests.unit.protocol.structs import structs

_STRUCTS: Final[dict[str, Any]] = {
    name: kind
    for module in (messages, metricmessages, proofmessages)
    for name, kind in vars(module).items()
    if name in module.__all__ and isinstance(kind, type)
} | {kind.__name__: kind for kind in (Limits, MetricQuery, MetricResult)}
_SENT_BY_CLIENTS: Final = sorted(
    {kind.__name__ for kind in [*[method.params for method in METHODS.values()], *CLIENT_NOTIFICATIONS.values()]}
)


def test_structs_are_those_of_the_methods_and_notifications() -> None:
    used = {kind for method in METHODS.values() for kind in method} | set(CLIENT_NOTIFICATIONS.values())
    used |= set(SERVER_NOTIFICATIONS.values())
    # The rest are parts of others.
    parts = {messages.StoreResult, messages.TopicResult, messages.WireError, messages.WireErrorData, Limits}
    parts.add(metricmessages.MetricEntry)
    assert used | parts == {*_STRUCTS.values(), METHODS["events.get"].result}


@pytest.mark.parametrize("name", sorted(_STRUCTS))
@given(data=st.data())
def test_a_message_comes_back_as_it_was(name: str, data: st.DataObject) -> None:
    message = data.draw(structs(_STRUCTS[name]))
    assert decode_contents(encode(message), _STRUCTS[name]) == message


@pytest.mark.parametrize("name", _SENT_BY_CLIENTS)
def test_what_a_client_sends_has_no_unknown_members(name: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        decode_contents(b'{"colour":"red"}', _STRUCTS[name])
    assert (caught.value.parameter, caught.value.problem) == ("colour", "is unknown")


@pytest.mark.parametrize("name", sorted(set(_STRUCTS) - set(_SENT_BY_CLIENTS)))
@given(data=st.data())
def test_what_a_server_sends_may_have_more_members_one_day(name: str, data: st.DataObject) -> None:
    message = data.draw(structs(_STRUCTS[name]))
    text = encode(message)
    later = text[:-1] + (b"" if text == b"{}" else b",") + b'"colour":"red"}'
    assert decode_contents(later, _STRUCTS[name]) == message


@pytest.mark.parametrize("kind", [messages.ListResult, messages.BatchNote])
def test_events_are_the_last_member(kind: Any) -> None:
    assert kind.__struct_fields__[-1] == "events"
