"""Terms: the things an event can be found by, each as self-delimiting bytes.

A term is its kind, the length of its value and the value. Nothing that starts with one term's bytes belongs to another
term, so neither `a,b` beside `a,bc` nor an actor named like a topic can mix up two posting lists.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from audit.model.event import Event
from audit.model.query import Query
from audit.model.topic import Topic

__all__ = ["Match", "event_terms", "match_of", "term_of_topic", "terms_of", "topic_of_term", "topic_terms"]

ACTION: Final = b"c"
ACTOR: Final = b"a"
OUTCOME: Final = b"o"
REQUEST: Final = b"r"
TARGET: Final = b"g"
TOPIC: Final = b"t"


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
    return kind + len(value).to_bytes(2, "big") + value


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


def terms_of(  # noqa: PLR0913 - one argument a kind of term
    of_topics: tuple[bytes, ...],
    actor_id: str | None,
    action: str | None,
    outcome: str | None,
    target_ids: Iterable[str],
    request_id: str | None,
) -> tuple[bytes, ...]:
    """Return every term of an event, each once, given those of its topics."""
    found = [*of_topics]
    if actor_id is not None:
        found.append(_term(ACTOR, actor_id.encode()))
    if action is not None:
        found.append(_term(ACTION, action.encode()))
    if outcome is not None:
        found.append(_term(OUTCOME, outcome.encode()))
    for target_id in target_ids:
        term = _term(TARGET, target_id.encode())
        if term not in found:
            found.append(term)
    if request_id is not None:
        found.append(_term(REQUEST, request_id.encode()))
    return tuple(found)


def event_terms(event: Event) -> tuple[bytes, ...]:
    """Return every term of a committed event."""
    return terms_of(
        topic_terms(event.topics),
        None if event.actor is None else event.actor.id,
        event.action,
        event.outcome,
        [target.id for target in event.targets],
        event.context.get("request_id"),
    )


def match_of(query: Query) -> Match:
    """Return what a query asks of an event's terms."""
    any_of = () if () in query.topics else tuple([term_of_topic(topic) for topic in query.topics])
    wanted = query.filter
    all_of = terms_of(
        (),
        wanted.actor,
        wanted.action,
        wanted.outcome,
        () if wanted.target is None else (wanted.target,),
        wanted.request_id,
    )
    return Match(any_of, all_of)
