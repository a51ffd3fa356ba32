"""Random streams of events and random metric queries, from a seed."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from audit import Actor, Filter, NewEvent
from audit.metrics.query import MetricQuery
from audit.testing.clock import START_MS

TOPICS = [("node",), ("node", "connection"), ("node", "connection", "forward"), ("vault", "read"), ("vault",)]
ACTIONS = ["opened", "closed", "up", "down", "begin", "end", None]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def random_event(choose: random.Random, now_ms: int) -> NewEvent:
    data: Any = {"ms": choose.choice([choose.uniform(-5, 1e4), choose.randrange(100), "text", None, True, 0, 1e-9])}
    if choose.random() < 0.1:
        data = choose.choice([None, 3, [1, 2], "x"])
    away = choose.choice([0, 0, -5_000, -400_000, 20_000, -4_000_000])
    return NewEvent(
        topics=choose.sample(TOPICS, choose.choice([1, 1, 2])),
        action=choose.choice(ACTIONS),
        occurred_at=None
        if choose.random() < 0.3
        else _EPOCH + timedelta(milliseconds=now_ms + away + choose.randrange(-500, 500)),
        actor=None if choose.random() < 0.2 else Actor(type="user", id=f"u-{choose.randrange(4)}"),
        outcome=choose.choice(["success", "denied", None]),
        context={"host": choose.choice("abc")} if choose.random() < 0.7 else {},
        data=data,
    )


def random_query(choose: random.Random, now_ms: int) -> MetricQuery:
    measure: Any = choose.choice(
        ["count", "rate", "sum", "avg", "min", "max", "quantiles", "distinct", "active", "uptime"]
    )
    members = {"measure": measure, **_of_measure(choose, measure), **_of_events(choose)}
    members |= _of_span(choose, now_ms, members)
    return MetricQuery(**members)


def _of_measure(choose: random.Random, measure: str) -> dict[str, Any]:
    members: dict[str, Any] = {}
    if measure in ("sum", "avg", "min", "max", "quantiles"):
        members["field"] = "data.ms"
    elif measure == "distinct":
        members["field"] = choose.choice(["actor.id", "context.host", "topics.0", "data.ms"])
    elif measure == "rate":
        members["per"] = choose.choice([None, "minute", "hour", "day"])
    elif measure == "active":
        members |= {"open": "opened", "close": "closed", "by": choose.choice([None, "actor.id"])}
    elif measure == "uptime":
        members |= {"up": "up", "down": "down", "by": choose.choice([None, "context.host"])}
        members["planned"] = choose.choice([None, ("begin", "end")])
    return members


def _of_events(choose: random.Random) -> dict[str, Any]:
    members: dict[str, Any] = {}
    if choose.random() < 0.4:
        members["topic"] = choose.choice(TOPICS)
    elif choose.random() < 0.3:
        members["topics"] = choose.sample(TOPICS, 2)
    if choose.random() < 0.2:
        members["filter"] = Filter(outcome="denied")
    if choose.random() < 0.3:
        members["group_by"] = choose.choice(["actor.id", "context.host", "outcome", "data.ms"])
    if choose.random() < 0.4:
        members |= {"time": "occurred", "lateness": choose.choice([None, "0s", "10s", "5m"])}
    return members


def _of_span(choose: random.Random, now_ms: int, others: dict[str, Any]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    if choose.random() < 0.3:
        members["last"] = choose.choice(["1s", "30s", "5m", "1h", "2d"])
    else:
        if choose.random() < 0.6:
            members["seek"] = choose.choice([START_MS, now_ms, choose.randrange(START_MS - 60_000, now_ms + 60_000)])
        if choose.random() < 0.5:
            seek = members.get("seek") or now_ms
            # The last of them inverts the span.
            members["seek_end"] = choose.choice(
                [now_ms, now_ms + 1, choose.randrange(START_MS, now_ms + 600_000), seek + 1, seek - 60_000]
            )
    if choose.random() < 0.7:
        window, hop = choose.choice(
            [("1m", None), ("1h", None), ("5m", "1m"), ("90s", "60s"), ("1d", "1h"), ("10s", None), ("1m", "20s")]
        )
        long = members.get("last") == "2d" or others.get("time") == "occurred"
        members |= {"window": "1h", "hop": None} if long else {"window": window, "hop": hop}
    return members
