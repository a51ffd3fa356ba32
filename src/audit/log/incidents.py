"""What the log records about recording itself: a domain event that could not become one of the log's, or was dropped.

Neither holds anything of the domain event but its type: what was wrong with it may be what must not be stored.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from audit.log.prepare import PreparedCall, prepare_call
from audit.model.event import NewEvent
from audit.model.topic import INTERNAL_ROOT

__all__ = ["dropped", "new_key", "rejected"]

_MAX_PROBLEM_BYTES: Final = 1024
_MAX_NAME_CHARACTERS: Final = 256


def rejected(source: str, event_type: str, error: BaseException) -> PreparedCall:
    """Return the record of an event whose mapper failed, or mapped it to what the log refuses.

    Args:
        source: Name of the source's class.
        event_type: Name of the event's class.
        error: What was raised; its class and message are recorded.
    """
    data = {
        "source": _name(source),
        "event_type": _name(event_type),
        "error": _name(type(error).__name__),
        "problem": _problem(error),
    }
    return _prepared("rejected", data)


def dropped(source: str, event_type: str, count: int, first_ms: int, last_ms: int) -> PreparedCall:
    """Return the record of events that found their buffer full.

    Args:
        source: Name of the source's class.
        event_type: Name of the class of events recorded.
        count: Events dropped in a row.
        first_ms: When the first of them was dispatched, in Unix milliseconds.
        last_ms: When the last one was.
    """
    data = {
        "source": _name(source),
        "event_type": _name(event_type),
        "dropped": count,
        "first_at": _moment(first_ms),
        "last_at": _moment(last_ms),
    }
    return _prepared("dropped", data)


def new_key() -> str:
    """Return an idempotency key that nobody else has."""
    return os.urandom(16).hex()


def _prepared(what: str, data: Mapping[str, object]) -> PreparedCall:
    event = NewEvent(
        topics=[(INTERNAL_ROOT, what)], action=f"{INTERNAL_ROOT}.{what}", data=dict(data), idempotency_key=new_key()
    )
    return prepare_call((event,), many=False, internal=True)


def _name(text: str) -> str:
    return _encodable(text)[:_MAX_NAME_CHARACTERS]


def _problem(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - a foreign exception's own text may be broken as well
        return "its message can't be shown"
    return _encodable(text[:_MAX_PROBLEM_BYTES]).encode()[:_MAX_PROBLEM_BYTES].decode(errors="ignore")


def _encodable(text: str) -> str:
    """Return a text with its lone surrogates spelled out."""
    return text.encode(errors="backslashreplace").decode()


def _moment(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
