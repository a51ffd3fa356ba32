"""The wire's name and its bounds. What a server lets one connection do is told in `server.info`."""

from __future__ import annotations

from typing import Final

import msgspec

from audit.model.event import MAX_CALL_BYTES, MAX_CALL_EVENTS, MAX_EVENT_BYTES
from audit.model.query import MAX_LIMIT, MAX_UNION

__all__ = ["DEFAULT_CREDIT", "MAX_CREDIT", "MAX_ID_BYTES", "PATH", "SUBPROTOCOL", "CloseCode", "Limits"]

SUBPROTOCOL: Final = "audit.v1.json"
PATH: Final = "/rpc"
DEFAULT_CREDIT: Final = 1_000
"""Events that a subscription may be sent before the client says more."""
MAX_CREDIT: Final = 1_000_000
"""Events that a client may have granted and not received yet."""
MAX_ID_BYTES: Final = 256
"""Bytes of a request's id, as JSON."""


class CloseCode:
    """Codes with which a WebSocket is closed."""

    SHUTDOWN: Final = 1001
    BAD_TEXT: Final = 1007
    TOO_BIG: Final = 1009
    INTERNAL: Final = 1011
    BAD_FRAME: Final = 4400
    UNAUTHORIZED: Final = 4401
    FORBIDDEN: Final = 4403
    AUTHENTICATION_TIMEOUT: Final = 4408
    TOO_MANY: Final = 4429


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one connection may do.

    Attributes:
        frame_bytes: Bytes of a frame that the server takes.
        sent_frame_bytes: Bytes of a frame that it sends.
        call_events: Events of one append.
        call_bytes: Encoded bytes of them.
        event_bytes: Encoded bytes of one event.
        page_events: Events of one page.
        topics: Topics of one union.
        requests: Requests of one connection that may be in flight.
        subscriptions: Subscriptions of one connection.
        credit: Events that may be granted and not sent yet, for each subscription.
    """

    frame_bytes: int = 4 * 1024 * 1024
    sent_frame_bytes: int = 1024 * 1024
    call_events: int = MAX_CALL_EVENTS
    call_bytes: int = MAX_CALL_BYTES
    event_bytes: int = MAX_EVENT_BYTES
    page_events: int = MAX_LIMIT
    topics: int = MAX_UNION
    requests: int = 256
    subscriptions: int = 256
    credit: int = MAX_CREDIT
