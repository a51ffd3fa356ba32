"""Checking every record of an open log, as of one moment, while appends and reads go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from audit.model.errors import Unavailable
from audit.storage.fsck import Report
from audit.storage.leveldb import LevelDBStorage
from audit.storage.port import Storage

if TYPE_CHECKING:
    from audit.log.core import LogCore

__all__ = ["check_open_log"]


def check_open_log(core: LogCore, on_progress: Callable[[int, int], None], pause: Callable[[], None]) -> Report:
    """Check every record of an open log; blocks. After a fence it begins anew.

    Args:
        core: The log.
        on_progress: Called with events read and events there are.
        pause: Called every few hundred records, so that whoever waits for the interpreter gets it.

    Raises:
        StoreClosed: the log was closed meanwhile.
        Unavailable: it is fenced, or not kept on disk.
    """

    def work(storage: Storage) -> Report:
        if not isinstance(storage, LevelDBStorage):
            raise Unavailable("only a log on disk has records to check")
        return storage.check(on_progress, pause)

    return core.handle.read(work)
