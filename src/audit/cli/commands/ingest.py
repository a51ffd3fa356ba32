"""`audit ingest`: append the events of a file of JSON lines; once more appends nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Annotated, Final

import typer

from audit.cli.failures import ExitCode
from audit.cli.formats.rows import print_record
from audit.cli.ingest import cloudtrail, mapping
from audit.cli.ingest.calls import Ingest, Tally
from audit.cli.ingest.lines import Line, read_lines
from audit.cli.ingest.source import Source, open_source
from audit.cli.options import AcceptClock, CheckpointFile, DataDir, Format, Keys, Origin, Url, signing_of, topics_of
from audit.cli.store import open_log
from audit.cli.terminal import complain, progress, write
from audit.model.errors import InvalidParameter

__all__ = ["Preset", "ingest"]


class Preset(StrEnum):
    """Shapes of lines that are known by name."""

    CLOUDTRAIL = "cloudtrail"


_PRESETS: Final[dict[Preset, mapping.Mapping]] = {Preset.CLOUDTRAIL: cloudtrail.to_event}
_LINES_PER_LOOK: Final = 100
"""Lines between two updates of the progress bar."""


def ingest(  # noqa: PLR0917 - each is an option
    path: Annotated[
        str, typer.Argument(metavar="FILE", help="JSON lines, gzip or not; - is standard input.", show_default=False)
    ],
    data: DataDir = None,
    url: Url = None,
    chosen: Annotated[Format, typer.Option("--format", help="Of the summary.")] = Format.TABLE,
    preset: Annotated[
        Preset | None, typer.Option("--preset", help="What the lines are; NewEvents if this and --topic are left out.")
    ] = None,
    topic: Annotated[
        list[str] | None,
        typer.Option("--topic", metavar="A/B/C", help="Lines are any objects: put them under this; repeat for more."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first bad line.")] = False,
    keys: Annotated[
        bool, typer.Option("--keys/--no-keys", help="Recognise lines of this file that were ingested before.")
    ] = True,
    key: Keys = None,
    origin: Origin = None,
    checkpoint_file: CheckpointFile = None,
    accept_clock: AcceptClock = False,
) -> None:
    """Append the events of a file. Bad lines are reported and skipped; what is there already is not appended again."""
    if preset is not None and topic:
        raise InvalidParameter("--topic", f"give either --topic or --preset {preset}, which has its own topics")
    signing = signing_of(key or (), origin, checkpoint_file)
    with open_source(path) as source, open_log(data, url, accept_clock=accept_clock, signing=signing) as log:

        def report(number: int, problem: str) -> None:
            complain(f"error: {source.name}: line {number}: {problem}")

        run = Ingest(log, _mapping(source, preset, topic, keys=keys), report, strict=strict)
        try:
            with progress(f"ingesting {source.name}", source.size) as advance:
                run.run(_watched(source, advance))
        finally:
            # Whatever ends it, what is in the log by then is said.
            _print(run.tally, chosen)
    if run.tally.bad:
        raise typer.Exit(ExitCode.FINDINGS)


def _mapping(source: Source, preset: Preset | None, topic: list[str] | None, *, keys: bool) -> mapping.Mapping:
    if preset is not None:
        return _PRESETS[preset]
    topics = topics_of(topic)
    chosen = mapping.events_as_given if topics is None else mapping.objects_under(topics)
    return mapping.keyed(chosen, f"{source.identity}\0{topics}") if keys else chosen


def _watched(source: Source, advance: Callable[[int, int | None], None]) -> Iterator[Line]:
    """Yield the source's lines, and tell now and then how far they have come."""
    for line in read_lines(source.read):
        if line.number % _LINES_PER_LOOK == 0:
            advance(line.number if source.size is None else source.position(), source.size)
        yield line


def _print(tally: Tally, chosen: Format) -> None:
    if chosen is Format.TABLE:
        text = f"{tally.appended:,} appended, {tally.known:,} already there, {tally.bad:,} bad lines\n"
        write(text.encode())
    else:
        print_record(chosen, {"appended": tally.appended, "already_there": tally.known, "bad_lines": tally.bad})
