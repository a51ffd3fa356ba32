"""One WebSocket without a socket: the two Sans-I/O ends of `websockets`, and bytes in between."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import OPEN, Protocol
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from audit.protocol.limits import PATH, SUBPROTOCOL

__all__ = ["Cut", "FakeLink", "Message", "bytewise", "cut_at", "whole"]

Cut = Callable[[bytes], Iterable[bytes]]
"""How the bytes of one direction arrive."""

_NAME: Final = Subprotocol(SUBPROTOCOL)


class Message(NamedTuple):
    """What one end received: a message, or with `text` None the code of a close."""

    data: bytes
    text: bool | None
    code: int = 0


def whole(data: bytes) -> Iterable[bytes]:
    """Deliver what was sent as it was sent."""
    return [data] if data else []


def bytewise(data: bytes) -> Iterable[bytes]:
    """Deliver byte by byte."""
    return [data[n : n + 1] for n in range(len(data))]


def cut_at(places: list[int]) -> Cut:
    """Deliver in pieces of these sizes, over and over."""

    def cut(data: bytes) -> Iterator[bytes]:
        number = 0
        while data:
            size = places[number % len(places)]
            yield data[:size]
            data, number = data[size:], number + 1

    return cut


class FakeLink:
    """An open WebSocket between `client` and `server`."""

    def __init__(self, cut: Cut = whole, *, fragment_bytes: int | None = None) -> None:
        self._cut = cut
        self._fragment_bytes = fragment_bytes
        self._partial: dict[int, tuple[bytes, bool]] = {}
        self.client = ClientProtocol(parse_uri(f"ws://localhost{PATH}"), subprotocols=[_NAME])
        self.server = ServerProtocol(subprotocols=[_NAME])
        self.client.send_request(self.client.connect())
        (request,) = self._carry(self.client, self.server)
        assert isinstance(request, Request)
        self.server.send_response(self.server.accept(request))
        (response,) = self._carry(self.server, self.client)
        assert isinstance(response, Response)
        assert self.client.state is OPEN
        assert self.client.subprotocol == self.server.subprotocol == SUBPROTOCOL

    def send(self, end: Protocol, data: bytes, *, text: bool = True) -> None:
        """Send a message; it arrives with the next `deliver`."""
        size = self._fragment_bytes
        if size is None or len(data) <= size:
            (end.send_text if text else end.send_binary)(data)
            return
        (end.send_text if text else end.send_binary)(data[:size], fin=False)
        for start in range(size, len(data), size):
            end.send_continuation(data[start : start + size], fin=start + size >= len(data))

    def deliver(self, source: Protocol) -> list[Message]:
        """Carry what one end has sent to the other, and return what arrived."""
        target = self.server if source is self.client else self.client
        messages = []
        for event in self._carry(source, target):
            assert isinstance(event, Frame)
            message = self._message(target, event)
            if message is not None:
                messages.append(message)
        return messages

    def _message(self, target: Protocol, frame: Frame) -> Message | None:
        if frame.opcode is Opcode.CLOSE:
            assert target.close_rcvd is not None
            return Message(b"", None, target.close_rcvd.code)
        before, text = self._partial.pop(id(target), (b"", frame.opcode is Opcode.TEXT))
        data = before + bytes(frame.data)
        if frame.fin:
            return Message(data, text)
        self._partial[id(target)] = (data, text)
        return None

    def _carry(self, source: Protocol, target: Protocol) -> list[Request | Response | Frame]:
        arrived: list[Request | Response | Frame] = []
        for piece in self._cut(b"".join(source.data_to_send())):
            target.receive_data(piece)
            arrived += target.events_received()
        return arrived
