"""Access by tokens, tickets, sessions, certificates and users: everybody is somebody, and nothing is allowed by itself.

Owns who is known, whose access has ended, and how often each may ask. What it decides is in `rules`, what it reads of a
request in `identity`; it only brings them together with the time, and with the file of tokens.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from cachetools import LRUCache

from audit.log.clock import Clock
from audit.model.errors import AuditError, Forbidden, Overloaded, Unauthorized
from audit.model.event import Actor, NewEvent, Outcome
from audit.model.topic import Topic
from audit.server.access.addresses import Network, address_of
from audit.server.access.identity import Peer, Shown, shown_by
from audit.server.access.journal import Journal, Note, token_events, topics_of
from audit.server.access.port import Ask, Ended, Principal, Record
from audit.server.access.rates import Bucket
from audit.server.access.rules import ROLES, Assigned, Grant, Role, refusal
from audit.server.access.tickets import TICKET_MS, Secrets
from audit.server.access.tokenfile import Stamp, read_tokens, stamp_of
from audit.server.access.tokens import Token, check_token

__all__ = ["SESSION_MS", "AccessRules", "GuardedAccess", "JwtVerifier", "Vouched"]

_log: Final = logging.getLogger("audit.access")
_LOOK_S: Final = 0.25
"""How often the file of tokens is looked at, and how late an end is noticed at most."""
SESSION_MS: Final = 8 * 60 * 60 * 1000
_FORGIVEN_MS: Final = 60_000
"""After so long without another one an address's failed logins are forgotten."""
_MAX_DELAY_S: Final = 2.0
_FIRST_DELAY_S: Final = 0.05
_REMEMBERED: Final = 10_000
_BYTES: Final = "bytes"
_DOTS_OF_JWT: Final = 2
_MOST_EVENTS: Final = 500

Follower = tuple[Principal, Ended]


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


