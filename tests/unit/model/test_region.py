"""Regions against a list of all topics of a small world, each judged by itself."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from audit.model.region import EVERYTHING, NOTHING, Extent, Region
from audit.model.topic import Topic

SEGMENTS = ("a", "b", "other")
"""`other` stands for any name that nobody has named."""
WORLD = [topic for depth in range(5) for topic in itertools.product(SEGMENTS, repeat=depth)]
named_topics = st.lists(st.sampled_from(("a", "b")), max_size=3).map(tuple)
extents = st.dictionaries(named_topics, st.builds(Extent, here=st.booleans(), below=st.booleans()), max_size=6)


def holds(said: dict[Topic, Extent], topic: Topic) -> bool:
    """Return what was said of a topic, read off from the nearest ancestor."""
    if topic in said:
        return said[topic].here
    for length in range(len(topic) - 1, -1, -1):
        if topic[:length] in said:
            return said[topic[:length]].below
    return False


def below(topic: Topic) -> list[Topic]:
    return [other for other in WORLD if other[: len(topic)] == topic]


@given(extents)
def test_a_topic_belongs_to_it_as_was_said(said: dict[Topic, Extent]) -> None:
    region = Region(said)
    assert [region.covers(topic) for topic in WORLD] == [holds(said, topic) for topic in WORLD]
    assert bool(region) == any(holds(said, topic) for topic in WORLD)


@given(extents)
def test_a_topic_is_whole_when_all_below_it_belong_to_it(said: dict[Topic, Extent]) -> None:
    region = Region(said)
    # Named are topics of at most three segments, so that four reach below all of them.
    whole = {topic for topic in WORLD if len(topic) < 4 and all(holds(said, other) for other in below(topic))}
    for topic in WORLD:
        if len(topic) < 4:
            assert region.whole(topic) == (topic in whole), topic
        if len(topic) < 3:
            leads = any(holds(said, other) for other in below(topic) if len(other) == 4)
            assert region.leads(topic) == leads, topic
            assert region.unnamed(topic) == (((*topic, "other")) in whole)
            children = region.named(topic)
            assert children <= {"a", "b"}
            for segment in {"a", "b"} - children:
                assert region.whole((*topic, segment)) == region.unnamed(topic)


@given(extents, extents)
def test_what_two_share_is_what_belongs_to_each(one: dict[Topic, Extent], two: dict[Topic, Extent]) -> None:
    both = Region(one) & Region(two)
    assert [both.covers(topic) for topic in WORLD] == [holds(one, topic) and holds(two, topic) for topic in WORLD]
    assert both == Region(two) & Region(one)
    assert hash(both) == hash(Region(two) & Region(one))


@given(extents)
def test_the_same_topics_are_the_same_region_however_they_are_said(said: dict[Topic, Extent]) -> None:
    longer = {topic: Extent(holds(said, topic), holds(said, (*topic, "other"))) for topic in WORLD if len(topic) < 4}
    assert Region(longer) == Region(said)
    assert Region(said) & EVERYTHING == Region(said)
    assert Region(said) & NOTHING == NOTHING


@given(st.lists(named_topics, max_size=4))
def test_below_some_topics_is_all_of_them(topics: list[Topic]) -> None:
    region = Region.below(topics)
    for topic in WORLD:
        assert region.covers(topic) == region.whole(topic) == any(topic[: len(one)] == one for one in topics)
