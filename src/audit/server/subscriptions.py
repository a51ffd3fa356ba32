"""One subscription: a tail read as far as its credit goes, never further than the peer takes it.

It keeps no queue: what is not sent stays in the log. A subscription without credit holds a position and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import closing
from typing import Final

from audit.log.tail import BATCH_EVENTS, Batch, CaughtUp, FellBehind
from audit.log.tails import Tail
from audit.model.errors import AuditError
from audit.protocol.messages import EndReason
from audit.protocol.server import ServerSession
from audit.server.context import ServerContext
from audit.server.link import Link, frame_of

__all__ = ["Subscription"]

_log: Final = logging.getLogger("audit.server")


class Subscription:
    """A subscription of one connection, until it ends; `run` is its task."""

    def __init__(self, name: str, tail: Tail, session: ServerSession, link: Link, context: ServerContext) -> None:
        self._name = name
        self._tail = tail
        self._session = session
        self._link = link
        self._context = context
        self._told = ""
        self._credited = asyncio.Event()
        self._stopping = False

    def credited(self) -> None:
        """Go on: there is credit again."""
        self._credited.set()

    def stop(self) -> None:
        """End with reason `shutdown`; what was read is sent first."""
        self._stopping = True
        self._tail.close()
        self._credited.set()

    async def run(self) -> None:
        """Send until the tail ends or the task is cancelled."""
        self._context.traffic.subscriptions += 1
        try:
            with closing(self._tail):
                await self._send_all()
        finally:
            self._context.traffic.subscriptions -= 1

    async def _send_all(self) -> None:
        while True:
            credit = self._session.credit(self._name)
            if not credit and not self._stopping:
                self._credited.clear()
                await self._credited.wait()
                continue
            if self._link.paused:
                await self._link.drained()
                continue
            try:
                # Without credit it is stopping: the tail has nothing left to say but its end.
                notice = await self._tail.read(
                    min(credit, BATCH_EVENTS) or 1, timeout_s=self._context.options.progress_s
                )
            except AuditError as error:
                _log.warning("subscription ended: %s", error, exc_info=error.code == "store_corrupt")
                self._end("error", error)
                return
            if notice is None:
                self._progress()
            elif isinstance(notice, Batch):
                self._batch(notice)
            elif isinstance(notice, CaughtUp):
                self._note("events.caught_up", notice.cursor)
            elif isinstance(notice, FellBehind):
                self._note("events.fell_behind", notice.cursor)
            else:
                self._end("shutdown" if self._stopping else notice.reason)
                return

    def _batch(self, batch: Batch) -> None:
        tail = self._context.shared.tail(batch)
        self._link.write_frame(frame_of(self._session.batch(self._name, len(batch), tail)))
        self._told = batch.cursor
        self._context.traffic.deliveries += len(batch)

    def _progress(self) -> None:
        if self._tail.cursor != self._told:
            self._note("events.progress", self._tail.cursor)

    def _note(self, method: str, cursor: str) -> None:
        self._link.send_message(self._session.note(method, self._name, cursor))
        self._told = cursor

    def _end(self, reason: EndReason, error: AuditError | None = None) -> None:
        self._link.send_message(self._session.end(self._name, self._tail.cursor, reason, error))
