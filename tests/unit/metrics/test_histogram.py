"""Quantiles within 0.55 %, whatever the values; beside exact ones, and beside DDSketch."""

from __future__ import annotations

import math
import random

import pytest
from ddsketch import DDSketch
from hypothesis import given
from hypothesis import strategies as st

from audit.metrics.histogram import RELATIVE_ERROR, Histogram

QUANTILES = [0.0, 0.01, 0.25, 0.5, 0.9, 0.99, 1.0]
normal = st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False)


def exact(values: list[float], quantile: float) -> float:
    return sorted(values)[math.floor(quantile * (len(values) - 1))]


@given(st.lists(normal | st.integers(-(2**63), 2**64 - 1), min_size=1))
def test_a_quantile_is_within_its_stated_error(values: list[float]) -> None:
    histogram = Histogram()
    histogram.add(values)
    for quantile, found in zip(QUANTILES, histogram.quantiles(QUANTILES), strict=True):
        wanted = exact(values, quantile)
        assert found is not None
        assert math.isfinite(found)
        assert abs(found - wanted) <= RELATIVE_ERROR * abs(wanted)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_no_worse_than_ddsketch_at_the_same_error(seed: int) -> None:
    choose = random.Random(seed)
    values = [choose.lognormvariate(3, 2) for _ in range(20_000)]
    histogram, sketch = Histogram(), DDSketch(RELATIVE_ERROR)
    histogram.add(values)
    for value in values:
        sketch.add(value)
    for quantile, found in zip(QUANTILES, histogram.quantiles(QUANTILES), strict=True):
        wanted = exact(values, quantile)
        theirs = sketch.get_quantile_value(quantile)
        assert found is not None
        assert theirs is not None
        assert abs(found - wanted) <= RELATIVE_ERROR * wanted
        assert abs(found - theirs) <= 2 * RELATIVE_ERROR * wanted


@given(st.lists(normal), st.lists(normal))
def test_merged_is_as_added_and_subtracting_takes_it_back(one: list[float], other: list[float]) -> None:
    first, second, both = Histogram(), Histogram(), Histogram()
    first.add(one)
    second.add(other)
    both.add(one + other)
    alone = first.pack()
    first.merge(second)
    assert first.pack() == both.pack()
    first.subtract(second)
    assert first.pack() == alone
    assert Histogram.unpack(both.pack()).quantiles(QUANTILES) == both.quantiles(QUANTILES)


def test_nothing_has_no_quantiles_and_the_extremes_of_doubles_have_finite_ones() -> None:
    assert Histogram().quantiles([0.5]) == [None]
    for value in (1.7976931348623157e308, -1.7976931348623157e308, 5e-324, 2.2250738585072014e-308, 0.0):
        histogram = Histogram()
        histogram.add([value])
        (found,) = histogram.quantiles([0.5])
        assert found is not None
        assert math.isclose(found, value, rel_tol=RELATIVE_ERROR)
