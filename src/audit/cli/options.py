"""The options that commands share, and how the texts given for them become values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, TypeVar

import typer

from audit.app.keyfiles import load_signing_key
from audit.log.signing import Signing
from audit.model.errors import InvalidParameter
from audit.model.query import Filter
from audit.model.span import parse_bound
from audit.model.topic import Topic, parse_topic

__all__ = [
    "AcceptClock",
    "Action",
    "Actor",
    "CheckpointFile",
    "Cursor",
    "DataDir",
    "Format",
    "FormatOption",
    "Inclusive",
    "Keys",
    "NoUrl",
    "Order",
    "Origin",
    "Outcome",
    "RequestId",
    "Seek",
    "SeekEnd",
    "Target",
    "Topics",
    "Url",
    "as_options",
    "bound_of",
    "filter_of",
    "located",
    "signing_of",
    "topics_of",
]


class Format(StrEnum):
    """How values are printed."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


_Place = TypeVar("_Place", Path, str)


def _placed(ctx: typer.Context, name: str, other: str, value: _Place | None) -> _Place | None:
    """Return where the log is, if this option says so: given to the command, else before it, else by its variable.

    Options given to a command are looked at before those that are not, whatever their order.
    """
    root = ctx.find_root().params
    source = ctx.get_parameter_source(name)
    by_option = source is not None and source.name == "COMMANDLINE"
    found: _Place | None = value if by_option else root.get(name) or value
    others = root.get(other) or ctx.meta.get(other)
    if by_option or root.get(name):
        if others:
            raise InvalidParameter(f"--{name}", f"give either --{name} or --{other}, not both")
        ctx.meta[name] = True
        return found
    if found is None or others:
        return None
    if ctx.meta.get(f"{other} of the environment"):
        raise InvalidParameter("--data", "AUDIT_DATA and AUDIT_URL are both set: say which with --data or --url")
    ctx.meta[f"{name} of the environment"] = True
    return found


def _data(ctx: typer.Context, value: Path | None) -> Path | None:
    return _placed(ctx, "data", "url", value)


def _url(ctx: typer.Context, value: str | None) -> str | None:
    return _placed(ctx, "url", "data", value)


def _no_url(ctx: typer.Context, value: str | None) -> None:
    """Refuse a URL: this command is about the store's directory."""
    if value or ctx.find_root().params.get("url"):
        raise InvalidParameter("--url", f"audit {ctx.info_name} needs the store's directory: give --data")


DataDir = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", envvar="AUDIT_DATA", callback=_data, help="Directory of the store."),
]
Url = Annotated[
    str | None,
    typer.Option(
        "--url", metavar="URL", envvar="AUDIT_URL", callback=_url, help="A served log: ws://HOST:PORT or unix:PATH."
    ),
]
NoUrl = Annotated[str | None, typer.Option("--url", callback=_no_url, hidden=True)]
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
Keys = Annotated[
    list[str] | None,
    typer.Option(
        "--key", metavar="FILE", envvar="AUDIT_KEY", help="Private key to sign checkpoints with (audit key new)."
    ),
]
Origin = Annotated[
    str | None,
    typer.Option("--origin", metavar="NAME", envvar="AUDIT_ORIGIN", help="The log's name, if not that of its key."),
]
CheckpointFile = Annotated[
    str | None,
    typer.Option(
        "--checkpoint-file",
        metavar="FILE",
        envvar="AUDIT_CHECKPOINT_FILE",
        help="Keep the newest checkpoint there, outside the store, and refuse a store that is not what it says.",
    ),
]
AcceptClock = Annotated[
    bool,
    typer.Option("--accept-clock", help="Append although the clock jumped, or lies behind the newest event."),
]

# Parameters of the log, and the options of the command line that set them.
_OPTIONS: Final = {
    name: f"--{name.replace('_', '-')}"
    for name in (
        *("topic", "seek", "seek_end", "inclusive", "order", "limit", "cursor"),
        *("actor", "action", "outcome", "target", "request_id"),
        *("context", "occurred_at", "idempotency_key"),
        *("field", "per", "open", "close", "up", "down", "planned", "by", "last", "window", "hop", "group_by", "time"),
        *("lateness", "every"),
    )
} | {"topics": "--topic", "targets": "--target", "data": "--event-data", "quantiles": "--quantile"}


def located(data: Path | None) -> Path:
    """Return the store's directory.

    Raises:
        InvalidParameter: none was given.
    """
    if data is None:
        raise InvalidParameter("--data", "say which directory holds the store, or set AUDIT_DATA")
    return data


def signing_of(
    keys: Sequence[str], origin: str | None, checkpoint_file: str | None, parameter: str = "--key"
) -> Signing:
    """Return how a log signs, by the options given.

    Raises:
        InvalidParameter: a file holds no private key, or others may read it.
    """
    return Signing(
        keys=tuple(load_signing_key(Path(file), parameter) for file in keys),
        origin=origin,
        checkpoint_file=None if checkpoint_file is None else Path(checkpoint_file),
    )


def topics_of(texts: Sequence[str] | None) -> list[Topic] | None:
    """Return the union of topics asked for; None is everything."""
    return [parse_topic(text, "--topic") for text in texts] if texts else None


def bound_of(text: str | None) -> str | int | None:
    """Return the bound as the log takes it; digits are milliseconds unless they are as many as an id has."""
    return None if text is None else parse_bound(text)


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
