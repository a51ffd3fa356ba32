"""Panes: the pieces of time that windows are made of, each with the state of its events, by group.

Events are folded in once, in the order of the log; a pane is found by the first millisecond of its time. What came late
is counted by when it came, at the grain of the panes, which is all that a window's `rev` needs.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, cast

import msgspec

from audit.codec.events import event_index
from audit.metrics.distinct import Distinct
from audit.metrics.fields import OCCURRED, Columns, Path, recorded_ms
from audit.metrics.histogram import Histogram
from audit.metrics.plan import Plan
from audit.metrics.query import Group
from audit.metrics.states import ExactSum, Extremes
from audit.metrics.timeline import DOWN, PLANNED, UNPLANNED, UP, Transition, Transitions
from audit.model.errors import TooLarge

__all__ = ["BEFORE", "MAX_GROUPS", "GroupKey", "Pane", "Panes", "group_of", "new_state", "rank_of"]

BEFORE: Final = -1
"""Where everything before the span is kept, by measures that carry it along."""
MAX_GROUPS: Final = 1_000

GroupKey = str | int | float | tuple[bool] | None
"""A group as a key of a dict, in which True would else be 1."""

_STATES: Final[dict[str, Callable[[], Any]]] = {
    "sum": ExactSum,
    "avg": ExactSum,
    "min": Extremes,
    "max": Extremes,
    "quantiles": Histogram,
    "distinct": Distinct,
}
_SUBTRACTABLE: Final = ("count", "rate", "sum", "avg", "quantiles")
_ACTION: Final = ("action",)
_text: Final = msgspec.json.Encoder(order="deterministic")


def new_state(plan: Plan) -> Any:
    """Return an empty state of a plan's measure; None: counting is all it does."""
    if plan.follows:
        return Transitions()
    if plan.carries:
        return ExactSum()
    made = _STATES.get(plan.measure)
    return None if made is None else made()


def group_of(key: GroupKey) -> Group:
    """Return the group that a key stands for."""
    return key[0] if isinstance(key, tuple) else key


def _group_key(value: Any) -> GroupKey:
    kind = type(value)
    if kind is str or kind is int:
        return cast("str | int", value)
    if kind is bool:
        return (value,)
    if kind is float:
        return int(value) if value.is_integer() else value
    return None


def _group_keys(values: list[Any]) -> list[GroupKey]:
    return values if set(map(type, values)) == {str} else list(map(_group_key, values))


def rank_of(group: GroupKey) -> tuple[int, Any]:
    """Return what groups are ordered by: null, booleans, numbers, text."""
    if group is None:
        return (0, 0)
    if isinstance(group, (tuple, bool)):
        return (1, group)
    return (3, group) if isinstance(group, str) else (2, group)


class Pane:
    """One group's events in one pane.

    Attributes:
        count: How many.
        state: What they add up to.
        late: How many came late, by the time from which on a window that had ended was final without them.
        first_ms: The earliest time of one; None: it is not known, nor needed.
    """

    __slots__ = ("count", "first_ms", "late", "state")

    def __init__(
        self, state: Any, count: int = 0, late: dict[int, int] | None = None, first_ms: int | None = None
    ) -> None:
        self.count = count
        self.first_ms = first_ms
        self.state = state
        self.late: dict[int, int] = {} if late is None else late

    def merge(self, other: Pane) -> None:
        """Take in another pane of the same plan."""
        self.count += other.count
        self.first_ms = _least(self.first_ms, other.first_ms)
        if self.state is not None:
            self.state.merge(other.state)
        for came, count in other.late.items():
            self.late[came] = self.late.get(came, 0) + count


