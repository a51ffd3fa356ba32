"""Appends that came in one turn of the event loop, checked, encoded and queued together: half the work of one by one.

They go to the writer at the end of the turn, in the order they came, before it is woken: so it commits them together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from audit.log.core import LogCore
from audit.log.queue import Receipts
from audit.model.event import NewEvent

__all__ = ["Intake"]

Settled = Callable[[Receipts | Exception], None]
"""Told on the event loop, once, what became of a call. It must not raise: others are told after it."""


class _Waiter:
    """Takes a future's place for one who only wants to be told: no other turn of the loop for it."""

    __slots__ = ("_settled",)

    def __init__(self, settled: Settled) -> None:
        self._settled: Settled | None = settled

    def cancelled(self) -> bool:
        return False

    def done(self) -> bool:
        return self._settled is None

    def set_result(self, result: Receipts, /) -> None:
        self._settle(result)

    def set_exception(self, exception: Exception, /) -> None:
        self._settle(exception)

    def _settle(self, outcome: Receipts | Exception) -> None:
        settled, self._settled = self._settled, None
        if settled is not None:
            settled(outcome)


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
        try:
            self._core.submit_together(calls, waiters, asyncio.get_running_loop())
        except Exception as error:  # noqa: BLE001 - whatever it was: who is not told of it would wait for ever
            for waiter in waiters:
                waiter.set_exception(error)
