"""Spans: every mixture of bounds means what a plain comparison of ids means."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import InvalidParameter
from audit.model.ids import MAX_TIMESTAMP_MS, MAX_VALUE, RANDOM_BITS, format_id
from audit.model.span import EVERYTHING, Span, check_order, parse_bound, to_span
from audit.testing.clock import START_MS

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A few ids a millisecond, a few milliseconds: bounds meet ids, and each other, most of the time.
STEPS = (0, 1, (1 << RANDOM_BITS) - 1)
IDS = [(START_MS + ms) << RANDOM_BITS | random for ms in range(4) for random in STEPS]

Bound = tuple[Any, int, int]
"""A bound as a caller writes it, and the first and last id that it stands for."""


def of_id(value: int) -> Bound:
    return format_id(value), value, value


def of_ms(write: Callable[[int], Any]) -> Callable[[int], Bound]:
    return lambda ms: (write(ms), ms << RANDOM_BITS, ((ms + 1) << RANDOM_BITS) - 1)


def moment(ms: int) -> datetime:
    # Not on the millisecond: what lies between two belongs to the first.
    return EPOCH + timedelta(milliseconds=ms, microseconds=999)


TIMES = st.integers(START_MS - 1, START_MS + 4)
BOUNDS = st.one_of(
    st.sampled_from(IDS).map(of_id),
    TIMES.map(of_ms(int)),
    TIMES.map(of_ms(moment)),
    TIMES.map(of_ms(lambda ms: moment(ms).astimezone(timezone(timedelta(hours=-5))))),
    TIMES.map(of_ms(lambda ms: moment(ms).isoformat())),
    TIMES.map(of_ms(lambda ms: moment(ms).isoformat().replace("+00:00", "Z"))),
)


@given(st.none() | BOUNDS, st.none() | BOUNDS, st.sampled_from(["left", "right", "both", "neither"]))
def test_a_span_holds_what_plain_comparisons_hold(low: Bound | None, high: Bound | None, inclusive: str) -> None:
    def inside(value: int) -> bool:
        if low is not None and (value < low[1] if inclusive in ("left", "both") else value <= low[2]):
            return False
        return high is None or (value <= high[2] if inclusive in ("right", "both") else value < high[1])

    span = to_span(low and low[0], high and high[0], inclusive)
    expected = [value for value in IDS if inside(value)]
    assert [value for value in IDS if span.low <= value < span.high] == expected
    assert [value for value in IDS if span.low_text <= format_id(value).encode() < span.high_text] == expected
    assert not (span.empty and expected)


@pytest.mark.parametrize(("inclusive", "kept"), [("left", 3), ("right", 3), ("both", 6), ("neither", 0)])
def test_a_time_stands_for_every_id_of_its_millisecond(inclusive: str, kept: int) -> None:
    span = to_span(START_MS, START_MS + 1, inclusive)
    assert sum(span.low <= value < span.high for value in IDS) == kept


@pytest.mark.parametrize(("inclusive", "kept"), [("left", 0), ("right", 0), ("both", 3), ("neither", 0)])
def test_one_millisecond_between_equal_bounds_is_there_only_with_both(inclusive: str, kept: int) -> None:
    span = to_span(START_MS + 1, START_MS + 1, inclusive)
    assert sum(span.low <= value < span.high for value in IDS) == kept
    assert span.empty == (kept == 0)


@given(BOUNDS, BOUNDS, st.sampled_from(["left", "right", "both", "neither"]))
def test_an_inverted_span_is_empty(one: Bound, other: Bound, inclusive: str) -> None:
    if one[1] > other[2]:
        assert to_span(one[0], other[0], inclusive).empty


def test_no_bounds_are_everything() -> None:
    assert to_span(None, None) == EVERYTHING == Span(0, MAX_VALUE + 1)
    assert EVERYTHING.high_text > format_id(MAX_VALUE).encode()
    assert to_span(format_id(MAX_VALUE), None, "neither").empty
    assert to_span(MAX_TIMESTAMP_MS, None, "right").empty
    assert to_span(None, format_id(0)).empty


@pytest.mark.parametrize(
    "bound",
    [
        True,
        1.5,
        b"2026-01-01T00:00:00Z",
        -1,
        MAX_TIMESTAMP_MS + 1,
        2**200,
        "",
        "now",
        "yesterday",
        "2026-01-01",
        "2026-01-01T00:00:00",
        "2026-13-01T00:00:00Z",
        "1969-12-31T23:59:59.999Z",
        "\ud800",
        "\ud800" * 26,
        "8" * 26,
        "0" * 25 + "U",
        "0" * 27,
        "1700000000000",
        datetime(2026, 1, 1),  # noqa: DTZ001 - the case
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2026, 1, 1, tzinfo=UTC).date(),
        timedelta(1),
        (),
    ],
)
@pytest.mark.parametrize("parameter", ["seek", "seek_end"])
def test_what_is_no_bound_is_refused_by_name(bound: Any, parameter: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        to_span(**{"seek": None, "seek_end": None, parameter: bound})
    assert caught.value.parameter == parameter


@pytest.mark.parametrize(
    "bound", [datetime.max.replace(tzinfo=timezone(timedelta(hours=-23))), datetime.max.replace(tzinfo=UTC)]
)
def test_the_last_moment_of_all_is_a_bound(bound: datetime) -> None:
    assert to_span(None, bound).high < MAX_VALUE


@pytest.mark.parametrize("value", ["", "LEFT", "none", None, 1, ["left"]])
def test_other_values_of_inclusive_and_order_are_refused_by_name(value: Any) -> None:
    with pytest.raises(InvalidParameter, match=r"^inclusive: "):
        to_span(None, None, value)
    with pytest.raises(InvalidParameter, match=r"^order: "):
        check_order(value)


@given(st.integers(0, MAX_VALUE + 1), st.integers(0, MAX_VALUE + 1), st.integers(0, MAX_VALUE + 1))
def test_cutting_a_span_leaves_what_lies_on_one_side(low: int, high: int, cut: int) -> None:
    span = Span(low, high)
    for value in (low - 1, low, high - 1, high, cut - 1, cut):
        inside = low <= value < high
        above, below = span.above(cut), span.below(cut)
        assert (above.low <= value < above.high) == (inside and value >= cut)
        assert (below.low <= value < below.high) == (inside and value < cut)


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("0", 0),
        ("1767225600000", 1_767_225_600_000),
        ("0" * 26, "0" * 26),
        ("9" * 5_000, "9" * 5_000),
        ("-1", "-1"),
        ("٣", "٣"),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
    ],
)
def test_few_digits_are_milliseconds_and_all_else_stays_text(text: str, bound: str | int) -> None:
    assert parse_bound(text) == bound


def test_more_digits_than_any_time_has_are_refused_as_no_time() -> None:
    with pytest.raises(InvalidParameter, match="seek"):
        to_span(parse_bound("9" * 5_000), None)
