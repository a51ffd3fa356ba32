"""Durations as people write them, `5m`, in milliseconds."""

from __future__ import annotations

import re
from typing import Final

from audit.model.errors import InvalidParameter

__all__ = ["DAY_MS", "HOUR_MS", "MAX_DURATION_MS", "MINUTE_MS", "SECOND_MS", "parse_duration"]

SECOND_MS: Final = 1_000
MINUTE_MS: Final = 60 * SECOND_MS
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS
MAX_DURATION_MS: Final = 36_525 * DAY_MS
"""A hundred years."""

_UNITS: Final = {"ms": 1, "s": SECOND_MS, "m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS, "w": 7 * DAY_MS}
_FORM: Final = re.compile("([0-9]{1,15})(ms|s|m|h|d|w)", re.ASCII)


def parse_duration(text: object, parameter: str, *, least_ms: int = 1) -> int:
    """Return the milliseconds of a duration: a number and one of `ms`, `s`, `m`, `h`, `d`, `w`.

    Raises:
        InvalidParameter: it is no such text, below `least_ms`, or over a hundred years.
    """
    found = _FORM.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise InvalidParameter(parameter, f"must be a duration such as '5m' (ms, s, m, h, d, w), got {text!r:.40}")
    ms = int(found[1]) * _UNITS[found[2]]
    if not least_ms <= ms <= MAX_DURATION_MS:
        raise InvalidParameter(parameter, f"must be {least_ms} ms to 100 years, got {text!r:.40}")
    return ms
