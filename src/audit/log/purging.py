"""Getting what was erased out of the store's files: after each erasure, and after opening a store that died before.

Compacting runs beside the writer; the writer then opens the store anew, which empties the driver's caches and rewrites
its list of files, and forgets that there was anything to do.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future

from audit.log.erasing import purging_call
from audit.log.handle import Handle
from audit.log.prepare import PreparedCall
from audit.log.queue import Receipts
from audit.model.errors import AuditError, OutcomeUnknown, StoreClosed

__all__ = ["Purger"]

_log = logging.getLogger("audit")


class Purger:
    """Purges one log's files, one at a time."""

    def __init__(
        self,
        handle: Handle,
        put: Callable[..., Future[Receipts]],
        derive: Callable[[], None],
        *,
        pending: bool,
    ) -> None:
        """Take what it needs.

        Args:
            handle: The storage.
            put: Gives the writer a call.
            derive: Has whatever is kept of events' contents made anew, without what was erased; blocks.
            pending: Whether files may hold what was erased before the store was opened.
        """
        self._handle = handle
        self._put = put
        self._derive = derive
        self.pending = pending
        """Whether files may hold what was erased."""
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def erase(self, call: PreparedCall) -> Receipts:
        """Have the writer erase events, and return once no file holds them; errors also as of `purge`. Blocks."""
        try:
            receipts = self._answer(self._put(call, wait=True))
        except OutcomeUnknown:
            self.pending = True
            raise
        if receipts:
            self.pending = True
        self.purge()
        return receipts

    @staticmethod
    def _answer(future: Future[Receipts]) -> Receipts:
        return future.result()

    def purge(self) -> None:
        """Return once no file holds what was erased until now. Blocks; may take long.

        Raises:
            OutcomeUnknown: the erasure is committed, but files may still hold what was erased. It is tried again with
                the next erasure (of the same events, too), and when the store is opened.
        """
        try:
            with self._lock:
                if not self.pending:
                    return
                self._derive()
                keys = self._handle.read(lambda storage: storage.purge())
                if keys:
                    call: PreparedCall = purging_call(keys)
                    self._answer(self._put(call, wait=True))
                self.pending = False
        except AuditError as error:
            raise OutcomeUnknown(
                f"erased, but files may still hold the bytes; erase again to be sure: {error}"
            ) from error

    def start(self) -> None:
        """Purge in a thread of its own, if the process before ended between an erasure and that."""
        if not self.pending:
            return
        self._thread = threading.Thread(target=self._run, name="audit-purge", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.purge()
        except OutcomeUnknown as error:
            if not isinstance(error.__cause__, StoreClosed):
                _log.warning("%s", error)

    def join(self) -> None:
        """Wait for that thread; the handle is closed, so that it ends."""
        if self._thread is not None:
            self._thread.join()
