"""Waiting for what a feed has to tell: a tail of a log elsewhere. Dropping one frees its subscription."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Final, Self

import anyio

from audit.client.core import RemoteCore
from audit.client.feed import Feed
from audit.client.verifying import TailCheck
from audit.client.waiting import Waiting
from audit.log.tail import BATCH_EVENTS, End, Notice
from audit.model.errors import InvalidParameter, Unavailable
from audit.model.event import Event

__all__ = ["RemoteTail"]

_NO_CURSOR: Final = "the tail starts at the log's end, and the server has not said yet where that is"


class RemoteTail:
    """A tail: an asynchronous iterator of events, or of notices by `read`. For one task at a time.

    It goes on over lost connections and restarts of the server, without a gap or a duplicate.
    """

    def __init__(self, core: RemoteCore, feed: Feed, check: TailCheck | None = None) -> None:
        self._core = core
        self._feed = feed
        self._check = check
        self._waiting = Waiting(self, core, feed)

    async def __aenter__(self) -> Self:
        await self.settle()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def settle(self) -> None:
        """Return once it is known where the tail starts: of one that starts at `"now"`, once the server has said so.

        Raises:
            Unavailable: it was not said in time.
            AuditError: the server refuses the subscription.
        """
        feed = self._feed
        if feed.query.start is not None:
            return
        with anyio.move_on_after(self._core.options.call_timeout_s):
            while feed.cursor is None and not feed.is_over:
                await self._waiting.wait()
        if feed.cursor is None:
            # Raises what it ended with, if it has ended.
            feed.take(1)
            raise Unavailable(_NO_CURSOR)

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        feed = self._feed
        while True:
            if self._check is not None:
                await self._check_first(self._check)
            event = feed.pop()
            if event is not None:
                if feed.to_grant:
                    self._core.feeds.refill(feed)
                return event
            if isinstance(await self._next(0), End):
                raise StopAsyncIteration

    @property
    def cursor(self) -> str:
        """Resumes right after the event, batch or notice handed out last.

        Raises:
            Unavailable: it starts at `"now"`, and the server has not said yet where that is; see `settle`.
        """
        cursor = self._feed.cursor
        if cursor is None:
            raise Unavailable(_NO_CURSOR)
        return cursor

    def cursor_after(self, event: bytes) -> str:
        """Return the cursor right after one stored event of this tail."""
        return self._feed.cursor_after(event)

    async def read(self, max_events: int = BATCH_EVENTS) -> Notice:
        """Return the next notice, waiting for one. Cancelling it loses nothing.

        Args:
            max_events: Events in a batch at most; it also ends where the server's did.

        Raises:
            CursorInvalid: the cursor it started from points at another event than it did.
            Unavailable: there was no connection for longer than `reconnect_timeout_s`.
            AuditError: the server refuses to go on.
            ProofInvalid: with `verify=True`, the batch is not what was signed; nothing of it is handed on.
        """
        _check_max_events(max_events)
        if not self._feed.is_waiting:
            # Even a tail that finds all in memory lets others run between two batches.
            await asyncio.sleep(0)
        notice = await self._next(max_events)
        assert notice is not None  # noqa: S101 - None only for max_events == 0
        return notice

    async def _next(self, max_events: int) -> Notice | None:
        """Wait until something came, and return it; with 0 events, None for a batch."""
        feed = self._feed
        while True:
            if max_events == 0 and feed.has_events:
                return None
            if self._check is not None:
                await self._check_first(self._check)
            notice = feed.take(max_events)
            if notice is not None:
                self._core.feeds.refill(feed)
                return notice
            await self._waiting.wait()

    async def _check_first(self, check: TailCheck) -> None:
        # One that fails stays where it is: nobody reads past it.
        batch = self._feed.first_batch
        if batch is not None:
            await check.check(batch)

    def close(self) -> None:
        """End the tail; a `read` in progress returns `End` with reason `cancelled`."""
        self._waiting.close()


def _check_max_events(max_events: object) -> None:
    if not isinstance(max_events, int) or not 1 <= max_events <= BATCH_EVENTS:
        raise InvalidParameter("max_events", f"must be 1-{BATCH_EVENTS}, got {max_events!r:.40}")
