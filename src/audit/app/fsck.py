"""Checking a store that nobody has open."""

from __future__ import annotations

import os
from collections.abc import Callable

from audit.app.directory import Directory
from audit.model.errors import StoreCorrupt
from audit.storage.fsck import Finding, Report
from audit.storage.options import StoreOptions

__all__ = ["check_store"]


def check_store(path: str | os.PathLike[str], on_progress: Callable[[int, int], None] | None = None) -> Report:
    """Read every record of a store and compare it with what follows from its events. Repairs nothing.

    Args:
        path: The store's directory.
        on_progress: Called with events read and events there are.

    Returns:
        What was read, and every finding. A store too damaged to be opened is a finding, too.

    Raises:
        StoreMissing, StoreLocked, StoreFormat, Unavailable: it can't be opened for another reason.
    """
    try:
        storage = Directory(path, StoreOptions()).open()
    except StoreCorrupt as error:
        return Report(0, 0, [Finding(error.record, error.problem)])
    try:
        return storage.check(on_progress)
    finally:
        storage.close()
