"""`audit doctor`: what may be wrong around a store, and what to do about it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import typer

from audit.app.doctor import Look, clock_look, examine_machine, examine_store
from audit.cli.failures import ExitCode
from audit.cli.formats.events import default_format
from audit.cli.formats.rows import print_rows
from audit.cli.options import DataDir, Format, FormatOption, Url
from audit.cli.store import Unreachable, open_log
from audit.cli.terminal import printable, write
from audit.log.clock import SystemClock
from audit.log.sync import SyncAudit
from audit.model.errors import AuditError, Unavailable
from audit.model.ids import parse_id

__all__ = ["doctor"]

_COLUMNS = ("check", "well", "found", "remedy")


def doctor(data: DataDir = None, url: Url = None, chosen: FormatOption = None) -> None:
    """Look at the parts, the machine, and the store or server given; exit with 1 if anything needs to be done."""
    looks = list(examine_machine())
    if data is not None:
        looks += examine_store(data)
    if url is not None:
        looks += _server(url)
    chosen = chosen or default_format()
    if chosen is Format.TABLE:
        _print(looks)
    else:
        rows = [dict(zip(_COLUMNS, (one.name, one.well, one.found, one.remedy), strict=True)) for one in looks]
        print_rows(chosen, _COLUMNS, rows)
    if not all(one.well for one in looks):
        raise typer.Exit(ExitCode.FINDINGS)


def _server(url: str) -> Iterator[Look]:
    began = time.perf_counter()
    try:
        with open_log(None, url) as log:
            if isinstance(log, SyncAudit):
                raise TypeError("a URL is no directory")
            told = log.server_info()
    except Unreachable as error:
        yield Look("server", str(error), well=False, remedy="is it running there? audit serve starts one")
        return
    except AuditError as error:
        yield Look("server", str(error), well=False, remedy="check the URL, and what this client may do there")
        return
    took = (time.perf_counter() - began) * 1000
    yield Look("server", f"{told.name} {told.version}, {told.protocol}, answered in {took:.0f} ms")
    store = told.store
    yield Look("store", f"{store.id}, {store.size} events")
    if store.last_id is not None:
        yield clock_look(parse_id(store.last_id), SystemClock())
    yield _ready(url)


def _ready(url: str) -> Look:
    from audit.client.upkeep import fetch_ready  # noqa: PLC0415 - an extra

    try:
        reason = fetch_ready(url)
    except Unavailable as error:
        return Look("appends", str(error), well=False, remedy="look at the server's log")
    if reason is None:
        return Look("appends", "are taken")
    return Look("appends", f"are refused: {reason}", well=False, remedy="audit doctor --data on the server says more")


def _print(looks: list[Look]) -> None:
    width = max(len(one.name) for one in looks)
    lines = []
    for one in looks:
        lines.append(f"{'ok ' if one.well else 'BAD'}  {one.name:<{width}}  {printable(one.found)}\n")
        if one.remedy and not one.well:
            lines.append(f"     {'':<{width}}  -> {printable(one.remedy)}\n")
    write("".join(lines).encode(errors="backslashreplace"))
