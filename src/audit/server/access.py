"""The one place that says who is asking and what they may do. For now: nobody in particular, everything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, Protocol

from audit.model.topic import Topic

__all__ = ["ANONYMOUS", "Access", "Ask", "OpenAccess", "Principal", "Verb"]

Verb = Literal["append", "read", "metrics", "prove", "erase", "admin"]


class Principal(NamedTuple):
    """Who is on the other end."""

    name: str


ANONYMOUS: Final = Principal("anonymous")


class Ask(NamedTuple):
    """What somebody wants to do: a verb, on topics; `()` is everything."""

    verb: Verb
    topics: Sequence[Topic]


class Access(Protocol):
    """Who may do what. Every connection passes `authenticate`, and every call `authorise`."""

    async def authenticate(self, scope: Mapping[str, Any]) -> Principal:
        """Return who is asking, by the ASGI scope of the request.

        Raises:
            Unauthorized: nobody known.
        """
        ...

    def authorise(self, principal: Principal, ask: Ask) -> None:
        """Return if it is allowed.

        Raises:
            Forbidden: it is not.
            Unauthorized: not any more.
        """
        ...


class OpenAccess:
    """Everybody may do everything."""

    async def authenticate(self, scope: Mapping[str, Any]) -> Principal:  # noqa: ARG002 - the port's
        """Return the anonymous principal."""
        return ANONYMOUS

    def authorise(self, principal: Principal, ask: Ask) -> None:
        """Allow it."""
