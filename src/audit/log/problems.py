"""What is wrong with an event: the slow, exact check that names the member and the bound."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from math import isfinite
from typing import Any, Final

from audit.codec.events import HEADER_BYTES, Body, encode_bodies, encode_topics
from audit.log.known import is_text
from audit.model.errors import InvalidParameter, TooLarge
from audit.model.event import (
    MAX_CONTEXT_BYTES,
    MAX_CONTEXT_FIELDS,
    MAX_DATA_DEPTH,
    MAX_EVENT_BYTES,
    MAX_KEY_BYTES,
    MAX_NAME_BYTES,
    MAX_TARGETS,
    MAX_TOPICS,
    OUTCOMES,
    Actor,
    NewEvent,
    Target,
)
from audit.model.topic import INTERNAL_ROOT, to_topic

__all__ = ["check_event"]

_MIN_INT: Final = -(2**63)
_MAX_INT: Final = 2**64 - 1


def check_event(event: Any, path: str, *, internal: bool = False) -> None:
    """Raise the error that says what is wrong with an event; return when nothing is.

    Args:
        event: What a caller gave.
        path: Name of the parameter, such as `events[3]`.
        internal: Whether topics under `audit/` are allowed.

    Raises:
        InvalidParameter: a member is out of form or bounds.
        TooLarge: the event is over 64 KiB encoded.
    """
    if type(event) is not NewEvent:
        raise InvalidParameter(path, f"must be a NewEvent, got {type(event).__name__}")
    _check_topics(event.topics, f"{path}.topics", internal=internal)
    if event.action is not None:
        _check_text(event.action, f"{path}.action", 1, MAX_NAME_BYTES)
    outcome: Any = event.outcome
    if outcome is not None and (not is_text(outcome) or outcome not in OUTCOMES):
        allowed = ", ".join(sorted(OUTCOMES))
        raise InvalidParameter(f"{path}.outcome", f"must be one of {allowed}, got {outcome!r:.40}")
    _check_moment(event.occurred_at, f"{path}.occurred_at")
    if event.actor is not None:
        _check_named(event.actor, Actor, f"{path}.actor")
    _check_targets(event.targets, f"{path}.targets")
    _check_context(event.context, f"{path}.context")
    for where, problem in _json_problems(event.data, f"{path}.data", MAX_DATA_DEPTH):
        raise InvalidParameter(where, problem)
    if event.idempotency_key is not None:
        _check_text(event.idempotency_key, f"{path}.idempotency_key", 1, MAX_KEY_BYTES)
    size = _size_of(event)
    if size > MAX_EVENT_BYTES:
        raise TooLarge(path, f"must have at most {MAX_EVENT_BYTES} bytes encoded, has {size}")


def _size_of(event: NewEvent) -> int:
    """Return the most bytes that the event takes encoded, as `prepare` counts them."""
    topics = list(dict.fromkeys(to_topic(topic) for topic in event.topics))
    moment = None if event.occurred_at is None else event.occurred_at.astimezone(UTC)
    body = Body(
        encode_topics(topics),
        "s" * 22,
        event.action,
        moment,
        event.actor,
        event.targets,
        event.outcome,
        event.context,
        event.data,
    )
    return HEADER_BYTES + len(encode_bodies([body])[0])


def _check_topics(topics: Any, path: str, *, internal: bool) -> None:
    if isinstance(topics, (str, bytes)) or not isinstance(topics, (list, tuple)):
        raise InvalidParameter(path, f"must be a list of topics, got {topics!r:.60}")
    if not 1 <= len(topics) <= MAX_TOPICS:
        raise InvalidParameter(path, f"must hold 1-{MAX_TOPICS} topics, holds {len(topics)}")
    for number, topic in enumerate(topics):
        if type(topic) not in (tuple, list):
            to_topic(topic, f"{path}[{number}]")
            raise InvalidParameter(f"{path}[{number}]", f"must be a tuple or list, got {type(topic).__name__}")
        node = to_topic(topic, f"{path}[{number}]")
        if not node:
            raise InvalidParameter(f"{path}[{number}]", "must have 1-16 segments, has none")
        if node[0] == INTERNAL_ROOT and not internal:
            raise InvalidParameter(f"{path}[{number}]", f"topics under {INTERNAL_ROOT}/ belong to the log itself")


def _check_text(value: Any, path: str, least: int, most: int) -> None:
    if not is_text(value):
        plain = "plain " if isinstance(value, str) else ""
        raise InvalidParameter(path, f"must be a {plain}string, got {type(value).__name__} {value!r:.60}")
    try:
        size = len(value.encode())
    except UnicodeEncodeError as error:
        raise InvalidParameter(path, "must be valid UTF-8, holds a lone surrogate") from error
    if not least <= size <= most:
        raise InvalidParameter(path, f"must be {least}-{most} bytes of UTF-8, has {size}")


def _check_moment(moment: Any, path: str) -> None:
    if moment is None:
        return
    if type(moment) is not datetime:
        raise InvalidParameter(path, f"must be a datetime, got {type(moment).__name__} {moment!r:.60}")
    if moment.utcoffset() is None:
        raise InvalidParameter(path, f"needs a time zone, got {moment.isoformat()}")
    try:
        moment.astimezone(UTC)
    except OverflowError as error:
        raise InvalidParameter(path, f"lies outside the years 1-9999 in UTC, got {moment.isoformat()}") from error


def _check_named(value: Any, kind: type[Actor | Target], path: str) -> None:
    if type(value) is not kind:
        raise InvalidParameter(path, f"must be {kind.__name__}(type=…, id=…), got {value!r:.60}")
    _check_text(value.type, f"{path}.type", 1, MAX_NAME_BYTES)
    _check_text(value.id, f"{path}.id", 1, MAX_NAME_BYTES)
    if value.name is not None:
        _check_text(value.name, f"{path}.name", 1, MAX_NAME_BYTES)


def _check_targets(targets: Any, path: str) -> None:
    if not isinstance(targets, (list, tuple)):
        raise InvalidParameter(path, f"must be a list of Target, got {targets!r:.60}")
    if len(targets) > MAX_TARGETS:
        raise InvalidParameter(path, f"must hold at most {MAX_TARGETS}, holds {len(targets)}")
    for number, target in enumerate(targets):
        _check_named(target, Target, f"{path}[{number}]")


def _check_context(context: Any, path: str) -> None:
    if not isinstance(context, dict):
        raise InvalidParameter(path, f"must be a mapping of strings, got {context!r:.60}")
    if len(context) > MAX_CONTEXT_FIELDS:
        raise InvalidParameter(path, f"must hold at most {MAX_CONTEXT_FIELDS} fields, holds {len(context)}")
    for name, value in context.items():
        if type(name) is not str:
            raise InvalidParameter(f"{path}.{name!r:.40}", "must have a plain string for its name")
        _check_text(name, f"{path}.{name!r:.40}", 1, MAX_CONTEXT_BYTES)
        _check_text(value, f"{path}.{name:.40}", 0, MAX_CONTEXT_BYTES)


def _json_problems(  # noqa: C901, PLR0912 - a branch a kind of value
    value: Any, path: str, depth: int
) -> Iterator[tuple[str, str]]:
    """Yield where a value is no JSON, and why."""
    kind = type(value)
    if kind is bool or value is None:
        return
    if kind is str:
        if not _is_utf8(value):
            yield path, "must be valid UTF-8, holds a lone surrogate"
    elif kind is int:
        if not _MIN_INT <= value <= _MAX_INT:
            yield path, "must be an integer of 64 bits"
    elif kind is float:
        if not isfinite(value):
            yield path, f"must be a finite number, got {value}"
    elif kind not in (dict, list, tuple):
        yield path, f"must be JSON (object, array, string, number, true, false, null), got {kind.__name__}"
    elif depth == 0:
        yield path, f"is nested deeper than {MAX_DATA_DEPTH} levels"
    elif kind is dict:
        for name, member in value.items():
            if type(name) is not str:
                yield path, f"must have strings for names, got {name!r:.40}"
            elif not _is_utf8(name):
                yield path, f"must have valid UTF-8 for names, got {name!r:.40}"
            else:
                yield from _json_problems(member, f"{path}.{name:.40}", depth - 1)
    else:
        for number, member in enumerate(value):
            yield from _json_problems(member, f"{path}[{number}]", depth - 1)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
