"""Backups as files: written beside their place, synced, and given their name last: a file of that name is whole."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

from audit.codec.backups import BackupHeader, Decoder
from audit.log.backup import Backup, Since
from audit.log.durable import sync_directory
from audit.model.errors import InvalidParameter, Unavailable

if TYPE_CHECKING:
    from audit.log.core import LogCore

__all__ = [
    "BackupInfo",
    "Progress",
    "as_since",
    "end_of",
    "info_of",
    "new_file",
    "save_backup",
    "whole_backup",
]

Progress = Callable[[int, int | None], None]
_BUFFER_BYTES: Final = 1 << 20


class BackupInfo(NamedTuple):
    """What a whole backup holds.

    Attributes:
        store_id: Id of the store.
        first_index: Index of its first event.
        events: Events in it.
        size: Events of the log, with the last one in it.
        last_id: Id of that one; None: the log was empty.
        hash: Names the backup, in hexadecimal.
    """

    store_id: str
    first_index: int
    events: int
    size: int
    last_id: str | None
    hash: str


def info_of(header: BackupHeader, hash_text: str) -> BackupInfo:
    """Return what a backup holds, by its header and its last hash."""
    first = header.first_index
    return BackupInfo(header.store_id, first, header.size - first, header.size, header.last_id, hash_text)


@contextlib.contextmanager
def new_file(path: Path, parameter: str = "path") -> Iterator[BinaryIO]:
    """Open a file that gets its name when all of it is on disk, and vanishes if anything fails before.

    Raises:
        InvalidParameter: there is something at `path` already.
        Unavailable: it can't be written.
    """
    temporary = path.parent / f".{path.name}.{os.urandom(4).hex()}.part"
    try:
        if path.exists():
            raise InvalidParameter(parameter, f"{path} is there already")
        with _removed_on_error(temporary):
            # Whoever may not read the store may not read its backup.
            with open(temporary, "xb", opener=_private) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(path)
        sync_directory(path.parent)
    except OSError as error:
        raise Unavailable(f"can't write {path}: {error.strerror or error}") from error


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


@contextlib.contextmanager
def _removed_on_error(path: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def save_backup(
    core: LogCore, path: str | os.PathLike[str], since: object = None, on_progress: Progress | None = None
) -> BackupInfo:
    """Write a backup of an open log to a new file. Blocks; see `Audit.backup`."""
    backup = Backup(core, as_since(since, core.meta.store_id))
    with new_file(Path(path)) as file:
        for piece in backup:
            file.write(piece)
            if on_progress is not None:
                on_progress(backup.done, backup.events)
    return info_of(backup.header, backup.hash)


def as_since(since: object, store_id: str | None = None) -> Since | None:
    """Return what `since` stands for: a number of events, or a backup's file, all of which is read and checked.

    Raises:
        InvalidParameter: it is neither, or the backup is of another store.
        BackupInvalid: the backup is damaged.
    """
    if since is None or isinstance(since, Since):
        return since
    if isinstance(since, int) and not isinstance(since, bool):
        return Since(since)
    if not isinstance(since, str | os.PathLike):
        raise InvalidParameter("since", f"must be a number of events or a backup's file, got {since!r:.60}")
    info = end_of(Path(since))
    if store_id is not None and info.store_id != store_id:
        raise InvalidParameter("since", f"{os.fspath(since)} is a backup of store {info.store_id}, not of {store_id}")
    return Since(info.size, info.last_id, info.hash)


def end_of(path: Path) -> BackupInfo:
    """Read a whole backup, checking all hashes, and return what it holds.

    Raises:
        BackupInvalid: it is damaged.
        InvalidParameter: it can't be read.
    """
    try:
        with path.open("rb", buffering=_BUFFER_BYTES) as file:
            return whole_backup(Decoder(file.read, str(path)))
    except OSError as error:
        raise InvalidParameter("since", f"can't read {path}: {error.strerror or error}") from error


def whole_backup(decoder: Decoder, on_block: Callable[[], None] | None = None) -> BackupInfo:
    """Read a backup to its end, checking all hashes, and return what it holds."""
    for _ in decoder.blocks():
        if on_block is not None:
            on_block()
    return info_of(decoder.header, decoder.hash)
