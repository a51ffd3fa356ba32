"""Metrics kept up with the log: one state for each query, fed with what was committed, shared by all who follow it.

Feeding is off the path of appends: a commit wakes those who follow, as it wakes tails, and the first of them feeds the
state for all. A follower is told everything once, then only what has changed; the waiting is `log.following`'s.
"""

from __future__ import annotations

import threading
from typing import Final, NamedTuple
from weakref import WeakValueDictionary

from audit.codec.cursors import Position, decode_cursor
from audit.log.measuring import Measuring, Seen, Spend, match_of_plan
from audit.log.reader import Reader
from audit.log.tail import End, EndReason
from audit.log.wakeups import Sleeper, Wakeups
from audit.metrics.answer import Told
from audit.metrics.changes import change_between, change_since, due_ms
from audit.metrics.pace import check_every
from audit.metrics.panes import Panes
from audit.metrics.plan import Plan
from audit.metrics.query import MetricResult, MetricUpdate
from audit.model.errors import TooLarge
from audit.model.ids import MAX_VALUE, RANDOM_BITS
from audit.model.span import Span

__all__ = ["Follower", "Known", "LiveMetrics", "LiveState"]

_FRESH_MS: Final = 20
"""An answer that is no older is told again while nothing is committed, so that many followers cost one computation."""
_FEW: Final = 2_000
"""Panes and windows of an answer that is computed on an event loop."""
_NEVER: Final = (b"\0",)
"""A term that no event has: who waits for it is woken by the log's end alone."""


class Known(NamedTuple):
    """An answer, and what it was computed from.

    Attributes:
        result: The answer.
        seen: The log it is about.
        due_ms: When it may change by time alone; None: never.
    """

    result: MetricResult
    seen: Seen
    due_ms: int | None


class LiveState:
    """The state of one query. Any thread may ask for its answer; one at a time computes."""

    def __init__(self, plan: Plan, measuring: Measuring) -> None:
        self.plan = plan
        self.terms = match_of_plan(plan).wake_terms
        self._measuring = measuring
        self._lock = threading.Lock()
        self._panes: Panes | None = None
        self._told = Told()
        self._known: Known | None = None

    def answer_nowait(self) -> Known | None:
        """Return the answer as of now, if that takes neither the disk nor long; else None."""
        if not self._lock.acquire(blocking=False):
            return None
        try:
            known, panes = self._known, self._panes
            if known is None or panes is None or len(panes) + len(known.result.windows) > _FEW:
                return None
            seen = self._measuring.look()
            if self._is_fresh(known, seen):
                return known
            if seen.snapshot.size != known.seen.snapshot.size:
                try:
                    after_id = known.seen.snapshot.last_id
                    if not self._measuring.fold_recent(self.plan, panes, after_id, seen.snapshot):
                        return None
                except BaseException:
                    self._panes = None
                    raise
            return self._answer(panes, seen)
        finally:
            self._lock.release()

    def answer(self, spend: Spend | None = None) -> Known:
        """Return the answer as of now; blocks. Errors are those of `Measuring.result`.

        Args:
            spend: Told how many events were read, whatever came of it, if all had to be read and not just new ones.
        """
        with self._lock:
            seen = self._measuring.look()
            known, panes = self._known, self._panes
            if known is not None and panes is not None and self._is_fresh(known, seen):
                return known
            # Not kept while it is fed: what fails midway is begun anew, not gone on with.
            self._panes = None
            if known is None or panes is None:
                panes, self._told = Panes(self.plan, lasting=True), Told()
                try:
                    seen = self._measuring.load(self.plan, panes)
                finally:
                    if spend is not None:
                        spend(panes.folded)
            elif seen.snapshot.size != known.seen.snapshot.size:
                span = Span(known.seen.snapshot.last_id + 1, MAX_VALUE + 1)
                self._measuring.fold(self.plan, panes, span, seen.snapshot)
            self._panes = panes
            return self._answer(panes, seen)

    def forget(self) -> None:
        """Compute the next answer from the log: what was counted may have been erased."""
        with self._lock:
            self._panes = self._known = None

    @staticmethod
    def _is_fresh(known: Known, seen: Seen) -> bool:
        now = seen.moment.end_ms
        if known.seen.snapshot.size != seen.snapshot.size or (known.due_ms is not None and now >= known.due_ms):
            return False
        return now - known.seen.moment.end_ms <= _FRESH_MS

    def _answer(self, panes: Panes, seen: Seen) -> Known:
        plan = self.plan
        try:
            result = self._measuring.told(plan, panes, seen, self._told)
        except BaseException:
            # They have events that no answer tells of: fed again, they would have them twice.
            self._panes = None
            raise
        self._known = Known(result, seen, due_ms(plan, panes, seen.moment))
        return self._known

    def touched(self, after: Position) -> Panes | None:
        """Return panes of what was committed after a position; None: that is too much. Blocks."""
        panes = Panes(self.plan)
        span = Span(after.last_id + 1 if after.index >= 0 else 0, MAX_VALUE + 1)
        try:
            self._measuring.fold(self.plan, panes, span, self._measuring.look().snapshot)
        except TooLarge:
            return None
        return panes


