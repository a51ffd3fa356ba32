"""From what a caller gives to what the sequencer writes: checked, normalised and encoded, all but id and index.

The check is quick when all is well; only a bad event is looked at twice, to say what is wrong with it (`log.problems`).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from math import isfinite
from typing import Any, Final, NamedTuple, NoReturn

import msgspec

from audit.codec.commits import DIGEST_BYTES
from audit.codec.events import (
    HEADER_BYTES,
    SALT_CHARACTERS,
    SALT_STRIDE,
    Body,
    encode_bodies,
    without_salt,
)
from audit.log.known import actor_terms, context_terms, is_text, known_kind, target_terms
from audit.log.problems import check_event
from audit.model.errors import AuditError, InvalidParameter, TooLarge
from audit.model.event import (
    MAX_CALL_BYTES,
    MAX_CALL_EVENTS,
    MAX_DATA_DEPTH,
    MAX_EVENT_BYTES,
    MAX_KEY_BYTES,
    NewEvent,
)
from audit.proof.entries import salt_bodies

__all__ = ["Errand", "Prepared", "PreparedCall", "check_call", "prepare_call", "prepare_calls"]

_MIN_INT: Final = -(2**63)
_MAX_INT: Final = 2**64 - 1
# To be copied: that takes two thirds of the time that making one does.
_CALL_KEY: Final = hashlib.blake2b(digest_size=DIGEST_BYTES, person=b"call")
_EVENT_KEY: Final = hashlib.blake2b(digest_size=DIGEST_BYTES, person=b"event")
_USUAL: Final = (list, tuple)
# Also a UnicodeEncodeError, and ours: whatever it was, `check_event` finds it again and names it.
_REFUSALS: Final = (TypeError, ValueError, AttributeError, OverflowError, RecursionError)


class Prepared(msgspec.Struct, frozen=True, gc=False):
    """One event, ready to be numbered.

    Attributes:
        body: All that is stored of it, from `"topics":` on; only id and index go before that.
        terms: What it can be found by.
        entry: What its leaf in the Merkle tree is made of: the rest of the header, and the payload's hash.
        key: Digest of its idempotency key, or None.
        fingerprint: Digest of the event as sent; empty without a key.
    """

    body: bytes
    terms: tuple[bytes, ...]
    entry: bytes
    key: bytes | None = None
    fingerprint: bytes = b""


class Errand:
    """What a call is about that is more than appending: see `log.erasing`."""

    __slots__ = ()


class PreparedCall(NamedTuple):
    """The events of one call, which are committed together.

    Attributes:
        events: Each of them.
        size_bytes: Their encoded bytes, at most.
        key: Digest of the call's idempotency key, or None.
        fingerprint: Digest of the call as sent; empty without a key.
        keyed: Whether the call or any of its events has an idempotency key.
        many: Whether errors name `events[n]` or, of a call with one event, `event`.
        errand: What the writer is to do with it beside appending; such a call is a commit of its own.
    """

    events: list[Prepared]
    size_bytes: int
    key: bytes | None
    fingerprint: bytes
    keyed: bool
    many: bool = True
    errand: Errand | None = None


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
    _check_events(events)
    found = _prepare(events, internal=internal)
    if found is None:
        _explain(events, many=many, internal=internal)
    return _call_of(*found, idempotency_key, many=many)


def prepare_calls(calls: Sequence[tuple[Sequence[NewEvent], str | None]]) -> list[PreparedCall | AuditError]:
    """Check and encode calls that came together, each with its key as `prepare_call` does, in half the time.

    Returns:
        For each call what is to be written, or what is wrong with it.
    """
    together = [event for events, _ in calls for event in events]
    found = _prepare(together, internal=False) if 0 < len(together) <= MAX_CALL_EVENTS else None
    done: list[PreparedCall | AuditError] = []
    start = 0
    for events, key in calls:
        try:
            if found is None or not events:
                done.append(prepare_call(events, key))
            else:
                stop = start + len(events)
                done.append(_call_of(found.events[start:stop], found.sent[start:stop], key, many=True))
        except AuditError as error:
            done.append(error)
        start += len(events)
    return done


def check_call(events: Sequence[NewEvent], idempotency_key: str | None = None, *, many: bool = True) -> bool:
    """Check the events of one call all but for their size, and encode nothing; arguments and errors as `prepare_call`.

    Returns:
        Whether the call, or any of its events, has an idempotency key.
    """
    _check_events(events)
    try:
        found = _look_at(events, internal=False)
    except _REFUSALS:
        found = None
    if found is None:
        _explain(events, many=many, internal=False)
    if idempotency_key is None:
        return bool(found.keys)
    _check_call_key(idempotency_key, keyed=bool(found.keys))
    return True


def _check_events(events: Any) -> None:
    if type(events) not in _USUAL and (isinstance(events, (str, bytes, NewEvent)) or not isinstance(events, Sequence)):
        raise InvalidParameter("events", f"must be a list of events, got {type(events).__name__}")
    if not events:
        raise InvalidParameter("events", f"must hold 1-{MAX_CALL_EVENTS} events, holds none")
    if len(events) > MAX_CALL_EVENTS:
        raise TooLarge("events", f"must hold 1-{MAX_CALL_EVENTS} events, holds {len(events)}")


def _call_of(prepared: list[Prepared], sent: list[bytes], idempotency_key: str | None, *, many: bool) -> PreparedCall:
    """Return some events as one call; errors as of `prepare_call`."""
    # All of a salt has the same length.
    size = (HEADER_BYTES + SALT_CHARACTERS) * len(sent) + sum(map(len, sent))
    if size > MAX_CALL_BYTES:
        raise TooLarge("events", f"must have at most {MAX_CALL_BYTES} bytes encoded, have {size}")
    keyed = any(one.key for one in prepared)
    if idempotency_key is None:
        return PreparedCall(prepared, size, None, b"", keyed, many)
    key = _check_call_key(idempotency_key, keyed=keyed)
    # No event as sent has a line break in it.
    fingerprint = hashlib.blake2b(b"\n".join(sent), digest_size=DIGEST_BYTES).digest()
    return PreparedCall(prepared, size, _key_digest(key, _CALL_KEY), fingerprint, keyed=True)


def _check_call_key(key: Any, *, keyed: bool) -> bytes:
    if keyed:
        raise InvalidParameter("idempotency_key", "give one for the call or one for each event, not both")
    return check_key(key, "idempotency_key")


def _explain(events: Sequence[NewEvent], *, many: bool, internal: bool) -> NoReturn:
    """Raise what is wrong with the first event that can't be prepared."""
    for number, event in enumerate(events):
        if _prepare((event,), internal=internal) is None:
            path = f"events[{number}]" if many else "event"
            check_event(event, path, internal=internal)
            raise InvalidParameter(path, "can't be encoded")
    raise InvalidParameter("events", "can't be encoded")


