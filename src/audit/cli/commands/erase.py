"""`audit erase`: the payloads of some events, or of all events of an actor, destroyed for good."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Annotated

import typer

from audit.cli.compose import named
from audit.cli.formats.events import default_format
from audit.cli.formats.rows import print_record, print_rows
from audit.cli.options import CheckpointFile, DataDir, Format, FormatOption, Keys, Origin, Url, signing_of
from audit.cli.store import AnyLog, open_log
from audit.cli.terminal import person_at
from audit.codec.events import event_id_text
from audit.model.errors import InvalidParameter
from audit.model.event import MAX_ERASED, Actor, Erased
from audit.model.query import MAX_LIMIT

__all__ = ["erase"]

_COLUMNS = ("erased", "id", "index")


def erase(  # noqa: PLR0917 - each is an option
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID…]", help="Ids of the events.", show_default=False)
    ] = None,
    data: DataDir = None,
    url: Url = None,
    chosen: FormatOption = None,
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="TEXT", help="Why; it is kept, so name nobody in it.")
    ] = None,
    actor_id: Annotated[
        str | None, typer.Option("--actor-id", metavar="ID", help="In place of ids: all events of this actor.")
    ] = None,
    by: Annotated[str | None, typer.Option("--by", metavar="TYPE:ID[:NAME]", help="Who erases; it is kept.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    key: Keys = None,
    origin: Origin = None,
    checkpoint_file: CheckpointFile = None,
) -> None:
    """Destroy the payloads of events; ids, topics and hashes stay, and an event says who did it and why."""
    if bool(ids) == (actor_id is not None):
        raise InvalidParameter("ID", "give the ids of events, or --actor-id, and not both")
    if reason is None:
        raise InvalidParameter("--reason", "is missing: it is kept in place of what is erased")
    who = None if by is None else named(by, Actor, "--by")
    with open_log(data, url, signing=signing_of(key or (), origin, checkpoint_file)) as log:
        found = ids or _events_of(log, actor_id or "")
        _confirm(len(found), yes=yes)
        done = []
        while found:
            done += [_erase(log, found[at : at + MAX_ERASED], reason, who) for at in range(0, len(found), MAX_ERASED)]
            # Of an actor, events may have come meanwhile.
            found = [] if ids else _events_of(log, actor_id or "")
    _print(done, chosen or default_format())


def _events_of(log: AnyLog, actor_id: str) -> list[str]:
    """Return the ids of an actor's events; those that were erased are not found any more."""
    return [event_id_text(event).decode() for event in _found(log, actor_id)]


def _found(log: AnyLog, actor_id: str) -> Iterator[bytes]:
    page = log.list(filter={"actor": actor_id}, limit=MAX_LIMIT)
    yield from page.slices
    while page.has_more:
        page = log.list(filter={"actor": actor_id}, limit=MAX_LIMIT, cursor=page.cursor)
        yield from page.slices


def _confirm(count: int, *, yes: bool) -> None:
    if yes or not count:
        return
    if not person_at(sys.stdin):
        raise InvalidParameter("--yes", f"{count} events would be erased, and there is no way back: say --yes")
    if not typer.confirm(f"Erase {count} events? There is no way back.", err=True):
        raise typer.Exit


def _erase(log: AnyLog, ids: list[str], reason: str, who: Actor | None) -> Erased:
    try:
        return log.erase(ids, reason=reason, actor=who)
    except InvalidParameter as error:
        names = {"reason": "--reason", "ids": "ID", "actor": "--by"}
        name = names.get(error.parameter.split(".")[0].split("[")[0], error.parameter)
        raise type(error)(name, error.problem) from error


def _print(done: list[Erased], chosen: Format) -> None:
    rows = [
        {"erased": one.erased, "id": one.receipt and one.receipt.id, "index": one.receipt and one.receipt.index}
        for one in done
    ] or [{"erased": 0, "id": None, "index": None}]
    if chosen is Format.TABLE:
        for row in rows:
            print_record(chosen, row)
    else:
        print_rows(chosen, _COLUMNS, rows)
