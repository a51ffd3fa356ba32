"""The one place that says who is asking and what they may do."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, Protocol

from audit.model.errors import AuditError
from audit.model.event import Actor, NewEvent
from audit.model.region import EVERYTHING, Region
from audit.model.topic import Topic
from audit.server.access.rules import Grant

__all__ = ["ANONYMOUS", "Access", "AccessTally", "Ask", "Ended", "OpenAccess", "Principal", "Record", "Verb"]

Verb = Literal["append", "read", "metrics", "prove", "erase", "admin"]

Ended = Callable[[AuditError], None]
"""Told once why somebody's connection is over: `Unauthorized`, or `Unavailable` if it is worth to connect again."""


Record = Callable[[Sequence[NewEvent]], Awaitable[object]]
"""Appends events of the log's own, under `audit/`."""


class Principal(NamedTuple):
    """Who is on the other end.

    Attributes:
        name: Who, for the log: a token's id, the subject of a certificate or of a JWT.
        kind: How that is known: `token`, `jwt`, `certificate`, `user` or `anonymous`.
        role: Name of their role.
        grant: What they may do.
        expires_ms: When that ends, in Unix milliseconds; None: not by itself.
        pinned: Whether what they append is stamped with who they are.
        address: Where they are, as far as the server knows.
        policies: Number of the policies that held when they came.
        session: Digest of the session that they came by, or got a ticket by; None: by none. What is open ends with it.
    """

    name: str
    kind: str = "anonymous"
    role: str = ""
    grant: Grant = Grant()
    expires_ms: int | None = None
    pinned: bool = False
    address: str = ""
    policies: int = 0
    session: bytes | None = None


ANONYMOUS: Final = Principal("anonymous")


class Ask(NamedTuple):
    """What somebody wants to do.

    Attributes:
        verb: What.
        topics: On which topics, normalised; `()` is everything. To append is about these alone, all else is about what
            is nested below them, too.
        leading: Whether it is enough that it is allowed for something below each of them, since only that is shown.
    """

    verb: Verb
    topics: Sequence[Topic]
    leading: bool = False


class AccessTally(NamedTuple):
    """What was counted so far.

    Attributes:
        refused_logins: Requests that showed something that is not good.
        policy_errors: Times that a policy failed, which denies.
    """

    refused_logins: int = 0
    policy_errors: int = 0


class Access(Protocol):
    """Who may do what. Every connection passes `authenticate`, and every call `authorise`."""

    async def authenticate(self, scope: Mapping[str, Any]) -> Principal:
        """Return who is asking, by the ASGI scope of the request.

        Raises:
            Unauthorized: nobody known.
        """
        ...

    def authorise(self, principal: Principal, ask: Ask) -> None:
        """Return if it is allowed. Called on the event loop, for every call: it must be quick.

        Raises:
            Forbidden: it is not.
            Unauthorized: not any more.
            Overloaded: too often; `retry_after_ms` says when it is worth another try.
        """
        ...

    def visible(self, principal: Principal) -> Region:
        """Return the topics that somebody may read."""
        ...

    def stamp(self, principal: Principal, events: Sequence[NewEvent]) -> Sequence[NewEvent]:
        """Return what is appended when somebody appends these events.

        Raises:
            Forbidden: they name an actor that they are not.
        """
        ...

    def actor(self, principal: Principal, given: Actor | None, place: str) -> Actor | None:
        """Return who is written down as the actor of what somebody does, when they say so; errors call that `place`.

        Raises:
            Forbidden: they name one that they are not.
        """
        ...

    def admit(self, principal: Principal) -> Callable[[], None]:
        """Count a connection that stays open.

        Returns:
            What is to be called at its end.

        Raises:
            Overloaded: somebody, or their address, has too many.
        """
        ...

    def follow(self, principal: Principal, ended: Ended) -> Callable[[], None]:
        """Have `ended` called, on the event loop, within a second of the end, or a change, of somebody's access.

        Returns:
            What is to be called when that is of no interest any more.
        """
        ...

    def charge(self, principal: Principal, read_bytes: int = 0, events: int = 0) -> None:
        """Count what somebody was sent, and the events that were read for it."""
        ...

    def owes_ms(self, principal: Principal) -> int:
        """Return for how many milliseconds somebody must not be sent more, having been sent too much; 0: for none."""
        ...

    def ticket(self, principal: Principal) -> str:
        """Return a secret that stands for somebody once, within `tickets.TICKET_MS`.

        Raises:
            Overloaded: too many are in use.
        """
        ...

    async def run(self, record: Record) -> None:
        """Keep track of what ends, and record what is to be recorded, until cancelled at the server's end."""
        ...

    def tally(self) -> AccessTally:
        """Return what was counted so far."""
        ...

    @property
    def required(self) -> bool:
        """Whether everybody must say who they are."""
        ...


class OpenAccess:
    """Everybody may do everything."""

    async def authenticate(self, scope: Mapping[str, Any]) -> Principal:  # noqa: ARG002 - the port's
        """Return the anonymous principal."""
        return ANONYMOUS

    def authorise(self, principal: Principal, ask: Ask) -> None:
        """Allow it."""

    def visible(self, principal: Principal) -> Region:  # noqa: ARG002 - the port's
        """Return everything."""
        return EVERYTHING

    def stamp(self, principal: Principal, events: Sequence[NewEvent]) -> Sequence[NewEvent]:  # noqa: ARG002 - the port's
        """Return the events as they are."""
        return events

    def actor(self, principal: Principal, given: Actor | None, place: str) -> Actor | None:  # noqa: ARG002 - the port's
        """Return who is named."""
        return given

    def admit(self, principal: Principal) -> Callable[[], None]:  # noqa: ARG002 - the port's
        """Do nothing: the server's own bound is for all together."""
        return _nothing

    def follow(self, principal: Principal, ended: Ended) -> Callable[[], None]:  # noqa: ARG002 - the port's
        """Do nothing: it does not end."""
        return _nothing

    def charge(self, principal: Principal, read_bytes: int = 0, events: int = 0) -> None:
        """Do nothing."""

    def owes_ms(self, principal: Principal) -> int:  # noqa: ARG002 - the port's
        """Return 0."""
        return 0

    def ticket(self, principal: Principal) -> str:  # noqa: ARG002 - the port's
        """Return a secret that nobody will look at, so that a page need not know whether one is needed."""
        return os.urandom(16).hex()

    async def run(self, record: Record) -> None:
        """Do nothing."""

    def tally(self) -> AccessTally:
        """Return that there was nothing to count."""
        return AccessTally()

    @property
    def required(self) -> bool:
        """False."""
        return False


def _nothing() -> None:
    pass