class LiveMetrics:
    """The states of all queries that somebody follows. Holds none of them: the last follower's end frees one."""

    def __init__(self, measuring: Measuring, reader: Reader, wakeups: Wakeups) -> None:
        self._measuring = measuring
        self._reader = reader
        self._wakeups = wakeups
        self._lock = threading.Lock()
        self._states: WeakValueDictionary[str, LiveState] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._states)

    def clear(self) -> None:
        """Have every answer computed anew; called when events were erased."""
        for state in list(self._states.values()):
            state.forget()

    def follow(self, plan: Plan, every: object, cursor: object) -> Follower:
        """Return a follower of a query.

        Raises:
            InvalidParameter: `every` is out of bounds.
            CursorInvalid: the cursor is damaged, or of another store or query.
        """
        every_ms = check_every(every)
        start = None if cursor is None else decode_cursor(cursor, self._measuring.digest(plan))
        with self._lock:
            state = self._states.get(plan.digest)
            if state is None:
                state = self._states[plan.digest] = LiveState(plan, self._measuring)
        return Follower(state, self._measuring, self._reader, self._wakeups, every_ms, start)


class Follower:
    """What one follower has been told, without its waiting. For one task or thread at a time.

    Attributes:
        state: The state that it shares with all followers of the query.
        every_ms: Between two updates, at least.
    """

    def __init__(  # noqa: PLR0917 - parts of the log, which only `LiveMetrics.follow` puts together
        self,
        state: LiveState,
        measuring: Measuring,
        reader: Reader,
        wakeups: Wakeups,
        every_ms: int,
        start: Position | None,
    ) -> None:
        self.state = state
        self.every_ms = every_ms
        self._measuring = measuring
        self._reader = reader
        self._wakeups = wakeups
        self._start = start
        self._told: MetricResult | None = None
        self._ended: EndReason | None = None
        self._size = 0

    @property
    def latest(self) -> MetricResult | None:
        """All that was told, added up; None: nothing was."""
        return self._told

    @property
    def cursor(self) -> str | None:
        """Resumes right after what was told last; None: nothing was."""
        return None if self._told is None else self._told.as_of.cursor

    def check_start(self) -> None:
        """Verify the cursor that it starts from; blocks.

        Raises:
            CursorInvalid: it points at another event than it did.
        """
        if self._start is not None:
            self._reader.check_position(self._start, self._measuring.look().snapshot, disk=True)

    def tell_all(self, known: Known) -> MetricResult:
        """Take note that a whole answer is told."""
        self._start = None
        self._told = known.result
        self._size = known.seen.snapshot.size
        return known.result

    def change(self, known: Known) -> MetricUpdate | None:
        """Return what has changed by an answer, and take note that it is told; None: nothing."""
        before, self._size = self._told, known.seen.snapshot.size
        if before is None:
            self._told = known.result
            if self._start is None:
                return change_since(self.state.plan, 0, known.result, lambda: None)
            start = self._start
            self._start = None
            return change_since(
                self.state.plan, start.floor >> RANDOM_BITS, known.result, lambda: self.state.touched(start)
            )
        update = change_between(self.state.plan, before, known.result)
        if update is not None:
            self._told = known.result
        return update

    @property
    def fresh(self) -> bool:
        """Whether it was told nothing yet: its first change reads the log."""
        return self._told is None

    def end(self, reason: EndReason) -> None:
        """End it; the next step says so."""
        if self._ended is None:
            self._ended = reason

    def over(self) -> End | None:
        """Return the end, once it has come."""
        if self._ended is None and self._wakeups.closed:
            self._ended = "shutdown"
        return None if self._ended is None else End(self.cursor or "", self._ended)

    def fall_asleep(self, sleeper: Sleeper, *, until_commit: bool) -> bool:
        """Register for the next commit that may matter, or for the log's end alone; False: there is news already."""
        if not until_commit:
            return self._wakeups.sleep(sleeper, _NEVER, lambda: self._ended is None)

        def nothing_new() -> bool:
            return self._ended is None and self._measuring.size == self._size

        return self._wakeups.sleep(sleeper, self.state.terms, nothing_new)

    def wake_up(self, sleeper: Sleeper, *, until_commit: bool) -> None:
        """Leave the registry."""
        self._wakeups.leave(sleeper, self.state.terms if until_commit else _NEVER, lambda: Position(-1, 0))
