"""uvicorn's HTTP protocol with an end to every wait: for a request's headers, and for a peer to take its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from audit.server.access.identity import PEER, Peer
from audit.server.peer import peer_of

__all__ = ["http_protocol"]


class _PatientProtocol(HttpToolsProtocol):
    """One connection until it is closed, or upgraded to a WebSocket."""

    handshake_timeout_s: float
    send_timeout_s: float
    aborted: Callable[[], None]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._peer = Peer()
        self._unsent = 0
        self._stalled: asyncio.TimerHandle | None = None
        self._headers: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._peer = peer_of(transport)
        # What the kernel takes is buffer enough: so whatever waits here is noticed, and its wait has an end. Not 0, at
        # which TLS of Python and of uvloop pauses with nothing to wait for.
        transport.set_write_buffer_limits(high=1)
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._stalled, self._headers):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    # A request's headers

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope[PEER] = self._peer  # type: ignore[typeddict-unknown-key]
        self._await_headers()

    def on_headers_complete(self) -> None:
        if self._headers is not None:
            self._headers.cancel()
            self._headers = None
        super().on_headers_complete()

    def _await_headers(self) -> None:
        if self._headers is None:
            self._headers = self.loop.call_later(self.handshake_timeout_s, self.transport.abort)

    # A peer that takes nothing

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unsent = self.transport.get_write_buffer_size()
        self._watch()

    def resume_writing(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        super().resume_writing()

    def _watch(self) -> None:
        self._stalled = self.loop.call_later(self.send_timeout_s, self._check_progress)

    def _check_progress(self) -> None:
        unsent = self.transport.get_write_buffer_size()
        if unsent < self._unsent:
            # Slow, but not dead.
            self._unsent = unsent
            self._watch()
        else:
            # Not `close`, which waits for the peer to take what is left.
            self.aborted()
            self.transport.abort()


def http_protocol(
    handshake_timeout_s: float, send_timeout_s: float, aborted: Callable[[], None]
) -> type[HttpToolsProtocol]:
    """Return uvicorn's HTTP protocol with an end to its waiting.

    Args:
        handshake_timeout_s: A connection whose request's headers take longer is aborted.
        send_timeout_s: A peer whose socket takes nothing for so long is aborted.
        aborted: Called for each that took nothing.
    """
    # uvicorn calls the class with arguments of its own: settings can only be members of it.
    members = {
        "handshake_timeout_s": handshake_timeout_s,
        "send_timeout_s": send_timeout_s,
        "aborted": staticmethod(aborted),
    }
    return type("PatientProtocol", (_PatientProtocol,), members)
