"""From panes to an answer. It depends on plan, panes and moment alone, so that the same `as_of` has the same answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import accumulate
from typing import Any, Final, NamedTuple

from msgspec import UNSET, UnsetType

from audit.metrics.frames import Frame, Moment, Slot, frame_of
from audit.metrics.panes import BEFORE, GroupKey, Pane, Panes, group_of, new_state, rank_of
from audit.metrics.plan import Plan
from audit.metrics.query import MetricValue, Window
from audit.metrics.timeline import Course, Levels, Transitions
from audit.model.errors import TooLarge

__all__ = ["MAX_ROWS", "Answer", "Told", "answer_of", "instant_of"]

MAX_ROWS: Final = 100_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NEVER: Final = 1 << 62
_NOTHING: Final[dict[GroupKey, Pane]] = {}
_UNTOLD: Final[tuple[Slot, list[Window]]] = Slot(-1, -1, -1), []


class Answer(NamedTuple):
    """The windows, in order of start and group; the value over all; and where the first window begins."""

    windows: list[Window]
    total: MetricValue
    low_ms: int


class Told:
    """The windows of one answer. In the next one, from the same panes, those that nothing has changed are told again.

    Attributes:
        slots: Those of its frame.
        windows: Each slot's, by the first pane in it.
        end_ms: The moment's end.
    """

    __slots__ = ("end_ms", "slots", "windows")

    def __init__(self) -> None:
        self.slots: Sequence[Slot] = ()
        self.windows: dict[int, tuple[Slot, list[Window]]] = {}
        self.end_ms = 0


@lru_cache(1 << 14)
def instant_of(ms: int) -> datetime:
    """Return a time given in Unix milliseconds."""
    return _EPOCH + timedelta(milliseconds=ms)


def answer_of(plan: Plan, panes: Panes, moment: Moment, first_ms: int | None, told: Told | None = None) -> Answer:
    """Return the answer.

    Args:
        plan: What is asked.
        panes: All events of the query up to the moment, folded in; those that have left the horizon are forgotten.
        moment: What is known.
        first_ms: Time of the log's first event.
        told: The last answer from these panes, which this one takes the place of.

    Raises:
        TooLarge: there are too many windows, or windows of groups.
    """
    first_ms = panes.first_ms if plan.occurred else first_ms
    frame = frame_of(plan, moment, first_ms, () if told is None else told.slots)
    if plan.last_ms is not None:
        panes.prune(frame.low)
    if plan.group_by is not None and len(frame.slots) * len(panes.groups) > MAX_ROWS:
        rows = f"{len(frame.slots)} windows of {len(panes.groups)} groups"
        raise TooLarge("group_by", f"makes {rows}, at most {MAX_ROWS} together: choose longer windows")
    made = (_Carrying if plan.carries else _Adding)(plan, panes, moment, frame)
    windows = made.all_windows() if told is None or plan.window_ms is None else made.windows_since(told, panes.touched)
    return Answer(windows, made.total(), frame.low)


class _Making(ABC):
    """What the two kinds of measures have in common."""

    def __init__(self, plan: Plan, panes: Panes, moment: Moment, frame: Frame) -> None:
        self.plan = plan
        self.panes = panes.by_start
        self.sliding = panes.sliding
        self.moment = moment
        self.frame = frame
        # A window over the whole span is all panes that are left.
        self.size = plan.pane_ms
        self.groups = sorted(panes.groups, key=rank_of) if plan.group_by is not None else [None]

    def inside(self, slot: Slot) -> Iterable[int]:
        """Return the keys of a window's panes."""
        if self.size:
            return range(slot.pane, slot.end, self.size)
        return self.all_inside()

    def all_inside(self) -> list[int]:
        """Return the keys of all panes in the span."""
        if self.plan.last_ms is not None or (self.size and self.plan.low_ms is None):
            return [key for key in self.panes if key >= self.frame.low]
        return [key for key in self.panes if key != BEFORE]

    @abstractmethod
    def windows(self, slot: Slot) -> list[Window]:
        """Return a slot's windows: one, or one for each group."""

    def all_windows(self) -> list[Window]:
        """Return the windows, in their order."""
        return [window for slot in self.frame.slots for window in self.windows(slot)]

    def windows_since(self, told: Told, touched: set[int]) -> list[Window]:
        """Return the windows, in their order; made are those that may have changed since others were told."""
        plan, slots = self.plan, self.frame.slots
        # Of measures that carry it along, what is new in a pane is in all windows after it.
        first = min(touched, default=_NEVER) if plan.carries else _NEVER
        dirty = frozenset() if plan.carries else self._slots_with(touched)
        timed = plan.carries or plan.measure == "rate"
        same = slots is told.slots
        made = told.windows if same else {slot.pane: told.windows.get(slot.pane, _UNTOLD) for slot in slots}
        for slot in reversed(slots):
            end, (before, windows) = slot.end, made[slot.pane]
            if before == slot and end <= first and slot.pane not in dirty:
                if same and windows and windows[0].final and not dirty:
                    # So are all before it.
                    break
                final = end + plan.lateness_ms <= self.moment.closed_ms
                if (end <= told.end_ms or not timed) and (not windows or windows[0].final == final):
                    continue
            made[slot.pane] = slot, self.windows(slot)
            dirty -= {slot.pane}
        told.windows, told.slots, told.end_ms = made, slots, self.moment.end_ms
        touched.clear()
        return [window for _, windows in made.values() for window in windows]

    def _slots_with(self, touched: Iterable[int]) -> frozenset[int]:
        """Return the first panes of the slots that have some panes in them."""
        length, hop = self.plan.window_ms or 0, self.plan.hop_ms
        return frozenset([start for key in touched for start in range(key - key % hop, key - length, -hop)])

    def window(
        self,
        slot: Slot,
        group: GroupKey,
        value: MetricValue,
        *,
        count: int,
        late: int,
        down_s: float | UnsetType = UNSET,
    ) -> Window:
        """Return a window as it is told."""
        plan = self.plan
        return Window(
            start=instant_of(slot.start),
            end=instant_of(slot.end),
            value=value,
            count=count,
            final=self.frame.bounded and slot.end + plan.lateness_ms <= self.moment.closed_ms,
            rev=late if plan.occurred else UNSET,
            group=UNSET if plan.group_by is None else group_of(group),
            down_s=down_s,
        )


