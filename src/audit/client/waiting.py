"""Waiting until a feed has something to tell. Whoever waits may be dropped: that frees the subscription, too."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import Callable

from audit.client.core import RemoteCore
from audit.client.subscribing import AnyFeed

__all__ = ["Waiting"]


class Waiting:
    """The wish to be woken by one feed. For one task at a time."""

    def __init__(self, owner: object, core: RemoteCore, feed: AnyFeed) -> None:
        """Have the feed wake whoever waits, and be dropped by the client once its owner is collected."""
        self._core = core
        self._feed = feed
        self._waiter: asyncio.Future[None] | None = None
        feed.on_change = _waker(self)
        self._finalizer = weakref.finalize(owner, _dropped, asyncio.get_running_loop(), core, feed)
        self._finalizer.atexit = False

    async def wait(self) -> None:
        """Return when the feed has changed."""
        waiter = self._waiter = asyncio.get_running_loop().create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    def wake(self) -> None:
        """Let who waits look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def close(self) -> None:
        """Drop the feed; may be called twice."""
        self._finalizer.detach()
        self._core.feeds.drop(self._feed)


def _waker(waiting: Waiting) -> Callable[[], None]:
    # The client holds the feed for as long as it is subscribed; were it to hold who waits, nobody could drop that.
    held = weakref.ref(waiting)

    def wake() -> None:
        found = held()
        if found is not None:
            found.wake()

    return wake


def _dropped(loop: asyncio.AbstractEventLoop, core: RemoteCore, feed: AnyFeed) -> None:
    # Collected in whatever thread; a closed loop has nothing left to free.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(core.feeds.drop, feed)
