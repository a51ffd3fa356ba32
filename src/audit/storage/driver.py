"""The LevelDB binding of this interpreter: plyvel up to CPython 3.11, plyvel-next from 3.12 on. Imported here only.

Its errors become ours here, too.
"""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Final

from audit.model.errors import StoreCorrupt, Unavailable

if sys.version_info >= (3, 12):
    import plyvel_next as plyvel
else:
    import plyvel

__all__ = ["Reading", "driver_version", "error_text", "plyvel", "reading"]


def driver_version() -> str:
    """Return the names and versions of the binding and of LevelDB."""
    leveldb = getattr(plyvel, "__leveldb_version__", "of an unknown version")
    return f"{plyvel.__name__.partition('.')[0]} {getattr(plyvel, '__version__', '?')}, LevelDB {leveldb}"


def error_text(error: BaseException) -> str:
    """Return what a driver's error says, which may be bytes."""
    raw = error.args[0] if error.args else error
    return raw.decode(errors="replace") if isinstance(raw, bytes) else str(raw)


class Reading:
    """Turns a driver's error while reading into one of ours. A generator would do, at ten times the cost a page."""

    def __init__(self, record: str) -> None:
        """Take what is being read, for the error to name."""
        self._record = record

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            return
        if isinstance(error, plyvel.CorruptionError):
            raise StoreCorrupt(self._record, error_text(error)) from error
        if isinstance(error, plyvel.Error):
            raise Unavailable(f"can't read the store: {error_text(error)}") from error


reading: Final = Reading("the database")
