"""From what a caller gives to what the sequencer writes: checked, normalised and encoded, all but id and index.

The check is quick when all is well; only a bad event is looked at twice, to say what is wrong with it (`log.problems`).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from math import isfinite
from typing import Any, Final, NamedTuple

from audit.codec.commits import DIGEST_BYTES
from audit.codec.events import HEADER_BYTES, SALT_BYTES, encode_body, encode_topics, salted
from audit.codec.terms import terms_of, topic_terms
from audit.log.problems import check_event
from audit.model.errors import InvalidParameter, TooLarge
from audit.model.event import (
    MAX_CALL_BYTES,
    MAX_CALL_EVENTS,
    MAX_CONTEXT_BYTES,
    MAX_CONTEXT_FIELDS,
    MAX_DATA_DEPTH,
    MAX_EVENT_BYTES,
    MAX_KEY_BYTES,
    MAX_NAME_BYTES,
    MAX_TARGETS,
    OUTCOMES,
    Actor,
    NewEvent,
    Target,
)
from audit.model.topic import INTERNAL_ROOT, Topic, to_topic

__all__ = ["Prepared", "PreparedCall", "prepare_call"]

_MIN_INT: Final = -(2**63)
_MAX_INT: Final = 2**64 - 1
_TOPIC_CACHE: Final = 4_096


class Prepared(NamedTuple):
    """One event, ready to be numbered.

    Attributes:
        topics: Its topics as JSON.
        payload: Its payload as stored, from `,"salt":"` to the closing brace.
        terms: What it can be found by.
        key: Digest of its idempotency key, or None.
        fingerprint: Digest of the event as sent; empty without a key.
    """

    topics: bytes
    payload: bytes
    terms: tuple[bytes, ...]
    key: bytes | None
    fingerprint: bytes


class PreparedCall(NamedTuple):
    """The events of one call, which are committed together.

    Attributes:
        events: Each of them.
        size_bytes: Their encoded bytes, at most.
        key: Digest of the call's idempotency key, or None.
        fingerprint: Digest of the call as sent; empty without a key.
        keyed: Whether the call or any of its events has an idempotency key.
    """

    events: list[Prepared]
    size_bytes: int
    key: bytes | None
    fingerprint: bytes
    keyed: bool


class _Topics(NamedTuple):
    json: bytes
    terms: tuple[bytes, ...]
    internal: bool


_topics_seen: dict[tuple[Topic, ...], _Topics] = {}


def prepare_call(
    events: Sequence[NewEvent], idempotency_key: str | None = None, *, many: bool = True, internal: bool = False
) -> PreparedCall:
    """Check and encode the events of one call.

    Args:
        events: 1-1,000 events.
        idempotency_key: A key for the whole call; its events then have none of their own.
        many: Whether parameters are named `events[n].…` or, of a call with one event, `event.…`.
        internal: Whether topics under `audit/` are allowed.

    Raises:
        InvalidParameter: a member of an event is out of form or bounds.
        TooLarge: an event is over 64 KiB encoded, or the call over 1,000 events or 4 MiB.
    """
    if isinstance(events, (str, bytes, NewEvent)) or not isinstance(events, Sequence):
        raise InvalidParameter("events", f"must be a list of events, got {type(events).__name__}")
    if not events:
        raise InvalidParameter("events", f"must hold 1-{MAX_CALL_EVENTS} events, holds none")
    if len(events) > MAX_CALL_EVENTS:
        raise TooLarge("events", f"must hold 1-{MAX_CALL_EVENTS} events, holds {len(events)}")
    salts = os.urandom(SALT_BYTES * len(events))
    prepared = []
    size = 0
    keyed = False
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for number, event in enumerate(events):
        salt = salts[number * SALT_BYTES : (number + 1) * SALT_BYTES]
        one = _prepare(event, salt, internal=internal)
        if one is None:
            path = f"events[{number}]" if many else "event"
            check_event(event, path, internal=internal)
            raise InvalidParameter(path, "can't be encoded")
        prepared.append(one)
        size += HEADER_BYTES + len(one.topics) + len(one.payload)
        if one.key is not None:
            keyed = True
    if size > MAX_CALL_BYTES:
        raise TooLarge("events", f"must have at most {MAX_CALL_BYTES} bytes encoded, have {size}")
    if idempotency_key is None:
        return PreparedCall(prepared, size, None, b"", keyed)
    if keyed:
        raise InvalidParameter("idempotency_key", "give one for the call or one for each event, not both")
    for event in events:
        digest.update(_fingerprint(event))
    key = _key_digest(check_key(idempotency_key, "idempotency_key"), b"call")
    return PreparedCall(prepared, size, key, digest.digest(), keyed=True)


def _prepare(event: NewEvent, salt: bytes, *, internal: bool) -> Prepared | None:
    """Return the event ready to be numbered, or None if anything at all is wrong with it."""
    if type(event) is not NewEvent:
        return None
    try:
        topics = _topics_of(event.topics)
        actor, targets, context, action, outcome = (
            event.actor,
            event.targets,
            event.context,
            event.action,
            event.outcome,
        )
        if (
            topics is None
            or (topics.internal and not internal)
            or not (action is None or _is_name(action))
            or not (outcome is None or outcome in OUTCOMES)
            or not (actor is None or _is_named(actor, Actor))
            or not (not targets or _are_targets(targets))
            or not (not context or _is_context(context))
            or not _is_json(event.data, MAX_DATA_DEPTH)
        ):
            return None
        occurred_at = event.occurred_at
        if occurred_at is not None:
            occurred_at = _in_utc(occurred_at)
            if occurred_at is None:
                return None
        body = encode_body(action, occurred_at, actor, targets, outcome, context, event.data)
        terms = terms_of(
            topics.terms,
            None if actor is None else actor.id,
            action,
            outcome,
            [target.id for target in targets] if targets else (),
            context.get("request_id") if context else None,
        )
    except (TypeError, ValueError, AttributeError, RecursionError):
        # UnicodeEncodeError is a ValueError; whatever it was, `check_event` finds it again and names it.
        return None
    payload = salted(body, salt)
    if HEADER_BYTES + len(topics.json) + len(payload) > MAX_EVENT_BYTES:
        return None
    if event.idempotency_key is None:
        return Prepared(topics.json, payload, terms, None, b"")
    try:
        key = check_key(event.idempotency_key, "idempotency_key")
    except InvalidParameter:
        return None
    fingerprint = hashlib.blake2b(topics.json + body, digest_size=DIGEST_BYTES).digest()
    return Prepared(topics.json, payload, terms, _key_digest(key, b"event"), fingerprint)


def _topics_of(topics: Any) -> _Topics | None:
    if type(topics) is not list and type(topics) is not tuple:
        return None
    key = tuple([topic if type(topic) is tuple else tuple(topic) if type(topic) is list else () for topic in topics])
    found = _topics_seen.get(key)
    if found is not None:
        return found
    try:
        # Twice the same topic, perhaps only after normalisation, is one.
        nodes = list(dict.fromkeys(to_topic(topic) for topic in key))
    except InvalidParameter:
        return None
    if not 1 <= len(topics) <= 16 or () in nodes:  # noqa: PLR2004 - MAX_TOPICS; see `check_event`
        return None
    found = _Topics(encode_topics(nodes), topic_terms(nodes), any(node[0] == INTERNAL_ROOT for node in nodes))
    if len(_topics_seen) >= _TOPIC_CACHE:
        _topics_seen.clear()
    _topics_seen[key] = found
    return found


def _is_name(value: Any) -> bool:
    return type(value) is str and 0 < len(value) <= MAX_NAME_BYTES and len(value.encode()) <= MAX_NAME_BYTES


def _is_named(value: Any, kind: type) -> bool:
    return (
        type(value) is kind
        and _is_name(value.type)
        and _is_name(value.id)
        and (value.name is None or _is_name(value.name))
    )


def _are_targets(targets: Any) -> bool:
    return (
        type(targets) in (list, tuple)
        and len(targets) <= MAX_TARGETS
        and all(_is_named(target, Target) for target in targets)
    )


def _is_context(context: Any) -> bool:
    if type(context) is not dict or len(context) > MAX_CONTEXT_FIELDS:
        return False
    for name, value in context.items():
        if type(name) is not str or type(value) is not str or not name:
            return False
        if len(name.encode()) > MAX_CONTEXT_BYTES or len(value.encode()) > MAX_CONTEXT_BYTES:
            return False
    return True


def _is_json(value: Any, depth: int) -> bool:
    """Return whether a value is JSON that the encoder would write as it is, to this depth."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return True
    if kind is int:
        return _MIN_INT <= value <= _MAX_INT  # type: ignore[no-any-return]
    if kind is float:
        return isfinite(value)
    if depth == 0:
        return False
    if kind is dict:
        for name, member in value.items():
            if type(name) is not str:
                return False
            if type(member) is not str and not _is_json(member, depth - 1):
                return False
        return True
    if kind is list or kind is tuple:
        return all(_is_json(member, depth - 1) for member in value)
    return False


