"""Ids: three forms of one value, and the one rule that the next is greater."""

import pytest
import ulid
from hypothesis import example, given
from hypothesis import strategies as st

from audit import InvalidParameter
from audit.model.ids import (
    MAX_TIMESTAMP_MS,
    MAX_VALUE,
    RANDOM_BITS,
    format_id,
    format_id_bytes,
    next_value,
    parse_id,
    recorded_at,
    timestamp_ms,
    value_of,
)
from tests.strategies import ids

TEXT = "01JD8Z5K3V9Q0T7W2X4Y6Z8A1B"


@given(ids)
@example(0)
@example(MAX_VALUE)
def test_the_text_of_an_id_is_what_ulid_py_writes_and_reads(value: int) -> None:
    text = format_id(value)
    assert text == ulid.from_int(value).str
    assert text == format_id_bytes(value.to_bytes(16, "big"))
    assert parse_id(text) == parse_id(text.lower()) == ulid.from_str(text).int == value
    assert value_of(text.encode()) == value


@given(ids, ids)
def test_text_bytes_and_integers_sort_alike(one: int, other: int) -> None:
    assert (one < other) == (format_id(one) < format_id(other))
    assert (one < other) == (one.to_bytes(16, "big") < other.to_bytes(16, "big"))


@given(ids)
def test_the_time_of_an_id_is_what_ulid_py_says(value: int) -> None:
    text = format_id(value)
    assert timestamp_ms(text) == value >> RANDOM_BITS
    if timestamp_ms(text) < 253_402_300_800_000:  # the year 10000, where datetime ends
        seconds = recorded_at(text).timestamp()
        assert abs(seconds - ulid.from_int(value).timestamp().timestamp) < 0.001


@pytest.mark.parametrize(
    "text",
    [
        "",
        TEXT[:-1],
        TEXT + "0",
        "8" + TEXT[1:],
        TEXT[:-1] + "I",
        TEXT[:-1] + "L",
        TEXT[:-1] + "o",
        TEXT[:-1] + "U",
        TEXT[:-1] + "é",
        TEXT[:-1] + " ",
        TEXT[:-1] + "-",
        "�" * 26,
        "٣" * 26,
    ],
)
def test_what_is_no_id_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidParameter, match=r"^seek: ") as caught:
        parse_id(text, "seek")
    assert caught.value.parameter == "seek"


@pytest.mark.parametrize("value", [None, 5, TEXT.encode(), 1.5, [TEXT]])
def test_what_is_no_text_is_refused_by_name(value: object) -> None:
    with pytest.raises(InvalidParameter, match=r"^id: "):
        parse_id(value)  # type: ignore[arg-type]


@given(
    last=st.one_of(st.just(-1), st.integers(0, MAX_VALUE - (1 << RANDOM_BITS))),
    now_ms=st.integers(0, MAX_TIMESTAMP_MS - 1),
    fresh=st.integers(0, (1 << RANDOM_BITS) - 1),
    step=st.integers(1, 1 << 20),
)
def test_the_next_id_is_greater_and_dated_now_or_like_the_last(last: int, now_ms: int, fresh: int, step: int) -> None:
    following = next_value(last, now_ms, fresh, step)
    assert last < following <= MAX_VALUE
    assert following >> RANDOM_BITS >= now_ms
    if now_ms > last >> RANDOM_BITS:
        assert following >> RANDOM_BITS == now_ms


def test_within_a_millisecond_the_random_part_overflows_into_the_time() -> None:
    last = (7 << RANDOM_BITS) + (1 << RANDOM_BITS) - 1
    assert next_value(last, 7, 0, 1) == 8 << RANDOM_BITS
    assert next_value(last, 3, 0, 2) == (8 << RANDOM_BITS) + 1
