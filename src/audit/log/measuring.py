"""Answers to metric queries: events are read up to one moment and folded into panes, within a budget.

What is kept already, counts by topic and the panes of registered metrics, takes the place of reading events wherever
it says exactly the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from audit.codec.cursors import Position, encode_cursor, query_digest
from audit.codec.terms import Match, match_of, term_of_action
from audit.log.counting import count_topic, cover, has_rollups
from audit.log.handle import Handle
from audit.log.reader import Reach, Reader
from audit.log.recent import Snapshot
from audit.log.sequencer import Sequencer
from audit.metrics.answer import Told, answer_of, instant_of
from audit.metrics.durations import DAY_MS
from audit.metrics.frames import Moment, frame_of, moment_at
from audit.metrics.keeping import decode_kept, decode_pane
from audit.metrics.panes import Panes
from audit.metrics.plan import Plan, check_metric
from audit.metrics.query import AsOf, MetricResult
from audit.model.errors import TooLarge
from audit.model.ids import MAX_TIMESTAMP_MS, MAX_VALUE, RANDOM_BITS
from audit.model.span import Span

__all__ = ["BUDGET_EVENTS", "Measuring", "Seen", "Spend", "counted_by", "match_of_plan"]

BUDGET_EVENTS: Final = 500_000
"""Events that one query may read."""
_PIECE: Final = 1_000
_END_MS: Final = MAX_TIMESTAMP_MS + 1

Spend = Callable[[int], object]
"""Told how many events were read; from any thread."""


def match_of_plan(plan: Plan) -> Match:
    """Return what a plan asks of events' terms; of measures with actions, just the events with one of those."""
    match = match_of(plan.query)
    if plan.actions and len(match.any_of) <= 1:
        actions = tuple([term_of_action(action) for action in (*plan.actions, *plan.planned)])
        return Match(actions, (*match.all_of, *match.any_of))
    return match


def counted_by(plan: Plan) -> list[tuple[Match, int | None]]:
    """Return what to count where that takes no member of an event, and what each adds to the state; else nothing."""
    if plan.occurred or plan.group_by is not None or plan.field is not None or plan.follows:
        return []
    if not plan.carries:
        return [(match_of_plan(plan), None)]
    any_of, all_of = match_of(plan.query)
    opened, closed = [Match(any_of, (term_of_action(action), *all_of)) for action in plan.actions]
    return [(opened, 1), (closed, -1)]


def _ids(low_ms: int, high_ms: int) -> Span:
    return Span(low_ms << RANDOM_BITS, high_ms << RANDOM_BITS)


class Seen(NamedTuple):
    """The log as it is answered about: what is published, and until when no event can be missing."""

    snapshot: Snapshot
    moment: Moment


