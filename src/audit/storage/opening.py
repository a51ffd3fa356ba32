"""Creating and opening a store of LevelDB: two steps, and neither ever does the other's work."""

from __future__ import annotations

import errno
import logging
import os
import shutil
from pathlib import Path
from typing import Any, Final

from audit.codec.keys import END, META
from audit.codec.segments import Layout
from audit.model.errors import StoreCorrupt, StoreExists, StoreLocked, StoreMissing, Unavailable
from audit.storage.driver import error_text, plyvel
from audit.storage.leveldb import LevelDBStorage
from audit.storage.options import StoreOptions
from audit.storage.port import FORMAT, StoreMeta
from audit.storage.records import encode_meta
from audit.storage.torn import cut_torn_tail

__all__ = ["UNFINISHED", "create_store", "open_store"]

UNFINISHED: Final = ".new-"
"""After a store's name, and before a random part: the name of one that is being created."""

_logger: Final = logging.getLogger("audit")

_TABLE_BYTES: Final = 8 * 1024 * 1024
_BLOCK_BYTES: Final = 1024


def create_store(path: Path, store_id: str, layout: Layout = Layout()) -> StoreMeta:  # noqa: B008 - immutable
    """Create an empty store in a directory that does not exist yet or is empty, and close it.

    Raises:
        StoreExists: the directory is not empty.
        Unavailable: it can't be written.
    """
    meta = StoreMeta(format=FORMAT, store_id=store_id, layout=layout)
    # Made beside its place and put there whole: what is left of a creation that fails, or is killed, is no store that
    # can neither be opened nor be created again.
    made = path.with_name(f"{path.name}{UNFINISHED}{os.urandom(8).hex()}")
    try:
        if path.exists() and any(path.iterdir()):
            raise StoreExists(f"{path} is not empty")
        made.mkdir(parents=True)
        database = plyvel.DB(str(made), create_if_missing=True, error_if_exists=True, paranoid_checks=True)
        try:
            with database.write_batch(sync=True) as batch:
                batch.put(END, b"")
                batch.put(META, encode_meta(meta))
        finally:
            database.close()
        _put_in_place(made, path)
    except (plyvel.Error, OSError) as error:
        raise Unavailable(f"can't create a store in {path}: {error_text(error)}") from error
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return meta


def _put_in_place(made: Path, path: Path) -> None:
    """Give a store its name, and have the disk keep it."""
    try:
        made.rename(path)
    except OSError as error:
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
            raise StoreExists(f"{path} was created meanwhile") from error
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def open_store(path: Path, options: StoreOptions) -> LevelDBStorage:
    """Open an existing store; never creates one.

    Raises:
        StoreMissing: the directory holds no store, or one that lost its CURRENT file.
        StoreLocked: it is open already, here or in another process.
        StoreFormat: its format is not this version's.
        StoreCorrupt: LevelDB finds it damaged.
        Unavailable: the disk can't be read, or is too full for LevelDB's recovery.
    """
    if not (path / "CURRENT").is_file():
        problem = (
            "its CURRENT file is missing: restore it from a backup" if path.is_dir() else "there is no such directory"
        )
        raise StoreMissing(f"{path} holds no store: {problem}")
    try:
        database = _open_database(path, options)
    except plyvel.CorruptionError as error:
        raise StoreCorrupt(str(path), error_text(error)) from error
    except (plyvel.Error, OSError) as error:
        text = error_text(error)
        # Only what the lock itself says: the path is in every message, and that of the file LOCK in some.
        if text.startswith("IO error: lock "):
            raise StoreLocked(f"{path} is open already: {text}") from error
        if "does not exist" in text or "missing files" in text:
            raise StoreCorrupt(str(path), text) from error
        raise Unavailable(f"can't open {path}: {text}") from error
    try:
        # LevelDB's own log of the time before: it names keys, which may since have been erased.
        (path / "LOG.old").unlink(missing_ok=True)
        return LevelDBStorage(database, options)
    except OSError as error:
        database.close()
        raise Unavailable(f"can't open {path}: {error}") from error
    except BaseException:
        database.close()
        raise


def _open_database(path: Path, options: StoreOptions) -> Any:
    """Open a database, without the write that a power cut tore, if there is one."""

    def attempt() -> Any:
        return plyvel.DB(
            str(path),
            create_if_missing=False,
            paranoid_checks=True,
            compression=None,
            write_buffer_size=options.write_buffer_bytes,
            lru_cache_size=options.driver_cache_bytes,
            max_file_size=_TABLE_BYTES,
            block_size=_BLOCK_BYTES,
            bloom_filter_bits=10,
        )

    try:
        return attempt()
    except plyvel.CorruptionError:
        torn = cut_torn_tail(path)
        if torn is None:
            raise
    try:
        database = attempt()
    except plyvel.CorruptionError:
        # Something else is damaged. Nothing is changed then.
        torn.restore()
        raise
    _logger.warning(
        "%s: a power cut tore the last write, which was not acknowledged: %s bytes from byte %s on are left out",
        torn.file,
        len(torn.content),
        torn.start,
    )
    return database
