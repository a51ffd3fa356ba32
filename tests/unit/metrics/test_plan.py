"""A query that is wrong says which member, and why."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from audit.metrics.plan import check_metric, plan_of
from audit.metrics.query import Metric, MetricQuery, query_of
from audit.model.errors import InvalidParameter

ACTIVE = {"measure": "active", "open": "a", "close": "b"}


@pytest.mark.parametrize(
    ("members", "parameter", "problem"),
    [
        ({}, "measure", "must be one of count, rate"),
        ({"measure": "median"}, "measure", "Invalid enum value"),
        ({"measure": "count", "colour": 1}, "colour", "is unknown; known are"),
        ({"measure": "count", "window": 5}, "window", "Expected `str"),
        ({"measure": "sum"}, "field", "is needed by the measure sum"),
        ({"measure": "count", "field": "data.x"}, "field", "goes with sum, avg"),
        ({"measure": "sum", "field": "id"}, "field", "must begin with one of topics, action"),
        ({"measure": "sum", "field": "data..x"}, "field", "parts with dots between"),
        ({"measure": "sum", "field": "data" + ".x" * 16}, "field", "must have 1-16 parts"),
        ({"measure": "count", "per": "hour"}, "per", "goes with rate, not with count"),
        ({"measure": "active", "open": "a"}, "close", "is needed by the measure active"),
        ({"measure": "active", "open": "a", "close": "a"}, "close", "must be another action than open"),
        ({"measure": "uptime", "up": "a", "down": ""}, "down", "must be an action of 1-256 bytes"),
        ({**ACTIVE, "planned": ["a", "b"]}, "planned", "goes with uptime, not with active"),
        ({"measure": "count", "hop": "1m"}, "hop", "goes with window"),
        ({"measure": "count", "window": "1m", "hop": "5m"}, "hop", "must be at most the window's 1m"),
        ({"measure": "count", "window": "0s"}, "window", "must be 1 ms to 100 years"),
        ({"measure": "count", "window": "1 m"}, "window", "must be a duration such as '5m'"),
        ({"measure": "count", "window": "101w", "last": "999999d"}, "last", "must be 1 ms to 100 years"),
        ({"measure": "count", "last": "1h", "seek": 5}, "seek", "give either last or seek and seek_end"),
        ({"measure": "count", "seek": "yesterday"}, "seek", "is neither an event id nor an RFC 3339 time"),
        ({"measure": "count", "seek_end": 1 << 48}, "seek_end", "must lie between"),
        ({"measure": "count", "seek_end": 253_402_300_800_000}, "seek_end", "must lie before the year 10000"),
        ({"measure": "count", "lateness": "1h"}, "lateness", "goes with time: occurred"),
        ({"measure": "quantiles", "field": "data", "quantiles": [1.5]}, "quantiles[0]", "must be 0-1, got 1.5"),
        ({"measure": "quantiles", "field": "data", "quantiles": []}, "quantiles", "must be a list of 1-16 numbers"),
        ({"measure": "count", "topic": ["a"], "topics": [["b"]]}, "topics", "give either topic or topics"),
        ({"measure": "count", "filter": {"outcome": "fine"}}, "filter.outcome", "Invalid enum value"),
    ],
)
def test_a_wrong_member_is_named(members: dict[str, Any], parameter: str, problem: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        plan_of(query_of(members, {}))
    assert caught.value.parameter == parameter
    assert problem in caught.value.problem


def test_two_equal_questions_have_one_digest() -> None:
    one = plan_of(MetricQuery(measure="count", topics=[("a",), ("a", "b")], window="60s", seek="1970-01-01T00:00:01Z"))
    other = plan_of(MetricQuery(measure="count", topic=("a",), window="1m", hop="1m", seek=1_000))
    assert one.digest == other.digest
    assert one.digest != plan_of(MetricQuery(measure="count", topic=("a",), window="1m", seek=1_001)).digest


def test_a_bound_may_be_a_datetime_in_python() -> None:
    query = query_of(None, {"measure": "count", "seek": datetime(2026, 1, 1, tzinfo=UTC)})
    assert plan_of(query).low_ms == 1_767_225_600_000


@pytest.mark.parametrize("name", ["", "Total", "1st", "a b", "a" * 129, "ä", "a\0b"])
def test_a_metrics_name_is_plain(name: str) -> None:
    with pytest.raises(InvalidParameter, match="name: must be"):
        check_metric(Metric(name=name, measure="count"))


@pytest.mark.parametrize("pane", ["1ms", "999ms", "soon"])
def test_a_pane_is_a_second_at_least(pane: str) -> None:
    with pytest.raises(InvalidParameter, match="pane: must be"):
        check_metric(Metric(name="a", measure="count", pane=pane))


def test_what_a_registered_metric_has_of_its_own_is_not_asked_anew() -> None:
    metric = Metric(name="total", measure="sum", field="data.n")
    assert plan_of(MetricQuery(metric="total", window="5m"), metric).window_ms == 300_000
    for member in ({"measure": "count"}, {"field": "data.m"}, {"topic": ("a",)}, {"group_by": "action"}):
        with pytest.raises(InvalidParameter, match="is the registered metric's own"):
            plan_of(MetricQuery(metric="total", **member), metric)
