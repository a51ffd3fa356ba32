"""Calls that wait while the store is fenced: in their old order, and for so long at most."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from audit.log.answers import answer_all
from audit.log.handle import WAIT_S
from audit.log.queue import Pending
from audit.model.errors import AuditError

__all__ = ["Held"]

_WAIT_MS: Final = WAIT_S * 1000


class Held:
    """The writer's alone."""

    def __init__(self) -> None:
        self._calls: deque[Pending] = deque()

    def __bool__(self) -> bool:
        return bool(self._calls)

    def add(self, calls: Iterable[Pending]) -> None:
        """Hold some more."""
        self._calls.extend(calls)

    def next(self) -> list[Pending]:
        """Return the oldest, by itself: together they could be more than a commit takes."""
        return [self._calls.popleft()]

    def fail(self, error: AuditError) -> None:
        """Answer all of them with an error."""
        calls, self._calls = self._calls, deque()
        answer_all([(pending, error) for pending in calls])

    def fail_stale(self, error: AuditError, now_ms: int) -> None:
        """Answer those that have waited too long with an error."""
        kept: deque[Pending] = deque()
        stale: list[Pending] = []
        for pending in self._calls:
            if pending.since_ms is None:
                pending.since_ms = now_ms
            (stale if now_ms - pending.since_ms >= _WAIT_MS else kept).append(pending)
        self._calls = kept
        answer_all([(pending, error) for pending in stale])
