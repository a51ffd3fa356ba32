"""Distinct values: exact below 1,000, then within a few standard errors; whatever the order, and however split."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.metrics.distinct import EXACT_BELOW, STANDARD_ERROR, Distinct

json_values = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text() | st.lists(st.integers(0, 9))


def of(values: object) -> Distinct:
    made = Distinct()
    made.add(values)  # type: ignore[arg-type]
    return made


@given(st.lists(json_values, max_size=200))
def test_below_a_thousand_it_is_exact(values: list[object]) -> None:
    assert of(values).value() == len({repr(value) for value in values})


def test_the_border_is_exact_up_to_it() -> None:
    assert of(range(EXACT_BELOW - 1)).value() == EXACT_BELOW - 1
    assert isinstance(of(range(EXACT_BELOW - 1)).pack(), list)
    assert isinstance(of(range(EXACT_BELOW)).pack(), bytes)


@pytest.mark.parametrize("count", [1_000, 1_500, 5_000, 20_000, 100_000, 400_000])
def test_above_it_is_within_four_standard_errors(count: int) -> None:
    found = of([f"value {number}" for number in range(count)]).value()
    assert abs(found - count) <= 4 * STANDARD_ERROR * count


def test_numbers_that_json_holds_equal_are_one_and_others_are_not() -> None:
    assert of([1, 1.0]).value() == 1
    assert of([1, True, "1", None]).value() == 4
    assert of([{"a": 1, "b": 2}, {"b": 2, "a": 1}]).value() == 1


@pytest.mark.parametrize("split", [1, 500, 999, 1_000, 1_700])
def test_it_depends_on_the_set_alone(split: int) -> None:
    values = [str(number) for number in range(1_800)]
    whole = of(values)
    left, right = of(values[:split]), of(values[split - 1 :])
    right.merge(left)
    assert right.pack() == whole.pack()
    assert Distinct.unpack(right.pack()).value() == whole.value()
    backwards = of(values[::-1])
    assert backwards.pack() == whole.pack()
