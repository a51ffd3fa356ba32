"""Panes: the pieces of time that windows are made of, each with the state of its events, by group.

Events are folded in once, in the order of the log; a pane is found by the first millisecond of its time. What came late
is counted by when it came, at the grain of the panes, which is all that a window's `rev` needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, cast

import msgspec

from audit.codec.events import event_index
from audit.metrics.distinct import Distinct
from audit.metrics.fields import decode_rows, getter_of, recorded_ms, time_ms
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
_text = msgspec.json.Encoder(order="deterministic")


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

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.by_start: dict[int, dict[GroupKey, Pane]] = {}
        self.dirty: set[int] = set()
        """Panes changed since whoever looks after them has cleared this."""
        self._groups: set[GroupKey] = set()
        self.first_ms: int | None = None
        """The earliest time of an event in them, where `occurred_at` places events."""
        self._kinds = dict(zip((*plan.actions, *plan.planned), (UP, DOWN, PLANNED, UNPLANNED), strict=False))
        self._field = None if plan.field is None else getter_of(plan.field)
        self._by = None if plan.by is None else getter_of(plan.by)
        self._group = None if plan.group_by is None else getter_of(plan.group_by)
        paths = [path for path in (plan.field, plan.by, plan.group_by) if path is not None]
        extra = ["occurred_at"] * plan.occurred + ["action"] * bool(self._kinds)
        self.members = frozenset([path[0] for path in paths] + extra)
        """Members of an event that it looks at."""

    def __len__(self) -> int:
        return sum(map(len, self.by_start.values()))

    @property
    def groups(self) -> set[GroupKey]:
        """Every group met so far."""
        return self._groups

    def fold(self, events: Sequence[bytes], rows: list[Any] | None = None) -> None:
        """Take in stored events of the plan's query, which follow those taken in before.

        Args:
            events: Each of them.
            rows: They, decoded with at least `members`; absent: decoded here.

        Raises:
            TooLarge: there are too many groups.
        """
        if not events:
            return
        if rows is None and self.members:
            rows = decode_rows(events, self.members)
        if rows is None and self._all_in_one(events):
            return
        recorded = [recorded_ms(event) for event in events]
        times = recorded if rows is None or not self._plan.occurred else _occurred(rows, recorded)
        values = self._values(events, rows, times)
        keys = self._keys(times)
        if self._group is None and not self._plan.occurred and keys[0] == keys[-1] and keys[0] is not None:
            # All in one pane, as times of recording only grow.
            self._add(keys[0], None, times, values, recorded)
            return
        buckets: dict[tuple[int, GroupKey], list[int]] = {}
        groups = [None] * len(events) if self._group is None else [_group_key(self._group(row)) for row in rows or ()]
        for position, key in enumerate(keys):
            if key is not None:
                buckets.setdefault((key, groups[position]), []).append(position)
        for (key, group), chosen in buckets.items():
            some = None if values is None else [values[position] for position in chosen]
            self._add(key, group, [times[p] for p in chosen], some, [recorded[p] for p in chosen])

    def _all_in_one(self, events: Sequence[bytes]) -> bool:
        """Count events of which nothing but their number matters, if all lie in one pane."""
        key = self.place(recorded_ms(events[0]))
        if key is None or key != self.place(recorded_ms(events[-1])):
            return False
        self._pane(key, None).count += len(events)
        return True

    def add_count(self, start_ms: int, count: int) -> None:
        """Take in events that somebody else has counted."""
        key = self._keys([start_ms])[0]
        if key is not None:
            self._pane(key, None).count += count

    def take(self, start_ms: int, group: GroupKey, pane: Pane) -> None:
        """Take in a pane of the same plan that was kept somewhere."""
        self.first_ms = _least(self.first_ms, pane.first_ms)
        self._pane(start_ms, group).merge(pane)

    def prune(self, before_ms: int) -> None:
        """Forget the panes that begin before a time; measures that carry it along keep what they add up to."""
        for start in [start for start in self.by_start if BEFORE < start < before_ms]:
            gone = self.by_start.pop(start)
            if self._plan.carries:
                for group, pane in gone.items():
                    self._pane(BEFORE, group).merge(pane)

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

    def _values(self, events: Sequence[bytes], rows: list[Any] | None, times: list[int]) -> list[Any] | None:
        """Return each event's value, None where it has none; or nothing at all, where counting is enough."""
        if rows is None:
            return None
        if self._field is not None:
            field = self._field
            found = [field(row) for row in rows]
            if self._plan.measure == "distinct":
                return found
            return [value if type(value) is float or type(value) is int else None for value in found]
        if not self._kinds:
            return None
        kinds = [self._kinds.get(row.action) for row in rows]
        if not self._plan.follows:
            return [None if kind is None else 1 if kind == UP else -1 for kind in kinds]
        by = self._by
        return [
            None
            if kind is None
            else Transition(ms, event_index(event), kind, "" if by is None else _text.encode(by(row)).decode())
            for event, row, ms, kind in zip(events, rows, times, kinds, strict=True)
        ]

    def _add(
        self, key: int, group: GroupKey, times: list[int], values: list[Any] | None, recorded: Iterable[int]
    ) -> None:
        if values is not None and None in values:
            kept = [value is not None for value in values]
            values = [value for value in values if value is not None]
            times = [ms for ms, keep in zip(times, kept, strict=True) if keep]
            recorded = [ms for ms, keep in zip(recorded, kept, strict=True) if keep]
        if not times:
            return
        pane = self._pane(key, group)
        pane.count += len(times)
        if values is not None:
            pane.state.add(values)
        if self._plan.occurred:
            pane.first_ms = _least(pane.first_ms, min(times))
            self.first_ms = _least(self.first_ms, pane.first_ms)
            for came in self._late(key, recorded):
                pane.late[came] = pane.late.get(came, 0) + 1

    def _late(self, key: int, recorded: Iterable[int]) -> Iterator[int]:
        """Yield, for each event that may be late, up to which end its windows were final when it came."""
        plan = self._plan
        size, high = plan.pane_ms, plan.high_ms
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
        self.dirty.add(key)
        groups = self.by_start.setdefault(key, {})
        pane = groups.get(group)
        if pane is None:
            pane = groups[group] = Pane(new_state(self._plan))
            self._groups.add(group)
            if len(self._groups) > MAX_GROUPS:
                raise TooLarge("group_by", f"makes over {MAX_GROUPS} groups: choose a value with fewer, or a filter")
        return pane


def _least(one: int | None, other: int | None) -> int | None:
    return one if other is None or (one is not None and one < other) else other


def _occurred(rows: list[Any], recorded: list[int]) -> list[int]:
    return [
        ms if row.occurred_at is None else max(0, time_ms(row.occurred_at))
        for row, ms in zip(rows, recorded, strict=True)
    ]
