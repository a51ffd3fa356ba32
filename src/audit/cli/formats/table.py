"""Events as a table for a person: when, what, how it ended, who, under which topics.

Texts are cut to fit, never folded. The columns' widths depend on the terminal alone, so that a table can grow for ever,
one batch after another.
"""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from audit.cli.formats.texts import described
from audit.cli.terminal import printable
from audit.codec.events import decode_event
from audit.codec.texts import instant
from audit.model.event import Event
from audit.model.topic import format_topic

__all__ = ["print_events"]

_ID_WIDTH = 26
_TIME_WIDTH = 20
_OUTCOME_WIDTH = 7
_STYLES = {"success": "green", "failure": "yellow", "denied": "bold red"}


def print_events(console: Console, events: Iterable[bytes], *, header: bool) -> None:
    """Print stored events as rows, with the columns' names above them when `header`."""
    table = Table(box=None, expand=True, show_header=header, header_style="bold", padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("time", width=_TIME_WIDTH, no_wrap=True)
    table.add_column("id", width=_ID_WIDTH, no_wrap=True, style="dim")
    table.add_column("outcome", width=_OUTCOME_WIDTH, no_wrap=True)
    table.add_column("action", ratio=2, no_wrap=True, overflow="ellipsis")
    table.add_column("actor", ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_column("topics", ratio=2, no_wrap=True, overflow="ellipsis", style="cyan")
    for event in events:
        table.add_row(*_cells(decode_event(event)))
    console.print(table)


def _cells(event: Event) -> tuple[Text, ...]:
    outcome = event.outcome or ""
    return (
        # When it happened, if the event says so: that is what a person looks for.
        Text(instant(event.occurred_at or event.recorded_at, "seconds")),
        Text(event.id),
        Text(outcome, style=_STYLES.get(outcome, "")),
        Text("erased", style="dim italic") if event.erased else Text(printable(event.action or "")),
        Text(printable(described(event.actor))),
        Text(printable(" ".join([format_topic(topic) for topic in event.topics]))),
    )
