"""What is different between two answers to one query, and when the next one may be, though nothing is committed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

from audit.metrics.fields import time_ms
from audit.metrics.folding import Folded, key_of
from audit.metrics.frames import Moment
from audit.metrics.panes import BEFORE, Panes
from audit.metrics.plan import Plan
from audit.metrics.query import MetricResult, MetricUpdate, Window

__all__ = ["change_between", "change_since", "due_ms", "folded"]

_STILL_MS: Final = 1_000
"""How often a value that time alone changes is told."""


def change_between(plan: Plan, before: MetricResult, after: MetricResult) -> MetricUpdate | None:
    """Return what has changed from one answer to a later one; None: nothing but the time."""
    if plan.window_ms is None:
        # Its ends move with the time, so that its windows are told together or not at all.
        told = [_contents(window) for window in after.windows]
        if told == [_contents(window) for window in before.windows] and after.total == before.total:
            return None
        return _whole(after)
    # What is one and the same in both is not looked at: most windows are.
    earlier, later = set(map(id, before.windows)), set(map(id, after.windows))
    known = {key_of(window): window for window in before.windows if id(window) not in later}
    others = {key_of(window): window for window in after.windows if id(window) not in earlier}
    changed = [window for key, window in others.items() if known.get(key) != window]
    first = _first(after)
    if any(window.start >= first for key, window in known.items() if key not in others):
        # A group whose only event was erased: that it is gone can't be told one by one.
        return _whole(after)
    since = _first(after) if _first(before) < _first(after) else None
    if not changed and since is None and after.total == before.total:
        return None
    return _update(after, changed, since=since)


def change_since(plan: Plan, end_ms: int, after: MetricResult, touched: Callable[[], Panes | None]) -> MetricUpdate:
    """Return what may have changed since an answer that is not known any more.

    Args:
        plan: What is asked.
        end_ms: The time of that answer.
        after: The answer now.
        touched: Returns panes of what was committed since; or None, if that is too much.
    """
    since = None if plan.low_ms is not None else _first(after)
    panes = touched() if plan.window_ms is not None else None
    if panes is None:
        return _whole(after)
    keys = panes.by_start.keys()
    if plan.occurred and plan.low_ms is None and after.windows and keys and min(keys) <= time_ms(_first(after)):
        # The earliest event of all came since: windows may have been put before those of that time.
        return _whole(after)
    if plan.carries:
        first = min(keys, default=None)
        some = [window for window in after.windows if _open(plan, window, end_ms) or _ends_after(window, first)]
        return _update(after, some, since=since)
    size = plan.pane_ms
    changed = []
    for window in after.windows:
        start, end = time_ms(window.start), time_ms(window.end)
        if _open(plan, window, end_ms) or any(key in keys for key in range(start - start % size, end, size)):
            changed.append(window)
    return _update(after, changed, since=since)


def due_ms(plan: Plan, panes: Panes, moment: Moment) -> int | None:
    """Return when the answer may change by time alone; None: never."""
    now = moment.end_ms
    moving = plan.measure == "rate" and (plan.last_ms is None or plan.window_ms is not None)
    if moving or plan.measure == "uptime":
        if plan.high_ms is None or now <= plan.high_ms + plan.lateness_ms:
            return now + _STILL_MS
        return None
    if plan.window_ms is None:
        if plan.last_ms is None:
            return _after(plan, plan.high_ms, now)
        oldest = min((key for key in panes.by_start if key != BEFORE), default=None)
        return None if oldest is None else oldest + plan.last_ms + 1
    if plan.high_ms is not None and plan.high_ms + plan.lateness_ms < moment.closed_ms:
        return None
    # A window is final within a millisecond of its end and lateness, and is told from a millisecond after its start on.
    before, size, hop = now - 1, plan.pane_ms, plan.hop_ms
    closing = before - (before - plan.lateness_ms) % size + size + 1
    return min(closing, before - before % hop + hop + 1)


def _after(plan: Plan, high_ms: int | None, now: int) -> int | None:
    if high_ms is None or now > high_ms + plan.lateness_ms:
        return None
    return high_ms + plan.lateness_ms + 1


def _open(plan: Plan, window: Window, end_ms: int) -> bool:
    """Whether a window was not final by an earlier time, or may not have been."""
    return time_ms(window.end) + plan.lateness_ms > end_ms - 1


def _ends_after(window: Window, first: int | None) -> bool:
    return first is not None and time_ms(window.end) > first


def _contents(window: Window) -> tuple[object, ...]:
    return window.group, window.value, window.count, window.final, window.rev, window.down_s


def _first(result: MetricResult) -> datetime:
    """Return the start of the first window; of none, the time."""
    return result.windows[0].start if result.windows else result.as_of.time


def folded(before: MetricResult, update: MetricUpdate) -> MetricResult:
    """Return what an answer becomes by an update: what every subscriber does."""
    told = Folded(before)
    told.update(update)
    return told.result()


def _whole(after: MetricResult) -> MetricUpdate:
    return MetricUpdate(windows=after.windows, total=after.total, as_of=after.as_of, all=True)


def _update(after: MetricResult, windows: list[Window], *, since: datetime | None) -> MetricUpdate:
    return MetricUpdate(windows=windows, total=after.total, as_of=after.as_of, since=since)
