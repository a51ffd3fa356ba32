"""Metrics the plain way: for each window, all events are looked at again. What the log answers is compared with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import msgspec
from msgspec import UNSET

from audit import Event
from audit.metrics.plan import Plan
from audit.metrics.query import MetricQuery, MetricResult, Window
from audit.model.ids import timestamp_ms

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def ms_of(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def lookup(event: Event, path: str | None) -> Any:
    if path is None:
        return None
    value: Any = msgspec.to_builtins(event)
    for part in path.split("."):
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, (list, tuple)) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def grouped(value: Any) -> Any:
    return value if isinstance(value, (str, int, float, bool)) else None


class Oracle:
    """One query over a list of events, as of one moment."""

    def __init__(self, query: MetricQuery, events: Sequence[Event], plan: Plan, time: datetime) -> None:
        self.query = query
        self.plan = plan
        self.now = ms_of(time)
        last = timestamp_ms(events[-1].id) if events else -1
        self.closed = self.now - 1 if last == self.now - 1 else self.now
        self.first = timestamp_ms(events[0].id) if events else self.now
        self.events = [event for event in events if self._matches(event)]
        if query.time == "occurred":
            times = map(self.at, self.used(self.events))
            self.first = min([ms for ms in times if plan.high_ms is None or ms < plan.high_ms], default=self.now)

    def _matches(self, event: Event) -> bool:
        wanted = self.query.filter
        if wanted is not None and wanted.outcome is not None and event.outcome != wanted.outcome:
            return False
        if wanted is not None and wanted.action is not None and event.action != wanted.action:
            return False
        topics = [()] if self.query.topics is None and not self.query.topic else self.query.topics or [self.query.topic]
        return any(topic[: len(asked)] == tuple(asked) for topic in event.topics for asked in topics)

    def at(self, event: Event) -> int:
        if self.query.time == "occurred" and event.occurred_at is not None:
            return ms_of(event.occurred_at)
        return timestamp_ms(event.id)

    def used(self, events: Sequence[Event]) -> list[Event]:
        measure = self.query.measure
        if measure in ("sum", "avg", "min", "max", "quantiles"):
            return [event for event in events if type(lookup(event, self.query.field)) in (int, float)]
        if measure == "distinct":
            return [event for event in events if lookup(event, self.query.field) is not None]
        if measure in ("active", "uptime"):
            return [event for event in events if event.action in (*self.plan.actions, *self.plan.planned)]
        return list(events)

    def windows(self) -> list[tuple[int, int]]:
        plan = self.plan
        start = plan.low_ms if plan.low_ms is not None else self.now - plan.last_ms if plan.last_ms else self.first
        stop = plan.high_ms if plan.high_ms is not None else self.now
        if plan.window_ms is None:
            return [(start, max(start, stop))]
        found = []
        if plan.low_ms is not None and stop <= start:
            return []
        at = start // plan.hop_ms * plan.hop_ms
        while at < stop:
            low = at if plan.low_ms is None else max(at, plan.low_ms)
            high = at + plan.window_ms if plan.high_ms is None else min(at + plan.window_ms, plan.high_ms)
            found.append((low, high))
            at += plan.hop_ms
        return found

    def check(self, result: MetricResult) -> None:
        """Compare an answer with what all events say."""
        query, plan = self.query, self.plan
        events = self.used(self.events)
        expected: list[tuple[int, int, Any]] = []
        spans = self.windows()
        open_end = plan.window_ms is None and plan.high_ms is None
        keys = sorted({repr(grouped(lookup(event, query.group_by))) for event in events})
        for start, end in spans:
            for key in keys if query.group_by is not None else [None]:
                some = [e for e in events if key is None or repr(grouped(lookup(e, query.group_by))) == key]
                inside = [e for e in some if start <= self.at(e) and (open_end or self.at(e) < end)]
                if plan.high_ms is not None:
                    some = [e for e in some if self.at(e) < plan.high_ms]
                carried = plan.carries and any(open_end or self.at(e) < end for e in some)
                if key is not None and not inside and not carried:
                    continue
                expected.append((start, end, key))
                window = self._window(result.windows, start, end, key)
                assert window.count == len(inside), (query, window, len(inside))
                self._check_value(window.value, inside, some, start, end, open_end=open_end, window=window)
                final = not open_end and end + plan.lateness_ms <= self.closed
                assert window.final == final, (query, window, self.closed)
                self._check_rev(window, some, start, end, open_end=open_end)
        assert len(result.windows) == len(expected), (query, result.windows, expected)
        low = spans[0][0] if spans else self._low()
        total_end = plan.high_ms if plan.high_ms is not None else self.now
        inside = [e for e in events if low <= self.at(e) and (plan.high_ms is None or self.at(e) < plan.high_ms)]
        some = [e for e in events if plan.high_ms is None or self.at(e) < plan.high_ms]
        if query.group_by is None or not plan.carries:
            self._check_value(result.total, inside, some, low, total_end, open_end=plan.high_ms is None, window=None)

    def _low(self) -> int:
        return self.plan.low_ms if self.plan.low_ms is not None else self.now

    def _window(self, windows: Sequence[Window], start: int, end: int, key: str | None) -> Window:
        for window in windows:
            same = ms_of(window.start) == start and ms_of(window.end) == end
            if same and (key is None or repr(window.group) == key):
                assert (window.group is UNSET) == (key is None)
                return window
        raise AssertionError(f"no window {start}-{end} of {key} for {self.query}: {windows}")

    def _check_rev(self, window: Window, some: list[Event], start: int, end: int, *, open_end: bool) -> None:
        if self.query.time != "occurred":
            assert window.rev is UNSET
            return
        low = -1 if self.plan.carries else start
        late = [
            e
            for e in some
            if low <= self.at(e) < end and timestamp_ms(e.id) >= end + self.plan.lateness_ms and not open_end
        ]
        assert window.rev == len(late), (self.query, window, len(late))

    def _check_value(
        self, value: Any, inside: list[Event], some: list[Event], start: int, end: int, *, open_end: bool, window: Any
    ) -> None:
        query, plan = self.query, self.plan
        told = (query, value, start, end)
        numbers = [lookup(e, query.field) for e in inside] if query.field else []
        divisor = min(end, self.now) - start
        match query.measure:
            case "count":
                assert value == len(inside), told
            case "rate":
                wanted = len(inside) * plan.per_ms / divisor if divisor > 0 else None
                assert value == wanted, told
            case "sum":
                assert value == _exact(numbers, 1), told
            case "avg":
                assert value == (_exact(numbers, len(numbers)) if numbers else None), told
            case "min" | "max":
                pick: Callable[..., Any] = min if query.measure == "min" else max
                assert value == pick(numbers, default=None), told
            case "distinct":
                assert value == len({msgspec.json.encode(n) for n in numbers}), told
            case "quantiles":
                numbers.sort()
                for q in plan.quantiles:
                    got = value[str(q)]
                    if not numbers:
                        assert got is None, told
                    else:
                        exact = numbers[math.floor(q * (len(numbers) - 1))]
                        assert abs(got - exact) <= 0.01 * abs(exact), (told, exact)
            case "active":
                self._check_active(value, some, start, end, open_end=open_end)
            case "uptime":
                self._check_uptime(value, some, start, min(end, self.now), window)

    def _check_active(self, value: Any, some: list[Event], start: int, end: int, *, open_end: bool) -> None:
        if start > self.now or (start == self.now and end > start):
            assert value is None, (self.query, value)
            return
        before = sorted([e for e in some if open_end or self.at(e) < end], key=lambda e: (self.at(e), e.index))
        if self.query.by is None:
            wanted = sum(1 if e.action == self.query.open else -1 for e in before)
        else:
            last = {repr(lookup(e, self.query.by)): e.action for e in before}
            wanted = sum(action == self.query.open for action in last.values())
        assert value == wanted, (self.query, value, wanted)

    def _check_uptime(self, value: Any, some: list[Event], start: int, end: int, window: Window | None) -> None:
        up = down = 0
        for component in {repr(lookup(e, self.query.by)) for e in some}:
            own = sorted(
                [e for e in some if repr(lookup(e, self.query.by)) == component], key=lambda e: (self.at(e), e.index)
            )
            state: str | None = None
            planned = False
            for number, event in enumerate(own):
                if event.action in (self.query.up, self.query.down):
                    state = event.action
                else:
                    planned = event.action == (self.query.planned or ("", ""))[0]
                till = self.at(own[number + 1]) if number + 1 < len(own) else end
                lasted = max(0, min(till, end) - max(self.at(event), start))
                if state is not None and not planned:
                    up += lasted * (state == self.query.up)
                    down += lasted * (state == self.query.down)
        wanted = up / (up + down) if up + down else None
        assert value == wanted, (self.query, value, wanted)
        if window is not None:
            assert window.down_s == down / 1000


def _exact(numbers: list[Any], count: int) -> Any:
    return float(sum(map(Fraction, numbers), Fraction(0)) / count)
