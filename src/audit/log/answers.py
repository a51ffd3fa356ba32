"""Telling callers what became of their appends: one call into each event loop, whatever the number of its callers."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future as ThreadFuture

from audit.log.queue import Pending, Receipts
from audit.model.errors import AuditError, OutcomeUnknown, Unavailable

__all__ = ["Answer", "answer_all", "outcome_unknown", "unavailable"]

Answer = tuple[Pending, Receipts | AuditError]


def answer_all(answers: list[Answer]) -> None:
    """Settle the future of each call, in its own loop or at once."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Answer]] = {}
    for answer in answers:
        loop = answer[0].loop
        if loop is None:
            _settle(answer)
        else:
            by_loop.setdefault(loop, []).append(answer)
    for loop, some in by_loop.items():
        try:
            loop.call_soon_threadsafe(_settle_all, some)
        except RuntimeError:
            # A closed loop has nobody left to tell.
            continue


def outcome_unknown(cause: Exception) -> OutcomeUnknown:
    """Return what the callers of a failed write are told."""
    error = OutcomeUnknown(f"the write failed, its outcome is not known: {cause}")
    error.__cause__ = cause
    return error


def unavailable(cause: Exception) -> Unavailable:
    """Return what callers are told of whom nothing was written."""
    error = Unavailable(f"nothing was written: {cause}")
    error.__cause__ = cause
    return error


def _settle_all(answers: list[Answer]) -> None:
    for answer in answers:
        _settle(answer)


def _settle(answer: Answer) -> None:
    pending, outcome = answer
    future = pending.future
    if isinstance(future, ThreadFuture):
        if not future.set_running_or_notify_cancel():
            return
    elif future.done():
        return
    if isinstance(outcome, AuditError):
        # Callers must not share one exception object: each raise adds to its traceback.
        future.set_exception(_copy(outcome))
    else:
        future.set_result(outcome)


def _copy(error: AuditError) -> AuditError:
    made = error.__reduce__()
    copied: AuditError = made[0](*made[1])  # type: ignore[operator]
    copied.__cause__ = error.__cause__
    return copied
