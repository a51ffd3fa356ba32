"""Quantiles, from a base-2 exponential histogram: 64 buckets for each doubling, so that no value is off by over 0.55 %.

Bucket i holds what lies in (b**(i-1), b**i] with b = 2**(1/64); a value is told as the middle of its bucket, the one
whose relative distance to both ends is the same: (b - 1) / (b + 1) = 0.54 %.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import accumulate, repeat
from math import ceil, floor, ldexp, log2
from operator import mul
from typing import Any, Final

__all__ = ["RELATIVE_ERROR", "Histogram"]

_SCALE: Final = 64
_BASE: Final = 2 ** (1 / _SCALE)
RELATIVE_ERROR: Final = 0.0055
"""Of a quantile, at most: that of a bucket, and a hair for where its ends are rounded."""
_MIDDLE: Final = 2 * _BASE / (_BASE + 1)
_AWAY: Final = 1 << 24
"""Added to a bucket's number, so that those of positive values are above 0, and negated those of negative ones."""


def _bucket(value: float) -> int:
    """Return the number of a value's bucket; numbers are ordered as values are, and 0 is zero's."""
    if value > 0:
        return ceil(log2(value) * _SCALE) + _AWAY
    if value < 0:
        return -(ceil(log2(-value) * _SCALE) + _AWAY)
    return 0


def _middle(bucket: int) -> float:
    if not bucket:
        return 0.0
    whole, part = divmod(abs(bucket) - 1 - _AWAY, _SCALE)
    found = ldexp(2 ** (part / _SCALE) * _MIDDLE, whole)
    return found if bucket > 0 else -found


class Histogram:
    """How many values are in each bucket."""

    __slots__ = ("_counts",)

    def __init__(self, counts: dict[int, int] | None = None) -> None:
        self._counts: Counter[int] = Counter(counts)

    def add(self, values: Iterable[int | float]) -> None:
        """Take in finite numbers."""
        found = values if isinstance(values, list) else list(values)
        if found and min(found) > 0:
            # Nothing of the interpreter's own between the values.
            for bucket, count in Counter(map(ceil, map(mul, map(log2, found), repeat(_SCALE)))).items():
                self._counts[bucket + _AWAY] += count
        else:
            self._counts.update(map(_bucket, found))

    def merge(self, other: Histogram) -> None:
        """Take in another histogram."""
        self._counts.update(other._counts)

    def subtract(self, other: Histogram) -> None:
        """Take back a histogram that was merged."""
        for bucket, count in other._counts.items():
            left = self._counts[bucket] - count
            if left:
                self._counts[bucket] = left
            else:
                del self._counts[bucket]

    def quantiles(self, asked: Sequence[float]) -> list[float | None]:
        """Return the value at place floor(q * (n - 1)) of all values in order, for each q; None of nothing."""
        buckets = sorted(self._counts)
        up_to = list(accumulate([self._counts[bucket] for bucket in buckets]))
        if not up_to:
            return [None] * len(asked)
        found: list[float | None] = []
        for quantile in asked:
            place = floor(quantile * (up_to[-1] - 1))
            at = next(number for number, count in enumerate(up_to) if count > place)
            found.append(_middle(buckets[at]))
        return found

    def pack(self) -> Any:
        """See `State.pack`."""
        return sorted(self._counts.items())

    @classmethod
    def unpack(cls, packed: Any) -> Histogram:
        """See `State.unpack`."""
        return cls({bucket: count for bucket, count in packed})  # noqa: C416 - pairs come as lists
