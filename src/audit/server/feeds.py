"""Live events, read once for all who wait for the same ones: a feed for each query, and its members.

A subscription that has caught up with the log joins the feed of its query; what the feed then reads goes to all
members as the same bytes. A member that lacks the credit for a batch, or whose peer takes less than it is sent, leaves
before that batch and reads on by itself from right there: a feed waits for nobody and keeps nothing.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final, Protocol

from audit.codec.cursors import Position
from audit.log.tail import BATCH_EVENTS, Batch, Step, TailCore
from audit.log.wakeups import Sleeper
from audit.model.errors import AuditError

__all__ = ["Feed", "Feeds", "Member"]

_log: Final = logging.getLogger("audit.server")


class Member(Protocol):
    """A subscription that gets its events from a feed."""

    def offer(self, batch: Batch) -> bool:
        """Send a batch and return True; or return False, and leave before it."""
        ...

    def progress(self, cursor: str) -> None:
        """Be told how far the log is; called every now and then, whether or not anything happened."""
        ...

    def left(self, position: Position) -> None:
        """Go on alone, from after `position`."""
        ...


class Feeds:
    """The feeds of one server. All belongs to its event loop: nothing here is interrupted by a join or a leave."""

    def __init__(self, progress_s: float) -> None:
        self._progress_s = progress_s
        self._feeds: dict[bytes, Feed] = {}

    def __len__(self) -> int:
        """Return how many subscriptions share feeds."""
        return sum(len(feed.members) for feed in self._feeds.values())

    def join(self, member: Member, tail: TailCore) -> Feed | None:
        """Let a subscription get its events from its query's feed from now on.

        Args:
            member: The subscription.
            tail: Its tail; what it has covered is what the member was sent.

        Returns:
            The feed, to be left later; None: the two do not stand at the same place, since a commit came in between.
        """
        feed = self._feeds.get(tail.query)
        if feed is None:
            feed = self._feeds[tail.query] = Feed(tail.fork(), self._progress_s)
            feed.task = asyncio.create_task(self._run(feed, tail.query))
        # It may not have looked yet at the commit that the tail has told.
        elif not feed.catch_up() or feed.position.index != tail.position.index:
            return None
        feed.members[member] = None
        return feed

    async def _run(self, feed: Feed, query: bytes) -> None:
        try:
            await feed.run()
        except Exception:  # noqa: BLE001 - one feed's failure is not the server's, and is logged
            # Whatever it is, the members meet it again, each in its own connection's task.
            _log.exception("a feed failed")
        finally:
            if self._feeds.get(query) is feed:
                del self._feeds[query]
            feed.dissolve()

    async def close(self) -> None:
        """End all feeds; their members go on alone."""
        tasks = [feed.task for feed in self._feeds.values() if feed.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Feed:
    """One query's live events, for its members."""

    def __init__(self, tail: TailCore, progress_s: float) -> None:
        self._tail = tail
        self._progress_s = progress_s
        self._over = False
        self._sleeper: Sleeper | None = None
        self.members: dict[Member, None] = {}
        """In the order in which they joined."""
        self.task: asyncio.Task[None] | None = None

    @property
    def position(self) -> Position:
        """What the members were sent."""
        return self._tail.position

    def leave(self, member: Member) -> None:
        """Let a member go on alone; nothing happens when it has left already."""
        if member in self.members:
            del self.members[member]
            member.left(self.position)
        if not self.members and self._sleeper is not None:
            # Nobody is left to read for.
            self._sleeper.wake()

    def dissolve(self) -> None:
        """Let all members go on alone."""
        self._over = True
        for member in list(self.members):
            self.leave(member)

    def catch_up(self) -> bool:
        """Send what was committed meanwhile, without waiting; False: the feed is over."""
        while not self._over:
            before = self.position
            notice = self._tail.step(BATCH_EVENTS)
            if isinstance(notice, Batch):
                self._send(notice, before)
            elif notice is Step.SLEEP:
                return True
            else:
                # It fell behind what is in memory, or the log is closing: each member sees to that by itself.
                self._over = True
        return False

    def _send(self, batch: Batch, before: Position) -> None:
        refused = [member for member in self.members if not member.offer(batch)]
        for member in refused:
            del self.members[member]
            member.left(before)

    async def run(self) -> None:
        """Send until nobody listens, or the feed is over."""
        loop = asyncio.get_running_loop()
        due = loop.time() + self._progress_s
        try:
            while self.catch_up() and self.members:
                await self._sleep(due - loop.time())
                if loop.time() >= due:
                    due = loop.time() + self._progress_s
                    if self.catch_up():
                        self._tell_progress()
        except AuditError as error:
            # The members meet it again, and tell their peers.
            _log.warning("a feed ended: %s", error)

    async def _sleep(self, timeout_s: float) -> None:
        sleeper = Sleeper(asyncio.get_running_loop())
        if not self._tail.fall_asleep(sleeper):
            return
        self._sleeper = sleeper
        try:
            await sleeper.wait(max(0.0, timeout_s))
        finally:
            self._sleeper = None
            self._tail.wake_up(sleeper)

    def _tell_progress(self) -> None:
        cursor = self._tail.cursor
        for member in list(self.members):
            member.progress(cursor)
