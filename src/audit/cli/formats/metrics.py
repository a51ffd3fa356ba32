"""Metrics for people and programs: windows as bars and rows, once or drawn anew in place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
from msgspec import UNSET

from audit.cli.formats.sparkline import bar, sparkline
from audit.cli.options import Format
from audit.cli.terminal import console, flush, printable, write
from audit.codec.csvtext import encode_rows
from audit.codec.texts import instant
from audit.metrics.durations import parse_duration
from audit.metrics.query import Group, MetricQuery, MetricResult, MetricValue, Window
from audit.metrics.rows import WINDOW_COLUMNS, encode_windows

__all__ = ["MetricTable", "print_result", "print_windows"]

_BAR: Final = 30
_LINE: Final = 60
_NAME: Final = 40
_CLEAR: Final = b"\x1b[H\x1b[2J"


def print_result(chosen: Format, query: MetricQuery, result: MetricResult) -> None:
    """Print an answer: for JSON the whole of it, else its windows."""
    if chosen is Format.TABLE:
        write("".join([line + "\n" for line in _lines(query, result)]).encode(errors="backslashreplace"))
    elif chosen is Format.JSON:
        write(msgspec.json.encode(result) + b"\n")
    else:
        print_windows(chosen, result.windows, header=True)


def print_windows(chosen: Format, windows: Sequence[Window], *, header: bool) -> None:
    """Print windows as JSON lines, as they are on the wire, or as CSV."""
    if chosen is not Format.CSV:
        write(b"".join([msgspec.json.encode(window) + b"\n" for window in windows]))
        return
    write((encode_rows([WINDOW_COLUMNS]) if header else b"") + encode_windows(windows))


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


class MetricTable:
    """A metric on a terminal, drawn anew with each change."""

    def __init__(self, query: MetricQuery) -> None:
        self._query = query

    def show(self, result: MetricResult) -> None:
        """Draw the metric in place of what was there."""
        # The newest windows are at the end: the rest scrolls away.
        height = max(4, console().size.height - 1)
        lines = [*_lines(self._query, result)]
        shown = lines if len(lines) <= height else [lines[0], *lines[1 - height :]]
        write(_CLEAR + "".join([line + "\n" for line in shown]).encode(errors="backslashreplace"))
        flush()

    @staticmethod
    def print_list(rows: Sequence[Mapping[str, object]]) -> None:
        """Print the registered metrics."""
        for row in rows:
            text = "  ".join([f"{row['name']!s:<24}", f"{row['measure']!s:<10}", f"{row['pane']!s:<4}"])
            rest = "  ".join([printable(str(row[name])) for name in ("topics", "help") if row[name]])
            write(f"{text}  {rest}".rstrip().encode(errors="backslashreplace") + b"\n")


def _lines(query: MetricQuery, result: MetricResult) -> Iterator[str]:
    what = query.measure or query.metric or ""
    yield f"{printable(what)}: {_short(result.total)} in all, as of {instant(result.as_of.time, 'seconds')}"
    if query.group_by is None and not any(window.group is not UNSET for window in result.windows):
        yield from _windows(result.windows)
    else:
        hop = query.hop or query.window
        yield from _groups(result.windows, None if hop is None else parse_duration(hop, "hop"))


def _windows(windows: Sequence[Window]) -> Iterator[str]:
    if len(windows) > 1:
        yield f"  {sparkline([_number(window.value) for window in windows], _LINE)}"
    most = max([_number(window.value) or 0.0 for window in windows], default=0.0)
    for window in windows:
        shown = f"{instant(window.start, 'seconds')}  {_short(window.value):>12}"
        yield f"{shown}  {bar(_number(window.value), most, _BAR)}".rstrip()


def _groups(windows: Sequence[Window], hop_ms: int | None) -> Iterator[str]:
    """Yield a line for each group: its windows as one row of bars, the largest and the newest of its values."""
    if not windows:
        return
    first, last = windows[0].start, windows[-1].start

    def place(start: datetime) -> int:
        # A group has no window where it has no event: such a time is a blank in its row, not left out.
        return 0 if hop_ms is None else -(-(start - first) // timedelta(milliseconds=hop_ms))

    rows: dict[Group, list[float | None]] = {}
    newest: dict[Group, MetricValue] = {}
    for window in windows:
        group = None if window.group is UNSET else window.group
        rows.setdefault(group, [None] * (place(last) + 1))[place(window.start)] = _number(window.value)
        newest[group] = window.value
    yield f"{'':{_NAME}}  {'most':>10}  {'newest':>10}  {instant(first, 'seconds')} to {instant(last, 'seconds')}"
    ordered = sorted(rows, key=lambda group: -sum([value for value in rows[group] if value is not None]))
    for group in ordered:
        name = "-" if group is None else printable(group if isinstance(group, str) else _json(group))
        most = max([value for value in rows[group] if value is not None], default=None)
        numbers = f"{_short(most):>10}  {_short(newest[group]):>10}"
        yield f"{name[:_NAME]:{_NAME}}  {numbers}  {sparkline(rows[group], _LINE)}".rstrip()


def _number(value: MetricValue) -> float | None:
    """Return what is drawn of a value: of several quantiles, the last one."""
    if isinstance(value, dict):
        return next(reversed(value.values()), None)
    return value


def _short(value: MetricValue) -> str:
    if value is None:
        return "-"
    if isinstance(value, dict):
        return " ".join([f"{name}={_short(one)}" for name, one in value.items()])
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
