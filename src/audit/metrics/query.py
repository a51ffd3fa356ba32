"""What is asked of metrics and what is answered, with the names that the wire has."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal, get_args

import msgspec
from msgspec import UNSET, UnsetType

from audit.model.errors import InvalidParameter
from audit.model.query import Filter
from audit.model.topic import Topic

__all__ = [
    "DEFAULT_LATENESS",
    "DEFAULT_QUANTILES",
    "MEASURES",
    "PER_MS",
    "AsOf",
    "Group",
    "Measure",
    "Metric",
    "MetricQuery",
    "MetricResult",
    "MetricUpdate",
    "MetricValue",
    "Window",
    "query_of",
]

Measure = Literal["count", "rate", "sum", "avg", "min", "max", "quantiles", "distinct", "active", "uptime"]
Per = Literal["second", "minute", "hour", "day"]
Time = Literal["recorded", "occurred"]
Group = str | int | float | bool | None
MetricValue = int | float | dict[str, float | None] | None
"""A number; of `quantiles`, one for each asked for, by its text; None where no value exists. Never NaN or Infinity."""

MEASURES: Final = get_args(Measure)
PER_MS: Final = {"second": 1_000, "minute": 60_000, "hour": 3_600_000, "day": 86_400_000}
DEFAULT_LATENESS: Final = "1h"
DEFAULT_QUANTILES: Final = (0.5, 0.9, 0.99)


class MetricQuery(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One question. Either `measure` or `metric`; the rest says of what, over which time, and split how.

    Attributes:
        measure: What is computed.
        metric: A registered metric, which has a measure, topics, filter and fields of its own.
        topic: A topic, with all nested below it; `()` is everything.
        topics: A union of topics, in place of `topic`.
        filter: Equalities that must all hold.
        field: Path of the number (`sum`, `avg`, `min`, `max`, `quantiles`) or of the value (`distinct`) in the event,
            such as ``data.duration_ms`` or ``targets.0.id``.
        quantiles: Which ones, each 0-1.
        per: Unit of a rate.
        open: Action that opens (`active`).
        close: Action that closes.
        up: Action after which a component is up (`uptime`).
        down: Action after which it is down.
        by: Path of the value that tells components apart; absent: there is one.
        planned: The actions that begin and end planned maintenance, which counts neither as up nor as down.
        seek: Lower bound: a time, or an id for its time. Absent: the log's first event.
        seek_end: Upper bound, exclusive. Absent: now, and whatever is dated later.
        last: A horizon that moves with time, in place of `seek` and `seek_end`.
        window: Length of the windows; absent: one, over the whole span.
        hop: From one window's start to the next; absent: the window's length.
        group_by: Path of the value by which each window is split.
        time: Which time places an event: `recorded` (its id's) or `occurred` (`occurred_at`, else the id's).
        lateness: How long after its end a window by `occurred` waits to be final.
    """

    measure: Measure | None = None
    metric: str | None = None
    topic: Topic = ()
    topics: list[Topic] | None = None
    filter: Filter | None = None
    field: str | None = None
    quantiles: list[float] | None = None
    per: Per | None = None
    open: str | None = None
    close: str | None = None
    up: str | None = None
    down: str | None = None
    by: str | None = None
    planned: tuple[str, str] | None = None
    seek: str | int | None = None
    seek_end: str | int | None = None
    last: str | None = None
    window: str | None = None
    hop: str | None = None
    group_by: str | None = None
    time: Time | None = None
    lateness: str | None = None


class Metric(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A metric to be registered: kept up to date in the store, and asked for by its name.

    Attributes:
        name: 1-128 characters of `a-z`, `0-9`, `_`, `.`, `-`, a letter first.
        pane: The finest window it can be asked in without looking at events: `1m`, `1h` and the like.
        help: One line for people.
        The others are as in `MetricQuery`.
    """

    name: str
    measure: Measure
    pane: str = "1m"
    help: str = ""
    topic: Topic = ()
    topics: list[Topic] | None = None
    filter: Filter | None = None
    field: str | None = None
    quantiles: list[float] | None = None
    per: Per | None = None
    open: str | None = None
    close: str | None = None
    up: str | None = None
    down: str | None = None
    by: str | None = None
    planned: tuple[str, str] | None = None
    group_by: str | None = None
    time: Time | None = None
    lateness: str | None = None


class Window(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The value over one window, or over one group's part of it.

    Attributes:
        start: Its first millisecond, in UTC.
        end: The first one after it.
        value: The measure's value; None where none exists.
        count: Events it is made from.
        final: Whether no event in time can change it any more.
        rev: With `occurred`, events that came after it was final; they count all the same.
        group: With `group_by`, the group's value; None: events without one.
        down_s: With `uptime`, seconds down, planned maintenance left out; of several components, added up.
    """

    start: datetime
    end: datetime
    value: MetricValue
    count: int
    final: bool
    rev: int | UnsetType = UNSET
    group: Group | UnsetType = UNSET
    down_s: float | UnsetType = UNSET


class AsOf(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer knew: the events up to a cursor, and the time. The same two give the same answer for ever.

    Attributes:
        cursor: Resumes a subscription of the query right after this answer.
        time: Every event in the answer was recorded before it; divisors are clipped to it.
    """

    cursor: str
    time: datetime


class MetricResult(msgspec.Struct, frozen=True, kw_only=True):
    """All windows of a query, in order of their start, then of their group.

    Attributes:
        windows: Each of them. Without `group_by` also those without an event.
        total: The value over the whole span, over all groups.
        as_of: What it knew.
    """

    windows: list[Window]
    total: MetricValue
    as_of: AsOf


class MetricUpdate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What has changed since the result or update before. A window replaces the one with its start and group.

    Attributes:
        windows: Those that changed.
        total: As of a result.
        as_of: What it knew.
        all: Whether these are all windows there are, in place of those before; without `window` they always are.
        since: Windows that start before it are gone, as the horizon of `last` has moved on; None: none is.
    """

    windows: list[Window]
    total: MetricValue
    as_of: AsOf
    all: bool = False
    since: datetime | None = None


def query_of(query: object, members: Mapping[str, Any]) -> MetricQuery:
    """Return a query given as one, as a mapping with its members, or as keywords.

    Raises:
        InvalidParameter: a member is unknown or of another type, or both ways are used at once.
    """
    if query is None:
        query = members
    elif members:
        raise InvalidParameter(next(iter(members)), "give either a query or its members")
    if isinstance(query, MetricQuery):
        return query
    if not isinstance(query, Mapping):
        raise InvalidParameter("query", f"must be a MetricQuery or a mapping, got {query!r:.60}")
    # JSON has no times; in Python they are at hand.
    plain = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in query.items()}
    for name in plain:
        if name not in MetricQuery.__struct_fields__:
            raise InvalidParameter(str(name), f"is unknown; known are {', '.join(MetricQuery.__struct_fields__)}")
    try:
        return msgspec.convert(plain, MetricQuery)
    except msgspec.ValidationError as error:
        problem, _, path = str(error).partition(" - at `$.")
        raise InvalidParameter(path.removesuffix("`") or "query", problem) from error
