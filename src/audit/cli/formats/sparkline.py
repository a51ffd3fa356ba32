"""A row of numbers as a row of bars, for a line of a terminal. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

__all__ = ["bar", "sparkline"]

_BARS: Final = "▁▂▃▄▅▆▇█"
_PARTS: Final = " ▏▎▍▌▋▊▉█"


def sparkline(values: Sequence[float | None], width: int) -> str:
    """Return a character for each value, or for as many neighbours as have to share one: the largest of them counts.

    Args:
        values: None is a blank.
        width: Characters at most; at least 1.
    """
    shared = -(-len(values) // width)
    if shared > 1:
        pieces = [values[at : at + shared] for at in range(0, len(values), shared)]
        values = [max([value for value in piece if value is not None], default=None) for piece in pieces]
    known = [value for value in values if value is not None]
    low, high = min([0.0, *known]), max([0.0, *known])
    steps = len(_BARS) - 1
    return "".join(
        # Whatever is above nothing can be told from nothing.
        [" " if v is None else _BARS[_step(v - low, high - low, steps, 1 if v > low else 0)] for v in values]
    )


def bar(value: float | None, most: float, width: int) -> str:
    """Return a bar as long as a value is of the most; empty for none, and for what is not above 0."""
    if value is None or value <= 0 or most <= 0:
        return ""
    eighths = _step(value, most, width * 8, 1)
    return _PARTS[8] * (eighths // 8) + _PARTS[eighths % 8].strip()


def _step(value: float, most: float, steps: int, least: int) -> int:
    return max(least, min(steps, round(value / most * steps))) if most else 0
