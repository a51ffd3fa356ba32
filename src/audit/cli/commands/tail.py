"""`audit tail`: the newest events, and with -f those to come, until it is interrupted or nobody reads on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Final

import typer

from audit.cli import options
from audit.cli.cursorfile import CursorFile, whole
from audit.cli.formats.events import event_writer
from audit.cli.options import DataDir, FormatOption, Url, as_options, bound_of, filter_of, topics_of
from audit.cli.store import AnyLog, open_log
from audit.cli.terminal import flush, reader_left
from audit.codec.events import event_id_text
from audit.log.tail import Batch, CaughtUp, End
from audit.model.errors import InvalidParameter
from audit.model.query import MAX_LIMIT, Filter
from audit.model.topic import Topic

__all__ = ["tail"]

_NEWEST: Final = 10
_LOOK_S: Final = 1.0
"""How often a tail with nothing to print looks whether somebody still reads its output."""


def tail(  # noqa: PLR0917 - each is an option
    data: DataDir = None,
    url: Url = None,
    chosen: FormatOption = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with what is appended from now on.")] = False,
    newest: Annotated[
        int, typer.Option("-n", "--lines", metavar="0-1000", help="How many events to start with.")
    ] = _NEWEST,
    topic: options.Topics = None,
    seek: Annotated[
        str | None,
        typer.Option("--seek", metavar="BOUND", help="Start here instead: an id, a time, milliseconds, or now."),
    ] = None,
    cursor: options.Cursor = None,
    cursor_file: Annotated[
        Path | None,
        typer.Option(
            "--cursor-file", metavar="FILE", help="Go on where the run before ended that had this file; keep it."
        ),
    ] = None,
    actor: options.Actor = None,
    action: options.Action = None,
    outcome: options.Outcome = None,
    target: options.Target = None,
    request_id: options.RequestId = None,
) -> None:
    """Print the newest events, oldest first; with -f, go on for ever."""
    if cursor is not None and cursor_file is not None:
        raise InvalidParameter("--cursor", "give either --cursor or --cursor-file, not both")
    remembered = None if cursor_file is None else CursorFile(cursor_file)
    if remembered is not None:
        cursor = remembered.cursor
    with open_log(data, url) as log, as_options(), _as_cursor_file(remembered):
        topics = topics_of(topic)
        wanted = filter_of(actor=actor, action=action, outcome=outcome, target=target, request_id=request_id)
        start = bound_of(seek)
        if seek is None and cursor is None:
            start = _start_of_newest(log, newest, topics, wanted)
        writer = event_writer(chosen)
        with log.subscribe(topics=topics, seek=start, cursor=cursor, filter=wanted) as events:
            while not reader_left():
                notice = events.read(max_events=MAX_LIMIT, timeout_s=_LOOK_S)
                with whole() if remembered is not None else nullcontext():
                    if isinstance(notice, Batch):
                        writer.write(notice.slices)
                        flush()
                    if remembered is not None:
                        # Also when nothing came: a quiet topic's cursor moves with the log.
                        remembered.save(events.cursor)
                if isinstance(notice, End) or (isinstance(notice, CaughtUp) and not follow):
                    break
        writer.close()


@contextmanager
def _as_cursor_file(remembered: CursorFile | None) -> Iterator[None]:
    """Name the file in errors about the cursor that was in it."""
    try:
        yield
    except InvalidParameter as error:
        if remembered is None or error.parameter != "cursor":
            raise
        raise type(error)("--cursor-file", f"{remembered.path}: {error.problem}") from error


def _start_of_newest(log: AnyLog, count: int, topics: list[Topic] | None, wanted: Filter) -> str | None:
    """Return the bound that the newest `count` events start at; None, the log's beginning, if not one matches."""
    if not 0 <= count <= MAX_LIMIT:
        raise InvalidParameter("--lines", f"must be 0-{MAX_LIMIT}, got {count}")
    start = None if count else "now"
    cursor = None
    while count:
        page = log.list(topics=topics, order="desc", limit=count, cursor=cursor, filter=wanted)
        if page.slices:
            start = event_id_text(page.slices[-1]).decode()
        if not page.has_more:
            break
        count -= len(page)
        cursor = page.cursor
    return start
