"""Appends that came in one turn of the event loop, checked, encoded and queued together: half the work of one by one.

They go to the writer at the end of the turn, in the order they came, before it is woken: so it commits them together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from audit.log.core import LogCore
from audit.log.queue import Receipts
from audit.model.errors import AuditError
from audit.model.event import NewEvent

__all__ = ["Intake"]

Settled = Callable[[Receipts | AuditError], None]
"""Told on the event loop what became of a call. It must not raise: others are told after it."""


class _Waiter:
    """Takes a future's place for one who only wants to be told: no other turn of the loop for it."""

    __slots__ = ("set_exception", "set_result")

    def __init__(self, settled: Settled) -> None:
        self.set_result = settled
        self.set_exception = settled

    def cancelled(self) -> bool:
        return False

    def done(self) -> bool:
        return False


class Intake:
    """Of one log, for one event loop."""

    def __init__(self, core: LogCore) -> None:
        self._core = core
        self._calls: list[tuple[Sequence[NewEvent], str | None]] = []
        self._waiters: list[_Waiter] = []

    def put(self, events: Sequence[NewEvent], idempotency_key: str | None, settled: Settled) -> None:
        """Have a call appended, and `settled` told its receipts or what was wrong, as of `LogCore.submit`."""
        if not self._calls:
            asyncio.get_running_loop().call_soon(self._flush)
        self._calls.append((events, idempotency_key))
        self._waiters.append(_Waiter(settled))

    def _flush(self) -> None:
        calls, self._calls = self._calls, []
        waiters, self._waiters = self._waiters, []
        self._core.submit_together(calls, waiters, asyncio.get_running_loop())
