"""`audit topics`: the tree of topics, with how many events each holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final

import typer

from audit.cli.formats.events import default_format
from audit.cli.formats.rows import print_rows
from audit.cli.options import DataDir, Format, FormatOption, Url, as_options
from audit.cli.store import AnyLog, open_log
from audit.cli.terminal import printable, write
from audit.codec.texts import instant
from audit.log.topics import TopicCount
from audit.model.errors import InvalidParameter
from audit.model.ids import recorded_at
from audit.model.query import MAX_LIMIT
from audit.model.topic import MAX_SEGMENTS, Topic, format_topic, parse_topic

__all__ = ["topics"]

_COLUMNS: Final = ("topic", "events", "first_id", "last_id")


def topics(  # noqa: PLR0917 - each is an option
    data: DataDir = None,
    url: Url = None,
    chosen: FormatOption = None,
    topic: Annotated[str, typer.Option("--topic", metavar="A/B/C", help="Only what is below this one.")] = "",
    depth: Annotated[int, typer.Option("--depth", metavar=f"1-{MAX_SEGMENTS}", help="How many levels below it.")] = 1,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="All levels.")] = False,
) -> None:
    """Print the topics below another, or the outermost, and how many events are in each and below it."""
    parent = parse_topic(topic, "--topic")
    if not 1 <= depth <= MAX_SEGMENTS:
        raise InvalidParameter("--depth", f"must be 1-{MAX_SEGMENTS}, got {depth}")
    chosen = chosen or default_format()
    with open_log(data, url) as log, as_options():
        below = _below(log, parent, MAX_SEGMENTS if recursive else depth)
        if chosen is Format.TABLE:
            _print_tree(below, parent)
        else:
            print_rows(chosen, _COLUMNS, map(_row, below))


def _below(log: AnyLog, parent: Topic, depth: int) -> Iterator[TopicCount]:
    """Yield the topics below `parent`, each right before those below it."""
    cursor = None
    while True:
        page = log.topics(parent, limit=MAX_LIMIT, cursor=cursor)
        for child in page.topics:
            yield child
            if depth > 1 and len(child.topic) < MAX_SEGMENTS:
                yield from _below(log, child.topic, depth - 1)
        if not page.has_more:
            return
        cursor = page.cursor


def _row(count: TopicCount) -> dict[str, object]:
    return {
        "topic": format_topic(count.topic),
        "events": count.events,
        "first_id": count.first_id,
        "last_id": count.last_id,
    }


def _print_tree(below: Iterator[TopicCount], parent: Topic) -> None:
    write(f"{'events':>10}  {'newest':<20}  topic\n".encode())
    for count in below:
        level = len(count.topic) - len(parent) - 1
        # Its own level alone has the full path: below that, the indent says what comes before.
        name = "  " * level + count.topic[-1] if level else format_topic(count.topic)
        newest = instant(recorded_at(count.last_id), "seconds")
        write(f"{count.events:>10,}  {newest}  {printable(name)}\n".encode())
