"""Metrics drawn for a person: bars stand where their windows are, and what does not exist is a blank."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.cli.formats.metrics import _lines, print_result
from audit.cli.formats.sparkline import bar, sparkline
from audit.cli.options import Format
from audit.metrics.query import AsOf, MetricQuery, MetricResult, Window

START = datetime(2026, 1, 1, tzinfo=UTC)
VALUES = st.lists(st.none() | st.floats(-1e300, 1e300), max_size=200)


def result(*windows: tuple[int, Any, Any]) -> MetricResult:
    told = [
        Window(
            start=START + timedelta(minutes=minute),
            end=START + timedelta(minutes=minute + 1),
            value=value,
            count=1,
            final=True,
            **({} if group == "-" else {"group": group}),
        )
        for minute, value, group in windows
    ]
    return MetricResult(windows=told, total=None, as_of=AsOf(cursor="c", time=START))


@given(VALUES, st.integers(1, 80))
def test_a_row_of_bars_has_a_place_for_each_value_or_for_several(values: list[float | None], width: int) -> None:
    line = sparkline(values, width)
    assert len(line) <= width
    assert set(line) <= set(" ▁▂▃▄▅▆▇█")
    if len(values) <= width:
        assert [char == " " for char in line] == [value is None for value in values]


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([], ""),
        ([0, 0], "▁▁"),
        ([0, 1, 1_000_000], "▁▂█"),
        ([7, None, 7], "█ █"),
        ([-1, 0, 1], "▁▅█"),
    ],
)
def test_bars_are_as_high_as_their_values(values: list[float | None], line: str) -> None:
    assert sparkline(values, 60) == line


def test_neighbours_that_share_a_place_show_the_largest() -> None:
    assert sparkline([0, 9, None, None, 3, 3, 9], 4) == "█ ▃█"


@pytest.mark.parametrize(("value", "text"), [(None, ""), (0, ""), (-3, ""), (8, "████"), (4, "██"), (0.001, "▏")])
def test_a_bar_is_as_long_as_its_value(value: float | None, text: str) -> None:
    assert bar(value, 8, 4) == text


def test_groups_have_a_row_each_with_blanks_where_they_have_no_window() -> None:
    query = MetricQuery(measure="count", window="1m", group_by="actor.id")
    lines = [*_lines(query, result((0, 4, "b"), (3, 8, "a"), (4, 8, "b"), (4, 1, None)))]
    assert lines[1].endswith("2026-01-01T00:00:00Z to 2026-01-01T00:04:00Z")
    assert [(line.split()[0], line[66:]) for line in lines[2:]] == [("b", "▅   █"), ("a", "   █"), ("-", "    █")]


def test_what_would_steer_a_terminal_is_shown_as_its_escape() -> None:
    query = MetricQuery(measure="count", group_by="actor.id")
    assert "\x1b" not in "".join(_lines(query, result((0, 1, "\x1b[2Jgone"), (0, 1, "\u202edlo"))))


def test_nothing_is_drawn_of_nothing() -> None:
    for query in (MetricQuery(measure="avg", group_by="actor.id"), MetricQuery(measure="avg", window="1m")):
        assert [*_lines(query, result())] == ["avg: - in all, as of 2026-01-01T00:00:00Z"]


def test_quantiles_are_drawn_by_the_last_one(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    told = result((0, {"0.5": 1.0, "0.9": 2.0}, "-"), (1, {"0.5": None, "0.9": None}, "-"))
    print_result(Format.TABLE, MetricQuery(measure="quantiles", field="data.n", window="1m"), told)
    lines = capsysbinary.readouterr().out.decode().splitlines()
    assert lines[1].strip() == "█"
    assert "0.5=1 0.9=2" in lines[2]
    print_result(Format.CSV, MetricQuery(measure="quantiles", field="data.n"), told)
    rows = capsysbinary.readouterr().out.decode().splitlines()
    assert rows[1] == '2026-01-01T00:00:00.000Z,2026-01-01T00:01:00.000Z,,"{""0.5"":1.0,""0.9"":2.0}",1,true'
