"""`audit backup` and `audit restore`: a log as a file, and the same log from it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer

from audit.app import Audit
from audit.app.restore import restore_store
from audit.cli.credentials import token
from audit.cli.formats.events import default_format
from audit.cli.formats.rows import print_record
from audit.cli.options import DataDir, FormatOption, NoUrl, Url, located
from audit.cli.terminal import flush, person_at, progress, write
from audit.codec.backups import Decoder
from audit.log.backup import Since
from audit.log.backupfile import BackupInfo, as_since, info_of, new_file, whole_backup
from audit.model.errors import InvalidParameter

__all__ = ["backup", "restore", "target_of"]

_STDOUT: Final = Path("-")

Advance = Callable[[int, int | None], None]


def backup(
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="A new file; - is standard output.")],
    data: DataDir = None,
    url: Url = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="FILE|N", help="Only what came after this backup, or after N events."),
    ] = None,
    chosen: FormatOption = None,
) -> None:
    """Write the log, as it is now, to one file that `audit restore` makes the same log of."""
    if to == _STDOUT and person_at(sys.stdout):
        raise InvalidParameter("--to", "a terminal can't take a backup: give a file, or a pipe")
    begin = _beginning(since)
    with progress("backing up", None) as advance, _as_options():
        info = _served(url, to, begin, advance) if url is not None else _own(data, to, begin, advance)
    if to != _STDOUT:
        print_record(chosen or default_format(), {**info._asdict(), "path": str(to)})


def restore(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE…", help="A full backup, then each increment.", show_default=False)
    ],
    data: DataDir = None,
    chosen: FormatOption = None,
    erasures: Annotated[
        Path | None,
        typer.Option("--erasures", metavar="FILE", help="Erase again what these events under audit/erased name."),
    ] = None,
    _url: NoUrl = None,
) -> None:
    """Create the store that was backed up, with the same ids: whatever asks it gets the same answers."""
    path = located(data)
    with progress("restoring", None) as advance, _as_options():
        info = restore_store(path, files, advance, erasures=erasures)
    print_record(chosen or default_format(), {**info._asdict(), "path": str(path)})


def _beginning(since: str | None) -> Since | None:
    if since is None:
        return None
    digits = since.isascii() and since.isdigit()
    with _as_options():
        return as_since(int(since) if digits and not Path(since).exists() else Path(since))


def _own(data: Path | None, to: Path, since: Since | None, advance: Advance) -> BackupInfo:
    with Audit.open_sync(located(data)) as log:
        made = log.start_backup(since)
        with target_of(to) as put:
            for piece in made:
                put(piece)
                advance(made.done, made.events)
        return info_of(made.header, made.hash)


def _served(url: str, to: Path, since: Since | None, advance: Advance) -> BackupInfo:
    from audit.client.upkeep import fetch_backup  # noqa: PLC0415 - an extra

    done = 0
    with fetch_backup(url, since, token=token()) as read, target_of(to) as put:

        def copied(count: int) -> bytes:
            nonlocal done
            found = read(count)
            put(found)
            done += len(found)
            return found

        # Read as a restore reads it: what is not whole gets no name.
        return whole_backup(Decoder(copied, url), lambda: advance(done, None))


@contextmanager
def target_of(to: Path) -> Iterator[Callable[[bytes], object]]:
    """Yield what writes to a new file, or to standard output for `-`."""
    if to == _STDOUT:
        yield write
        flush()
    else:
        with new_file(to, "--to") as file:
            yield file.write


@contextmanager
def _as_options() -> Iterator[None]:
    try:
        yield
    except InvalidParameter as error:
        names = {
            "since": "--since",
            "since_id": "--since",
            "since_hash": "--since",
            "backups": "FILE",
            "url": "--url",
            "erasures": "--erasures",
        }
        raise type(error)(names.get(error.parameter, error.parameter), error.problem) from error
