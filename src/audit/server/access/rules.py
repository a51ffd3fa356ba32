"""What may be done: verbs on topics, denied unless granted. Pure: no clock, no file, no request.

A permission is a verb and a prefix of topics. Prefixes are compared by segment: `a/b` covers `a/b` and `a/b/c`, never
`a/bc`. A role is a set of verbs with a name.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec

from audit.model.errors import InvalidParameter
from audit.model.topic import Topic, format_topic
from audit.server.access.addresses import Network

__all__ = [
    "ROLES",
    "VERBS",
    "AccessRules",
    "Assigned",
    "Grant",
    "JwtVerifier",
    "Role",
    "Vouched",
    "covers",
    "refusal",
    "role_of",
]

VERBS: Final = ("append", "read", "metrics", "prove", "erase", "admin")


class Grant(NamedTuple):
    """Some verbs, each on everything below some topics. Nothing at all, by itself.

    Attributes:
        verbs: What may be done.
        topics: Where; `()` is everywhere.
    """

    verbs: frozenset[str] = frozenset()
    topics: tuple[Topic, ...] = ()


class Assigned(NamedTuple):
    """What somebody has been given: a role, by its name, and where it holds."""

    role: str
    topics: tuple[Topic, ...]


class Role(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A named set of verbs, with the bounds of whoever has it.

    Attributes:
        verbs: What may be done.
        pinned: Whether the actor and the address of what is appended are the server's to say.
        per_second: Calls of each verb a second, in the long run; a verb that is not named has no bound.
        bytes_per_second: Bytes that may be read a second, in the long run; None: no bound.
        events_per_second: Events that may be read a second, to be sent or to make a metric of; None: no bound.
    """

    verbs: frozenset[str]
    pinned: bool = False
    per_second: dict[str, float] = {}
    bytes_per_second: float | None = None
    events_per_second: float | None = None


ROLES: Final[Mapping[str, Role]] = {
    "emitter": Role(verbs=frozenset({"append"})),
    "reader": Role(verbs=frozenset({"read", "metrics"})),
    "auditor": Role(verbs=frozenset({"read", "metrics", "prove"})),
    "admin": Role(verbs=frozenset(VERBS)),
}
"""Those that need no settings."""


class Vouched(NamedTuple):
    """Whom an identity provider vouches for."""

    subject: str
    assigned: Assigned
    expires_ms: int | None


JwtVerifier = Callable[[str], Awaitable[Vouched]]
"""Returns whom a JWT is about, or raises Unauthorized."""


@dataclass(frozen=True, kw_only=True)
class AccessRules:
    """What access goes by, beside the tokens.

    Attributes:
        roles: By name.
        certificates: What holders of certificates may do, by their subject, such as `CN=collector,O=Example`.
        users: What users of this machine may do through a unix socket, by their number.
        trusted_proxies: Networks whose word is taken on where a request comes from.
        connections_each: WebSockets and streams that one may have open.
        connections_per_address: The same, from one address.
    """

    roles: Mapping[str, Role] = field(default_factory=lambda: dict(ROLES))
    certificates: Mapping[str, Assigned] = field(default_factory=dict)
    users: Mapping[int, Assigned] = field(default_factory=dict)
    trusted_proxies: Sequence[Network] = ()
    connections_each: int = 1_000
    connections_per_address: int = 2_000


def role_of(name: str, roles: Mapping[str, Role]) -> Role:
    """Return a role by its name.

    Raises:
        InvalidParameter: there is none of this name.
    """
    found = roles.get(name)
    if found is None:
        raise InvalidParameter("role", f"must be one of {', '.join(roles)}, got {name!r:.60}")
    return found


def covers(prefixes: Iterable[Topic], topic: Topic) -> bool:
    """Return whether a topic is one of some topics, or below one."""
    for prefix in prefixes:  # noqa: SIM110 - a generator costs as much again, and this runs for every call
        if topic[: len(prefix)] == prefix:
            return True
    return False


def refusal(grant: Grant, verb: str, topics: Sequence[Topic], *, leading: bool = False) -> str | None:
    """Return why something may not be done; None: it may.

    Args:
        grant: What is allowed.
        verb: What is asked.
        topics: On what; none is asked of nothing in particular, and needs the verb alone.
        leading: Whether it is enough that a permission holds for something below each of them.
    """
    if verb not in grant.verbs:
        return f"this needs the permission to {verb}"
    for topic in topics:
        if not covers(grant.topics, topic) and not (leading and _leads(grant.topics, topic)):
            allowed = ", ".join(map(format_topic, grant.topics)) or "nothing"
            return f"to {verb} {format_topic(topic)} is more than the permission to {verb} covers: {allowed}"
    return None


def _leads(prefixes: Iterable[Topic], topic: Topic) -> bool:
    return any(prefix[: len(topic)] == topic for prefix in prefixes)
