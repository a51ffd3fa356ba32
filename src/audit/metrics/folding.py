"""A result and the updates after it, folded into what the result would be now. Pure; a client keeps no other state."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from msgspec import UNSET, UnsetType

from audit.metrics.panes import rank_of
from audit.metrics.query import AsOf, Group, MetricResult, MetricUpdate, MetricValue, Window

__all__ = ["Folded", "WindowKey", "key_of", "order_of"]

WindowKey = tuple[datetime, str, Group | UnsetType]

_KINDS: Final = {UnsetType: "", type(None): "a", bool: "b", int: "n", float: "n", str: "s"}


def key_of(window: Window) -> WindowKey:
    """Return what tells a window from all others of its metric: its start and its group."""
    # Of groups, true and 1 are two, 1 and 1.0 are one.
    return window.start, _KINDS[type(window.group)], window.group


def order_of(key: WindowKey) -> tuple[datetime, tuple[int, Any]]:
    """Return what windows are sorted by: start, then group."""
    start, _, group = key
    return start, rank_of(None if group is UNSET else group)


class Folded:
    """The windows of one metric, always those of the newest update that was taken."""

    def __init__(self, result: MetricResult) -> None:
        self._windows = {key_of(window): window for window in result.windows}
        self.total: MetricValue = result.total
        self.as_of: AsOf = result.as_of

    def update(self, update: MetricUpdate) -> set[WindowKey]:
        """Take an update that follows what was taken before; return which windows it has."""
        since = update.since
        if update.all:
            self._windows = {}
        elif since is not None:
            self._windows = {key: window for key, window in self._windows.items() if window.start >= since}
        some = {key_of(window): window for window in update.windows}
        self._windows |= some
        self.total = update.total
        self.as_of = update.as_of
        return set(some)

    def windows(self, keys: Iterable[WindowKey]) -> list[Window]:
        """Return those of some windows that are still there, in order."""
        return [self._windows[key] for key in sorted(self._windows.keys() & set(keys), key=order_of)]

    def result(self) -> MetricResult:
        """Return all windows as one answer, in order."""
        return MetricResult(windows=self.windows(self._windows), total=self.total, as_of=self.as_of)
