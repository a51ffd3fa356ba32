"""Terms: the things an event can be found by, each as self-delimiting bytes.

A term is its kind, the length of its value and the value. Nothing that starts with one term's bytes belongs to another
term, so neither `a,b` beside `a,bc` nor an actor named like a topic can mix up two posting lists.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple

from audit.model.event import Event
from audit.model.query import Query
from audit.model.topic import Topic

__all__ = [
    "TOPIC",
    "Match",
    "event_terms",
    "forget_terms",
    "match_of",
    "term_of_action",
    "term_of_actor",
    "term_of_outcome",
    "term_of_request",
    "term_of_target",
    "term_of_topic",
    "topic_of_term",
    "topic_terms",
]

ACTION: Final = b"c"
ACTOR: Final = b"a"
OUTCOME: Final = b"o"
REQUEST: Final = b"r"
TARGET: Final = b"g"
TOPIC: Final = b"t"
_HEAD: Final = struct.Struct(">cH")


class Match(NamedTuple):
    """What a query asks of an event's terms: one of `any_of` (empty: no such demand), and each of `all_of`."""

    any_of: tuple[bytes, ...]
    all_of: tuple[bytes, ...]

    @property
    def everything(self) -> bool:
        """Whether every event matches."""
        return not self.any_of and not self.all_of

    @property
    def wake_terms(self) -> tuple[bytes, ...]:
        """Terms of which a matching event must carry one; empty: any event may match."""
        return self.all_of[:1] or self.any_of


def _term(kind: bytes, value: bytes) -> bytes:
    return _HEAD.pack(kind, len(value)) + value


def term_of_topic(topic: Topic) -> bytes:
    """Return the term of one topic; each segment's length goes before it."""
    value = b"".join([len(raw).to_bytes(1, "big") + raw for raw in [part.encode() for part in topic]])
    return _term(TOPIC, value)


def topic_of_term(term: bytes) -> Topic | None:
    """Return the topic of a topic's term, or None for a term of another kind."""
    if term[:1] != TOPIC:
        return None
    parts = []
    at = 3
    while at < len(term):
        end = at + 1 + term[at]
        parts.append(term[at + 1 : end].decode())
        at = end
    return tuple(parts)


def topic_terms(topics: Iterable[Topic]) -> tuple[bytes, ...]:
    """Return the terms of the topics and of all their ancestors, each once; `()` has none, as it is everything."""
    nodes = {topic[:depth]: None for topic in topics for depth in range(1, len(topic) + 1)}
    return tuple([term_of_topic(node) for node in nodes])


@lru_cache(8_192)
def term_of_actor(actor_id: str) -> bytes:
    """Return the term of an actor's id."""
    return _term(ACTOR, actor_id.encode())


@lru_cache(8_192)
def term_of_target(target_id: str) -> bytes:
    """Return the term of a target's id."""
    return _term(TARGET, target_id.encode())


@lru_cache(2_048)
def term_of_action(action: str) -> bytes:
    """Return the term of an action."""
    return _term(ACTION, action.encode())


@lru_cache(16)
def term_of_outcome(outcome: str) -> bytes:
    """Return the term of an outcome."""
    return _term(OUTCOME, outcome.encode())


def term_of_request(request_id: str) -> bytes:
    """Return the term of a request's id."""
    return _term(REQUEST, request_id.encode())


def forget_terms() -> None:
    """Forget the terms that are kept to be used again: what they name was erased."""
    for kept in (term_of_actor, term_of_target, term_of_action, term_of_outcome):
        kept.cache_clear()


def event_terms(event: Event) -> tuple[bytes, ...]:
    """Return every term of a committed event, each once."""
    found = [*topic_terms(event.topics)]
    if event.action is not None:
        found.append(term_of_action(event.action))
    if event.outcome is not None:
        found.append(term_of_outcome(event.outcome))
    if event.actor is not None:
        found.append(term_of_actor(event.actor.id))
    found += dict.fromkeys([term_of_target(target.id) for target in event.targets])
    request_id = event.context.get("request_id")
    if request_id is not None:
        found.append(term_of_request(request_id))
    return tuple(found)


def match_of(query: Query) -> Match:
    """Return what a query asks of an event's terms; what is likely rarest comes first."""
    any_of = () if () in query.topics else tuple([term_of_topic(topic) for topic in query.topics])
    wanted = query.filter
    all_of = []
    if wanted.request_id is not None:
        all_of.append(term_of_request(wanted.request_id))
    if wanted.target is not None:
        all_of.append(term_of_target(wanted.target))
    if wanted.actor is not None:
        all_of.append(term_of_actor(wanted.actor))
    if wanted.action is not None:
        all_of.append(term_of_action(wanted.action))
    if wanted.outcome is not None:
        all_of.append(term_of_outcome(wanted.outcome))
    return Match(any_of, tuple(all_of))
