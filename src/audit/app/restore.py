"""A store from backups: made beside its place, checked event by event, and given its name last; or not at all.

Ids are not assigned again: the same commits are applied as the writer once did, so segments, posting lists, counts and
receipts come out the same.
"""

from __future__ import annotations

import os
import shutil
from bisect import bisect_left
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from audit.app.erasures import apply_erasures, read_erasures
from audit.codec.backups import BackupHeader, Decoder
from audit.codec.commits import Commit
from audit.codec.erasing import erased_ids
from audit.codec.events import decode_event, event_value, is_erased
from audit.codec.segments import Segment
from audit.log.core import StoreInfo
from audit.log.deciding import apply_commit
from audit.log.durable import sync_directory
from audit.log.erasing import erase_in_memory
from audit.log.recovery import first_id_of
from audit.model.errors import (
    AuditError,
    BackupInvalid,
    InvalidParameter,
    OutcomeUnknown,
    StoreExists,
    StoreFormat,
    Unavailable,
)
from audit.model.ids import format_id, parse_id
from audit.proof.frontier import Frontier
from audit.proof.leaves import leaf_hashes
from audit.storage.gather import position_of
from audit.storage.opening import create_store, open_store
from audit.storage.options import StoreOptions
from audit.storage.port import FORMAT, Batch, Erasure, Storage

__all__ = ["restore_store"]

_LOG: Final = "log"
_RECORD: Final = b'["audit","erased"]'
"""In each event that records an erasure, and in hardly any other."""
_BUFFER_BYTES: Final = 1 << 20
_OPTIONS: Final = StoreOptions()


def restore_store(
    path: str | os.PathLike[str],
    backups: Sequence[str | os.PathLike[str]],
    on_progress: Callable[[int, int | None], None] | None = None,
    *,
    erasures: str | os.PathLike[str] | None = None,
) -> StoreInfo:
    """Create the store that was backed up; it answers everything as that one did. Blocks.

    It has the same id, so that cursors stay valid: never append to both. What an increment records as erased is erased
    in what comes before it, too.

    Args:
        path: A directory that does not exist yet, or is empty.
        backups: Files: a full backup, then each increment in its order.
        on_progress: Called with events restored so far and events there will be in the file being read.
        erasures: A file of JSON lines with the events under `audit/erased` that came after the backups: what they name
            is erased once more, and recorded once more.

    Raises:
        BackupInvalid: a file is damaged, of another store, or does not go on where the one before ends.
        StoreExists: the directory is not empty.
        StoreFormat: the store was of another version of the format.
        InvalidParameter: no file was given, or one can't be read, or `erasures` holds anything else.
        Unavailable: the store can't be written.
        None of them leaves anything behind.
    """
    target = Path(path).absolute()
    if not backups:
        raise InvalidParameter("backups", "name the full backup first")
    listed = [] if erasures is None else read_erasures(Path(erasures))
    temporary = target.parent / f".{target.name}.{os.urandom(4).hex()}.restoring"
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise StoreExists(f"{target} is not empty")
        temporary.mkdir(parents=True)
        try:
            info = _Restoring(temporary / _LOG, on_progress).run(backups)
            if listed:
                info = apply_erasures(temporary / _LOG, listed, _OPTIONS)
            sync_directory(temporary)
            # An empty directory is replaced; one that got something meanwhile is not.
            temporary.rename(target)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        sync_directory(target.parent)
    except OSError as error:
        raise Unavailable(f"can't restore into {target}: {error.strerror or error}") from error
    except OutcomeUnknown as error:
        raise Unavailable(f"can't restore into {target}: {error}") from error
    return info


