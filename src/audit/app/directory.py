"""A store's directory: `log/` is LevelDB, `reserve` space to give up on a full disk, `holder.json` who has it open."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path
from typing import Final

import msgspec

from audit.log.room import Room
from audit.model.errors import DiskFull, StoreLocked, StoreMissing, Unavailable
from audit.storage.leveldb import LevelDBStorage
from audit.storage.opening import UNFINISHED, open_store
from audit.storage.options import StoreOptions

__all__ = ["Directory"]

_LOG: Final = "log"
_RESERVE: Final = "reserve"
_HOLDER: Final = "holder.json"


class _Holder(msgspec.Struct):
    pid: int
    command: str
    since: str


class Directory(Room):
    """The directory of one store, and the disk space under it."""

    def __init__(self, path: str | os.PathLike[str], options: StoreOptions) -> None:
        self.path = Path(path)
        self._options = options

    @property
    def log_path(self) -> Path:
        """Where LevelDB is."""
        return self.path / _LOG

    def bare(self) -> bool:
        """Whether nothing is in the directory but what creations that were killed have left."""
        return all(one.name.startswith(f"{_LOG}{UNFINISHED}") for one in self.path.iterdir())

    def open(self) -> LevelDBStorage:
        """Open the store and note down who has it.

        Raises:
            StoreMissing: the path holds no store.
            StoreLocked: the store is open already; the message says in which process.
            StoreFormat, StoreCorrupt, Unavailable: as `open_store`.
        """
        if not self.log_path.is_dir():
            found = "is no directory" if self.path.exists() and not self.path.is_dir() else "holds no store"
            raise StoreMissing(f"{self.path} {found}: create one with create=True, or `audit init`")
        try:
            storage = self._open_store()
        except StoreLocked as error:
            raise StoreLocked(f"{self.path} is open already, in {self._holder()}") from error
        self._write_holder()
        return storage

    def _open_store(self) -> LevelDBStorage:
        try:
            return open_store(self.log_path, self._options)
        except Unavailable:
            # Most likely a full disk, on which LevelDB can't write what it recovers: that is what the reserve is for.
            if not (self.path / _RESERVE).exists():
                raise
            self.release_reserve()
            return open_store(self.log_path, self._options)

    def _holder(self) -> str:
        try:
            holder = msgspec.json.decode((self.path / _HOLDER).read_bytes(), type=_Holder)
        except (OSError, msgspec.MsgspecError):
            return "another process"
        if holder.pid == os.getpid():
            return f"this process ({holder.pid}), since {holder.since}"
        return f"process {holder.pid} ({holder.command}), since {holder.since}: end it, or go through it"

    def _write_holder(self) -> None:
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        command = " ".join([Path(sys.argv[0] or "python").name, *sys.argv[1:3]])[:120]
        # Only for people; a full disk must not keep the store from opening.
        with contextlib.suppress(OSError):
            (self.path / _HOLDER).write_bytes(msgspec.json.encode(_Holder(os.getpid(), command, since)))

    @property
    def reserved_bytes(self) -> int | None:
        """Size of the reserve; None: there is none."""
        try:
            return (self.path / _RESERVE).stat().st_size
        except OSError:
            return None

    def check(self) -> None:
        """Return when the disk has room for appends.

        Raises:
            DiskFull: free space is below the watermark.
        """
        try:
            free = self._free()
        except OSError as error:
            raise Unavailable(f"{self.path}: can't tell its free space: {error}") from error
        if free < self._options.min_free_bytes:
            raise DiskFull(
                f"{self.path}: {free // 1024} KiB of disk space left, appends need "
                f"{self._options.min_free_bytes // 1024} KiB: free some; reads go on"
            )

    def _free(self) -> int:
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize

    def release_reserve(self) -> None:
        """Give up the reserve, so that LevelDB's recovery can write a table on a full disk."""
        # Without a reserve, or on a file system gone read-only, reopening is tried all the same.
        with contextlib.suppress(OSError):
            (self.path / _RESERVE).unlink()

    def restore_reserve(self) -> None:
        """Set space aside again, unless that would take the disk below the watermark."""
        path, size = self.path / _RESERVE, self._options.reserve_bytes
        try:
            if not size or (path.exists() and path.stat().st_size == size):
                return
            if self._free() < size + self._options.min_free_bytes:
                return
            with path.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, size)
        except OSError:
            # A file system without fallocate, or a disk that filled up meanwhile: work goes on without a reserve.
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
