"""How long to wait before the next try: exponentially longer, with full jitter, so that no crowd comes at once."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from audit.model.errors import AuditError, Overloaded

__all__ = ["Backoff", "told_wait_s"]

_MAX_DOUBLINGS: Final = 30


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """Delays between tries.

    Attributes:
        first_s: Upper end of the first delay; each one after it doubles.
        most_s: Upper end of every delay.
        draw: Returns a number from 0 to 1: the part of the upper end that is waited.
    """

    first_s: float = 0.1
    most_s: float = 10.0
    draw: Callable[[], float] = random.random

    def delay_s(self, failures: int) -> float:
        """Return the delay after so many tries that failed in a row, the last one not counted."""
        return self.draw() * min(self.most_s, self.first_s * 2.0 ** min(failures, _MAX_DOUBLINGS))

    def wait_s(self, failures: int, error: AuditError) -> float:
        """Return the delay after an error. A server that said when another try is worth it is not asked before that."""
        # Added, not the greater of the two: all who were told the same would come at once.
        return told_wait_s(error) + self.delay_s(failures)


def told_wait_s(error: AuditError) -> float:
    """Return how long the server said that another try is of no use."""
    told_ms = error.retry_after_ms if isinstance(error, Overloaded) else None
    return (told_ms or 0) / 1000
