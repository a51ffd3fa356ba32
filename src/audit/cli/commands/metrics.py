"""`audit metrics`: values over windows of time, once or as they change, and the metrics that are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from audit.app import Audit
from audit.cli import options
from audit.cli.formats.events import default_format
from audit.cli.formats.metrics import MetricTable, print_result, print_windows
from audit.cli.formats.rows import print_record, print_rows
from audit.cli.options import (
    DataDir,
    Format,
    FormatOption,
    NoUrl,
    Url,
    as_options,
    bound_of,
    filter_of,
    located,
    topics_of,
)
from audit.cli.store import open_log
from audit.cli.terminal import flush, reader_left
from audit.log.tail import End
from audit.metrics.pace import DEFAULT_EVERY_MS
from audit.metrics.query import MEASURES, MetricQuery, MetricResult, MetricUpdate, query_of
from audit.model.errors import InvalidParameter
from audit.model.topic import format_topic

__all__ = ["metrics"]

_LOOK_S: Final = 1.0
"""How often a watch with nothing to print looks whether somebody still reads its output."""

metrics = typer.Typer(help="Values over windows of time: count, rate, sum, avg and more.", no_args_is_help=True)

What = Annotated[str, typer.Argument(metavar="MEASURE|NAME", help=f"{', '.join(MEASURES)}, or a registered metric.")]
Field = Annotated[str | None, typer.Option("--field", metavar="PATH", help="Of the number, such as data.duration_ms.")]
Quantile = Annotated[list[float] | None, typer.Option("--quantile", metavar="0-1", help="Which; repeat for more.")]
Per = Annotated[str | None, typer.Option("--per", metavar="second|minute|hour|day", help="Unit of a rate.")]
Open = Annotated[str | None, typer.Option("--open", metavar="ACTION", help="What opens, for active.")]
Close = Annotated[str | None, typer.Option("--close", metavar="ACTION", help="What closes.")]
Up = Annotated[str | None, typer.Option("--up", metavar="ACTION", help="What goes up, for uptime.")]
Down = Annotated[str | None, typer.Option("--down", metavar="ACTION", help="What goes down.")]
Planned = Annotated[
    tuple[str, str] | None,
    typer.Option("--planned", metavar="ACTION ACTION", help="What begins and what ends planned maintenance."),
]
By = Annotated[str | None, typer.Option("--by", metavar="PATH", help="What tells components apart, for both.")]
Last = Annotated[str | None, typer.Option("--last", metavar="DURATION", help="The last 1h, 7d … in place of bounds.")]
Window = Annotated[str | None, typer.Option("--window", metavar="DURATION", help="Length of the windows: 1m, 1h …")]
Hop = Annotated[str | None, typer.Option("--hop", metavar="DURATION", help="From one window's start to the next.")]
GroupBy = Annotated[str | None, typer.Option("--group-by", metavar="PATH", help="Split by the value there.")]
Time = Annotated[str | None, typer.Option("--time", metavar="recorded|occurred", help="Which time counts.")]
Lateness = Annotated[
    str | None, typer.Option("--lateness", metavar="DURATION", help="How long windows by occurred stay open.")
]


@metrics.command("list")
def list_metrics(data: DataDir = None, url: Url = None, chosen: FormatOption = None) -> None:
    """Print the metrics that are registered."""
    with open_log(data, url) as log:
        registered = log.metrics.list()
    columns = ("name", "measure", "pane", "topics", "events", "help")
    rows = [
        {
            "name": metric.name,
            "measure": metric.measure,
            "pane": metric.pane,
            "topics": " ".join([format_topic(topic) for topic in metric.topics or [metric.topic] if topic]),
            "events": size,
            "help": metric.help,
        }
        for metric, size in registered
    ]
    chosen = chosen or default_format()
    if chosen is Format.TABLE:
        MetricTable.print_list(rows)
    else:
        print_rows(chosen, columns, rows)


@metrics.command("get")
def get(  # noqa: PLR0917 - each is an option
    what: What,
    data: DataDir = None,
    url: Url = None,
    chosen: FormatOption = None,
    topic: options.Topics = None,
    field: Field = None,
    quantile: Quantile = None,
    per: Per = None,
    opens: Open = None,
    closes: Close = None,
    up: Up = None,
    down: Down = None,
    planned: Planned = None,
    by: By = None,
    seek: options.Seek = None,
    seek_end: options.SeekEnd = None,
    last: Last = None,
    window: Window = None,
    hop: Hop = None,
    group_by: GroupBy = None,
    time: Time = None,
    lateness: Lateness = None,
    actor: options.Actor = None,
    action: options.Action = None,
    outcome: options.Outcome = None,
    target: options.Target = None,
    request_id: options.RequestId = None,
) -> None:
    """Print a metric as of now: its windows, or its value over the whole span."""
    with open_log(data, url) as log, as_options():
        query = _query(locals())
        print_result(chosen or default_format(), query, log.metrics.get(query))


@metrics.command("watch")
def watch(  # noqa: PLR0917 - each is an option
    what: What,
    data: DataDir = None,
    url: Url = None,
    chosen: FormatOption = None,
    every: Annotated[
        int, typer.Option("--every", metavar="MS", help="Milliseconds between two updates at least.")
    ] = DEFAULT_EVERY_MS,
    topic: options.Topics = None,
    field: Field = None,
    quantile: Quantile = None,
    per: Per = None,
    opens: Open = None,
    closes: Close = None,
    up: Up = None,
    down: Down = None,
    planned: Planned = None,
    by: By = None,
    seek: options.Seek = None,
    seek_end: options.SeekEnd = None,
    last: Last = None,
    window: Window = None,
    hop: Hop = None,
    group_by: GroupBy = None,
    time: Time = None,
    lateness: Lateness = None,
    actor: options.Actor = None,
    action: options.Action = None,
    outcome: options.Outcome = None,
    target: options.Target = None,
    request_id: options.RequestId = None,
) -> None:
    """Print a metric, then what changes, until it is interrupted: on a terminal in place, else a line for a window."""
    chosen = chosen or default_format()
    if chosen is Format.JSON:
        raise InvalidParameter("--format", "of a watch is table, jsonl or csv: an array would never end")
    with open_log(data, url) as log, as_options():
        query = _query(locals())
        with log.metrics.subscribe(query, every=every) as live:
            table = MetricTable(query) if chosen is Format.TABLE else None
            told: MetricResult | MetricUpdate | End | None = live.snapshot()
            header = True
            while not isinstance(told, End):
                if table is not None and live.latest is not None:
                    table.show(live.latest)
                elif told is not None:
                    print_windows(chosen, told.windows, header=header)
                    header = False
                    flush()
                if reader_left():
                    break
                told = live.changes(timeout_s=_LOOK_S)


@metrics.command("rebuild")
def rebuild(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of a registered metric.")],
    data: DataDir = None,
    chosen: FormatOption = None,
    _url: NoUrl = None,
) -> None:
    """Compute a registered metric anew, from all events."""
    with Audit.open_sync(located(data)) as log:
        log.metrics.rebuild(name)
    print_record(chosen or default_format(), {"metric": name, "rebuilt": True})


@metrics.command("unregister")
def unregister(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of a registered metric.")],
    data: DataDir = None,
    chosen: FormatOption = None,
    _url: NoUrl = None,
) -> None:
    """Keep a registered metric no more; its events stay."""
    with Audit.open_sync(located(data)) as log:
        log.metrics.unregister(name)
    print_record(chosen or default_format(), {"metric": name, "registered": False})


_SAME: Final = ("field", "per", "up", "down", "planned", "by", "last", "window", "hop", "group_by", "time", "lateness")
_RENAMED: Final = {"quantiles": "quantile", "open": "opens", "close": "closes"}
_FILTER: Final = ("actor", "action", "outcome", "target", "request_id")


def _query(given: Mapping[str, Any]) -> MetricQuery:
    """Return the query of a command's options, by the names of its arguments."""
    members = {name: given[name] for name in _SAME} | {name: given[other] for name, other in _RENAMED.items()}
    members |= {name: bound_of(given[name]) for name in ("seek", "seek_end")}
    members["topics"] = topics_of(given["topic"])
    members["measure" if given["what"] in MEASURES else "metric"] = given["what"]
    if any(given[name] is not None for name in _FILTER):
        members["filter"] = filter_of(**{name: given[name] for name in _FILTER})
    return query_of(None, {name: value for name, value in members.items() if value is not None})