class GuardedAccess:
    """Who may do what, by the tokens of a file and some rules; see `port.Access`."""

    required: Final = True

    def __init__(
        self,
        tokens: Path,
        rules: AccessRules,
        clock: Clock,
        *,
        random_bytes: Callable[[int], bytes] = os.urandom,
        verify_jwt: JwtVerifier | None = None,
    ) -> None:
        """Read the tokens. Blocks, shortly.

        Args:
            tokens: The file of tokens; one that is not there holds none.
            rules: What else access goes by.
            clock: Time.
            random_bytes: Returns so many random bytes.
            verify_jwt: Checks tokens of an identity provider; None: there is none.

        Raises:
            InvalidParameter, Unavailable: the file is damaged, or can't be read.
        """
        self._path = tokens
        self._rules = rules
        self._clock = clock
        self._verify_jwt = verify_jwt
        self._stamp: Stamp | None = None
        self._tokens: dict[str, Token] = {}
        self._read()
        self._tickets = Secrets(TICKET_MS, random_bytes)
        self._sessions = Secrets(SESSION_MS, random_bytes)
        self._followers: dict[tuple[str, str], set[Follower]] = {}
        self._buckets: LRUCache[tuple[str, str, str], Bucket | None] = LRUCache(_REMEMBERED)
        self._limited = {
            name for name, role in rules.roles.items() if role.per_second or role.bytes_per_second is not None
        }
        """Roles with rates; most have none, and their calls should not pay for it."""
        self._failures: LRUCache[str, tuple[int, int]] = LRUCache(_REMEMBERED)
        self._journal = Journal()
        self._connections: Counter[str] = Counter()
        self._told_tokens: dict[str, Token] = {}
        self.refused_logins = 0
        """Requests so far that showed something that is not good."""

    # Who

    async def authenticate(self, scope: Mapping[str, Any]) -> Principal:
        """Return who is asking. What is shown and not good is answered late, and later each time.

        Raises:
            Unauthorized: nobody known.
        """
        address = address_of(scope, self._rules.trusted_proxies)
        try:
            principal = await self._identify(shown_by(scope), address)
        except Unauthorized as error:
            self._note("login", Principal("unknown", address=address), "denied", detail=str(error))
            await asyncio.sleep(self._delay_s(address))
            raise
        if principal is None:
            raise Unauthorized("say who you are: Authorization: Bearer TOKEN (audit token new makes one)")
        return principal

    async def _identify(self, shown: Shown, address: str) -> Principal | None:
        now_ms = self._clock.wall_ms()
        if shown.bearer is not None:
            if self._verify_jwt is not None and shown.bearer.count(".") == _DOTS_OF_JWT:
                found = await self._verify_jwt(shown.bearer)
                return self._somebody("jwt", found.subject, found.assigned, address, found.expires_ms)
            token = check_token(shown.bearer, self._tokens, now_ms)
            assigned = Assigned(token.role, tuple(token.topics))
            return self._somebody("token", token.id, assigned, address, token.expires_ms)
        if shown.ticket is not None:
            return self._still(self._tickets.spend(shown.ticket, now_ms), "the ticket", address)
        if shown.session is not None:
            return self._still(self._sessions.find(shown.session, now_ms), "the session", address)
        return self._vouched(shown.peer, address)

    def _vouched(self, peer: Peer, address: str) -> Principal | None:
        if peer.subject is not None:
            assigned = self._rules.certificates.get(peer.subject)
            if assigned is None:
                raise Unauthorized(f"the certificate of {peer.subject:.200} is not known here")
            return self._somebody("certificate", peer.subject, assigned, address)
        if peer.uid is not None and (assigned := self._rules.users.get(peer.uid)) is not None:
            return self._somebody("user", str(peer.uid), assigned, address)
        return None

    def _somebody(
        self, kind: str, name: str, assigned: Assigned, address: str, expires_ms: int | None = None
    ) -> Principal:
        role = self._rules.roles.get(assigned.role)
        if role is None:
            # Taken out of the settings since: a role that nobody knows allows nothing.
            raise Unauthorized(f"the role {assigned.role:.60} is not known here")
        return Principal(
            name, kind, assigned.role, Grant(role.verbs, assigned.topics), expires_ms, role.pinned, address
        )

    def _still(self, found: Principal | None, what: str, address: str) -> Principal:
        """Return whom a ticket or session stands for, unless their own access has ended since."""
        if found is None:
            raise Unauthorized(f"{what} is not known, was used, or is over")
        if (why := self._over(found)) is not None:
            raise Unauthorized(why)
        return found._replace(address=address)

    def _delay_s(self, address: str) -> float:
        now_ms = self._clock.monotonic_ms()
        failures, since_ms = self._failures.get(address, (0, now_ms))
        if now_ms - since_ms > _FORGIVEN_MS:
            failures = 0
        self._failures[address] = (failures + 1, now_ms)
        self.refused_logins += 1
        return min(_FIRST_DELAY_S * 2.0 ** min(failures, 10), _MAX_DELAY_S)

    # What

    def authorise(self, principal: Principal, ask: Ask) -> None:
        """Return if it is allowed; see `port.Access`."""
        if (why := self._over(principal)) is not None:
            raise Unauthorized(why)
        why = refusal(principal.grant, ask.verb, ask.topics, any_of=ask.any_of)
        if why is not None:
            self._note(ask.verb, principal, "denied", ask.topics, why)
            raise Forbidden(why)
        if principal.role in self._limited:
            self._take(principal, ask.verb, 1)
            if ask.verb == "read":
                self._take(principal, _BYTES, 0)
        if ask.verb != "append":
            self._note(ask.verb, principal, "success", ask.topics)

    def visible(self, principal: Principal) -> Sequence[Topic]:
        """Return the topics under which somebody may read."""
        return principal.grant.topics if "read" in principal.grant.verbs else ()

    def stamp(self, principal: Principal, events: Sequence[NewEvent]) -> Sequence[NewEvent]:
        """Return events with the actor and the address that they come from, where the role says so."""
        if not principal.pinned:
            return events
        actor = Actor(type=principal.kind, id=principal.name)
        stamped = []
        for number, event in enumerate(events):
            if event.actor is not None and event.actor.id != actor.id:
                problem = f"events[{number}].actor: must be left out, or be {actor.id}, got {event.actor.id!r:.60}"
                self._note("append", principal, "denied", event.topics, problem)
                raise Forbidden(problem)
            context = {**event.context, "ip": principal.address}
            stamped.append(msgspec.structs.replace(event, actor=actor, context=context))
        return stamped

    def charge(self, principal: Principal, read_bytes: int) -> None:
        """Count what somebody has read."""
        bucket = self._bucket(principal, _BYTES) if principal.role in self._limited else None
        if bucket is not None:
            bucket.spend(read_bytes, self._clock.monotonic_ms())

    def _take(self, principal: Principal, what: str, amount: float) -> None:
        bucket = self._bucket(principal, what)
        if bucket is None:
            return
        wait_ms = bucket.take(amount, self._clock.monotonic_ms())
        if wait_ms is not None:
            raise Overloaded(f"too many calls to {what} by {principal.kind} {principal.name}", retry_after_ms=wait_ms)

    def _bucket(self, principal: Principal, what: str) -> Bucket | None:
        key = (principal.kind, principal.name, what)
        try:
            return self._buckets[key]
        except KeyError:
            role = self._rules.roles.get(principal.role)
            rate = None
            if role is not None:
                rate = role.bytes_per_second if what == _BYTES else role.per_second.get(what)
            bucket = None if rate is None else Bucket(rate, self._clock.monotonic_ms())
            self._buckets[key] = bucket
            return bucket

    # Tickets and sessions

    def ticket(self, principal: Principal) -> str:
        """Return a secret that stands for somebody once."""
        return self._tickets.issue(principal, self._clock.wall_ms())

    def sign_in(self, principal: Principal) -> str:
        """Return a secret that stands for somebody until it is over, or they sign out.

        Raises:
            Overloaded: too many are in use.
        """
        self._note("login", principal, "success")
        return self._sessions.issue(principal, self._clock.wall_ms())

    def sign_out(self, session: str) -> None:
        """Forget a session."""
        self._sessions.spend(session, self._clock.wall_ms())

    # The end

    def admit(self, principal: Principal) -> Callable[[], None]:
        """Count a connection that stays open; see `port.Access`."""
        counted = (
            (f"{principal.kind} {principal.name}", self._rules.connections_each),
            (f"the address {principal.address}", self._rules.connections_per_address),
        )
        for who, most in counted:
            if self._connections[who] >= most:
                raise Overloaded(f"{who} has {most} connections open already")
        for who, _ in counted:
            self._connections[who] += 1

        def leave() -> None:
            for who, _ in counted:
                self._connections[who] -= 1
                if not self._connections[who]:
                    del self._connections[who]

        return leave

    def follow(self, principal: Principal, ended: Ended) -> Callable[[], None]:
        """Have `ended` called when somebody's access is over; see `port.Access`."""
        self._note("login", principal, "success")
        key = (principal.kind, principal.name)
        follower = (principal, ended)
        self._followers.setdefault(key, set()).add(follower)

        def forget() -> None:
            followers = self._followers.get(key)
            if followers is not None:
                followers.discard(follower)
                if not followers:
                    del self._followers[key]

        return forget

    def _over(self, principal: Principal) -> str | None:
        """Return why somebody's access is over; None: it is not."""
        if principal.kind == "token":
            token = self._tokens.get(principal.name)
            return "the token is not known any more" if token is None else token.ended(self._clock.wall_ms())
        if principal.expires_ms is not None and self._clock.wall_ms() >= principal.expires_ms:
            return "the access has expired"
        return None

    async def run(self, record: Record) -> None:
        """Watch the tokens, tell whose access ends, and record who looked, until cancelled."""
        try:
            while True:
                await asyncio.sleep(_LOOK_S)
                await asyncio.to_thread(self._reread)
                self._tell_ended()
                await self._record_tokens(record)
                await self._record(record, everything=False)
        finally:
            await self._record(record, everything=True)

    def _reread(self) -> None:
        try:
            if stamp_of(self._path) != self._stamp:
                self._read()
        except (AuditError, OSError) as error:
            # Nobody gets more by this, and who is revoked meanwhile stays: that is worth a line each time.
            _log.error("the tokens can't be read, those of before stay: %s", error)

    def _read(self) -> None:
        # The stamp first: a change in between is read again.
        stamp = stamp_of(self._path)
        self._tokens = read_tokens(self._path).by_id()
        self._stamp = stamp

    def _tell_ended(self) -> None:
        for followers in list(self._followers.values()):
            for follower in list(followers):
                if (why := self._over(follower[0])) is not None:
                    followers.discard(follower)
                    follower[1](why)
        self._followers = {key: followers for key, followers in self._followers.items() if followers}

    def _note(
        self, what: str, principal: Principal, outcome: Outcome, topics: Sequence[Topic] = (), detail: str = ""
    ) -> None:
        note = Note(what, principal.kind, principal.name, principal.address, outcome, topics_of(topics), detail)
        self._journal.note(note, self._clock.wall_ms())

    async def _record_tokens(self, record: Record) -> None:
        """Record the tokens that were made or revoked since; each once, also over restarts, by its key."""
        tokens, told = self._tokens, self._told_tokens
        if tokens is told:
            return
        events = [event for name, token in tokens.items() if told.get(name) != token for event in token_events(token)]
        for start in range(0, len(events), _MOST_EVENTS):
            try:
                await record(events[start : start + _MOST_EVENTS])
            except AuditError as error:
                _log.warning("what became of tokens is not recorded yet: %s", error)
                return
        self._told_tokens = tokens

    async def _record(self, record: Record, *, everything: bool) -> None:
        events = self._journal.due(self._clock.wall_ms(), everything=everything)
        if not events:
            return
        try:
            await record(events)
        except AuditError as error:
            # The log may be full, fenced or closed; those who look are not kept from it for that.
            _log.warning("%d records of access are lost: %s", len(events), error)
