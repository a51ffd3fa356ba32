"""One subscription: a tail read as far as its credit goes, and never further than the peer takes it.

It keeps no queue: what is not sent stays in the log. Without credit it holds a position and nothing else; once it has
caught up, it shares a feed with all who ask the same.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import closing, suppress
from typing import Final

from audit.codec.cursors import Position
from audit.log.tail import BATCH_EVENTS, Batch, CaughtUp, FellBehind
from audit.log.tails import Tail
from audit.model.errors import AuditError
from audit.protocol.messages import EndReason
from audit.protocol.server import ServerSession
from audit.server.access import Principal
from audit.server.context import ServerContext
from audit.server.feeds import Feed
from audit.server.link import Link

__all__ = ["Subscription"]

_log: Final = logging.getLogger("audit.server")


class Subscription:
    """A subscription of one connection, until it ends; `run` is its task."""

    def __init__(  # noqa: PLR0917 - what a subscription is made of
        self,
        name: str,
        tail: Tail,
        session: ServerSession,
        link: Link,
        context: ServerContext,
        principal: Principal,
    ) -> None:
        self._name = name
        self._tail = tail
        self._session = session
        self._link = link
        self._context = context
        self._principal = principal
        self._told = ""
        self._told_at = 0.0
        self._changed = asyncio.Event()
        self._feed: Feed | None = None
        self._alone = False
        self._stopping = False

    def credited(self) -> None:
        """Go on: there is credit again."""
        self._changed.set()

    def stop(self) -> None:
        """End with reason `shutdown`."""
        self._stopping = True
        self._leave()
        self._tail.close()
        self._changed.set()

    async def run(self) -> None:
        """Send until the tail ends or the task is cancelled."""
        self._context.traffic.subscriptions += 1
        try:
            with closing(self._tail):
                await self._send_all()
        finally:
            self._leave()
            self._context.traffic.subscriptions -= 1

    async def _send_all(self) -> None:
        while True:
            self._changed.clear()
            credit = self._session.credit(self._name)
            # An end takes no credit: who was granted no more than the limit would wait for it for ever.
            if not credit and not self._tail.core.exhausted:
                await self._changed.wait()
            elif self._link.paused:
                await self._link.drained()
            elif (owes_ms := self._owes_ms()) and not self._stopping:
                await self._rest(owes_ms)
            elif self._joins():
                while self._feed is not None:
                    self._changed.clear()
                    await self._changed.wait()
            elif not await self._read(credit):
                return

    def _owes_ms(self) -> int:
        return self._context.access.owes_ms(self._principal)

    async def _rest(self, ms: int) -> None:
        """Send nothing for a while: its reader was sent more than they may read in that time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(ms / 1000):
                await self._changed.wait()

    async def _read(self, credit: int) -> bool:
        """Send the tail's next notice; return whether more may follow."""
        try:
            # Without credit, the tail has nothing to say but its end.
            notice = await self._tail.read(min(credit, BATCH_EVENTS) or 1, timeout_s=self._context.options.progress_s)
        except AuditError as error:
            _log.warning("a subscription ended: %s", error)
            self._end("error", error)
            return False
        self._alone = False
        if notice is None:
            self.progress(self._tail.cursor)
        elif isinstance(notice, Batch):
            self._send(notice)
        elif isinstance(notice, CaughtUp):
            self._note("events.caught_up", notice.cursor)
        elif isinstance(notice, FellBehind):
            self._note("events.fell_behind", notice.cursor)
        else:
            self._end("shutdown" if self._stopping else notice.reason)
            return False
        return True

    def _send(self, batch: Batch) -> None:
        events = len(batch.slices)
        self._session.spend(self._name, events)
        frame = self._context.shared.frame(self._name, batch, self._context.core.checkpoints.signed)
        self._link.write_frame(frame)
        self._context.access.charge(self._principal, len(frame), events)
        self._told = batch.cursor
        self._context.traffic.deliveries += events

    def _note(self, method: str, cursor: str) -> None:
        self._link.send_message(self._session.note(method, self._name, cursor, self._context.core.checkpoints.signed))
        self._told = cursor
        self._told_at = asyncio.get_running_loop().time()

    def _end(self, reason: EndReason, error: AuditError | None = None) -> None:
        self._link.send_message(self._session.end(self._name, self._tail.cursor, reason, error))

    # As a member of a feed

    def _joins(self) -> bool:
        if self._alone or self._stopping or not self._tail.core.live:
            return False
        self._feed = self._context.feeds.join(self, self._tail.core)
        return self._feed is not None

    def _leave(self) -> None:
        if self._feed is not None:
            self._feed.leave(self)

    def offer(self, batch: Batch) -> bool:
        """Send a batch of the feed, if there is the credit for it and the peer takes what it is sent."""
        if self._link.paused or self._owes_ms() or self._session.credit(self._name) < len(batch.slices):
            return False
        self._send(batch)
        return True

    def progress(self, cursor: str) -> None:
        """Tell how far the log is, if that is news and the last time was long enough ago."""
        since_s = asyncio.get_running_loop().time() - self._told_at
        if cursor != self._told and since_s >= self._context.options.progress_s / 2:
            self._note("events.progress", cursor)

    def left(self, position: Position) -> None:
        """Go on alone."""
        self._feed = None
        # At least until it has told something itself: what made it leave would make it leave again.
        self._alone = True
        self._tail.core.skip_to(position)
        self._changed.set()
