"""One registered metric on its way through the log: how far it has come, and the panes that are not kept yet.

Metrics that stand at one place are folded together: the events are read once, and decoded once for all of them.
"""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import Future
from typing import Final

from cachetools import LRUCache

from audit.codec.cursors import Position
from audit.codec.terms import Match
from audit.log.handle import Handle
from audit.log.measuring import Measuring, match_of_plan
from audit.log.recent import Snapshot
from audit.metrics.fields import Columns
from audit.metrics.keeping import Kept, decode_pane, encode_kept, encode_pane
from audit.metrics.panes import GroupKey, Pane, Panes
from audit.metrics.plan import Plan
from audit.metrics.query import Metric
from audit.model.ids import MAX_VALUE
from audit.model.span import Span
from audit.storage.port import MetricWrite

__all__ = ["Folding", "fold_next"]

_EVERYTHING: Final = Match((), ())
_PANES: Final = 64
"""Panes of a metric that stay in memory once they are kept."""


class Folding:
    """One registered metric. Belongs to the thread that folds, but for `metric` and `size`, which all may read."""

    def __init__(self, metric: Metric, plan: Plan, position: Position | None) -> None:
        """Go on from a position; None: begin anew, with no panes."""
        self.metric = metric
        self.plan = plan
        self.match = match_of_plan(plan)
        self.members = Panes(plan).members
        self.told = position is not None
        """Whether the store has the definition."""
        self.unkept = 0
        self.waiting: list[tuple[int, Future[None]]] = []
        self._anew = position is None
        self._position = position or Position(-1, 0)
        self._changed: dict[int, dict[GroupKey, Pane]] = {}
        self._known: LRUCache[int, dict[GroupKey, Pane]] = LRUCache(_PANES)

    @property
    def size(self) -> int:
        """Events of the log that are in its panes."""
        return self._position.index + 1

    @property
    def position(self) -> Position:
        """The last event that it has looked at."""
        return self._position

    @property
    def has_waiting(self) -> bool:
        """Whether somebody waits for it to come as far as it has."""
        return any(size <= self.size for size, _ in self.waiting)

    def fold(self, columns: Columns, end: Position, handle: Handle) -> None:
        """Take in events that match, of all up to a position."""
        panes = Panes(self.plan)
        panes.fold(columns.events, columns)
        for start, groups in panes.by_start.items():
            known = self._changed.get(start)
            if known is None:
                known = self._changed[start] = self._before(start, handle)
            for group, pane in groups.items():
                if group in known:
                    known[group].merge(pane)
                else:
                    known[group] = pane
        self.unkept += end.index - self._position.index
        self._position = end

    def _before(self, start: int, handle: Handle) -> dict[GroupKey, Pane]:
        if self._anew:
            return self._known.get(start, {})
        known = self._known.get(start)
        if known is not None:
            return known
        name = self.metric.name
        kept = handle.read(lambda storage: storage.metric(name, start, start + 1))
        body = kept.panes.get(start) if kept is not None else None
        return {} if body is None else decode_pane(self.plan, name, body)

    def write(self) -> MetricWrite:
        """Return what is to be kept."""
        position = self._position
        last_id = "" if position.index < 0 else format(position.last_id, "x")
        body = encode_kept(Kept(metric=self.metric, size=self.size, last_id=last_id))
        panes = {start: encode_pane(groups) for start, groups in self._changed.items()}
        return MetricWrite(self.metric.name, body, panes, self._anew)

    def kept(self) -> None:
        """Take note that it is on disk."""
        self._known.update(self._changed)
        self._changed = {}
        self._anew = False
        self.told = True
        self.unkept = 0

    def tell(self) -> None:
        """Tell those who wait for what is kept by now."""
        if self.unkept or not self.told:
            return
        done = [future for size, future in self.waiting if size <= self.size]
        self.waiting = [(size, future) for size, future in self.waiting if size > self.size]
        for future in done:
            future.set_result(None)

    def fail(self, error: Exception) -> None:
        """Tell those who wait that it is not to be."""
        waiting, self.waiting = self.waiting, []
        for _, future in waiting:
            future.set_exception(error)


def fold_next(foldings: list[Folding], measuring: Measuring, handle: Handle, snapshot: Snapshot) -> bool:
    """Fold the next events into each metric that is behind; return whether any was. Blocks on the disk."""
    behind: defaultdict[int, list[Folding]] = defaultdict(list)
    for folding in foldings:
        if folding.size < snapshot.size:
            behind[folding.size].append(folding)
    for together in behind.values():
        _fold_piece(together, measuring, handle, snapshot)
    return bool(behind)


def _fold_piece(together: list[Folding], measuring: Measuring, handle: Handle, snapshot: Snapshot) -> None:
    position = together[0].position
    after = position.last_id + 1 if position.index >= 0 else 0
    match = together[0].match if len(together) == 1 else _EVERYTHING
    events, stopped = measuring.piece(match, Span(after, MAX_VALUE + 1), snapshot)
    end = stopped or snapshot.end
    members = frozenset[str]().union(*[one.members for one in together])
    columns = Columns(events, members)
    # In memory, the events of a narrower search are the same objects.
    by_event = dict(zip(map(id, events), columns.rows, strict=True)) if columns.rows else {}
    for one in together:
        own = columns
        if len(together) > 1 and not one.match.everything and events:
            some = _matching(one.match, Span(after, end.last_id + 1), measuring, snapshot)
            rows = [by_event.get(id(event)) for event in some] if one.members else None
            own = Columns(some, one.members, None if rows is None or None in rows else rows)
        one.fold(own, end, handle)


def _matching(match: Match, span: Span, measuring: Measuring, snapshot: Snapshot) -> list[bytes]:
    """Return the events of a range that match, which are no more than a piece's."""
    found, rest = measuring.piece(match, span, snapshot)
    while rest is not None:
        more, rest = measuring.piece(match, span.above(rest.last_id + 1), snapshot)
        found = found + more
    return found
