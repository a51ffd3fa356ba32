"""What was found good before: topics, actors, targets and the like with their terms, so that few are looked at twice.

Structs are frozen and hash by their members, so a look-up compares all of them; what is bad raises each time. A cache
that is full is emptied: that costs a look-up nothing, where keeping the order of use costs it as much again.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Final, NamedTuple

from msgspec import Raw

from audit.codec.events import encode_topics
from audit.codec.terms import (
    forget_terms,
    term_of_action,
    term_of_actor,
    term_of_outcome,
    term_of_request,
    term_of_target,
    topic_terms,
)
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

__all__ = ["Kind", "actor_terms", "context_terms", "forget_known", "is_text", "known_kind", "target_terms"]

_KINDS: Final = 4_096
_THINGS: Final = 8_192
_SHORT: Final = MAX_CONTEXT_BYTES // 4
"""Characters that have at most so many bytes, whichever they are."""


class Kind(NamedTuple):
    """What an event's topics come to, or its topics, action and outcome: many events have them in common.

    Attributes:
        topics: The topics as JSON.
        terms: What the event can be found by, as far as these go.
        internal: Whether a topic belongs to the log itself.
    """

    topics: Raw
    terms: tuple[bytes, ...]
    internal: bool


_kinds_seen: dict[tuple[Any, ...], Kind] = {}
_topics_seen: dict[tuple[Topic, ...], Kind] = {}
_actors_seen: dict[Any, tuple[bytes, ...]] = {}
_targets_seen: dict[Any, tuple[bytes, ...]] = {}


def known_kind(topics: Any, action: Any, outcome: Any) -> Kind:
    """Return what three members of an event come to.

    Raises:
        TypeError, ValueError: one of them is out of form or bounds.
    """
    usual = type(topics) is list and len(topics) == 1 and type(topics[0]) is tuple
    asked = topics[0] if usual else _as_tuples(topics)
    # With their classes: a string of a class of its own, which is refused, equals the plain one.
    key = (asked, action, type(action), outcome, type(outcome))
    found = _kinds_seen.get(key)
    if found is None:
        found = _kind(_as_tuples(topics), action, outcome)
        _keep(_kinds_seen, key, found, _KINDS)
    return found


def _as_tuples(topics: Any) -> tuple[Topic, ...]:
    if type(topics) is not list and type(topics) is not tuple:
        raise TypeError
    return tuple([one if type(one) is tuple else tuple(one) if type(one) is list else () for one in topics])


def _kind(topics: tuple[Topic, ...], action: Any, outcome: Any) -> Kind:
    found = _topics_seen.get(topics)
    if found is None:
        found = _check_topics(topics)
        _keep(_topics_seen, topics, found, _KINDS)
    terms = found.terms
    if action is not None:
        _check_name(action)
        terms += (term_of_action(action),)
    if outcome is not None:
        if not is_text(outcome) or outcome not in OUTCOMES:
            raise ValueError
        terms += (term_of_outcome(outcome),)
    return Kind(found.topics, terms, found.internal)


def _check_topics(topics: tuple[Topic, ...]) -> Kind:
    # Twice the same topic, perhaps only after normalisation, is one.
    nodes = list(dict.fromkeys(to_topic(topic) for topic in topics))
    if not 1 <= len(topics) <= MAX_TOPICS or () in nodes:
        raise ValueError
    return Kind(encode_topics(nodes), topic_terms(nodes), any(node[0] == INTERNAL_ROOT for node in nodes))


def forget_known() -> None:
    """Forget everything seen: something of it was erased. Every log of this process then looks at all anew."""
    for seen in (_kinds_seen, _topics_seen, _actors_seen, _targets_seen):
        seen.clear()
    forget_terms()


def _keep(seen: dict[Any, Any], key: Any, found: Any, most: int) -> None:
    if len(seen) >= most:
        seen.clear()
    seen[key] = found


def is_text(value: Any) -> bool:
    """Return whether a value is a string that the encoder writes as one: a plain one, or a member of a string enum."""
    return type(value) is str or (isinstance(value, str) and isinstance(value, Enum))


def _check_name(value: Any) -> None:
    if not is_text(value) or not 0 < len(value.encode()) <= MAX_NAME_BYTES:
        raise ValueError


def actor_terms(actor: Any) -> tuple[bytes, ...]:
    """Return the term of an actor; TypeError, ValueError: it is out of form or bounds."""
    found = _actors_seen.get(actor)
    if found is None:
        _check_named(actor, Actor)
        found = (term_of_actor(actor.id),)
        _keep(_actors_seen, actor, found, _THINGS)
    return found


def _check_named(value: Any, kind: type[Actor | Target]) -> None:
    if type(value) is not kind:
        raise ValueError
    _check_name(value.type)
    _check_name(value.id)
    if value.name is not None:
        _check_name(value.name)


def target_terms(targets: Any) -> tuple[bytes, ...]:
    """Return the terms of an event's targets; TypeError, ValueError: one is, or all are, out of form or bounds."""
    if type(targets) not in (list, tuple) or len(targets) > MAX_TARGETS:
        raise ValueError
    if len(targets) == 1:
        return _target_terms(targets[0])
    return tuple(dict.fromkeys([_target_terms(target)[0] for target in targets]))


def _target_terms(target: Any) -> tuple[bytes, ...]:
    found = _targets_seen.get(target)
    if found is None:
        _check_named(target, Target)
        found = (term_of_target(target.id),)
        _keep(_targets_seen, target, found, _THINGS)
    return found


def context_terms(context: Any) -> tuple[bytes, ...]:
    """Return the term of a context's request; ValueError: the context is out of form or bounds."""
    if type(context) is not dict or len(context) > MAX_CONTEXT_FIELDS:
        raise ValueError
    for name, value in context.items():
        if type(name) is str and type(value) is str and 0 < len(name) <= _SHORT and len(value) <= _SHORT:
            # Within the bounds whatever it holds; a lone surrogate does not get past the encoder.
            continue
        if type(name) is not str or not is_text(value) or not name:
            raise ValueError
        if len(name.encode()) > MAX_CONTEXT_BYTES or len(value.encode()) > MAX_CONTEXT_BYTES:
            raise ValueError
    request_id = context.get("request_id")
    return () if request_id is None else (term_of_request(request_id),)