class _Adding(_Making):
    """Measures of what lies in a window."""

    def all_windows(self) -> list[Window]:
        plan, panes = self.plan, self.panes
        if plan.measure != "count" or plan.group_by is not None or plan.occurred or self.size != plan.window_ms:
            return super().all_windows()
        # The most windows are asked for of this: a pane each, and nothing to compute.
        closed = self.moment.closed_ms
        counts = {key: found[None].count for key, found in panes.items()}
        return [
            Window(start=instant_of(start), end=instant_of(end), value=count, count=count, final=end <= closed)
            for start, end, count in [(start, end, counts.get(pane, 0)) for start, end, pane in self.frame.slots]
        ]

    def windows(self, slot: Slot) -> list[Window]:
        plan = self.plan
        if plan.group_by is None and self.size == plan.window_ms and self.size:
            # The usual case, and that of the most windows: one pane each.
            pane = self.panes.get(slot.pane, _NOTHING).get(None)
            return [self._window(slot, None, [] if pane is None else [pane])]
        found: dict[GroupKey, list[Pane]] = {}
        if self.sliding is not None and not self.size:
            found = {group: [pane] for group, pane in self.sliding.items()}
        else:
            for key in self.inside(slot):
                for group, pane in self.panes.get(key, {}).items():
                    found.setdefault(group, []).append(pane)
        if plan.group_by is None:
            return [self._window(slot, None, found.get(None, []))]
        return [self._window(slot, group, found[group]) for group in sorted(found, key=rank_of)]

    def _window(self, slot: Slot, group: GroupKey, panes: list[Pane]) -> Window:
        count = panes[0].count if len(panes) == 1 else sum([pane.count for pane in panes])
        late = 0
        if self.plan.occurred:
            late = sum([n for pane in panes for came, n in pane.late.items() if came >= slot.end])
        return self.window(slot, group, self._value(panes, count, slot.start, slot.end), count=count, late=late)

    def total(self) -> MetricValue:
        if self.sliding is not None:
            panes = list(self.sliding.values())
        else:
            panes = [pane for key in self.all_inside() for pane in self.panes[key].values()]
        return self._value(panes, sum([pane.count for pane in panes]), self.frame.low, self.frame.end)

    def _value(self, panes: list[Pane], count: int, start: int, end: int) -> MetricValue:
        plan = self.plan
        if plan.measure == "count":
            return count
        if plan.measure == "rate":
            asked = min(end, self.moment.end_ms) - start
            return count * plan.per_ms / asked if asked > 0 else None
        state = panes[0].state if len(panes) == 1 else new_state(plan)
        for pane in panes if len(panes) > 1 else ():
            state.merge(pane.state)
        return _told(plan, state, count)


