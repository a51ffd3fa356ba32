"""The options that commands share, and how the texts given for them become values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from audit.model.errors import InvalidParameter
from audit.model.ids import format_id
from audit.model.query import Filter
from audit.model.topic import Topic, parse_topic

__all__ = [
    "AcceptClock",
    "Action",
    "Actor",
    "Cursor",
    "DataDir",
    "Format",
    "FormatOption",
    "Inclusive",
    "Order",
    "Outcome",
    "RequestId",
    "Seek",
    "SeekEnd",
    "Target",
    "Topics",
    "as_options",
    "bound_of",
    "filter_of",
    "located",
    "topics_of",
]


class Format(StrEnum):
    """How values are printed."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


def _from_root(ctx: typer.Context, value: Path | None) -> Path | None:
    """Return the directory given to the command, or else the one given before it (`audit --data DIR list`)."""
    root: Path | None = ctx.find_root().params.get("data")
    return root if value is None else value


DataDir = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", envvar="AUDIT_DATA", callback=_from_root, help="Directory of the store."),
]
FormatOption = Annotated[
    Format | None,
    typer.Option("--format", help="table on a terminal, else jsonl.", show_default=False),
]
Topics = Annotated[
    list[str] | None,
    typer.Option("--topic", metavar="A/B/C", help="Only events of this topic or nested below it; repeat for more."),
]
Seek = Annotated[
    str | None,
    typer.Option("--seek", metavar="BOUND", help="Lower bound: an id, an RFC 3339 time, or milliseconds."),
]
SeekEnd = Annotated[str | None, typer.Option("--seek-end", metavar="BOUND", help="Upper bound, likewise.")]
Inclusive = Annotated[str, typer.Option("--inclusive", metavar="left|right|both|neither", help="Bounds that belong.")]
Order = Annotated[str, typer.Option("--order", metavar="asc|desc", help="Oldest or newest first.")]
Cursor = Annotated[str | None, typer.Option("--cursor", metavar="CURSOR", help="Go on right after this page.")]
Actor = Annotated[str | None, typer.Option("--actor", metavar="ID", help="Only events of this actor.")]
Action = Annotated[str | None, typer.Option("--action", metavar="ACTION", help="Only events of this action.")]
Outcome = Annotated[
    str | None,
    typer.Option("--outcome", metavar="success|failure|denied|unknown", help="Only events with this outcome."),
]
Target = Annotated[str | None, typer.Option("--target", metavar="ID", help="Only events with this target.")]
RequestId = Annotated[str | None, typer.Option("--request-id", metavar="ID", help="Only events of this request.")]
AcceptClock = Annotated[
    bool,
    typer.Option("--accept-clock", help="Append although the clock jumped, or lies behind the newest event."),
]

_ID_LENGTH: Final = len(format_id(0))
# Parameters of the log, and the options of the command line that set them.
_OPTIONS: Final = {
    name: f"--{name.replace('_', '-')}"
    for name in (
        *("topic", "seek", "seek_end", "inclusive", "order", "limit", "cursor"),
        *("actor", "action", "outcome", "target", "request_id"),
        *("context", "occurred_at", "idempotency_key"),
    )
} | {"topics": "--topic", "targets": "--target", "data": "--event-data"}


def located(data: Path | None) -> Path:
    """Return the store's directory.

    Raises:
        InvalidParameter: none was given.
    """
    if data is None:
        raise InvalidParameter("--data", "say which directory holds the store, or set AUDIT_DATA")
    return data


def topics_of(texts: Sequence[str] | None) -> list[Topic] | None:
    """Return the union of topics asked for; None is everything."""
    return [parse_topic(text, "--topic") for text in texts] if texts else None


def bound_of(text: str | None) -> str | int | None:
    """Return the bound as the log takes it; digits are milliseconds unless they are as many as an id has."""
    if text is not None and text.isascii() and text.isdigit() and len(text) != _ID_LENGTH:
        return int(text)
    return text


def filter_of(**fields: str | None) -> Filter:
    """Return the filter of the options given; the log checks their values."""
    return Filter(**{name: value for name, value in fields.items() if value is not None})  # type: ignore[arg-type]


@contextmanager
def as_options() -> Iterator[None]:
    """Name the option, not the parameter, in errors about values that were given as options."""
    try:
        yield
    except InvalidParameter as error:
        path = error.parameter.removeprefix("filter.").removeprefix("events[0].").removeprefix("event.")
        name = path.split(".")[0].split("[")[0]
        if name not in _OPTIONS:
            raise
        raise type(error)(_OPTIONS[name], error.problem) from error
