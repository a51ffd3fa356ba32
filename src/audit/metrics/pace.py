"""How often who watches a metric is told of it."""

from __future__ import annotations

from typing import Final

from audit.model.errors import InvalidParameter

__all__ = ["DEFAULT_EVERY_MS", "MAX_EVERY_MS", "check_every"]

DEFAULT_EVERY_MS: Final = 1_000
MAX_EVERY_MS: Final = 86_400_000


def check_every(every_ms: object) -> int:
    """Return how many milliseconds lie between two updates at least.

    Raises:
        InvalidParameter: it is no such number.
    """
    if not isinstance(every_ms, int) or isinstance(every_ms, bool) or not 0 <= every_ms <= MAX_EVERY_MS:
        raise InvalidParameter("every", f"must be 0-{MAX_EVERY_MS} milliseconds, got {every_ms!r:.40}")
    return every_ms
