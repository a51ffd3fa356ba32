"""Topics: any sequence of segments comes out normalised, or is refused with the segment named."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import InvalidParameter
from audit.model.topic import format_topic, parse_topic, to_topic
from tests.strategies import topics


@given(st.lists(topics, min_size=1, max_size=1))
def test_a_topic_comes_out_composed_and_a_second_time_unchanged(drawn: list[tuple[str, ...]]) -> None:
    (topic,) = drawn
    normal = to_topic(list(topic))
    assert normal == tuple(unicodedata.normalize("NFC", part) for part in topic)
    assert to_topic(normal) == normal
    assert all(type(part) is str for part in normal)
    assert parse_topic(format_topic(normal)) == normal


def test_both_spellings_of_a_letter_are_one_topic() -> None:
    assert to_topic(["a\u0308"]) == to_topic(["\u00e4"])


@pytest.mark.parametrize("everything", ["", "/"])
def test_everything_is_written_as_a_slash(everything: str) -> None:
    assert parse_topic(everything) == ()
    assert format_topic(()) == "/"


@pytest.mark.parametrize(
    ("value", "parameter"),
    [
        ("a/b", "topic"),
        (b"ab", "topic"),
        (None, "topic"),
        (5, "topic"),
        ({"a"}, "topic"),
        (["a"] * 17, "topic"),
        (["a", ""], "topic[1]"),
        (["a", "x" * 129], "topic[1]"),
        (["ä" * 65], "topic[0]"),
        (["\u0958" * 22], "topic[0]"),
        (["a/b"], "topic[0]"),
        (["a\0"], "topic[0]"),
        (["a\n"], "topic[0]"),
        (["a\x7f"], "topic[0]"),
        (["a\x85"], "topic[0]"),
        (["\ud800"], "topic[0]"),
        (["a", 5], "topic[1]"),
        (["a", None], "topic[1]"),
        (["a", ["b"]], "topic[1]"),
        (bytearray(b"ab"), "topic[0]"),
    ],
)
def test_what_is_no_topic_is_refused_by_name(value: object, parameter: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        to_topic(value)
    assert caught.value.parameter == parameter


@pytest.mark.parametrize("value", [["a"] * 16, ["x" * 128], ["ä" * 64], ["\u0958" * 21], ["constructor"], ["a,b"]])
def test_the_largest_and_the_oddest_topics_are_taken(value: list[str]) -> None:
    assert len(to_topic(value)) == len(value)


def test_a_joined_topic_is_refused_with_a_hint() -> None:
    with pytest.raises(InvalidParameter, match=r"did you mean \('a', 'b'\)"):
        to_topic("a/b")


@pytest.mark.parametrize("text", ["a//b", "/a", "a/", "//"])
def test_an_empty_segment_on_a_command_line_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameter):
        parse_topic(text)
