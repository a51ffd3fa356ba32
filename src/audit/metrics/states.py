"""States of the simple measures: what values add up to. Each merges with another; sums can be taken back as well.

Which order values come in, and how they are split over states, never changes the result.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import fsum
from typing import Any, Final, Protocol, Self

__all__ = ["ExactSum", "Extremes", "State", "as_number"]

_LEAST_INT: Final = -(1 << 63)
_MOST_INT: Final = (1 << 64) - 1
_FEW: Final = 8
"""Floats that are added one by one."""


class State(Protocol):
    """What some values add up to."""

    def add(self, values: Sequence[Any]) -> None:
        """Take in values."""
        ...

    def merge(self, other: Self) -> None:
        """Take in all that another state has."""
        ...

    def pack(self) -> Any:
        """Return it as plain lists, numbers and bytes, to be stored."""
        ...

    @classmethod
    def unpack(cls, packed: Any) -> Self:
        """Return the state that was packed."""
        ...


def as_number(numerator: int, shift: int) -> int | float | None:
    """Return numerator / 2**shift, as JSON can hold it; None: it can't, as it is beyond every double."""
    if not shift and _LEAST_INT <= numerator <= _MOST_INT:
        return numerator
    try:
        return numerator / (1 << shift)
    except OverflowError:
        return None


def _parts(values: Sequence[float]) -> list[float]:
    """Return few floats whose exact sum is that of many: what their rounded sum leaves, again and again."""
    values = [*values]
    parts: list[float] = []
    try:
        while part := fsum(values):
            parts.append(part)
            values.append(-part)
    except OverflowError:
        # On the way, or in the end: one by one, they are added without rounding.
        return values + parts
    return parts


class ExactSum:
    """A sum without rounding: an integer over a power of two, as every double is one."""

    __slots__ = ("numerator", "shift")

    def __init__(self, numerator: int = 0, shift: int = 0) -> None:
        self.numerator = numerator
        self.shift = shift

    def add(self, values: Sequence[int | float]) -> None:
        """Take in finite numbers."""
        kinds = set(map(type, values))
        if kinds == {int}:
            self._add(sum(values), 0)  # type: ignore[arg-type]
            return
        floats = values if kinds == {float} else [value for value in values if type(value) is float]
        if whole := sum([value for value in values if type(value) is int]) if int in kinds else 0:
            self._add(whole, 0)
        if len(floats) > _FEW:
            floats = _parts(floats)
        for value in floats:
            numerator, denominator = value.as_integer_ratio()
            self._add(numerator, denominator.bit_length() - 1)

    def merge(self, other: ExactSum) -> None:
        """Take in another sum."""
        self._add(other.numerator, other.shift)

    def subtract(self, other: ExactSum) -> None:
        """Take back a sum that was merged."""
        self._add(-other.numerator, other.shift)

    def _add(self, numerator: int, shift: int) -> None:
        mine = self.shift
        if shift > mine:
            self.numerator = (self.numerator << (shift - mine)) + numerator
            self.shift = shift
        else:
            self.numerator += numerator << (mine - shift)

    def value(self) -> int | float | None:
        """Return the sum, rounded once; None: it is beyond every double."""
        numerator, shift = self.numerator, self.shift
        if not numerator & ((1 << shift) - 1):
            return as_number(numerator >> shift, 0)
        return as_number(numerator, shift)

    def mean(self, count: int) -> float | None:
        """Return the sum over a count, rounded once; None of nothing."""
        if not count:
            return None
        try:
            return self.numerator / (count << self.shift)
        except OverflowError:
            return None

    def pack(self) -> Any:
        """See `State.pack`. As text: integers beyond 64 bits have no other form."""
        return [format(self.numerator, "x"), self.shift]

    @classmethod
    def unpack(cls, packed: Any) -> ExactSum:
        """See `State.unpack`."""
        return cls(int(packed[0], 16), packed[1])


class Extremes:
    """The least and the greatest number."""

    __slots__ = ("greatest", "least")

    def __init__(self, least: float | None = None, greatest: float | None = None) -> None:
        self.least = least
        self.greatest = greatest

    def add(self, values: Iterable[float]) -> None:
        """Take in numbers."""
        found = list(values)
        if found:
            self._take(min(found), max(found))

    def merge(self, other: Extremes) -> None:
        """Take in another state."""
        if other.least is not None and other.greatest is not None:
            self._take(other.least, other.greatest)

    def _take(self, least: float, greatest: float) -> None:
        if self.least is None or least < self.least:
            self.least = least
        if self.greatest is None or greatest > self.greatest:
            self.greatest = greatest

    def pack(self) -> Any:
        """See `State.pack`."""
        return [self.least, self.greatest]

    @classmethod
    def unpack(cls, packed: Any) -> Extremes:
        """See `State.unpack`."""
        return cls(*packed)
