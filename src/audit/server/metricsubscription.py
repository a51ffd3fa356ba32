"""One subscription to a metric: the version that its peer was sent, and a wish to send the next one."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Final

from audit.model.errors import AuditError, StoreClosed
from audit.protocol.messages import EndReason
from audit.protocol.server import ServerSession
from audit.server.access import Principal
from audit.server.context import ServerContext
from audit.server.link import Link
from audit.server.metricfeeds import MetricFeed
from audit.server.metricstate import MetricState

__all__ = ["MetricSubscription"]

_log: Final = logging.getLogger("audit.server")


class MetricSubscription:
    """A subscription of one connection, until it ends; `run` is its task, and `offer` sends past it."""

    def __init__(  # noqa: PLR0917 - as of `Subscription`, and a cursor
        self,
        name: str,
        feed: MetricFeed,
        cursor: str | None,
        session: ServerSession,
        link: Link,
        context: ServerContext,
        principal: Principal,
    ) -> None:
        """Join a feed that has let this one in.

        Args:
            name: As the session has it.
            feed: What is to be sent.
            cursor: What the peer was told last, on another connection perhaps; None: nothing.
            session: The connection's.
            link: The connection's.
            context: The server's.
            principal: Who is charged for what is sent.
        """
        self._name = name
        self._feed = feed
        self._session = session
        self._link = link
        self._context = context
        self._principal = principal
        self._cursor = cursor or ""
        self._version = 0 if cursor is None else feed.version_at(cursor)
        self._told: MetricState | None = None
        self._changed = asyncio.Event()
        self._stopping = False
        feed.join(self)

    def credited(self) -> None:
        """Do nothing: what a metric takes is bounded by its pace, and by what the peer reads."""

    def stop(self) -> None:
        """End with reason `shutdown`."""
        self._stopping = True
        self._changed.set()

    def offer(self) -> None:
        """Send what is new at once, or else have the task do it when the peer takes more."""
        if self._link.paused or self._stopping or self._owes_ms():
            self._changed.set()
            return
        try:
            self._send()
        except AuditError:
            # The task meets it again, and tells the peer.
            self._changed.set()

    async def run(self) -> None:
        """Send until the metric ends or the task is cancelled."""
        self._context.traffic.subscriptions += 1
        try:
            while not self._stopping:
                self._changed.clear()
                await self._link.drained()
                # What is told first was asked for by a call, which would have been refused.
                if self._told is not None and (owes_ms := self._owes_ms()):
                    await self._rest(owes_ms)
                    continue
                self._send()
                await self._changed.wait()
            self._end("shutdown")
        except StoreClosed:
            self._end("shutdown")
        except AuditError as error:
            _log.warning("a subscription to a metric ended: %s", error)
            self._end("error", error)
        finally:
            self._feed.leave(self)
            self._context.traffic.subscriptions -= 1

    def _send(self) -> None:
        state = self._feed.state
        if self._told is not None and state.version == self._version and state.as_of == self._told.as_of:
            return
        frame = self._feed.frame(self._name, self._version)
        self._session.check_sendable(self._name)
        self._link.write_frame(frame)
        self._context.access.charge(self._principal, len(frame))
        self._told, self._version, self._cursor = state, state.version, state.as_of.cursor

    def _owes_ms(self) -> int:
        return self._context.access.owes_ms(self._principal)

    async def _rest(self, ms: int) -> None:
        """Send nothing for a while: its reader was sent more than they may read in that time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(ms / 1000):
                await self._changed.wait()

    def _end(self, reason: EndReason, error: AuditError | None = None) -> None:
        self._link.send_message(self._session.end(self._name, self._cursor, reason, error, method="metrics.end"))
