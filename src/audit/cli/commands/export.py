"""`audit export`: events with their proofs in one file, for whoever is to check them without the log."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from audit.cli import options
from audit.cli.commands.backup import target_of
from audit.cli.commands.proof import warn_unsigned
from audit.cli.options import DataDir, Url, as_options, bound_of, filter_of, topics_of
from audit.cli.store import AnyLog, open_log
from audit.cli.terminal import person_at, progress
from audit.codec.events import event_index
from audit.model.errors import InvalidParameter
from audit.model.query import MAX_LIMIT, Filter
from audit.model.topic import Topic
from audit.proof.checkpoints import read_checkpoint
from audit.proof.exports import encode_end, encode_head, encode_run

__all__ = ["export"]

_STDOUT = Path("-")


def export(  # noqa: PLR0917 - each is an option
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="A new file; - is standard output.")],
    data: DataDir = None,
    url: Url = None,
    topic: options.Topics = None,
    seek: options.Seek = None,
    seek_end: options.SeekEnd = None,
    inclusive: options.Inclusive = "left",
    actor: options.Actor = None,
    action: options.Action = None,
    outcome: options.Outcome = None,
    target: options.Target = None,
    request_id: options.RequestId = None,
    keys: options.Keys = None,
    origin: options.Origin = None,
    checkpoint_file: options.CheckpointFile = None,
) -> None:
    """Write events as JSON lines, with a checkpoint and their proofs: `audit verify` checks them without the log."""
    if to == _STDOUT and person_at(sys.stdout):
        raise InvalidParameter("--to", "a terminal is no place for an export: give a file, or a pipe")
    chosen = filter_of(actor=actor, action=action, outcome=outcome, target=target, request_id=request_id)
    signing = options.signing_of(keys or (), origin, checkpoint_file)
    with open_log(data, url, signing=signing) as log, as_options(), progress("exporting", None) as advance:
        note = log.checkpoint()
        size = read_checkpoint(note).size
        total = 0
        with target_of(to) as put:
            put(encode_head(note))
            pages = _pages(log, size, topics_of(topic), (bound_of(seek), bound_of(seek_end), inclusive), chosen)
            for events in pages:
                put(encode_run(events, log.selection([event_index(event) for event in events], size)))
                total += len(events)
                advance(total, None)
            put(encode_end(total))
    warn_unsigned(note)


def _pages(
    log: AnyLog,
    size: int,
    topics: list[Topic] | None,
    bounds: tuple[str | int | None, str | int | None, str],
    chosen: Filter,
) -> Iterator[list[bytes]]:
    """Yield the events that the checkpoint covers, page by page."""
    seek, seek_end, inclusive = bounds
    cursor = None
    while True:
        page = log.list(
            topics=topics,
            seek=seek,
            seek_end=seek_end,
            inclusive=inclusive,
            limit=MAX_LIMIT,
            cursor=cursor,
            filter=chosen,
        )
        events = [event for event in page.slices if event_index(event) < size]
        if events:
            yield events
        if not page.has_more or len(events) < len(page):
            return
        cursor = page.cursor