class _Looked(NamedTuple):
    """What events come to, before they are encoded: the body and terms of each, and the keys of those that have one."""

    bodies: list[Body]
    terms: list[tuple[bytes, ...]]
    keys: dict[int, bytes]


class _Encoded(NamedTuple):
    """Events ready to be numbered, and each as one request always encodes to: without a salt."""

    events: list[Prepared]
    sent: list[bytes]


def _prepare(events: Sequence[NewEvent], *, internal: bool) -> _Encoded | None:
    """Return the events ready to be numbered, or None if anything at all is wrong with one of them.

    They are encoded together, which takes two thirds of the time that one after the other does.
    """
    try:
        found = _look_at(events, internal=internal)
        if found is None:
            return None
        sent = encode_bodies(found.bodies)
    except _REFUSALS:
        return None
    if max(map(len, sent)) + SALT_CHARACTERS > MAX_EVENT_BYTES - HEADER_BYTES:
        return None
    bodies, entries = salt_bodies(sent, os.urandom(SALT_STRIDE * len(sent)))
    prepared = list(map(Prepared, bodies, found.terms, entries))
    for number, key in found.keys.items():
        one = prepared[number]
        fingerprint = hashlib.blake2b(without_salt(sent[number]), digest_size=DIGEST_BYTES).digest()
        prepared[number] = Prepared(one.body, one.terms, one.entry, key, fingerprint)
    return _Encoded(prepared, sent)


def _look_at(events: Sequence[NewEvent], *, internal: bool) -> _Looked | None:
    """Return what some events come to; None, or one of `_REFUSALS`: something is wrong with one of them."""
    bodies: list[Body] = []
    terms: list[tuple[bytes, ...]] = []
    keys: dict[int, bytes] = {}
    for event in events:
        if type(event) is not NewEvent:
            return None
        action, outcome, data = event.action, event.outcome, event.data
        kind = known_kind(event.topics, action, outcome)
        if (kind.internal and not internal) or not (data is None or _is_json(data, MAX_DATA_DEPTH)):
            return None
        found = kind.terms
        if (actor := event.actor) is not None:
            found += actor_terms(actor)
        # Empty ones too: only a real list and a real mapping may be left out of the stored event.
        if (targets := event.targets) or type(targets) is not list:
            found += target_terms(targets)
        if (context := event.context) or type(context) is not dict:
            found += context_terms(context)
        if (occurred_at := event.occurred_at) is not None:
            occurred_at = _in_utc(occurred_at)
        if event.idempotency_key is not None:
            keys[len(terms)] = _key_digest(check_key(event.idempotency_key, "idempotency_key"), _EVENT_KEY)
        bodies.append(Body(kind.topics, "", action, occurred_at, actor, targets, outcome, context, data))
        terms.append(found)
    return _Looked(bodies, terms, keys)


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
        raw = key.encode() if is_text(key) else b""
    except UnicodeEncodeError as error:
        raise InvalidParameter(parameter, "must be valid UTF-8, holds a lone surrogate") from error
    if not 1 <= len(raw) <= MAX_KEY_BYTES:
        raise InvalidParameter(parameter, f"must be a string of 1-{MAX_KEY_BYTES} bytes of UTF-8, got {key!r:.40}")
    return raw


def _key_digest(key: bytes, scope: hashlib.blake2b) -> bytes:
    digest = scope.copy()
    digest.update(key)
    return digest.digest()
