"""Spans: ranges of ids, given by the bounds callers may use and kept as one half-open range of integers.

Ids are discrete, so every mixture of inclusive and exclusive, id and time, comes down to `[low, high)`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple, get_args

import msgspec

from audit.model.errors import InvalidParameter
from audit.model.ids import MAX_TIMESTAMP_MS, MAX_VALUE, RANDOM_BITS, format_id, parse_id

__all__ = ["EVERYTHING", "Bound", "Inclusive", "Order", "Span", "check_order", "parse_bound", "to_span"]

Bound = str | datetime | int
"""An id, an RFC 3339 time, an aware datetime, or integer milliseconds."""
Inclusive = Literal["left", "right", "both", "neither"]
Order = Literal["asc", "desc"]

_ID_LENGTH: Final = 26
_MAX_DIGITS: Final = 18
"""Of milliseconds; far beyond every bound, and few enough for any parser of integers."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Span(NamedTuple):
    """Half-open range of ids: `low` belongs to it, `high` does not; empty when `high <= low`."""

    low: int
    high: int

    @property
    def low_text(self) -> bytes:
        """Least text of an id inside; above every id when the span starts beyond them."""
        return b"8" if self.low > MAX_VALUE else format_id(self.low).encode()

    @property
    def high_text(self) -> bytes:
        """Text that every id inside is below."""
        return b"8" if self.high > MAX_VALUE else format_id(self.high).encode()

    def above(self, low: int) -> Span:
        """Return the part at or above `low`."""
        return Span(max(self.low, low), self.high)

    def below(self, high: int) -> Span:
        """Return the part below `high`."""
        return Span(self.low, min(self.high, high))

    @property
    def empty(self) -> bool:
        """Whether no id can lie inside."""
        return self.high <= self.low


EVERYTHING: Final = Span(0, MAX_VALUE + 1)


def to_span(seek: Bound | None, seek_end: Bound | None, inclusive: str = "left") -> Span:
    """Return the span between two bounds.

    Args:
        seek: Lower bound in either order; absent: the first event.
        seek_end: Upper bound in either order; absent: no end.
        inclusive: Which of the two belong to the span. A time stands for every id of its millisecond.

    Returns:
        The span; an inverted one is empty.

    Raises:
        InvalidParameter: a bound that is no id and no time, or another value of `inclusive`.
    """
    if inclusive not in get_args(Inclusive):
        raise InvalidParameter("inclusive", f"must be one of left, right, both, neither, got {inclusive!r:.40}")
    low, high = EVERYTHING
    if seek is not None:
        first, after = _ids_of(seek, "seek")
        low = first if inclusive in ("left", "both") else after
    if seek_end is not None:
        first, after = _ids_of(seek_end, "seek_end")
        high = after if inclusive in ("right", "both") else first
    return Span(low, high)


def _ids_of(bound: Bound, parameter: str) -> tuple[int, int]:
    """Return the first id that `bound` stands for, and the first id after all of them."""
    if isinstance(bound, str) and len(bound) == _ID_LENGTH and "-" not in bound:
        value = parse_id(bound, parameter)
        return value, value + 1
    ms = _milliseconds(bound, parameter)
    if not 0 <= ms <= MAX_TIMESTAMP_MS:
        raise InvalidParameter(parameter, f"must lie between 1970 and the year 10889, got {bound!r:.60}")
    return ms << RANDOM_BITS, (ms + 1) << RANDOM_BITS


def _milliseconds(bound: object, parameter: str) -> int:
    if isinstance(bound, bool):
        raise InvalidParameter(parameter, f"must be an id, a time or milliseconds, got {bound!r}")
    if isinstance(bound, int):
        return bound
    if isinstance(bound, str):
        text = bound
        try:
            bound = msgspec.convert(text, datetime)
        except (msgspec.ValidationError, UnicodeEncodeError) as error:
            problem = f"{text[:64]!r} is neither an event id nor an RFC 3339 time"
            raise InvalidParameter(parameter, problem) from error
    if not isinstance(bound, datetime):
        raise InvalidParameter(parameter, f"must be an id, a time or milliseconds, got {bound!r:.60}")
    if bound.utcoffset() is None:
        raise InvalidParameter(parameter, f"needs a time zone, got {bound.isoformat()}")
    since = bound - _EPOCH
    return since.days * 86_400_000 + since.seconds * 1000 + since.microseconds // 1000


def parse_bound(text: str) -> str | int:
    """Return the bound that a text stands for: digits are milliseconds, unless they are as many as an id has."""
    if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS:
        return int(text)
    return text


def check_order(order: str) -> Order:
    """Return `order` when it is `asc` or `desc`.

    Raises:
        InvalidParameter: it is neither.
    """
    if order == "asc":
        return "asc"
    if order == "desc":
        return "desc"
    raise InvalidParameter("order", f"must be asc or desc, got {order!r:.40}")
