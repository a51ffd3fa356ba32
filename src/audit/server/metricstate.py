"""The current windows of one metric, and since when each is as it is: so that "what has changed" needs no queue.

Pure: results and updates in, states out. A state is never changed once made; whoever holds one may read it at leisure.
Invariant: what has changed since a version (all, when that is older than `whole`), put over the windows of that
version, with those before `low` taken away, is the state.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from audit.metrics.folding import WindowKey, key_of
from audit.metrics.query import AsOf, MetricResult, MetricUpdate, MetricValue, Window

__all__ = ["Kept", "MetricState", "first_state", "next_state"]

_encode: Final = msgspec.json.Encoder().encode


class Kept:
    """One window, and the version in which it became what it is."""

    __slots__ = ("_encoded", "version", "window")

    def __init__(self, window: Window, version: int) -> None:
        self.window = window
        self.version = version
        self._encoded: bytes | None = None

    @property
    def encoded(self) -> bytes:
        """Its JSON, made once for all who are sent it; two threads that make it at once make the same."""
        if self._encoded is None:
            self._encoded = _encode(self.window)
        return self._encoded


class MetricState(NamedTuple):
    """A metric at one moment.

    Attributes:
        version: Counts the states of one computation.
        whole: The version of which all windows were replaced last: what was there before may be gone.
        kept: The windows.
        total: The value over the whole span.
        as_of: What is known.
        low: Windows that start before have left the horizon; None: none has.
    """

    version: int
    whole: int
    kept: Mapping[WindowKey, Kept]
    total: MetricValue
    as_of: AsOf
    low: datetime | None

    def changed(self, version: int) -> list[Kept]:
        """Return the windows that are not what they were in that version; of one older than `whole`, all of them."""
        return [one for one in self.kept.values() if version < self.whole or one.version > version]


def first_state(result: MetricResult) -> MetricState:
    """Return the state that a computation begins with."""
    kept = {key_of(window): Kept(window, 1) for window in result.windows}
    return MetricState(1, 1, kept, result.total, result.as_of, None)


def next_state(before: MetricState, update: MetricUpdate) -> MetricState:
    """Return the state after an update."""
    version = before.version + 1
    low, whole = before.low, before.whole
    times = [window.start for window in update.windows] + ([] if update.since is None else [update.since])
    if update.all or (low is not None and any(time < low for time in times)):
        # With late events, windows may come back that had left: since when, no single time can tell.
        whole, low = version, None
    elif update.since is not None:
        low = update.since
    kept = {} if update.all else dict(before.kept)
    if update.since is not None:
        kept = {key: one for key, one in kept.items() if one.window.start >= update.since}
    kept |= {key_of(window): Kept(window, version) for window in update.windows}
    return MetricState(version, whole, kept, update.total, update.as_of, low)
