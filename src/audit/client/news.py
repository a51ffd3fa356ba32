"""What a client tells of its connection, by the hook `on_event`: nothing here is needed to use it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from audit.model.errors import AuditError
from audit.model.topic import Topic

__all__ = ["Connected", "Disconnected", "Hook", "News", "Resumed"]


class Connected(msgspec.Struct, frozen=True):
    """A connection is up: the first one, or one after a loss.

    Attributes:
        url: Where to.
        server: Name and version of what answers.
        store_id: The store that it serves.
        again: Whether there was a connection before.
    """

    url: str
    server: str
    store_id: str
    again: bool


class Disconnected(msgspec.Struct, frozen=True):
    """A connection was lost, or could not be made.

    Attributes:
        reason: Why.
        retry_in_s: When it is tried again; None: it is not.
    """

    reason: AuditError
    retry_in_s: float | None


class Resumed(msgspec.Struct, frozen=True):
    """A tail goes on, right after the last event that it had received.

    Attributes:
        topics: What it is about.
        cursor: Where it resumed; None: where it was to start, since it had been told nothing yet.
    """

    topics: tuple[Topic, ...]
    cursor: str | None


News = Connected | Disconnected | Resumed
Hook = Callable[[News], object]