class Measuring:
    """Reads what metrics are made from. Any thread may use it; most of it blocks on the disk."""

    def __init__(self, handle: Handle, reader: Reader, sequencer: Sequencer, store_id: str) -> None:
        self._handle = handle
        self._reader = reader
        self._sequencer = sequencer
        self._store_id = store_id

    @property
    def size(self) -> int:
        """Events committed."""
        return self._sequencer.snapshot.size

    @property
    def first_ms(self) -> int | None:
        """Time of the log's first event; None: there is none."""
        first_id = self._sequencer.first_id
        return None if first_id is None else first_id >> RANDOM_BITS

    def look(self) -> Seen:
        """Return the log as it is now."""
        # The promise first: what is committed between the two looks is in the snapshot, and not below the promise.
        promised_ms = self._sequencer.watermark() >> RANDOM_BITS
        snapshot = self._sequencer.snapshot
        return Seen(snapshot, moment_at(promised_ms, snapshot.size - 1, snapshot.last_id))

    def result(self, plan: Plan, spend: Spend | None = None) -> MetricResult:
        """Return a query's answer as of now; blocks.

        Args:
            plan: What is asked.
            spend: Told how many events were read, whatever came of it.

        Raises:
            TooLarge: more events would have to be read than the budget allows, or there are too many windows or groups.
            Unavailable: the disk is needed and can't be read now.
            StoreCorrupt: a record is damaged or missing.
        """
        panes = Panes(plan)
        try:
            return self.told(plan, panes, self.load(plan, panes, once=True))
        finally:
            if spend is not None:
                spend(panes.folded)

    def told(self, plan: Plan, panes: Panes, seen: Seen, told: Told | None = None) -> MetricResult:
        """Return the answer that panes with all events of a moment add up to; `told` as of `answer_of`."""
        answer = answer_of(plan, panes, seen.moment, self.first_ms, told)
        as_of = AsOf(cursor=self.cursor(plan, seen.moment), time=instant_of(seen.moment.end_ms))
        return MetricResult(windows=answer.windows, total=answer.total, as_of=as_of)

    def digest(self, plan: Plan) -> bytes:
        """Return what the cursors of a plan are bound to."""
        return query_digest(self._store_id, plan.query, f"metric {plan.digest}")

    def cursor(self, plan: Plan, moment: Moment) -> str:
        """Return the cursor of a moment."""
        position = Position(moment.last_index, moment.last_id, moment.end_ms << RANDOM_BITS)
        return encode_cursor(self.digest(plan), position)

    def load(self, plan: Plan, panes: Panes, *, once: bool = False) -> Seen:
        """Fold all events of a plan into empty panes, and return the moment up to which; blocks.

        Args:
            plan: What is asked.
            panes: Takes them.
            once: Whether the panes are for one answer: then they may be longer than what a horizon moves by.
        """
        while True:
            seen = self.look()
            if plan.metric is not None:
                loaded = self._load_kept(plan, panes, seen, once=once)
                if loaded is None:
                    continue
                if loaded:
                    return seen
            low = 0
            if not plan.carries and not plan.occurred:
                low = max(0, frame_of(plan, seen.moment, 0).low) if plan.last_ms is not None else plan.low_ms or 0
            high = _END_MS if plan.high_ms is None or plan.occurred else plan.high_ms
            if not has_rollups(plan) or (plan.slides and not once):
                self.fold(plan, panes, _ids(low, high), seen.snapshot)
                return seen
            # No event is later than the moment, so that a span without an end may as well end with a day.
            until = (seen.moment.end_ms // DAY_MS + 1) * DAY_MS if plan.high_ms is None else high
            covered = cover(low, until, plan.pane_ms)
            counts = count_topic(self._handle, plan.query.topics[0], covered, seen.snapshot) if covered.ranges else {}
            if counts is None:
                continue
            panes.add_counts(counts)
            self.fold(plan, panes, _ids(low, min(covered.low_ms, high)), seen.snapshot)
            self.fold(plan, panes, _ids(max(low, covered.high_ms), high), seen.snapshot)
            return seen

    def _load_kept(self, plan: Plan, panes: Panes, seen: Seen, *, once: bool) -> bool | None:
        """Take over the panes of a registered metric, and fold what they don't have into others; blocks.

        Returns:
            Whether that was possible; None: they go further than what was seen.
        """
        size, name = plan.kept_ms, plan.metric
        low = frame_of(plan, seen.moment, None).low if plan.last_ms is not None else plan.low_ms
        high = plan.high_ms
        if name is None or (plan.slides and not once) or (plan.pane_ms % size and not plan.slides):
            return False
        if plan.occurred and ((low or 0) % size or (high or 0) % size):
            # Who lies on which side of a bound can't be read again: those events may be anywhere in the log.
            return False
        first = 0 if low is None or plan.carries else low - low % size
        kept = self._handle.read(lambda storage: storage.metric(name, first, high or _END_MS))
        own = None if kept is None else decode_kept(name, kept.body)
        if kept is None or own is None or check_metric(own.metric).digest != plan.kept:
            return False
        if own.size > seen.snapshot.size:
            # Of a log that was longer, until they are folded anew: read the events.
            return None if own.size <= self._sequencer.snapshot.size else False
        through = int(own.last_id, 16) + 1 if own.size else 0
        for start, body in kept.panes.items():
            place = panes.place(start)
            whole = start >= (low or 0) if plan.slides and not plan.carries else place == panes.place(start + size - 1)
            if whole and place is not None:
                for group, pane in decode_pane(plan, name, body).items():
                    panes.take(place, group, pane)
            else:
                # A bound lies in it.
                self.fold(plan, panes, _ids(start, start + size).below(through), seen.snapshot)
        rest = Span(through, MAX_VALUE + 1)
        if not plan.occurred:
            rest = rest.below(MAX_VALUE + 1 if high is None else high << RANDOM_BITS)
            rest = rest if low is None or plan.carries else rest.above(low << RANDOM_BITS)
        self.fold(plan, panes, rest, seen.snapshot)
        return True

    def fold(self, plan: Plan, panes: Panes, span: Span, snapshot: Snapshot) -> None:
        """Fold the events of a plan in a range of ids into panes; blocks.

        Raises:
            TooLarge: there are more than the budget allows.
        """

        def take(events: list[bytes]) -> None:
            panes.fold(events)

        self.read(match_of_plan(plan), span, snapshot, take)

    def piece(self, match: Match, span: Span, snapshot: Snapshot) -> tuple[list[bytes], Position | None]:
        """Return some events of a range, in order, and where that stopped short of its end; blocks."""
        window = self._reader.window(match, span, snapshot, _PIECE, Reach.DISK, descending=False)
        assert window is not None  # noqa: S101 - only what may not go to the disk returns None
        return window.events, window.stopped

    def read(self, match: Match, span: Span, snapshot: Snapshot, take: Callable[[list[bytes]], None]) -> None:
        """Read the events in a range of ids, in order, some at a time; blocks."""
        left = BUDGET_EVENTS
        while True:
            window = self._reader.window(match, span, snapshot, _PIECE, Reach.DISK, descending=False)
            assert window is not None  # noqa: S101 - only what may not go to the disk returns None
            left -= len(window.events)
            if left < 0:
                problem = f"over {BUDGET_EVENTS} events would have to be read: shorten the span, or register the metric"
                raise TooLarge("query", problem)
            take(window.events)
            if window.stopped is None:
                return
            span = span.above(window.stopped.last_id + 1)

    def fold_recent(self, plan: Plan, panes: Panes, after_id: int, snapshot: Snapshot) -> bool:
        """Fold the events after an id, if all are in memory and few; never blocks. Returns whether it did."""
        span = Span(after_id + 1, MAX_VALUE + 1)
        window = self._reader.window(match_of_plan(plan), span, snapshot, _PIECE, Reach.RECENT, descending=False)
        if window is None or window.stopped is not None:
            return False
        panes.fold(window.events)
        return True
