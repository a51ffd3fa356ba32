"""From what a caller gives to what is sent of it: checked with the errors of a log in this process, and encoded once.

However often a call is sent, its bytes and keys are the same.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

import msgspec

from audit.log.prepare import check_call, prepare_call
from audit.model.event import MAX_CALL_BYTES, MAX_EVENT_BYTES, NewEvent

__all__ = ["EncodedCall", "encode_events"]

_KEY_BYTES: Final = 16
_MARGIN: Final = 4
"""How many times larger than what is sent an event may be as stored: by its salt, its header and normalised topics."""
_encoder: Final = msgspec.json.Encoder()


class EncodedCall(msgspec.Struct, gc=False, omit_defaults=True):
    """`AppendParams` with its events as JSON."""

    events: msgspec.Raw
    idempotency_key: str | None = None


def encode_events(events: Sequence[NewEvent], idempotency_key: str | None, *, many: bool = True) -> EncodedCall:
    """Check the events of a call and encode them, each with a key: its own, the call's, or one made for this call.

    Args:
        events: 1-1,000 events.
        idempotency_key: A key for the whole call; its events then have none of their own.
        many: Whether parameters are named `events[n].…` or, of a call with one event, `event.…`.

    Raises:
        InvalidParameter, TooLarge: as `prepare_call`.
    """
    if not check_call(events, idempotency_key, many=many):
        idempotency_key = _new_key()
    elif idempotency_key is None:
        events = [event if event.idempotency_key else _with_key(event) for event in events]
    try:
        lines = _encoder.encode_lines(events).split(b"\n")
    except (TypeError, ValueError):
        # Text that is no UTF-8, most of all: found again, and named.
        prepare_call(events, None, many=many)
        raise
    if _MARGIN * max(map(len, lines)) > MAX_EVENT_BYTES or _MARGIN * sum(map(len, lines)) > MAX_CALL_BYTES:
        prepare_call(events, None, many=many)
    # The last line is empty.
    lines.pop()
    return EncodedCall(msgspec.Raw(b"[" + b",".join(lines) + b"]"), idempotency_key)


def _new_key() -> str:
    return os.urandom(_KEY_BYTES).hex()


def _with_key(event: NewEvent) -> NewEvent:
    return msgspec.structs.replace(event, idempotency_key=_new_key())
