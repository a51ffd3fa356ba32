"""One log as a server serves it: its context and application, and the task that watches over access."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from starlette.types import ASGIApp

from audit.model.event import NewEvent
from audit.server.app import build_app
from audit.server.context import ServerContext

__all__ = ["ServedLog"]


class ServedLog:
    """A log that is being served; the log itself belongs to whoever opened it."""

    def __init__(self, context: ServerContext, *, local: bool) -> None:
        """Make its application. Blocks, shortly.

        Args:
            context: What its parts share.
            local: Whether only this machine can reach it.
        """
        self._context = context
        self.app: ASGIApp = build_app(context, local=local and not context.access.required)
        self._watching: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Watch over access from now on."""
        self._watching = asyncio.create_task(self._context.access.run(self._record))

    async def end(self) -> None:
        """End what is shared by its connections, which are over; write down who looked."""
        await self._context.feeds.close()
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait((self._watching,))
        await self._context.metric_feeds.close()

    async def _record(self, events: Sequence[NewEvent]) -> None:
        """Append events of the log's own."""
        core = self._context.core
        await core.submit(events, None, asyncio.get_running_loop(), wait=False, internal=True)