def _in_utc(moment: Any) -> datetime | None:
    if not isinstance(moment, datetime) or moment.utcoffset() is None:
        return None
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)


def check_key(key: Any, parameter: str) -> bytes:
    """Return an idempotency key's bytes.

    Raises:
        InvalidParameter: no string of 1-256 bytes of UTF-8.
    """
    try:
        raw = key.encode() if isinstance(key, str) else b""
    except UnicodeEncodeError as error:
        raise InvalidParameter(parameter, "must be valid UTF-8, holds a lone surrogate") from error
    if not 1 <= len(raw) <= MAX_KEY_BYTES:
        raise InvalidParameter(parameter, f"must be a string of 1-{MAX_KEY_BYTES} bytes of UTF-8, got {key!r:.40}")
    return raw


def _key_digest(key: bytes, scope: bytes) -> bytes:
    return hashlib.blake2b(key, digest_size=DIGEST_BYTES, person=scope).digest()


def _fingerprint(event: NewEvent) -> bytes:
    topics = _topics_of(event.topics)
    body = encode_body(
        event.action,
        event.occurred_at and _in_utc(event.occurred_at),
        event.actor,
        event.targets,
        event.outcome,
        event.context,
        event.data,
    )
    text = (topics.json if topics else b"") + body
    return len(text).to_bytes(4, "big") + text