class _Restoring:
    """A store under way: the head, and what must come next."""

    def __init__(self, log_path: Path, on_progress: Callable[[int, int | None], None] | None) -> None:
        self._log_path = log_path
        self._on_progress = on_progress
        self._storage: Storage | None = None
        self._before: BackupHeader | None = None
        self._hash = ""
        self._head = Segment(0)
        self._tree = Frontier()
        self._size = 0
        self._last_id = -1
        self._erased = False

    def run(self, backups: Sequence[str | os.PathLike[str]]) -> StoreInfo:
        """Restore all files, in their order."""
        try:
            for name in backups:
                self._file(Path(name))
            return self._finish()
        finally:
            if self._storage is not None:
                self._storage.close()

    def _file(self, path: Path) -> None:
        try:
            file = path.open("rb", buffering=_BUFFER_BYTES)
        except OSError as error:
            raise InvalidParameter("backups", f"can't read {path}: {error.strerror or error}") from error
        with file:
            decoder = Decoder(file.read, str(path))
            header = decoder.header
            self._check(header, decoder)
            storage = self._opened(header)
            for commit in decoder.commits():
                self._apply(storage, commit)
                if self._on_progress is not None:
                    self._on_progress(self._size, header.size)
            self._before, self._hash = header, decoder.hash

    def _opened(self, header: BackupHeader) -> Storage:
        if self._storage is None:
            create_store(self._log_path, header.store_id, header.layout)
            self._storage = open_store(self._log_path, _OPTIONS)
        return self._storage

    def _check(self, header: BackupHeader, decoder: Decoder) -> None:
        """Check that this is what must come next."""

        def invalid(problem: str) -> BackupInvalid:
            return BackupInvalid(decoder.name, decoder.place, problem)

        if header.store_format != FORMAT:
            raise StoreFormat(f"{decoder.name}: the store had format {header.store_format}, this version has {FORMAT}")
        before, continued = self._before, header.continues
        if before is None:
            if continued is not None:
                raise invalid(f"goes on after {continued.index} events: the backup with those comes first")
            return
        if (header.store_id, header.layout) != (before.store_id, before.layout):
            raise invalid(f"is of store {header.store_id}, the one before of {before.store_id}")
        if continued is None:
            raise invalid("is a full backup, and only the first one may be")
        if continued.index != self._size or continued.last_id != before.last_id:
            raise invalid(f"goes on after {continued.index} events, the one before ends after {self._size}")
        if continued.hash is not None and continued.hash != self._hash:
            raise invalid(f"goes on from backup {continued.hash:.16}…, the one before is {self._hash:.16}…")

    def _apply(self, storage: Storage, commit: Commit) -> None:
        leaves = leaf_hashes(commit.events)
        applied = apply_commit(self._head, self._tree, commit, leaves, storage.meta.layout)
        storage.append(applied.batch)
        self._head, self._tree = applied.head, applied.tree
        self._size += len(commit.events)
        self._last_id = event_value(commit.events[-1])
        for event in commit.events:
            if _RECORD in event:
                self._erase(storage, event)

    def _erase(self, storage: Storage, record: bytes) -> None:
        """Erase what an event says was erased; a backup of before has it still."""
        places = []
        for text in erased_ids(decode_event(record)):
            event = self._found(storage, parse_id(text))
            if event is not None and not is_erased(event):
                places.append(position_of(event))
        if places:
            (self._head,), commits = erase_in_memory((self._head,), places)
            storage.append(Batch((), None, (), erasure=Erasure(event_value(record), places, commits)))
            self._erased = True

    def _found(self, storage: Storage, event_id: int) -> bytes | None:
        if event_id < self._head.first_id:
            return storage.get(event_id)
        events = self._head.events
        at = bisect_left(events, event_id, key=event_value)
        return events[at] if at < len(events) and event_value(events[at]) == event_id else None

    def _purge(self) -> None:
        """Get what was erased out of the new store's files: by compacting them, and opening them anew."""
        storage = self._storage
        if storage is None or not self._erased:
            return
        keys = storage.purge()
        storage.close()
        self._storage = storage = open_store(self._log_path, _OPTIONS)
        storage.load()
        storage.append(Batch((), None, (), purged=keys))

    def _finish(self) -> StoreInfo:
        self._purge()
        storage = self._storage
        if storage is None:
            raise AssertionError("nothing was restored")
        found = storage.load()
        size = found.first_index + sum(len(commit.events) for _, commit in found.commits)
        if size != self._size:
            raise AuditError(f"{self._size} events were restored, the store holds {size}")
        first = first_id_of(storage)
        last_id = format_id(self._last_id) if size else None
        return StoreInfo(storage.meta.store_id, size, None if first is None else format_id(first), last_id)
