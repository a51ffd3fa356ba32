"""One connection while it lives: requests and who waits for their answers, notifications and who gets them.

Owns what is to be sent, in order. Invariant: each request's `done` is called once, with an answer, an error, or `Lost`,
unless it was forgotten before.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import msgspec
from websockets.exceptions import ConnectionClosed

from audit.client.socket import Socket, closed_error
from audit.model.errors import AuditError, InvalidParameter, ProtocolViolation, TooLarge, Unavailable
from audit.protocol.client import Answer, ClientSession, EventPage, Failure, Note
from audit.protocol.frames import decode_contents
from audit.protocol.limits import CloseCode, Limits

__all__ = ["Done", "Link", "Lost", "Result", "contents"]

_MAX_REASON_BYTES: Final = 120


class Lost(Unavailable):
    """The connection was lost before the answer came."""


Result = msgspec.Raw | EventPage
Done = Callable[[Result | AuditError], None]


class Link:
    """A connection, in its event loop. `read` and `write` are to be run, each in a task of its own."""

    def __init__(self, socket: Socket, shown: str) -> None:
        self._socket = socket
        self._shown = shown
        self._session = ClientSession()
        self._waiting: dict[int, Done] = {}
        self._receivers: dict[str, Callable[[Note], None]] = {}
        self._outgoing: deque[bytes] = deque()
        self._more = asyncio.Event()
        self._limits = Limits()
        self._slots = asyncio.Semaphore(self._limits.requests)
        self.over = asyncio.Event()
        """Set once the connection is lost."""
        self.reason: AuditError = Unavailable(f"the connection to {shown} was closed")
        """Why it was lost."""

    def limit(self, limits: Limits) -> None:
        """Keep to what the server takes."""
        self._limits = limits
        self._slots = asyncio.Semaphore(max(1, limits.requests))

    def request(self, method: str, params: Any, done: Done) -> int:
        """Send a request, and have `done` called with its result or error. Returns its id.

        Raises:
            TooLarge: the server would close the connection over a frame of this size.
        """
        request, frame = self._session.request(method, params)
        if len(frame) > self._limits.frame_bytes:
            self._session.forget(request)
            problem = f"make a frame of {len(frame)} bytes, the server takes {self._limits.frame_bytes}"
            raise TooLarge("events" if method == "events.append" else "params", problem)
        if self.over.is_set():
            self._session.forget(request)
            done(Lost(str(self.reason)))
        else:
            self._waiting[request] = done
            self._send(frame)
        return request

    async def call(self, method: str, params: Any, on_sent: Callable[[], None] = lambda: None) -> Result:
        """Return the result of a request. Cancelling it frees it at once; what it asked for may happen all the same.

        Args:
            method: Its name.
            params: Its parameters.
            on_sent: Called once it may reach the server.

        Raises:
            Lost: the connection was lost; whether the request was carried out is not known.
            AuditError: what the server answered.
        """
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

        def done(outcome: Result | AuditError) -> None:
            if answer.done():
                return
            if isinstance(outcome, AuditError):
                answer.set_exception(outcome)
            else:
                answer.set_result(outcome)

        async with self._slots:
            request = self.request(method, params, done)
            if request in self._waiting:
                on_sent()
            try:
                return await answer
            finally:
                self._waiting.pop(request, None)
                self._session.forget(request)

    def route(self, subscription: str, receiver: Callable[[Note], None]) -> None:
        """Have a subscription's notifications handed to `receiver`."""
        self._receivers[subscription] = receiver

    def unroute(self, subscription: str) -> None:
        """Drop whatever still comes of a subscription."""
        self._receivers.pop(subscription, None)

    def grant(self, subscription: str, events: int) -> None:
        """Let the server send more of a subscription."""
        if not self.over.is_set():
            self._send(self._session.credit(subscription, events))

    def _send(self, frame: bytes) -> None:
        if self._outgoing or not self._socket.send_nowait(frame):
            self._outgoing.append(frame)
            self._more.set()

    async def write(self) -> None:
        """Send what there is to send, until the connection is lost."""
        try:
            while True:
                await self._more.wait()
                self._more.clear()
                while self._outgoing:
                    await self._socket.send(self._outgoing[0], text=True)
                    # Not before: what is sent meanwhile would overtake it.
                    self._outgoing.popleft()
        except ConnectionClosed:
            # `read` meets the same, and says why.
            return

    async def read(self) -> None:
        """Handle what comes, until the connection is lost; then tell everybody who waits."""
        self._socket.receiver = self._take
        try:
            while True:
                self._receive(await self._socket.recv(decode=False))
        except ConnectionClosed as closed:
            self.reason = closed_error(closed, self._shown)
        except ProtocolViolation as error:
            self.reason = error
            await self._socket.close(
                CloseCode.BAD_FRAME, str(error).encode()[:_MAX_REASON_BYTES].decode(errors="ignore")
            )
        finally:
            self._lose()

    def _take(self, frame: bytes) -> bool:
        """Handle a message in the callback that brought it; False: `read` is to do it, and to close the connection."""
        try:
            self._receive(frame)
        except ProtocolViolation:
            return False
        return True

    def _receive(self, frame: bytes) -> None:
        message = self._session.receive(frame)
        if isinstance(message, Answer):
            if (done := self._waiting.pop(message.id, None)) is not None:
                done(message.result)
        elif isinstance(message, Failure):
            if (done := self._waiting.pop(message.id, None)) is not None:
                done(message.error)
        elif message is not None:
            receiver = self._receivers.get(message.params.subscription)
            if receiver is not None:
                receiver(message)

    def _lose(self) -> None:
        self.over.set()
        self._outgoing.clear()
        self._receivers.clear()
        waiting, self._waiting = self._waiting, {}
        for done in waiting.values():
            done(Lost(str(self.reason)))


def contents(raw: Result, kind: Any) -> Any:
    """Return a result as its type; a page may be decoded already.

    Raises:
        ProtocolViolation: it is none of this type.
    """
    if isinstance(raw, EventPage):
        return raw
    try:
        return decode_contents(raw, kind)
    except (InvalidParameter, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProtocolViolation(f"the server answers what is no result: {error}") from error
