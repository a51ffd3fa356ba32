"""`audit get`: one event by its id, in full."""

from __future__ import annotations

import sys
from typing import Annotated

import msgspec
import typer
from rich.highlighter import JSONHighlighter
from rich.text import Text

from audit.cli.formats.events import event_writer
from audit.cli.options import DataDir, Format, Url
from audit.cli.store import open_log
from audit.cli.terminal import console, person_at, printable_json

__all__ = ["get"]


def get(
    event_id: Annotated[str, typer.Argument(metavar="ID", help="The event's id.", show_default=False)],
    data: DataDir = None,
    url: Url = None,
    chosen: Annotated[
        Format, typer.Option("--format", help="jsonl prints the stored bytes whoever looks on.")
    ] = Format.JSON,
    pretty: Annotated[
        bool | None, typer.Option("--pretty/--raw", help="Indent JSON; by itself, on a terminal only.")
    ] = None,
) -> None:
    """Print one event: indented and coloured on a terminal, the stored bytes in a pipe."""
    with open_log(data, url) as log:
        event = log.get_raw(event_id)
    if chosen is Format.JSON and (person_at(sys.stdout) if pretty is None else pretty):
        text = Text(printable_json(msgspec.json.format(event, indent=2).decode()))
        JSONHighlighter().highlight(text)
        console().print(text, soft_wrap=True)
        return
    writer = event_writer(Format.JSONL if chosen is Format.JSON else chosen)
    writer.write([event])
    writer.close()
