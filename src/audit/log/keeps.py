"""What is to be kept of registered metrics, on its way to the writer, which writes it between two commits."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future

from audit.model.errors import StoreClosed
from audit.storage.port import Batch, MetricWrite, Storage

__all__ = ["Keeps"]


class Keeps:
    """Writes that wait for the writer. Any thread may put; the writer alone takes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[tuple[Sequence[MetricWrite], Future[None]]] = []
        self._closed = False

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def put(self, writes: Sequence[MetricWrite]) -> Future[None]:
        """Add writes; the future is done when they are on disk, or has the error that kept them from it.

        Raises:
            StoreClosed: nothing is written any more.
        """
        future: Future[None] = Future()
        with self._lock:
            if self._closed:
                raise StoreClosed("the log is closed")
            self._waiting.append((writes, future))
        return future

    def write(self, storage: Storage) -> None:
        """Write all that wait, in one batch of their own. Raises what the storage does, having told who waits."""
        with self._lock:
            taken, self._waiting = self._waiting, []
        try:
            storage.append(Batch((), None, (), metrics=[write for writes, _ in taken for write in writes]))
        except Exception as error:
            for _, future in taken:
                future.set_exception(error)
            raise
        for _, future in taken:
            future.set_result(None)

    def close(self) -> None:
        """Write nothing from now on; tell who waits."""
        with self._lock:
            self._closed = True
            taken, self._waiting = self._waiting, []
        for _, future in taken:
            future.set_exception(StoreClosed("the log is closed"))
