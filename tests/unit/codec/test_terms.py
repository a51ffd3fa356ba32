"""Terms: self-delimiting, so that nothing found under one belongs to another."""

from collections.abc import Callable

from hypothesis import example, given
from hypothesis import strategies as st

from audit import Filter, NewEvent
from audit.codec.events import decode_event
from audit.codec.keys import prefix_of_children, prefix_of_postings
from audit.codec.postings import match_positions
from audit.codec.terms import (
    event_terms,
    match_of,
    term_of_action,
    term_of_actor,
    term_of_outcome,
    term_of_request,
    term_of_target,
    term_of_topic,
    topic_of_term,
    topic_terms,
)
from audit.log.prepare import prepare_call
from audit.model.query import to_query
from audit.model.topic import Topic
from tests.strategies import names, new_events, topics
from tests.unit.codec.test_events import stored

TERM_OF: dict[str, Callable[[str], bytes]] = {
    "actor": term_of_actor,
    "action": term_of_action,
    "outcome": term_of_outcome,
    "target": term_of_target,
    "request_id": term_of_request,
}
KINDS = st.sampled_from(list(TERM_OF))


def term(kind: str, value: str) -> bytes:
    return TERM_OF[kind](value)


ANY = st.one_of(topics.map(term_of_topic), st.builds(term, KINDS, names))


@given(ANY, ANY)
@example(term_of_topic(("a,b",)), term_of_topic(("a,bc",)))
@example(term_of_topic(("a,b",)), term_of_topic(("a", "b")))
@example(term_of_topic(("a",)), term_of_topic(("a", "b")))
@example(term_of_topic(("ab",)), term_of_topic(("a", "b")))
@example(term_of_topic(("constructor",)), term_of_topic(("constructor", "name")))
@example(term("actor", "a"), term("actor", "ab"))
@example(term("actor", "a"), term("target", "a"))
def test_no_term_starts_with_another(one: bytes, other: bytes) -> None:
    if one != other:
        assert not one.startswith(other)
        assert not prefix_of_postings(one).startswith(prefix_of_postings(other))


@given(topics)
def test_a_topics_term_gives_the_topic_back(topic: Topic) -> None:
    assert topic_of_term(term_of_topic(topic)) == topic


@given(KINDS, names)
def test_a_term_of_another_kind_is_no_topic(kind: str, value: str) -> None:
    assert topic_of_term(term(kind, value)) is None


@given(topics, topics)
def test_the_children_of_different_topics_share_no_key(one: Topic, other: Topic) -> None:
    if one != other:
        assert not prefix_of_children(one).startswith(prefix_of_children(other))
    assert not prefix_of_children(one).startswith(prefix_of_children(()))


@given(st.lists(topics, min_size=1, max_size=4))
def test_an_event_is_found_under_each_ancestor_once(some: list[Topic]) -> None:
    terms = topic_terms(some)
    assert len(set(terms)) == len(terms)
    assert {topic_of_term(one) for one in terms} == {one[:depth] for one in some for depth in range(1, len(one) + 1)}


@given(new_events)
def test_the_terms_before_writing_are_those_read_back(event: NewEvent) -> None:
    (one,) = prepare_call([event]).events
    (raw,) = stored([event])
    assert one.terms == event_terms(decode_event(raw))


@given(new_events, topics, KINDS, names)
def test_a_query_matches_just_the_events_it_describes(event: NewEvent, topic: Topic, kind: str, value: str) -> None:
    (raw,) = stored([event])
    found = decode_event(raw)
    terms = {term: [0] for term in event_terms(found)}

    def matches(**query: object) -> bool:
        return bool(match_positions(match_of(to_query(**query)), terms.get, 1))

    assert matches()
    for own in found.topics:
        for depth in range(len(own) + 1):
            assert matches(topic=own[:depth])
    wanted = to_query(topic).topics[0]
    assert matches(topic=topic) == any(own[: len(wanted)] == wanted for own in found.topics)
    assert matches(topics=[topic, found.topics[0]])
    if kind != "outcome":
        having: dict[str, list[str | None]] = {
            "actor": [found.actor.id if found.actor else None],
            "action": [found.action],
            "target": [target.id for target in found.targets],
            "request_id": [found.context.get("request_id")],
        }
        assert matches(filter={kind: value}) == (value in having[kind])
    if found.outcome is not None:
        assert matches(filter=Filter(outcome=found.outcome), topic=found.topics[0])
        assert not matches(filter=Filter(outcome="denied" if found.outcome != "denied" else "success"))
