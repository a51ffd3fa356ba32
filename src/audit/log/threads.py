"""The threads in which reads that touch the disk run, so that they never block an event loop."""

from __future__ import annotations

import asyncio
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

    def start(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Start a piece of reading in a thread, from an event loop. Cancelling the future drops its result.

        Raises:
            StoreClosed: the log is closed.
        """
        try:
            return asyncio.get_running_loop().run_in_executor(self._executor, work)
        except RuntimeError as error:
            raise StoreClosed("the log is closed") from error

    async def run(self, work: Callable[[], T]) -> T:
        """Return what a piece of reading returns; errors are its own, and those of `start`."""
        return await self.start(work)

    def close(self) -> None:
        """Wait for what is being read; start nothing more."""
        self._executor.shutdown(wait=True)
