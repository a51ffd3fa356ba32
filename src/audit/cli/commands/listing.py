"""`audit list`: a page of events, or with --all every page there is."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from audit.cli import options
from audit.cli.formats.events import default_format, event_writer
from audit.cli.options import DataDir, Format, FormatOption, Url, as_options, bound_of, filter_of, topics_of
from audit.cli.store import open_log
from audit.cli.terminal import hint
from audit.model.errors import InvalidParameter
from audit.model.query import MAX_LIMIT, check_limit

__all__ = ["list_events"]

_PAGE: Final = 100


def list_events(  # noqa: PLR0917 - each is an option
    data: DataDir = None,
    url: Url = None,
    chosen: FormatOption = None,
    topic: options.Topics = None,
    seek: options.Seek = None,
    seek_end: options.SeekEnd = None,
    inclusive: options.Inclusive = "left",
    order: options.Order = "asc",
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="1-1000", help=f"Events of the page; {_PAGE} by itself.")
    ] = None,
    cursor: options.Cursor = None,
    everything: Annotated[bool, typer.Option("--all", help="All pages, to the end.")] = False,
    actor: options.Actor = None,
    action: options.Action = None,
    outcome: options.Outcome = None,
    target: options.Target = None,
    request_id: options.RequestId = None,
) -> None:
    """Print events by topic, time and field, one page or all of them."""
    if everything and limit is not None:
        raise InvalidParameter("--limit", "is the size of a page; --all prints all of them")
    chosen = chosen or default_format()
    with open_log(data, url) as log, as_options():
        left = None if everything else check_limit(_PAGE if limit is None else limit)
        writer = None
        while True:
            page = log.list(
                topics=topics_of(topic),
                seek=bound_of(seek),
                seek_end=bound_of(seek_end),
                inclusive=inclusive,
                order=order,
                limit=left or MAX_LIMIT,
                cursor=cursor,
                filter=filter_of(actor=actor, action=action, outcome=outcome, target=target, request_id=request_id),
            )
            # Only now: a query that is refused prints nothing at all.
            writer = writer or event_writer(chosen)
            writer.write(page.slices)
            cursor = page.cursor
            # A page may be short, or empty, before the end: what was asked for is a number of events.
            left = None if left is None else left - len(page)
            if not page.has_more or left == 0:
                break
        writer.close()
    if page.has_more and chosen is Format.TABLE:
        hint(f"there may be more: repeat with --cursor {cursor}")
