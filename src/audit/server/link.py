"""One WebSocket and its transport: frames in by callback, frames out at once, and an end for who stops reading.

ASGI hides the transport, and its queue and task switch cost more than a small call does. So uvicorn's own protocol is
subclassed: the handshake and the close stay as they are; between them messages bypass ASGI. The figures are in
docs/design/serving.md.
"""

from __future__ import annotations

import asyncio
from asyncio.transports import BaseTransport
from collections.abc import Callable
from typing import Any, Final, Protocol

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from audit.server.access.identity import PEER
from audit.server.peer import peer_of

__all__ = ["LINK", "Link", "frame_of", "link_protocol"]

LINK: Final = "audit.link"
"""Where an ASGI scope has its link."""
WRITE_BUFFER_BYTES: Final = 64 * 1024
_CLOSE_TIMEOUT_S: Final = 5.0
_SHORT: Final = 126
_MEDIUM: Final = 65_536

Receiver = Callable[[bytes, bool], None]


def frame_of(message: bytes) -> bytes:
    """Return a message as one text frame from a server: RFC 6455, section 5.2, unmasked, not compressed."""
    size = len(message)
    if size < _SHORT:
        return b"\x81" + bytes((size,)) + message
    if size < _MEDIUM:
        return b"\x81\x7e" + size.to_bytes(2, "big") + message
    return b"\x81\x7f" + size.to_bytes(8, "big") + message


class Link(Protocol):
    """What a connection needs of its WebSocket."""

    def open(self, receiver: Receiver) -> None:
        """Hand over what came already and what comes from now on: the message, and whether it is text."""
        ...

    def send_message(self, message: bytes) -> None:
        """Send a text message; one to a peer that is gone is dropped."""
        ...

    def write_frame(self, frame: bytes) -> None:
        """Send a frame that is built already (`frame_of`)."""
        ...

    @property
    def paused(self) -> bool:
        """Whether the peer takes less than it is sent."""
        ...

    async def drained(self) -> None:
        """Return once the peer takes more, or is gone."""
        ...


class _LinkProtocol(WebSocketsSansIOProtocol):
    """The WebSocket of one connection; `_settle` gives it what uvicorn's configuration has no place for."""

    send_timeout_s: float
    aborted: Callable[[], None]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._receiver: Receiver | None = None
        self._early: list[tuple[bytes, bool]] = []
        self._stalled: asyncio.TimerHandle | None = None
        self._unsent = 0
        self._last_call: asyncio.TimerHandle | None = None

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        # Whoever does not read should be noticed soon, and cost little until then.
        self.transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_watch()
        if self._last_call is not None:
            self._last_call.cancel()
        super().connection_lost(exc)

    # Messages from the peer

    def open(self, receiver: Receiver) -> None:
        self._receiver = receiver
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        early, self._early = self._early, []
        for message, text in early:
            receiver(message, text)

    def send_receive_event_to_app(self) -> None:
        message = self.frames[0] if len(self.frames) == 1 else b"".join(self.frames)
        self.frames = []
        if self.close_sent:
            return
        text = self.curr_msg_data_type == "text"
        if self._receiver is None:
            # Sent before the handshake's answer: kept, but no more than this is read meanwhile.
            self._early.append((message, text))
            self.transport.pause_reading()
            self.read_paused = True
            return
        self._receiver(message, text)

    # Messages to the peer

    def send_message(self, message: bytes) -> None:
        self.write_frame(frame_of(message))

    def write_frame(self, frame: bytes) -> None:
        if not (self.disconnected or self.close_sent or self.transport.is_closing()):
            self.transport.write(frame)

    @property
    def paused(self) -> bool:
        return not self.writable.is_set()

    async def drained(self) -> None:
        await self.writable.wait()

    def pause_writing(self) -> None:
        super().pause_writing()
        # Answers would pile up: a peer that takes none may ask nothing.
        self.transport.pause_reading()
        self._unsent = self.transport.get_write_buffer_size()
        self._watch()

    def resume_writing(self) -> None:
        self._stop_watch()
        super().resume_writing()
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def _watch(self) -> None:
        self._stalled = self.loop.call_later(self.send_timeout_s, self._check_progress)

    def _stop_watch(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _check_progress(self) -> None:
        unsent = self.transport.get_write_buffer_size()
        if unsent < self._unsent:
            # Slow, but not dead.
            self._unsent = unsent
            self._watch()
        else:
            self._abort()

    # The end

    def _abort(self) -> None:
        self.aborted()
        self.transport.abort()

    def shutdown(self) -> None:
        # The server stops: connections end themselves, subscriptions first. Handshakes are answered by the application,
        # which knows; a second answer, by uvicorn, would be an error of both.
        pass

    def keepalive_timeout(self) -> None:
        # Not `close`, which waits for the peer to take what is left: it takes nothing.
        self._abort()

    async def send(self, message: Any) -> None:
        await super().send(message)
        if self.close_sent:
            # Also by a refusal, which uvicorn would call a handshake that was never answered, in its log.
            self.handshake_complete = True

    async def run_asgi(self) -> None:
        self.scope[LINK] = self  # type: ignore[typeddict-unknown-key]
        self.scope[PEER] = peer_of(self.transport)  # type: ignore[typeddict-unknown-key]
        await super().run_asgi()
        if not self.disconnected:
            # Closing waits for the peer to take what is left, and some never do.
            self._last_call = self.loop.call_later(_CLOSE_TIMEOUT_S, self.transport.abort)


def link_protocol(send_timeout_s: float, aborted: Callable[[], None]) -> type[WebSocketsSansIOProtocol]:
    """Return uvicorn's WebSocket protocol as a link.

    Args:
        send_timeout_s: A peer whose socket takes nothing for so long is aborted.
        aborted: Called for each of them.
    """
    # uvicorn calls the class with arguments of its own: settings can only be members of it.
    members = {"send_timeout_s": send_timeout_s, "aborted": staticmethod(aborted)}
    return type("LinkProtocol", (_LinkProtocol,), members)
