"""One registered metric on its way through the log: how far it has come, and the panes that are not kept yet.

Metrics that stand at one place are folded together, piece by piece: the events are read and decoded once for all of
them, and what is only counted is counted from posting lists.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import Final

from audit.codec.cursors import Position
from audit.codec.terms import Match
from audit.log.handle import Handle
from audit.log.measuring import Measuring, counted_by, match_of_plan
from audit.log.pieces import Piece, next_piece
from audit.log.recent import Snapshot
from audit.metrics.fields import Columns, Path
from audit.metrics.keeping import Kept, decode_pane, encode_kept, encode_pane
from audit.metrics.panes import GroupKey, Pane, Panes
from audit.metrics.plan import Plan
from audit.metrics.query import Metric
from audit.model.errors import StoreCorrupt
from audit.model.ids import MAX_VALUE
from audit.model.span import Span
from audit.storage.port import MetricWrite

__all__ = ["Folding", "fold_next", "running_future"]

_log = logging.getLogger("audit")
_EVERYTHING: Final = Match((), ())
_GROUPS: Final = 64
"""Groups of a metric whose panes stay in memory once they are kept; those of one pane do in any case."""


class Folding:
    """One registered metric. Belongs to the thread that folds, but for `metric` and `size`, and for who waits."""

    def __init__(self, metric: Metric, plan: Plan, position: Position | None) -> None:
        """Go on from a position; None: begin anew, with no panes."""
        self.metric = metric
        self.plan = plan
        self.match = match_of_plan(plan)
        self._panes = Panes(plan, any_groups=True)
        self.paths = self._panes.paths
        self.counted = counted_by(plan)
        self.told = position is not None
        """Whether the store has the definition."""
        self.broken: StoreCorrupt | None = None
        """What is wrong with a pane of it in the store: it is folded no further."""
        self.kept_bytes = 0
        """What was written of it the last time."""
        self._waiting: list[tuple[int, Future[None]]] = []
        self._failure: Exception | None = None
        self._lock = threading.Lock()
        """Held while either changes."""
        self._anew = position is None
        self._position = self._kept = position or Position(-1, 0)

    @property
    def size(self) -> int:
        """Events of the log that are in its panes."""
        return self._position.index + 1

    @property
    def position(self) -> Position:
        """The last event that it has looked at."""
        return self._position

    @property
    def unkept(self) -> int:
        """Events that are folded in and not kept yet."""
        return self._position.index - self._kept.index

    @property
    def awaited(self) -> bool:
        """Whether somebody waits for it."""
        return bool(self._waiting)

    @property
    def arrived(self) -> bool:
        """Whether somebody waits for it to come as far as it has."""
        return any(size <= self.size for size, _ in self._waiting)

    def wait_for(self, size: int) -> Future[None]:
        """Return a future that is done when so many events are kept in its panes. It can't be cancelled."""
        future = running_future()
        with self._lock:
            if self._failure is None:
                self._waiting.append((size, future))
                return future
        future.set_exception(self._failure)
        return future

    def relieve(self, other: Folding) -> None:
        """Take over who waits for another one."""
        with other._lock:
            waiting, other._waiting = other._waiting, []
        with self._lock:
            self._waiting += waiting

    def count(self, piece: Piece, handle: Handle) -> None:
        """Take in how many events of a piece match; of a metric that is `counted`."""
        panes = self._panes
        found = [(piece.count(match, self.plan.pane_ms), weight) for match, weight in self.counted]

        def take() -> None:
            for counts, weight in found:
                panes.add_counts(counts, weight)

        self._take(panes.keys_of([ms for counts, _ in found for ms in counts]), take, piece.end, handle)

    def fold(self, columns: Columns, end: Position, handle: Handle) -> None:
        """Take in events that match, of all up to a position."""
        panes = self._panes
        self._take(panes.keys_in(columns), lambda: panes.fold(columns.events, columns), end, handle)

    def _take(self, starts: Iterable[int], take: Callable[[], None], end: Position, handle: Handle) -> None:
        """Change some panes, all or none."""
        try:
            self._load(starts, handle)
            take()
        except BaseException as error:
            # Some of it may be in: what is not kept is folded in again.
            self._panes.by_start.clear()
            self._panes.touched.clear()
            self._position = self._kept
            if not isinstance(error, StoreCorrupt):
                raise
            # Until it is rebuilt; the others go on.
            _log.error("metric %s can't be kept any more: %s", self.metric.name, error)
            self.broken = error
            self.fail(error)
        else:
            self._position = end

    def _load(self, starts: Iterable[int], handle: Handle) -> None:
        """Have the panes that are about to change in memory, those last that changed last."""
        by_start = self._panes.by_start
        for start in starts:
            known = by_start.pop(start, None)
            if known is None:
                known = {} if self._anew else self._stored(start, handle)
            by_start[start] = known

    def _stored(self, start: int, handle: Handle) -> dict[GroupKey, Pane]:
        name = self.metric.name
        kept = handle.read(lambda storage: storage.metric(name, start, start + 1))
        body = kept.panes.get(start) if kept is not None else None
        return {} if body is None else decode_pane(self.plan, name, body)

    def write(self) -> MetricWrite:
        """Return what is to be kept."""
        position = self._position
        last_id = "" if position.index < 0 else format(position.last_id, "x")
        body = encode_kept(Kept(metric=self.metric, size=self.size, last_id=last_id))
        by_start = self._panes.by_start
        panes = {start: encode_pane(by_start[start]) for start in sorted(self._panes.touched)}
        self.kept_bytes = sum(map(len, panes.values()))
        return MetricWrite(self.metric.name, body, panes, self._anew)

    def kept(self) -> None:
        """Take note that it is on disk."""
        by_start = self._panes.by_start
        many = sum(map(len, by_start.values()))
        for start in list(by_start)[:-1]:
            if many > _GROUPS:
                many -= len(by_start.pop(start))
        self._panes.touched.clear()
        self._kept = self._position
        self._anew = False
        self.told = True

    def tell(self) -> None:
        """Tell those who wait for what is kept by now."""
        if self.unkept or not self.told:
            return
        with self._lock:
            done = [future for size, future in self._waiting if size <= self.size]
            self._waiting = [(size, future) for size, future in self._waiting if size > self.size]
        for future in done:
            future.set_result(None)

    def fail(self, error: Exception) -> None:
        """Tell those who wait, and who will, that it is not to be."""
        with self._lock:
            self._failure = error
            waiting, self._waiting = self._waiting, []
        for _, future in waiting:
            future.set_exception(error)


