"""Opening the store that a command is about."""

from __future__ import annotations

from pathlib import Path

from audit.app import Audit
from audit.cli.options import located
from audit.log.sync import SyncAudit

__all__ = ["open_store"]


def open_store(data: Path | None, *, accept_clock: bool = False) -> SyncAudit:
    """Open the store in `data`, which must be there; the caller closes it.

    Raises:
        InvalidParameter: no directory was given.
        StoreError: there is no store, or another process holds it, or it can't be read.
    """
    return Audit.open_sync(located(data), accept_clock=accept_clock)
