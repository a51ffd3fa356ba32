"""Sums are exact however they come together; what no double can hold is null."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.metrics.states import ExactSum, Extremes

numbers = st.lists(st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False), max_size=40)


def summed(values: list[float]) -> ExactSum:
    made = ExactSum()
    made.add(values)
    return made


def rounded(value: Fraction) -> float | None:
    try:
        return float(value)
    except OverflowError:
        return None


@given(numbers, numbers)
def test_a_sum_is_the_exact_one_rounded_once(one: list[float], other: list[float]) -> None:
    exact = sum(map(Fraction, one + other), Fraction(0))
    merged = summed(one)
    merged.merge(summed(other))
    for state in (merged, summed(one + other), ExactSum.unpack(merged.pack())):
        found = state.value()
        assert found == (int(exact) if type(found) is int else rounded(exact))
        if one + other:
            assert state.mean(len(one + other)) == rounded(exact / len(one + other))
    merged.subtract(summed(other))
    assert merged.value() == summed(one).value()


def test_what_no_double_holds_is_null_and_never_infinity() -> None:
    state = summed([1.7976931348623157e308] * 20)
    assert state.value() is None
    assert state.mean(20) == 1.7976931348623157e308
    state.add([-1.7976931348623157e308] * 20)
    assert state.value() == 0
    assert ExactSum().mean(0) is None
    assert ExactSum().value() == 0


@given(st.permutations([0.1, 0.2, 0.3, 1e16, -1e16, 1e-9, 7]))
def test_the_order_does_not_matter(values: list[float]) -> None:
    assert summed(values).value() == summed(sorted(values)).value()


@pytest.mark.parametrize("split", range(5))
def test_extremes_merge(split: int) -> None:
    values = [3, -1.5, 8, 2.25]
    one, other = Extremes(), Extremes()
    one.add(values[:split])
    other.add(values[split:])
    one.merge(other)
    assert (one.least, one.greatest) == (-1.5, 8)
    assert Extremes.unpack(one.pack()).pack() == one.pack()
    assert list(itertools.chain(Extremes().pack())) == [None, None]
