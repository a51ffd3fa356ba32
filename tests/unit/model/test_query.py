"""Queries: two ways to ask the same question are one query."""

from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import Filter, InvalidParameter
from audit.model.query import check_limit, to_query
from tests.strategies import topics

UNIONS = st.lists(topics, min_size=1, max_size=6)


@given(UNIONS, st.randoms(use_true_random=False))
def test_order_repetition_and_nested_topics_make_no_difference(union: list[tuple[str, ...]], rng: Any) -> None:
    query = to_query(topics=union)
    more = [*union, *((*topic, "below") for topic in union if len(topic) < 16), *union]
    rng.shuffle(more)
    assert to_query(topics=more) == query
    assert to_query(topics=[list(topic) for topic in query.topics]) == query


@given(UNIONS, topics)
def test_a_union_covers_what_its_topics_cover(union: list[tuple[str, ...]], probe: tuple[str, ...]) -> None:
    kept = to_query(topics=union).topics
    covered = any(probe[: len(one)] == one for one in (to_query(topic).topics[0] for topic in union))
    normal = to_query(probe).topics[0]
    if normal == probe:
        assert any(probe[: len(one)] == one for one in kept) == covered
    assert len(set(kept)) == len(kept)


def test_one_topic_is_a_union_of_one_and_the_empty_one_is_everything() -> None:
    assert to_query(["a", "b"]) == to_query(topics=[("a", "b")])
    assert to_query() == to_query(()) == to_query([]) == to_query(topics=[()]) == to_query(topics=[("a",), ()])
    assert to_query(topics=[("a", "b"), ("a,b",)]).topics == (("a", "b"), ("a,b",))
    assert to_query([], topics=[("a",)]) == to_query(("a",))


def test_a_filter_may_be_any_mapping() -> None:
    wanted = Filter(actor="u", outcome="denied")
    assert to_query(filter=wanted) == to_query(filter={"actor": "u", "outcome": "denied"})
    assert to_query(filter=MappingProxyType({"actor": "u", "outcome": "denied"})) == to_query(filter=wanted)
    assert to_query(filter={"actor": None}) == to_query(filter={}) == to_query()


@pytest.mark.parametrize(
    ("arguments", "parameter"),
    [
        ({"topic": "a"}, "topic"),
        ({"topic": None}, "topic"),
        ({"topic": ["a", ""]}, "topic[1]"),
        ({"topic": ["a"] * 17}, "topic"),
        ({"topic": ("a",), "topics": [("b",)]}, "topics"),
        ({"topics": []}, "topics"),
        ({"topics": "ab"}, "topics"),
        ({"topics": {("a",)}}, "topics"),
        ({"topics": [("a",)] * 65}, "topics"),
        ({"topics": ["ab"]}, "topics[0]"),
        ({"topics": [("a",), ("b", 5)]}, "topics[1][1]"),
        ({"filter": "actor"}, "filter"),
        ({"filter": [("actor", "u")]}, "filter"),
        ({"filter": {"user": "u"}}, "filter.user"),
        ({"filter": {5: "u"}}, "filter.5"),
        ({"filter": {"actor": 5}}, "filter.actor"),
        ({"filter": {"actor": ["u"]}}, "filter.actor"),
        ({"filter": {"outcome": "maybe"}}, "filter.outcome"),
        ({"filter": {"outcome": []}}, "filter.outcome"),
        ({"filter": {"target": "\ud800"}}, "filter.target"),
        ({"filter": {"action": "x" * 257}}, "filter.action"),
        ({"filter": {"request_id": "x" * 1025}}, "filter.request_id"),
        ({"filter": Filter(action="ä" * 129)}, "filter.action"),
    ],
)
def test_what_is_no_query_is_refused_by_name(arguments: dict[str, Any], parameter: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        to_query(**arguments)
    assert caught.value.parameter == parameter


@pytest.mark.parametrize("limit", [0, -1, 1_001, True, False, 1.0, "5", None, [], float("nan")])
def test_a_limit_out_of_bounds_is_refused_by_name(limit: Any) -> None:
    with pytest.raises(InvalidParameter, match=r"^limit: "):
        check_limit(limit)


@pytest.mark.parametrize("limit", [1, 1_000])
def test_the_least_and_the_largest_limit_are_taken(limit: int) -> None:
    assert check_limit(limit) == limit