class Panes:
    """All panes of one plan."""

    def __init__(self, plan: Plan, *, any_groups: bool = False, lasting: bool = False) -> None:
        """Begin with none.

        Args:
            plan: What they are of.
            any_groups: They are kept for whoever asks later, who is told if there are too many.
            lasting: They are for answer after answer.
        """
        self._plan = plan
        self._any_groups = any_groups
        self.by_start: dict[int, dict[GroupKey, Pane]] = {}
        subtractable = plan.measure in _SUBTRACTABLE and not plan.carries
        slides = plan.slides or (lasting and plan.window_ms is not None)
        self.sliding: dict[GroupKey, Pane] | None = {} if slides and subtractable else None
        """All panes together, for a window that slides: what leaves is taken back, not everything added up again."""
        self.touched: set[int] = set()
        """The panes that have changed since this was emptied."""
        self._groups: set[GroupKey] = set()
        self.folded = 0
        """Events that were taken in by `fold`, each of them read for it."""
        self.first_ms: int | None = None
        """The earliest time of an event in them, where `occurred_at` places events."""
        self._kinds = dict(zip((*plan.actions, *plan.planned), (UP, DOWN, PLANNED, UNPLANNED), strict=False))
        paths = [path for path in (plan.field, plan.by, plan.group_by) if path is not None]
        self.paths: frozenset[Path] = frozenset(paths + [OCCURRED] * plan.occurred + [_ACTION] * bool(self._kinds))
        """What it looks at of an event; nothing: that there is one is enough."""

    def __len__(self) -> int:
        return sum(map(len, self.by_start.values()))

    @property
    def groups(self) -> set[GroupKey]:
        """Every group met so far."""
        return self._groups

    def fold(self, events: Sequence[bytes], columns: Columns | None = None) -> None:
        """Take in stored events of the plan's query, which follow those taken in before.

        Args:
            events: Each of them.
            columns: They, with at least `paths` decoded; absent: decoded here.

        Raises:
            TooLarge: there are too many groups.
        """
        if not events:
            return
        self.folded += len(events)
        if columns is None:
            columns = Columns(events, self.paths)
        occurred = self._plan.occurred
        key = None if occurred else self.place(recorded_ms(events[0]))
        # Times of recording only grow: often all lie in one pane.
        if key is not None and self.place(recorded_ms(events[-1])) == key:
            self._add_all(key, columns)
            return
        times = columns.occurred if occurred else columns.recorded
        self._add_groups(self._keys(times), columns, columns.recorded if occurred else None)

    def _add_all(self, key: int, columns: Columns) -> None:
        """Take in events that lie in one pane."""
        plan = self._plan
        if plan.group_by is not None:
            if plan.field is None and not self._kinds:
                found = columns.column(plan.group_by)
                keys = _group_keys(found)
                for group, count in (columns.tally(plan.group_by) if keys is found else Counter(keys)).items():
                    self._add(key, group, count, None)
            else:
                self._add_groups([key] * len(columns.events), columns)
        elif plan.field is not None and plan.measure != "distinct":
            numbers = columns.numbers(plan.field)
            self._add(key, None, len(numbers), numbers)
        elif self._kinds and not plan.follows:
            tally = columns.tally(_ACTION)
            opened, closed = [tally[action] for action in self._kinds]
            self._add(key, None, opened + closed, [opened - closed])
        else:
            values = self._values(columns)
            if values is not None:
                values = [value for value in values if value is not None]
            self._add(key, None, len(columns.events) if values is None else len(values), values)

    def _add_groups(self, keys: Sequence[int | None], columns: Columns, recorded: Sequence[int] | None = None) -> None:
        """Take in events by pane and group; `recorded` has their times where they may be late."""
        group_by = self._plan.group_by
        groups = [None] * len(keys) if group_by is None else _group_keys(columns.column(group_by))
        values = self._values(columns)
        if values is None and recorded is None:
            for (key, group), count in Counter(zip(keys, groups, strict=True)).items():
                if key is not None:
                    self._add(key, group, count, None)
            return
        buckets: defaultdict[tuple[int | None, GroupKey], list[int]] = defaultdict(list)
        for position, place in enumerate(zip(keys, groups, strict=True)):
            buckets[place].append(position)
        times = columns.occurred if recorded is not None else ()
        for (key, group), chosen in buckets.items():
            if key is None:
                continue
            if values is not None:
                chosen = [position for position in chosen if values[position] is not None]  # noqa: PLW2901
            some = None if values is None else [values[position] for position in chosen]
            pane = self._add(key, group, len(chosen), some)
            if pane is not None and recorded is not None:
                pane.first_ms = _least(pane.first_ms, min([times[position] for position in chosen]))
                self.first_ms = _least(self.first_ms, pane.first_ms)
                for came in self._late(key, [recorded[position] for position in chosen]):
                    pane.late[came] = pane.late.get(came, 0) + 1

    def add_counts(self, counts: Mapping[int, int], weight: int | None = None) -> None:
        """Take in events that somebody else has counted, by the start of a time that lies in one pane.

        Args:
            counts: How many.
            weight: What each adds to the state; None: the measure has none.
        """
        summed: dict[int, int] = {}
        for key, count in zip(self._keys(list(counts)), counts.values(), strict=True):
            if key is not None:
                summed[key] = summed.get(key, 0) + count
        for key, count in summed.items():
            self._add(key, None, count, None if weight is None else [weight * count])

    def take(self, start_ms: int, group: GroupKey, pane: Pane) -> None:
        """Take in a pane of the same plan that was kept somewhere."""
        self.first_ms = _least(self.first_ms, pane.first_ms)
        self._pane(start_ms, group).merge(pane)
        if self.sliding is not None:
            self.sliding.setdefault(group, Pane(new_state(self._plan))).merge(pane)

    def prune(self, before_ms: int) -> None:
        """Forget the panes that begin before a time; measures that carry it along keep what they add up to."""
        for start in [start for start in self.by_start if BEFORE < start < before_ms]:
            gone = self.by_start.pop(start)
            for group, pane in gone.items() if self.sliding is not None else ():
                self._leave(group, pane)
            if self._plan.carries:
                for group, pane in gone.items():
                    self._pane(BEFORE, group).merge(pane)
        if self._plan.carries:
            # What is carried along is what it was.
            self.touched.discard(BEFORE)

    def keys_of(self, times: Iterable[int]) -> list[int]:
        """Return the keys of the panes that some times lie in, each once."""
        return [key for key in dict.fromkeys(self._keys(list(times))) if key is not None]

    def keys_in(self, columns: Columns) -> list[int]:
        """Return the keys of the panes that some events will be taken into, each once."""
        if self._plan.occurred:
            return self.keys_of(columns.occurred)
        ends = columns.events[:1], columns.events[-1:]
        keys = self.keys_of([recorded_ms(event) for end in ends for event in end])
        return self.keys_of(columns.recorded) if len(keys) > 1 else keys

    def place(self, ms: int) -> int | None:
        """Return the key of the pane that a time lies in; None: it lies in none."""
        return self._keys([ms])[0]

    def _keys(self, times: list[int]) -> list[int | None]:
        plan = self._plan
        low, high, size = plan.low_ms, plan.high_ms, plan.pane_ms
        keys: list[int | None]
        if size:
            keys = [ms - ms % size for ms in times]
        elif plan.last_ms is not None:
            keys = [*times]
        else:
            keys = [0] * len(times)
        if low is not None:
            before = BEFORE if plan.carries else None
            keys = [before if ms < low else key for ms, key in zip(times, keys, strict=True)]
        if high is not None:
            keys = [None if ms >= high else key for ms, key in zip(times, keys, strict=True)]
        return keys

    def _values(self, columns: Columns) -> list[Any] | None:
        """Return each event's value, None where it has none; or nothing at all, where counting is enough."""
        plan = self._plan
        if plan.field is not None:
            found = columns.column(plan.field)
            if plan.measure == "distinct" or columns.numbers(plan.field) is found:
                return found
            return [value if type(value) is float or type(value) is int else None for value in found]
        if not self._kinds:
            return None
        kinds = list(map(self._kinds.get, columns.column(_ACTION)))
        if not plan.follows:
            return [None if kind is None else 1 if kind == UP else -1 for kind in kinds]
        components = [None] * len(kinds) if plan.by is None else columns.column(plan.by)
        times = columns.occurred if plan.occurred else columns.recorded
        return [
            None
            if kind is None
            else Transition(ms, event_index(event), kind, "" if plan.by is None else _text.encode(component).decode())
            for event, component, ms, kind in zip(columns.events, components, times, kinds, strict=True)
        ]

    def _add(self, key: int, group: GroupKey, count: int, values: list[Any] | None) -> Pane | None:
        """Take in events of one pane and group: how many, and what they add to its state where the measure has any."""
        if not count:
            return None
        pane = self._pane(key, group)
        pane.count += count
        if values is not None:
            pane.state.add(values)
        if self.sliding is not None:
            self._slide(group, count, values)
        return pane

    def _slide(self, group: GroupKey, count: int, values: list[Any] | None) -> None:
        """Take events into the window that slides."""
        sliding = self.sliding
        assert sliding is not None  # noqa: S101 - asked by who knows it
        pane = sliding.get(group)
        if pane is None:
            pane = sliding[group] = Pane(new_state(self._plan))
        pane.count += count
        if values is not None:
            pane.state.add(values)

    def _leave(self, group: GroupKey, gone: Pane) -> None:
        """Take a pane back from the window that slides."""
        assert self.sliding is not None  # noqa: S101 - asked by who knows it
        pane = self.sliding[group]
        pane.count -= gone.count
        if not pane.count:
            del self.sliding[group]
        elif pane.state is not None:
            pane.state.subtract(gone.state)

    def _late(self, key: int, recorded: Iterable[int]) -> Iterator[int]:
        """Yield, for each event that may be late, up to which end its windows were final when it came."""
        plan = self._plan
        # An inverted span ends where it begins.
        size, high = plan.pane_ms, None if plan.high_ms is None else max(plan.high_ms, plan.low_ms or 0)
        if not size and high is None:
            return
        end = plan.low_ms or 0 if key == BEFORE else key + size if size else high or 0
        if high is not None:
            end = min(end, high)
        for ms in recorded:
            came = ms - plan.lateness_ms
            if came >= end:
                floor = came - came % size if size else end
                # The windows' ends: multiples of the panes, and where the span ends.
                yield high if high is not None and floor < high <= came else max(floor, end)

    def _pane(self, key: int, group: GroupKey) -> Pane:
        groups = self.by_start.setdefault(key, {})
        self.touched.add(key)
        pane = groups.get(group)
        if pane is None:
            pane = groups[group] = Pane(new_state(self._plan))
            if not self._any_groups:
                self._note(group)
        return pane

    def _note(self, group: GroupKey) -> None:
        self._groups.add(group)
        if len(self._groups) > MAX_GROUPS:
            # Those that have left the horizon don't count.
            self._groups = {group for groups in self.by_start.values() for group in groups}
        if len(self._groups) > MAX_GROUPS:
            raise TooLarge("group_by", f"makes over {MAX_GROUPS} groups: choose a value with fewer, or a filter")


def _least(one: int | None, other: int | None) -> int | None:
    return one if other is None or (one is not None and one < other) else other
