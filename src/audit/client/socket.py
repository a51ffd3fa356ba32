"""Opening a WebSocket, and what became of one: each of its failures as one of our errors.

An error that is `retryable` may heal by itself; any other is the server's, or the caller's, to put right.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidProxy, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.protocol import Event, State
from websockets.typing import Subprotocol

from audit.client.address import Address
from audit.client.options import ClientOptions
from audit.model.errors import (
    AuditError,
    Forbidden,
    InvalidParameter,
    Overloaded,
    ProtocolViolation,
    Unauthorized,
    Unavailable,
)
from audit.protocol.limits import PATH, SUBPROTOCOL, CloseCode

__all__ = ["Socket", "closed_error", "open_socket"]

_MAX_FRAME_BYTES: Final = 4 * 1024 * 1024
"""Ours are of 1 MiB at most; a later server may send larger ones."""
_CLOSE_TIMEOUT_S: Final = 1.0
# How a server's frame starts, and its length: RFC 6455, section 5.2.
_WHOLE_TEXT: Final = 0x81
_MEDIUM: Final = 126
_MEDIUM_MOST: Final = 65_535
# And how its handshake's answer starts and ends: RFC 9112, section 2.1.
_ANSWER: Final = b"HTTP/"
_ANSWER_END: Final = b"\r\n\r\n"

_BY_CODE: Final[dict[int, type[AuditError]]] = {
    CloseCode.BAD_FRAME: ProtocolViolation,
    CloseCode.BAD_TEXT: ProtocolViolation,
    CloseCode.UNAUTHORIZED: Unauthorized,
    CloseCode.FORBIDDEN: Forbidden,
    CloseCode.TOO_MANY: Overloaded,
}
_BY_STATUS: Final[dict[int, type[AuditError]]] = {
    HTTPStatus.UNAUTHORIZED: Unauthorized,
    HTTPStatus.FORBIDDEN: Forbidden,
    HTTPStatus.REQUEST_TIMEOUT: Unavailable,
    HTTPStatus.TOO_MANY_REQUESTS: Overloaded,
}


class Socket(ClientConnection):
    """A WebSocket that hands messages over as they come and sends at once, where it can: a task each costs more.

    A message that comes whole, in a frame of its own, does not go through the parser. What can't be done so goes the
    usual way: `recv` and `send`, each in a task of its own.
    """

    receiver: Callable[[bytes], bool] | None = None
    """Takes a whole message; returns whether it did. From the first that it does not take on, all go to `recv`."""
    _unparsed: int | None = None
    """Bytes that the parser has and has made no frame of; 0: what comes next begins a frame; None: not known."""

    def data_received(self, data: bytes) -> None:
        """See websockets: called with what has come, however it was cut."""
        at = self._take_whole(data) if self._unparsed == 0 else 0
        if at == len(data):
            return
        if at:
            data = data[at:]
        if self._unparsed is not None:
            self._unparsed += len(data)
        answered = self.response is not None
        super().data_received(data)
        if not answered and data.startswith(_ANSWER) and data.find(_ANSWER_END) == len(data) - len(_ANSWER_END):
            # The answer and nothing else: no frame has begun.
            self._unparsed = 0

    def _take_whole(self, data: bytes) -> int:
        """Hand over the messages that data starts with; return up to where."""
        at, size = 0, len(data)
        while at + 1 < size and data[at] == _WHOLE_TEXT:
            if (receiver := self.receiver) is None or self.protocol.state is not State.OPEN:
                break
            length = data[at + 1]
            start = at + 2
            if length == _MEDIUM:
                start = at + 4
                length = int.from_bytes(data[at + 2 : start], "big")
            elif length > _MEDIUM:
                # Long ones come in pieces, and from a peer that masks them, which none of ours may, not at all.
                break
            if start + length > size or not receiver(data[start : start + length]):
                break
            at = start + length
        return at

    def process_event(self, event: Event) -> None:
        """See websockets: called with each frame, and with the handshake's answer."""
        if self._unparsed is not None and isinstance(event, Frame):
            size = len(event.data)
            self._unparsed -= size + (2 if size < _MEDIUM else 4 if size <= _MEDIUM_MOST else 10)
        if self.receiver is not None and isinstance(event, Frame):
            if event.opcode is Opcode.TEXT and event.fin and self.receiver(bytes(event.data)):
                return
            if event.opcode in {Opcode.TEXT, Opcode.CONT, Opcode.BINARY}:
                # What comes later must not overtake it.
                self.receiver = None
        super().process_event(event)

    def send_nowait(self, message: bytes) -> bool:
        """Send a text message at once; return whether it could be: the peer takes what it is sent, and is there."""
        if self.paused or self.protocol.state is not State.OPEN or self.send_in_progress is not None:
            return False
        self.protocol.send_text(message)
        try:
            self.send_data()
        except (OSError, RuntimeError) as error:
            # As websockets does it: whoever reads is told.
            self.set_connection_exc(error)
            self.transport.abort()
        return True


