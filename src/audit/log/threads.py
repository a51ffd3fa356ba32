"""The threads in which reads that touch the disk run, so that they never block an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from audit.model.errors import StoreClosed

__all__ = ["ReaderThreads"]

_THREADS: Final = 4

T = TypeVar("T")


class ReaderThreads:
    """A few threads, shared by all readers of one log."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="audit-reader")
        self._lock = threading.Lock()
        self._busy = 0

    @property
    def busy(self) -> int:
        """Pieces of reading under way, or waiting for a thread."""
        return self._busy

    def start(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Start a piece of reading in a thread, from an event loop. Cancelling the future drops its result.

        Raises:
            StoreClosed: the log is closed.
        """
        loop = asyncio.get_running_loop()
        self._count(1)
        try:
            submitted = self._executor.submit(work)
        except RuntimeError as error:
            self._count(-1)
            raise StoreClosed("the log is closed") from error
        # Of the thread's own future: a cancelled wait does not end the reading, nor does a closed loop.
        submitted.add_done_callback(lambda _: self._count(-1))
        return asyncio.wrap_future(submitted, loop=loop)

    def _count(self, change: int) -> None:
        with self._lock:
            self._busy += change

    async def run(self, work: Callable[[], T]) -> T:
        """Return what a piece of reading returns; errors are its own, and those of `start`."""
        return await self.start(work)

    def close(self) -> None:
        """Wait for what is being read; start nothing more."""
        self._executor.shutdown(wait=True)
