"""A checked query: every member is right, and what is not said has its default."""

from __future__ import annotations

import hashlib
from math import gcd, isfinite
from typing import Any, Final, NoReturn

import msgspec

from audit.metrics.durations import parse_duration
from audit.metrics.fields import Path, parse_path
from audit.metrics.query import DEFAULT_LATENESS, DEFAULT_QUANTILES, MEASURES, PER_MS, Metric, MetricQuery
from audit.model.errors import InvalidParameter
from audit.model.event import MAX_NAME_BYTES
from audit.model.ids import RANDOM_BITS
from audit.model.query import Query, to_query
from audit.model.span import to_span

__all__ = ["Plan", "check_metric", "plan_of"]

_FIELD: Final = ("sum", "avg", "min", "max", "quantiles", "distinct")
_MAX_QUANTILES: Final = 16
_NAME: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_.-")
_MAX_NAME: Final = 128
_MAX_MS: Final = 253_402_300_799_999
"""The last millisecond of the year 9999, the last that a `datetime` can tell."""
_ONLY: Final = {
    "field": _FIELD,
    "quantiles": ("quantiles",),
    "per": ("rate",),
    "open": ("active",),
    "close": ("active",),
    "up": ("uptime",),
    "down": ("uptime",),
    "planned": ("uptime",),
    "by": ("active", "uptime"),
}
_NEEDED: Final = {
    "active": ("open", "close"),
    "uptime": ("up", "down"),
    **dict.fromkeys(_FIELD, ("field",)),
}
_OF_METRIC: Final = frozenset(Metric.__struct_fields__) - {"name", "pane", "help", "per", "quantiles"}


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked, in milliseconds and paths.

    Attributes:
        measure: One of `MEASURES`.
        query: Which events.
        field: Path of the value; None: the measure has none.
        quantiles: Which ones.
        per_ms: Unit of a rate.
        actions: What opens and closes, or brings up and takes down; empty: the measure has none.
        planned: What begins and ends planned maintenance; empty: nothing does.
        by: Path of the component; None: there is one.
        group_by: Path of the group; None: there are none.
        occurred: Whether `occurred_at` places an event.
        lateness_ms: How long a window waits after its end; 0 by time of recording.
        low_ms: First millisecond asked for; None: from the first event on.
        high_ms: The first one not asked for any more; None: no end.
        last_ms: The horizon; None: there is none.
        window_ms: Length of the windows; None: one over the whole span.
        hop_ms: From one window's start to the next; 0 without windows.
        metric: Name of the registered metric whose panes it can use; None: it is of none.
        kept_ms: Length of those panes.
        kept: Digest of the plan that they are of.
    """

    measure: str
    query: Query
    field: Path | None
    quantiles: tuple[float, ...]
    per_ms: int
    actions: tuple[str, ...]
    planned: tuple[str, ...]
    by: Path | None
    group_by: Path | None
    occurred: bool
    lateness_ms: int
    low_ms: int | None
    high_ms: int | None
    last_ms: int | None
    window_ms: int | None
    hop_ms: int
    metric: str | None = None
    kept_ms: int = 0
    kept: str = ""

    @property
    def carries(self) -> bool:
        """Whether what happened before a window matters in it."""
        return self.measure in ("active", "uptime")

    @property
    def follows(self) -> bool:
        """Whether it follows components, one by one."""
        return self.measure == "uptime" or (self.measure == "active" and self.by is not None)

    @property
    def slides(self) -> bool:
        """Whether there is one window, that of a horizon, which moves with every millisecond."""
        return self.last_ms is not None and self.window_ms is None

    @property
    def pane_ms(self) -> int:
        """Length of the panes that all windows are made of; 0: there is one window, over the whole span."""
        return 0 if self.window_ms is None else gcd(self.window_ms, self.hop_ms)

    @property
    def digest(self) -> str:
        """What cursors are bound to, beside the store; two equal questions have the same."""
        return hashlib.blake2b(msgspec.json.encode(self), digest_size=16).hexdigest()


def plan_of(query: MetricQuery, metric: Metric | None = None) -> Plan:
    """Return the plan of a query.

    Args:
        query: What a caller asks.
        metric: The registered metric that it names, if it names one.

    Raises:
        InvalidParameter: a member is out of form or bounds, or does not go with the measure.
    """
    if metric is not None:
        for name in MetricQuery.__struct_fields__:
            if name in _OF_METRIC and getattr(query, name) not in (None, ()):
                raise InvalidParameter(name, f"is the registered metric's own: {metric.name!r} has it already")
    own: Any = query if metric is None else metric
    measure = own.measure
    if measure not in MEASURES:
        raise InvalidParameter("measure", f"must be one of {', '.join(MEASURES)}, got {measure!r:.40}")
    if metric is not None and query.quantiles is not None and measure != "quantiles":
        _misplaced("quantiles", measure)
    if metric is not None and query.per is not None and measure != "rate":
        _misplaced("per", measure)
    for name, measures in _ONLY.items():
        if getattr(own, name) is not None and measure not in measures:
            _misplaced(name, measure)
    for name in _NEEDED.get(measure, ()):
        if getattr(own, name) is None:
            raise InvalidParameter(name, f"is needed by the measure {measure}")
    time = own.time or "recorded"
    if time not in ("recorded", "occurred"):
        raise InvalidParameter("time", f"must be recorded or occurred, got {time!r:.40}")
    if own.lateness is not None and time != "occurred":
        raise InvalidParameter("lateness", "goes with time: occurred")
    window_ms, hop_ms = _windows(query)
    low_ms, high_ms = _bounds(query)
    return Plan(
        measure=measure,
        query=to_query(own.topic, own.topics, own.filter),
        field=None if own.field is None else parse_path(own.field, "field"),
        quantiles=_quantiles(query.quantiles or own.quantiles) if measure == "quantiles" else (),
        per_ms=_per_ms(query.per or own.per),
        actions=_actions(own),
        planned=_planned(own.planned),
        by=None if own.by is None else parse_path(own.by, "by"),
        group_by=None if own.group_by is None else parse_path(own.group_by, "group_by"),
        occurred=time == "occurred",
        lateness_ms=parse_duration(own.lateness or DEFAULT_LATENESS, "lateness", least_ms=0)
        if time == "occurred"
        else 0,
        low_ms=low_ms,
        high_ms=high_ms,
        last_ms=None if query.last is None else parse_duration(query.last, "last"),
        window_ms=window_ms,
        hop_ms=hop_ms,
        metric=query.metric,
        kept_ms=0 if query.metric is None or metric is None else parse_duration(metric.pane, "pane"),
        kept="" if query.metric is None or metric is None else check_metric(metric).digest,
    )


def check_metric(metric: Metric) -> Plan:
    """Return the plan of a metric's panes, which is the metric's own, whatever is asked of it later.

    Raises:
        InvalidParameter: a member is out of form or bounds.
    """
    name = metric.name
    if not 1 <= len(name) <= _MAX_NAME or not _NAME.issuperset(name) or not name[0].isalpha():
        raise InvalidParameter(
            "name", f"must be 1-{_MAX_NAME} of a-z, 0-9, _, . and -, a letter first, got {name!r:.60}"
        )
    parse_duration(metric.pane, "pane", least_ms=1_000)
    return plan_of(MetricQuery(window=metric.pane), metric)


def _misplaced(name: str, measure: object) -> NoReturn:
    raise InvalidParameter(name, f"goes with {', '.join(_ONLY[name])}, not with {measure}")


def _windows(query: MetricQuery) -> tuple[int | None, int]:
    if query.window is None:
        if query.hop is not None:
            raise InvalidParameter("hop", "goes with window")
        return None, 0
    window_ms = parse_duration(query.window, "window")
    hop_ms = window_ms if query.hop is None else parse_duration(query.hop, "hop")
    if hop_ms > window_ms:
        raise InvalidParameter("hop", f"must be at most the window's {query.window}, got {query.hop}")
    return window_ms, hop_ms


def _bounds(query: MetricQuery) -> tuple[int | None, int | None]:
    if query.last is not None:
        for name in ("seek", "seek_end"):
            if getattr(query, name) is not None:
                raise InvalidParameter(name, "give either last or seek and seek_end")
    low = None if query.seek is None else to_span(query.seek, None).low >> RANDOM_BITS
    high = None if query.seek_end is None else to_span(None, query.seek_end).high >> RANDOM_BITS
    for name, bound in (("seek", low), ("seek_end", high)):
        if bound is not None and bound > _MAX_MS:
            raise InvalidParameter(name, "must lie before the year 10000")
    return low, high


def _quantiles(asked: object) -> tuple[float, ...]:
    if asked is None:
        return DEFAULT_QUANTILES
    if not isinstance(asked, list) or not 1 <= len(asked) <= _MAX_QUANTILES:
        raise InvalidParameter("quantiles", f"must be a list of 1-{_MAX_QUANTILES} numbers, got {asked!r:.60}")
    for number, one in enumerate(asked):
        if type(one) not in (int, float) or not isfinite(one) or not 0 <= one <= 1:
            raise InvalidParameter(f"quantiles[{number}]", f"must be 0-1, got {one!r:.40}")
    return tuple([float(one) for one in asked])


def _per_ms(per: Any) -> int:
    if per is None:
        return PER_MS["second"]
    if per not in PER_MS:
        raise InvalidParameter("per", f"must be one of {', '.join(PER_MS)}, got {per!r:.40}")
    return PER_MS[per]


def _actions(own: Any) -> tuple[str, ...]:
    if own.measure not in ("active", "uptime"):
        return ()
    first, second = ("open", "close") if own.measure == "active" else ("up", "down")
    found = getattr(own, first), getattr(own, second)
    _check_action(found[0], first)
    _check_action(found[1], second)
    if found[0] == found[1]:
        raise InvalidParameter(second, f"must be another action than {first}")
    return found


def _planned(planned: object) -> tuple[str, ...]:
    if planned is None:
        return ()
    if not isinstance(planned, (list, tuple)) or len(planned) != 2:  # noqa: PLR2004 - where it begins, where it ends
        raise InvalidParameter("planned", f"must be two actions, got {planned!r:.60}")
    for number, action in enumerate(planned):
        _check_action(action, f"planned[{number}]")
    return tuple(planned)


def _check_action(action: object, parameter: str) -> None:
    # A lone surrogate can't be encoded; no event has one.
    if not isinstance(action, str) or not 1 <= len(action.encode(errors="replace")) <= MAX_NAME_BYTES:
        raise InvalidParameter(parameter, f"must be an action of 1-{MAX_NAME_BYTES} bytes, got {action!r:.40}")
