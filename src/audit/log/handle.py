"""Who holds the storage. While it is fenced nobody does, and readers that need the disk wait a little, then give up.

The writer fences and restores; readers come through `read`. No call reaches a handle after a write on it failed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, TypeVar

from audit.model.errors import AuditError, StoreClosed, StoreForked, Unavailable
from audit.storage.forks import abandon_after_fork
from audit.storage.port import Storage

__all__ = ["WAIT_S", "Handle"]

WAIT_S: Final = 5.0
"""How long reads and appends wait for a fenced store."""

T = TypeVar("T")


class Handle:
    """The open storage, or none while it is fenced."""

    def __init__(self, storage: Storage, opener: Callable[[], Storage]) -> None:
        """Take an open storage, and how to open it again."""
        self._condition = threading.Condition()
        self._storage: Storage | None = storage
        self._opener = opener
        self._ended: AuditError | None = None
        abandon_after_fork(self)

    def read(self, work: Callable[[Storage], T]) -> T:
        """Return what a piece of reading returns.

        Raises:
            StoreClosed: closed for good.
            Unavailable: fenced, and not back within 5 s.
        """
        while True:
            storage = self._await_storage()
            try:
                return work(storage)
            except StoreClosed:
                # Closed beneath us by a fence: wait for the next handle. Closed for good: `_await_storage` says so.
                continue

    def _await_storage(self) -> Storage:
        if isinstance(self._ended, StoreForked):
            raise StoreForked(*self._ended.args)
        with self._condition:
            if self._storage is None and self._ended is None:
                self._condition.wait_for(lambda: self._storage is not None or self._ended is not None, WAIT_S)
            if self._ended is not None:
                raise type(self._ended)(*self._ended.args)
            if self._storage is None:
                raise Unavailable(f"the store is fenced after a failed write and did not come back within {WAIT_S:g} s")
            return self._storage

    def read_nowait(self, work: Callable[[Storage], T | None]) -> T | None:
        """Return what a piece of reading in memory returns; None also while the store is fenced, or closing."""
        storage = self._storage
        try:
            return None if storage is None else work(storage)
        except StoreClosed:
            # A fence closed it beneath us: who may wait for the next handle does.
            return None

    def check(self) -> None:
        """Return while the log is open, fenced or not.

        Raises:
            StoreClosed: closed for good.
            StoreForked: this is a forked child.
        """
        if self._ended is not None:
            raise type(self._ended)(*self._ended.args)

    @property
    def forked(self) -> bool:
        """Whether this is a forked child, in which nothing works."""
        return isinstance(self._ended, StoreForked)

    @property
    def fenced(self) -> bool:
        """Whether no storage is open just now."""
        return self._storage is None

    @property
    def writable(self) -> Storage:
        """The storage, for the writer, which knows that it is not fenced."""
        storage = self._storage
        if storage is None:
            raise StoreClosed("the store is closed")
        return storage

    def fence(self) -> None:
        """Close the storage; readers wait from now on."""
        with self._condition:
            storage, self._storage = self._storage, None
        if storage is not None:
            storage.close()

    def reopen(self) -> Storage:
        """Open the storage anew, for the writer alone to look at."""
        return self._opener()

    def restore(self, storage: Storage) -> None:
        """Let everybody use this storage."""
        with self._condition:
            self._storage = storage
            self._condition.notify_all()

    def close(self) -> None:
        """Close for good."""
        with self._condition:
            self._ended = self._ended or StoreClosed("the log is closed")
            self._condition.notify_all()
        self.fence()

    def abandon(self) -> None:
        """In a forked child: refuse everything."""
        self._ended = StoreForked("the log was opened before this process was forked: open it after forking")
