"""The LevelDB binding of this interpreter: plyvel up to CPython 3.11, plyvel-next from 3.12 on. Imported here only."""

from __future__ import annotations

import sys

if sys.version_info >= (3, 12):
    import plyvel_next as plyvel
else:
    import plyvel

__all__ = ["driver_version", "error_text", "plyvel"]


def driver_version() -> str:
    """Return the names and versions of the binding and of LevelDB."""
    leveldb = getattr(plyvel, "__leveldb_version__", "of an unknown version")
    return f"{plyvel.__name__.partition('.')[0]} {getattr(plyvel, '__version__', '?')}, LevelDB {leveldb}"


def error_text(error: BaseException) -> str:
    """Return what a driver's error says, which may be bytes."""
    raw = error.args[0] if error.args else error
    return raw.decode(errors="replace") if isinstance(raw, bytes) else str(raw)
