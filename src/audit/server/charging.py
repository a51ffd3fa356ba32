"""What a piece of reading cost, charged to whoever asked for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

from audit.log.measuring import Spend
from audit.server.access import Principal
from audit.server.context import ServerContext

__all__ = ["charged", "spending"]

T = TypeVar("T")


def spending(context: ServerContext, principal: Principal) -> Spend:
    """Return what charges events to a principal, also to one who does not wait for them any more."""
    loop = asyncio.get_running_loop()

    def spend(events: int) -> None:
        # Nobody is charged by a server that has ended meanwhile.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(partial(context.access.charge, principal, events=events))

    return spend


def charged(context: ServerContext, principal: Principal, work: Callable[[Spend], T]) -> asyncio.Future[T]:
    """Return what a piece of reading will return, in a thread; the events that it spends are charged before."""
    spend = spending(context, principal)
    return context.core.threads.start(lambda: work(spend))
