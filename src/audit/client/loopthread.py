"""An event loop in a thread of its own, as blocking verbs use it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from anyio.from_thread import BlockingPortal

from audit.model.errors import StoreClosed

__all__ = ["LoopThread"]

T = TypeVar("T")


class LoopThread:
    """The event loop in its thread."""

    def __init__(self, portal: BlockingPortal) -> None:
        self._portal = portal

    def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """Return what `work` returns, in the loop; interrupted, it is cancelled there."""
        try:
            future = self._portal.start_task_soon(work)
        except RuntimeError as error:
            raise StoreClosed("the client is closed") from error
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def do(self, work: Callable[[], T]) -> T:
        """Return what `work`, which waits for nothing, returns in the loop."""

        async def done() -> T:
            return work()

        return self.run(done)