def _told(plan: Plan, state: Any, count: int) -> MetricValue:
    value: MetricValue
    if plan.measure == "sum":
        value = state.value()
    elif plan.measure == "avg":
        value = state.mean(count)
    elif plan.measure == "min":
        value = state.least
    elif plan.measure == "max":
        value = state.greatest
    elif plan.measure == "distinct":
        value = state.value()
    else:
        value = dict(zip(map(str, plan.quantiles), state.quantiles(plan.quantiles), strict=True))
    return value


def _not_yet(start: int, end: int, moment: Moment) -> bool:
    """Whether nothing can be known yet of what is so at a window's end."""
    return start > moment.end_ms or start == moment.end_ms < end


class _Carrying(_Making):
    """Measures in which what happened before a window counts."""

    def __init__(self, plan: Plan, panes: Panes, moment: Moment, frame: Frame) -> None:
        super().__init__(plan, panes, moment, frame)
        self.tracks = {group: _Track(self, group) for group in self.groups}

    def windows(self, slot: Slot) -> list[Window]:
        found = []
        for group, track in self.tracks.items():
            if self.plan.group_by is not None and not track.began_before(self.until(slot)):
                continue
            value, down_s = track.value(slot)
            count, late = track.count(slot), track.late[slot.end]
            found.append(self.window(slot, group, value, count=count, late=late, down_s=down_s))
        return found

    def until(self, slot: Slot) -> int:
        """Return what an event must be dated before to count at a window's end."""
        return slot.end if self.size or self.frame.bounded else _NEVER

    def total(self) -> MetricValue:
        plan, frame = self.plan, self.frame
        if plan.measure == "active":
            if _not_yet(frame.low, frame.end, self.moment):
                return None
            # Without an end, whatever is dated later has happened as well.
            return sum([track.level(_NEVER) for track in self.tracks.values()])
        up, down = 0, 0
        for track in self.tracks.values():
            some = track.between(frame.low, frame.end)
            up, down = up + some[0], down + some[1]
        return up / (up + down) if up + down else None


class _Track:
    """One group's panes, in order of time."""

    def __init__(self, making: _Carrying, group: GroupKey) -> None:
        self._making = making
        plan = making.plan
        panes = [(key, found[group]) for key, found in sorted(making.panes.items()) if group in found]
        self._keys = [key for key, _ in panes]
        self._counts = [0, *accumulate([pane.count for _, pane in panes])]
        self.late = self._late(panes)
        """Of each window, by its end: events before it that came when it was final."""
        self._levels: Levels | None = None
        self._course: Course | None = None
        self._sums = [0]
        if plan.follows:
            transitions = Transitions([one for _, pane in panes for one in pane.state.found])
            if plan.measure == "active":
                self._levels = Levels(transitions)
            else:
                self._course = Course(transitions)
        else:
            self._sums += accumulate([pane.state.numerator for _, pane in panes])

    def began_before(self, ms: int) -> bool:
        return bool(self._keys) and self._keys[0] < ms

    def count(self, slot: Slot) -> int:
        if self._making.size:
            start, stop = bisect_left(self._keys, slot.pane), bisect_left(self._keys, slot.end)
            # A pane that is cut by the span's start has what lies before it in a pane of its own.
            return self._counts[stop] - self._counts[start]
        start = bisect_left(self._keys, max(0, slot.start) if self._making.plan.last_ms is not None else 0)
        return self._counts[-1] - self._counts[start]

    def _late(self, panes: list[tuple[int, Pane]]) -> dict[int, int]:
        ends = [slot.end for slot in self._making.frame.slots]
        changes = [0] * (len(ends) + 1)
        for key, pane in panes:
            for came, count in pane.late.items():
                first, after = bisect_right(ends, key), bisect_right(ends, came)
                if first < after:
                    changes[first] += count
                    changes[after] -= count
        return dict(zip(ends, accumulate(changes), strict=False))

    def level(self, end: int) -> int:
        if self._levels is not None:
            return self._levels.before(end)
        return self._sums[bisect_left(self._keys, end)]

    def between(self, start: int, end: int) -> tuple[int, int]:
        assert self._course is not None  # noqa: S101 - asked of `uptime` only
        return self._course.between(start, min(end, self._making.moment.end_ms))

    def value(self, slot: Slot) -> tuple[MetricValue, float | UnsetType]:
        """Return the value at a window's end, or over it; and, of `uptime`, the seconds down."""
        making = self._making
        start, end, _ = slot
        if making.plan.measure == "active":
            if _not_yet(start, end, making.moment):
                return None, UNSET
            return self.level(making.until(slot)), UNSET
        up, down = self.between(start, end)
        return up / (up + down) if up + down else None, down / 1000