async def open_socket(address: Address, options: ClientOptions) -> Socket:
    """Return an open WebSocket that speaks our protocol.

    Raises:
        Unavailable, Overloaded: there is no server now, or it has too many peers.
        Unauthorized, Forbidden: it does not let this client in.
        ProtocolViolation: what answers there is no such server.
        InvalidParameter: `ssl` or `proxy` does not go with the URL.
    """
    more: dict[str, Any] = {} if options.ssl is None else {"ssl": options.ssl}
    if options.token is not None:
        more["additional_headers"] = {"Authorization": f"Bearer {options.token}"}
    if address.socket_path is not None:
        more |= {"unix": True, "path": address.socket_path}
    try:
        socket = await connect(
            address.uri,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            compression=None,
            proxy=options.proxy,
            open_timeout=options.open_timeout_s,
            close_timeout=_CLOSE_TIMEOUT_S,
            max_size=_MAX_FRAME_BYTES,
            create_connection=Socket,
            **more,
        )
    except (InvalidProxy, ImportError) as error:
        raise InvalidParameter("proxy", str(error)) from error
    except (OSError, EOFError, InvalidHandshake) as error:
        raise _refusal(error, address.shown) from error
    except ValueError as error:
        raise InvalidParameter("ssl", str(error)) from error
    if socket.subprotocol != SUBPROTOCOL:
        await socket.close()
        raise ProtocolViolation(f"{address.shown} does not speak {SUBPROTOCOL}: is it an audit server, and its /rpc?")
    assert isinstance(socket, Socket)  # noqa: S101 - `create_connection` made it
    return socket


def _refusal(error: Exception, shown: str) -> AuditError:
    if isinstance(error, InvalidStatus):
        status = error.response.status_code
        kind = _BY_STATUS.get(status)
        if kind is None:
            kind = Unavailable if status >= HTTPStatus.INTERNAL_SERVER_ERROR else ProtocolViolation
        # Servers answer 403 for a path that they have no WebSocket at, too.
        hint = f": is its path {PATH}?" if status in {HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND} else ""
        return kind(f"{shown} answers HTTP {status}{hint}")
    if isinstance(error, InvalidMessage) and not isinstance(error.__cause__, EOFError):
        return ProtocolViolation(f"{shown} is no WebSocket server: {error}")
    if isinstance(error, InvalidHandshake) and not isinstance(error, InvalidMessage):
        return ProtocolViolation(f"{shown}: {error}")
    if isinstance(error, ssl.SSLError):
        return Unavailable(f"can't connect to {shown}: {getattr(error, 'verify_message', '') or error}")
    if isinstance(error, TimeoutError):
        return Unavailable(f"can't connect to {shown}: no answer in time")
    reason = str(error)
    if isinstance(error, OSError) and error.errno is not None:
        # asyncio's own text has no reason in it, only the address; a failed look-up has no number of the system.
        reason = os.strerror(error.errno) if error.errno > 0 else str(error.strerror)
    return Unavailable(f"can't connect to {shown}: {reason or type(error).__name__}")


def closed_error(error: ConnectionClosed, shown: str) -> AuditError:
    """Return why a connection is over, which may be no reason to give up."""
    close = error.rcvd
    if close is None:
        return Unavailable(f"the connection to {shown} was lost: {error}")
    kind = _BY_CODE.get(close.code, Unavailable)
    return kind(f"{shown} closed the connection: {close.code} {close.reason}".rstrip())
