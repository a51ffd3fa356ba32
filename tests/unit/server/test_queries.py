from urllib.parse import parse_qs

import pytest

from audit import InvalidParameter
from audit.model.query import Filter
from audit.server.queries import (
    LIST_NAMES,
    STREAM_NAMES,
    TOPICS_NAMES,
    Query,
    list_params,
    stream_params,
    topics_params,
)


def listed(text: str) -> Query:
    return Query(text.encode(), LIST_NAMES)


def test_every_parameter_of_a_list_reaches_its_place() -> None:
    params = list_params(
        listed(
            "topic=node/connection&topic=vault&seek=1767225600000&seek_end=2026-01-02T00:00:00Z&inclusive=both&order=desc"
            "&limit=7&cursor=abc&actor=u-7&action=x&outcome=denied&target=v-1&request_id=r-9"
        )
    )
    assert params.topics == [["node", "connection"], ["vault"]]
    assert (params.seek, params.seek_end) == (1_767_225_600_000, "2026-01-02T00:00:00Z")
    assert (params.inclusive, params.order, params.limit, params.cursor) == ("both", "desc", 7, "abc")
    assert params.filter == Filter(actor="u-7", action="x", outcome="denied", target="v-1", request_id="r-9")


def test_nothing_given_asks_for_the_first_hundred_of_everything() -> None:
    params = list_params(listed(""))
    assert (params.topics, params.seek, params.limit, params.cursor, params.filter) == (None, None, 100, None, Filter())


@pytest.mark.parametrize("text", ["topic=a%2Fb", "topic=a/b", "&&topic=a/b&"])
def test_a_topic_is_a_path(text: str) -> None:
    assert list_params(listed(text)).topics == [["a", "b"]]


@pytest.mark.parametrize("text", ["topic=", "topic=/", "topic"])
def test_the_empty_topic_is_everything(text: str) -> None:
    assert list_params(listed(text)).topics == [[]]


def test_topics_are_normalised_before_access_is_asked_about_them() -> None:
    assert list_params(listed("topic=e%CC%81")).topics == [["é"]]


def test_text_may_come_as_it_is_or_percent_encoded() -> None:
    assert list_params(listed("actor=é")).filter == list_params(listed("actor=%C3%A9")).filter == Filter(actor="é")


@pytest.mark.parametrize(
    ("text", "parameter"),
    [
        ("tpoic=a", "tpoic"),
        ("=a", "query"),
        ("limit=1&limit=2", "limit"),
        ("limit=", "limit"),
        ("limit=-1", "limit"),
        ("limit=1e3", "limit"),
        ("limit=" + "9" * 5_000, "limit"),
        ("limit=%D9%A3", "limit"),
        ("topic=a//b", "topic[1]"),
        ("topic=a%00", "topic[0]"),
        ("actor=%ff", "query"),
        ("&".join(["topic=a"] * 201), "query"),
        ("credit=1", "credit"),
        ("Topic=a", "Topic"),
    ],
)
def test_a_bad_parameter_is_refused_by_name(text: str, parameter: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        list_params(listed(text))
    assert refused.value.parameter == parameter


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(InvalidParameter, match="UTF-8"):
        Query(b"actor=\xff", LIST_NAMES)


def test_the_next_page_asks_the_same_with_another_cursor() -> None:
    after = listed("topic=a/é&topic=b&cursor=old&limit=2").after("new")
    assert parse_qs(after) == {"topic": ["a/é", "b"], "limit": ["2"], "cursor": ["new"]}


def test_a_reconnecting_browser_goes_on_where_it_was_not_where_its_url_began() -> None:
    query = Query(b"topic=a&cursor=first&seek=now&limit=0", STREAM_NAMES)
    assert stream_params(query, "last").cursor == "last"
    assert stream_params(query, None).cursor == stream_params(query, "").cursor == "first"
    assert stream_params(query, None).seek == "now"
    assert stream_params(query, None).limit == 0
    assert stream_params(Query(b"", STREAM_NAMES), None).limit is None


def test_a_stream_has_no_order() -> None:
    with pytest.raises(InvalidParameter, match="order: is unknown"):
        Query(b"order=desc", STREAM_NAMES)


def test_topics_are_listed_below_one() -> None:
    assert topics_params(Query(b"topic=a/b&limit=3", TOPICS_NAMES)).topic == ["a", "b"]
    assert topics_params(Query(b"", TOPICS_NAMES)).topic == []
    with pytest.raises(InvalidParameter, match="topic"):
        topics_params(Query(b"topic=a&topic=b", TOPICS_NAMES))
