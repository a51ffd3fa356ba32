"""An event from the texts of a command line. Pure; the log checks the event as a whole, bounds included."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, TypeVar, cast

import msgspec

from audit.model.errors import InvalidParameter
from audit.model.event import Actor, NewEvent, Outcome, Target
from audit.model.topic import parse_topic

__all__ = ["compose", "named"]

_Named = TypeVar("_Named", Actor, Target)
_PARTS: Final = 3


def compose(
    *,
    topics: Sequence[str] | None,
    action: str | None = None,
    actor: str | None = None,
    targets: Iterable[str] | None = None,
    outcome: str | None = None,
    context: Iterable[str] | None = None,
    data: str | None = None,
    occurred_at: str | None = None,
    idempotency_key: str | None = None,
) -> NewEvent:
    """Return the event that the options of `audit append` stand for.

    Raises:
        InvalidParameter: one of them is malformed; it is named as the option it is.
    """
    if not topics:
        raise InvalidParameter("--topic", "is missing: an event has at least one, such as node/connection")
    return NewEvent(
        topics=[parse_topic(topic, "--topic") for topic in topics],
        action=action,
        occurred_at=None if occurred_at is None else _time(occurred_at),
        actor=None if actor is None else named(actor, Actor, "--actor"),
        targets=[named(target, Target, "--target") for target in targets or ()],
        outcome=cast("Outcome | None", outcome),
        context=_context(context or ()),
        data=None if data is None else _json(data),
        idempotency_key=idempotency_key,
    )


def named(text: str, kind: type[_Named], option: str) -> _Named:
    """Return the actor or target that a text stands for.

    Raises:
        InvalidParameter: it is malformed; `option` is what it was given as.
    """
    if text.startswith("{"):
        try:
            return msgspec.json.decode(text, type=kind)
        except (msgspec.MsgspecError, UnicodeEncodeError) as error:
            raise InvalidParameter(option, str(error)) from error
    parts = text.split(":")
    if not 1 < len(parts) <= _PARTS or not all(parts):
        # An id with colons in it (an ARN, say) could be cut in more than one place.
        form = '{"type":"user","id":"u-7"}'
        raise InvalidParameter(option, f"must be TYPE:ID or TYPE:ID:NAME, or JSON such as {form}; got {text!r:.80}")
    return kind(type=parts[0], id=parts[1], name=parts[2] if len(parts) == _PARTS else None)


def _context(fields: Iterable[str]) -> dict[str, str]:
    context: dict[str, str] = {}
    for field in fields:
        name, equals, value = field.partition("=")
        if not name or not equals:
            raise InvalidParameter("--context", f"must be NAME=VALUE, got {field!r:.80}")
        if name in context:
            raise InvalidParameter("--context", f"{name!r:.40} is given twice")
        context[name] = value
    return context


def _json(text: str) -> object:
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise InvalidParameter("--event-data", f"must be JSON: {error}; got {text!r:.80}") from error


def _time(text: str) -> datetime:
    try:
        return msgspec.convert(text, datetime)
    except msgspec.ValidationError as error:
        problem = f"must be an RFC 3339 time such as 2026-11-21T10:00:00Z, got {text!r:.40}"
        raise InvalidParameter("--occurred-at", problem) from error
