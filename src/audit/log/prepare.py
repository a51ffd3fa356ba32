"""From what a caller gives to what the sequencer writes: checked, normalised and encoded, all but id and index.

The check is quick when all is well; only a bad event is looked at twice, to say what is wrong with it (`log.problems`).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from math import isfinite
from typing import Any, Final, NamedTuple

import msgspec

from audit.codec.commits import DIGEST_BYTES
from audit.codec.events import (
    HEADER_BYTES,
    SALT_STRIDE,
    encode_payload,
    encode_topics,
    salt_texts,
    without_salt,
)
from audit.codec.terms import (
    term_of_action,
    term_of_actor,
    term_of_outcome,
    term_of_request,
    term_of_target,
    topic_terms,
)
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


class Prepared(msgspec.Struct, frozen=True, gc=False):
    """One event, ready to be numbered.

    Attributes:
        topics: Its topics as JSON, and a comma.
        payload: Its payload as stored, from `"salt":"` to the closing brace.
        terms: What it can be found by.
        key: Digest of its idempotency key, or None.
        fingerprint: Digest of the event as sent; empty without a key.
    """

    topics: bytes
    payload: bytes
    terms: tuple[bytes, ...]
    key: bytes | None = None
    fingerprint: bytes = b""


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
_topic_seen: dict[Topic, _Topics] = {}


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
    prepared = []
    size = HEADER_BYTES * len(events)
    keyed = False
    for number, (event, salt) in enumerate(zip(events, salt_texts(os.urandom(SALT_STRIDE * len(events))), strict=True)):
        one = _prepare(event, salt, internal)
        if one is None:
            path = f"events[{number}]" if many else "event"
            check_event(event, path, internal=internal)
            raise InvalidParameter(path, "can't be encoded")
        prepared.append(one)
        size += len(one.topics) + len(one.payload)
        if one.key is not None:
            keyed = True
    if size > MAX_CALL_BYTES:
        raise TooLarge("events", f"must have at most {MAX_CALL_BYTES} bytes encoded, have {size}")
    if idempotency_key is None:
        return PreparedCall(prepared, size, None, b"", keyed)
    if keyed:
        raise InvalidParameter("idempotency_key", "give one for the call or one for each event, not both")
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for one in prepared:
        sent = one.topics + without_salt(one.payload)
        digest.update(len(sent).to_bytes(4, "big") + sent)
    key = _key_digest(check_key(idempotency_key, "idempotency_key"), b"call")
    return PreparedCall(prepared, size, key, digest.digest(), keyed=True)


def _prepare(event: NewEvent, salt: str, internal: bool) -> Prepared | None:  # noqa: FBT001 - called for each event
    """Return the event ready to be numbered, or None if anything at all is wrong with it."""
    if type(event) is not NewEvent:
        return None
    data = event.data
    try:
        topics = _topics_of(event.topics)
        if topics is None or (topics.internal and not internal) or not (data is None or _is_json(data, MAX_DATA_DEPTH)):
            return None
        terms = topics.terms
        if (actor := event.actor) is not None:
            terms += _actor_terms(actor)
        if (action := event.action) is not None:
            terms += _action_terms(action)
        if (outcome := event.outcome) is not None:
            terms += _outcome_terms(outcome)
        # Empty ones too: only a real list and a real mapping may be left out of the stored event.
        if (targets := event.targets) or type(targets) is not list:
            terms += _terms_of_targets(targets)
        if (context := event.context) or type(context) is not dict:
            terms += _terms_of_context(context)
        if (occurred_at := event.occurred_at) is not None:
            occurred_at = _in_utc(occurred_at)
        payload = encode_payload(salt, action, occurred_at, actor, targets, outcome, context, data)
        if HEADER_BYTES + len(topics.json) + len(payload) > MAX_EVENT_BYTES:
            return None
        if event.idempotency_key is None:
            return Prepared(topics.json, payload, terms)
        key = _key_digest(check_key(event.idempotency_key, "idempotency_key"), b"event")
    except (TypeError, ValueError, AttributeError, OverflowError, RecursionError):
        # Also a UnicodeEncodeError, and ours: whatever it was, `check_event` finds it again and names it.
        return None
    fingerprint = hashlib.blake2b(topics.json + without_salt(payload), digest_size=DIGEST_BYTES).digest()
    return Prepared(topics.json, payload, terms, key, fingerprint)


def _topics_of(topics: Any) -> _Topics | None:
    if type(topics) is not list and type(topics) is not tuple:
        return None
    if len(topics) == 1 and type(topics[0]) is tuple:
        # Nearly every event: one topic, seen before.
        found = _topic_seen.get(topics[0])
        if found is not None:
            return found
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
    found = _Topics(encode_topics(nodes) + b",", topic_terms(nodes), any(node[0] == INTERNAL_ROOT for node in nodes))
    if len(_topics_seen) >= _TOPIC_CACHE:
        _topics_seen.clear()
        _topic_seen.clear()
    _topics_seen[key] = found
    if len(key) == 1:
        _topic_seen[key[0]] = found
    return found


def _check_name(value: Any) -> None:
    if type(value) is not str or not 0 < len(value.encode()) <= MAX_NAME_BYTES:
        raise ValueError


# The caches below hold terms of values that were found good. Structs are frozen and hash by their members, so a look-up
# checks all of them; what is bad raises each time.


@lru_cache(8_192)
def _actor_terms(actor: Any) -> tuple[bytes, ...]:
    _check_named(actor, Actor)
    return (term_of_actor(actor.id),)


@lru_cache(8_192)
def _target_terms(target: Any) -> tuple[bytes, ...]:
    _check_named(target, Target)
    return (term_of_target(target.id),)


@lru_cache(2_048)
def _action_terms(action: Any) -> tuple[bytes, ...]:
    _check_name(action)
    return (term_of_action(action),)


@lru_cache(16)
def _outcome_terms(outcome: Any) -> tuple[bytes, ...]:
    if outcome not in OUTCOMES:
        raise ValueError
    return (term_of_outcome(outcome),)


def _check_named(value: Any, kind: type[Actor | Target]) -> None:
    if type(value) is not kind:
        raise ValueError
    _check_name(value.type)
    _check_name(value.id)
    if value.name is not None:
        _check_name(value.name)


def _terms_of_targets(targets: Any) -> tuple[bytes, ...]:
    if type(targets) not in (list, tuple) or len(targets) > MAX_TARGETS:
        raise ValueError
    if not targets:
        return ()
    if len(targets) == 1:
        return _target_terms(targets[0])
    return tuple(dict.fromkeys([_target_terms(target)[0] for target in targets]))


def _terms_of_context(context: Any) -> tuple[bytes, ...]:
    if type(context) is not dict or len(context) > MAX_CONTEXT_FIELDS:
        raise ValueError
    for name, value in context.items():
        if type(name) is not str or type(value) is not str or not name:
            raise ValueError
        if len(name.encode()) > MAX_CONTEXT_BYTES or len(value.encode()) > MAX_CONTEXT_BYTES:
            raise ValueError
    request_id = context.get("request_id")
    return () if request_id is None else (term_of_request(request_id),)


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
            kind = type(member)
            # The most common members, without a call for each.
            if kind is str or (kind is int and _MIN_INT <= member <= _MAX_INT) or (kind is float and isfinite(member)):
                continue
            if not _is_json(member, depth - 1):
                return False
        return True
    if kind is list or kind is tuple:
        for member in value:  # noqa: SIM110 - a generator costs as much again
            if type(member) is not str and not _is_json(member, depth - 1):
                return False
        return True
    return False


def _in_utc(moment: Any) -> datetime:
    if type(moment) is not datetime or moment.utcoffset() is None:
        raise ValueError
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