def running_future() -> Future[None]:
    """Return a future that can't be cancelled: who waits for it no more is not its maker's affair."""
    future: Future[None] = Future()
    future.set_running_or_notify_cancel()
    return future


def fold_next(foldings: list[Folding], measuring: Measuring, handle: Handle, snapshot: Snapshot) -> bool:
    """Fold the next events into each metric that is behind; return whether any was. Blocks on the disk."""
    behind: defaultdict[int, list[Folding]] = defaultdict(list)
    for folding in foldings:
        if folding.size < snapshot.size:
            behind[folding.size].append(folding)
    for size, together in behind.items():
        piece = next_piece(snapshot, size)
        if piece is None:
            _fold_stored(together, measuring, handle, snapshot)
        else:
            _fold_piece(together, piece, handle)
    return bool(behind)


def _fold_piece(together: list[Folding], piece: Piece, handle: Handle) -> None:
    """Fold a piece of events that are in memory."""
    by_match: defaultdict[Match, list[Folding]] = defaultdict(list)
    for one in together:
        if one.counted:
            one.count(piece, handle)
        else:
            by_match[one.match].append(one)
    places = {match: piece.places(match) for match in by_match}
    # Decoded once for all, unless they look at a few events each.
    shared = None
    if sum(map(len, places.values())) > piece.size:
        shared = Columns(piece.events, _paths_of([one for some in by_match.values() for one in some]))
    for match, some in by_match.items():
        found = places[match]
        if shared is None:
            columns = Columns(piece.pick(found), _paths_of(some))
        else:
            columns = shared if len(found) == piece.size else shared.pick(found)
        for one in some:
            one.fold(columns, piece.end, handle)


def _fold_stored(together: list[Folding], measuring: Measuring, handle: Handle, snapshot: Snapshot) -> None:
    """Fold some events that are on disk."""
    position = together[0].position
    after = position.last_id + 1 if position.index >= 0 else 0
    match = together[0].match if len(together) == 1 else _EVERYTHING
    events, stopped = measuring.piece(match, Span(after, MAX_VALUE + 1), snapshot)
    end = stopped or snapshot.end
    columns = Columns(events, _paths_of(together))
    for one in together:
        own = columns
        if len(together) > 1 and not one.match.everything and events:
            own = Columns(_matching(one.match, Span(after, end.last_id + 1), measuring, snapshot), one.paths)
        one.fold(own, end, handle)


def _paths_of(together: Iterable[Folding]) -> frozenset[Path]:
    return frozenset[Path]().union(*[one.paths for one in together])


def _matching(match: Match, span: Span, measuring: Measuring, snapshot: Snapshot) -> list[bytes]:
    """Return the events of a range that match, which are no more than a piece's."""
    found, rest = measuring.piece(match, span, snapshot)
    while rest is not None:
        more, rest = measuring.piece(match, span.above(rest.last_id + 1), snapshot)
        found = found + more
    return found
