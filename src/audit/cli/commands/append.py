"""`audit append`: one event, given by options or as JSON on standard input, and the receipt for it."""

from __future__ import annotations

import sys
from typing import Annotated, Final

import typer

from audit.cli.compose import compose
from audit.cli.formats.events import default_format
from audit.cli.formats.rows import print_record
from audit.cli.ingest.mapping import BadLine, decode_new_event
from audit.cli.options import (
    AcceptClock,
    CheckpointFile,
    DataDir,
    Format,
    FormatOption,
    Keys,
    Origin,
    Url,
    as_options,
    signing_of,
)
from audit.cli.store import open_log
from audit.model.errors import InvalidParameter
from audit.model.event import NewEvent, Receipt

__all__ = ["append"]

_STDIN: Final = "-"
_MAX_TEXT_BYTES: Final = 1024 * 1024


def append(  # noqa: PLR0917 - each is an option
    source: Annotated[
        str | None, typer.Argument(metavar="[-]", help="-: the event is JSON on standard input.", show_default=False)
    ] = None,
    data: DataDir = None,
    url: Url = None,
    chosen: FormatOption = None,
    topic: Annotated[
        list[str] | None, typer.Option("--topic", metavar="A/B/C", help="What it belongs to; repeat for more.")
    ] = None,
    action: Annotated[str | None, typer.Option("--action", metavar="ACTION", help="What was done.")] = None,
    actor: Annotated[str | None, typer.Option("--actor", metavar="TYPE:ID[:NAME]", help="Who did it.")] = None,
    target: Annotated[
        list[str] | None,
        typer.Option("--target", metavar="TYPE:ID[:NAME]", help="What it was done to; repeat for more."),
    ] = None,
    outcome: Annotated[
        str | None, typer.Option("--outcome", metavar="success|failure|denied|unknown", help="How it ended.")
    ] = None,
    context: Annotated[
        list[str] | None, typer.Option("--context", metavar="NAME=VALUE", help="Such as ip=…; repeat for more.")
    ] = None,
    event_data: Annotated[str | None, typer.Option("--event-data", metavar="JSON", help="Anything else.")] = None,
    occurred_at: Annotated[
        str | None, typer.Option("--occurred-at", metavar="TIME", help="When it happened, if not now.")
    ] = None,
    idempotency_key: Annotated[
        str | None, typer.Option("--idempotency-key", metavar="KEY", help="Append no second event with this key.")
    ] = None,
    key: Keys = None,
    origin: Origin = None,
    checkpoint_file: CheckpointFile = None,
    accept_clock: AcceptClock = False,
) -> None:
    """Append one event, and print its receipt: when that is printed, the event is on disk."""
    signing = signing_of(key or (), origin, checkpoint_file)
    if source is None:
        event = compose(
            topics=topic,
            action=action,
            actor=actor,
            targets=target,
            outcome=outcome,
            context=context,
            data=event_data,
            occurred_at=occurred_at,
            idempotency_key=idempotency_key,
        )
        with open_log(data, url, accept_clock=accept_clock, signing=signing) as log, as_options():
            receipt = log.append(event)
    else:
        if source != _STDIN:
            raise InvalidParameter(
                "append", f"takes - for standard input, and options for the rest; got {source!r:.80}"
            )
        if any((topic, action, actor, target, outcome, context, event_data, occurred_at, idempotency_key)):
            raise InvalidParameter(
                "-", "the event comes whole from standard input; leave out the options that make one"
            )
        event = _read_event()
        with open_log(data, url, accept_clock=accept_clock, signing=signing) as log:
            receipt = log.append(event)
    _print(receipt, chosen)


def _read_event() -> NewEvent:
    text = sys.stdin.buffer.read(_MAX_TEXT_BYTES + 1)
    if len(text) > _MAX_TEXT_BYTES:
        raise InvalidParameter("standard input", f"is longer than {_MAX_TEXT_BYTES:,} bytes; ingest takes many events")
    try:
        return decode_new_event(text)
    except BadLine as error:
        raise InvalidParameter("standard input", str(error)) from error


def _print(receipt: Receipt, chosen: Format | None) -> None:
    print_record(chosen or default_format(), {"id": receipt.id, "index": receipt.index})
