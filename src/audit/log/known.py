"""What was found good before: topics, actors, targets and the like with their terms, so that few are looked at twice.

Structs are frozen and hash by their members, so a look-up compares all of them; what is bad raises each time.
"""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
from typing import Any, Final, NamedTuple

from audit.codec.events import encode_topics
from audit.codec.terms import (
    term_of_action,
    term_of_actor,
    term_of_outcome,
    term_of_request,
    term_of_target,
    topic_terms,
)
from audit.model.errors import InvalidParameter
from audit.model.event import (
    MAX_CONTEXT_BYTES,
    MAX_CONTEXT_FIELDS,
    MAX_NAME_BYTES,
    MAX_TARGETS,
    MAX_TOPICS,
    OUTCOMES,
    Actor,
    Target,
)
from audit.model.topic import INTERNAL_ROOT, Topic, to_topic

__all__ = ["action_terms", "actor_terms", "context_terms", "is_text", "known_topics", "outcome_terms", "target_terms"]

_TOPIC_CACHE: Final = 4_096


class _Topics(NamedTuple):
    """An event's topics: as JSON with a comma behind it, their terms, and whether one belongs to the log itself."""

    json: bytes
    terms: tuple[bytes, ...]
    internal: bool


_topics_seen: dict[tuple[Topic, ...], _Topics] = {}
_topic_seen: dict[Topic, _Topics] = {}


def known_topics(topics: Any) -> _Topics | None:
    """Return what an event's topics come to, or None if they are out of form or bounds."""
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
    if not 1 <= len(topics) <= MAX_TOPICS or () in nodes:
        return None
    found = _Topics(encode_topics(nodes) + b",", topic_terms(nodes), any(node[0] == INTERNAL_ROOT for node in nodes))
    if len(_topics_seen) >= _TOPIC_CACHE:
        _topics_seen.clear()
        _topic_seen.clear()
    _topics_seen[key] = found
    if len(key) == 1:
        _topic_seen[key[0]] = found
    return found


def is_text(value: Any) -> bool:
    """Return whether a value is a string that the encoder writes as one: a plain one, or a member of a string enum."""
    return type(value) is str or (isinstance(value, str) and isinstance(value, Enum))


def _check_name(value: Any) -> None:
    if not is_text(value) or not 0 < len(value.encode()) <= MAX_NAME_BYTES:
        raise ValueError


@lru_cache(8_192)
def actor_terms(actor: Any) -> tuple[bytes, ...]:
    """Return the term of an actor; ValueError: it is out of form or bounds."""
    _check_named(actor, Actor)
    return (term_of_actor(actor.id),)


@lru_cache(8_192)
def _one_target(target: Any) -> tuple[bytes, ...]:
    _check_named(target, Target)
    return (term_of_target(target.id),)


@lru_cache(2_048)
def action_terms(action: Any) -> tuple[bytes, ...]:
    """Return the term of an action; ValueError: it is out of form or bounds."""
    _check_name(action)
    return (term_of_action(action),)


@lru_cache(16)
def outcome_terms(outcome: Any) -> tuple[bytes, ...]:
    """Return the term of an outcome; ValueError: it is none."""
    if not is_text(outcome) or outcome not in OUTCOMES:
        raise ValueError
    return (term_of_outcome(outcome),)


def _check_named(value: Any, kind: type[Actor | Target]) -> None:
    if type(value) is not kind:
        raise ValueError
    _check_name(value.type)
    _check_name(value.id)
    if value.name is not None:
        _check_name(value.name)


def target_terms(targets: Any) -> tuple[bytes, ...]:
    """Return the terms of an event's targets; ValueError: one is, or all are, out of form or bounds."""
    if type(targets) not in (list, tuple) or len(targets) > MAX_TARGETS:
        raise ValueError
    if not targets:
        return ()
    if len(targets) == 1:
        return _one_target(targets[0])
    return tuple(dict.fromkeys([_one_target(target)[0] for target in targets]))


def context_terms(context: Any) -> tuple[bytes, ...]:
    """Return the term of a context's request; ValueError: the context is out of form or bounds."""
    if type(context) is not dict or len(context) > MAX_CONTEXT_FIELDS:
        raise ValueError
    for name, value in context.items():
        if type(name) is not str or not is_text(value) or not name:
            raise ValueError
        if len(name.encode()) > MAX_CONTEXT_BYTES or len(value.encode()) > MAX_CONTEXT_BYTES:
            raise ValueError
    request_id = context.get("request_id")
    return () if request_id is None else (term_of_request(request_id),)
