"""What a piece of reading cost, charged to whoever asked for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from audit.server.access import Principal
from audit.server.context import ServerContext

__all__ = ["Spend", "charged"]

Spend = Callable[[int], object]
"""Told how many events were read; from any thread."""


def charged(context: ServerContext, principal: Principal, work: Callable[[Spend], bytes]) -> asyncio.Future[bytes]:
    """Return what a piece of reading will return, in a thread; then the events that it spent are charged."""
    spent: list[int] = []
    reading = context.core.threads.start(lambda: work(spent.append))
    # By callback: on the event loop, and also for a caller who does not wait for it any more.
    reading.add_done_callback(lambda _: context.access.charge(principal, events=sum(spent)))
    return reading
