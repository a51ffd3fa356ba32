"""Access by tokens, tickets, sessions, certificates and users: everybody is somebody, and nothing is allowed by itself.

Owns whose connections are open. Who somebody is is for `callers`, what they may do for `rules` and `policies`, how much
for `budgets`, what is written down of it for `recorder`; this brings them together with the time.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from audit.log.clock import Clock
from audit.model.errors import AuditError, Forbidden, Unauthorized, Unavailable
from audit.model.event import Actor, NewEvent
from audit.model.region import NOTHING, Region
from audit.server.access.addresses import address_of
from audit.server.access.budgets import Budgets
from audit.server.access.callers import Callers
from audit.server.access.identity import shown_by
from audit.server.access.policies import Policies
from audit.server.access.port import AccessTally, Ask, Ended, Principal, Record
from audit.server.access.recorder import Recorder
from audit.server.access.rules import AccessRules, JwtVerifier, refusal

__all__ = ["GuardedAccess"]

_LOOK_S: Final = 0.25
"""How often files are looked at, and how late an end is noticed at most."""

Follower = tuple[Principal, Ended]


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
        policies: Policies | None = None,
    ) -> None:
        """Read the tokens. Blocks, shortly.

        Args:
            tokens: The file of tokens; one that is not there holds none.
            rules: What else access goes by.
            clock: Time.
            random_bytes: Returns so many random bytes.
            verify_jwt: Checks tokens of an identity provider; None: there is none.
            policies: What must allow it, too; None: there are none.

        Raises:
            InvalidParameter, Unavailable: the file is damaged, or can't be read.
        """
        self._trusted = rules.trusted_proxies
        self._callers = Callers(tokens, rules, clock, random_bytes, verify_jwt)
        self._budgets = Budgets(rules, clock)
        self._policies = policies
        self._recorder = Recorder(clock)
        self._clock = clock
        self._followers: dict[tuple[str, str], set[Follower]] = {}

    # Who

    async def authenticate(self, scope: Mapping[str, Any]) -> Principal:
        """Return who is asking. What is shown and not good is answered late, and later each time.

        Raises:
            Unauthorized: nobody known.
        """
        address = address_of(scope, self._trusted)
        try:
            principal = await self._callers.identify(shown_by(scope), address)
        except Unauthorized as error:
            self._recorder.note("login", Principal("unknown", address=address), "denied", detail=str(error))
            await asyncio.sleep(self._callers.delay_s(address))
            raise
        if principal is None:
            raise Unauthorized("say who you are: Authorization: Bearer TOKEN (audit token new makes one)")
        if self._policies is None:
            return principal
        principal = principal._replace(policies=self._policies.version)
        await self._policies.prepare(principal)
        return principal

    # What

    def authorise(self, principal: Principal, ask: Ask) -> None:
        """Return if it is allowed; see `port.Access`."""
        if (why := self._callers.over(principal)) is not None:
            raise Unauthorized(why)
        why = refusal(principal.grant, ask.verb, ask.topics, leading=ask.leading)
        if why is None and self._policies is not None:
            why = self._policies.refusal(principal, ask)
        if why is not None:
            self._recorder.note(ask.verb, principal, "denied", ask.topics, why)
            raise Forbidden(why)
        self._budgets.take(principal, ask.verb)
        if ask.verb != "append":
            self._recorder.note(ask.verb, principal, "success", ask.topics)

    def visible(self, principal: Principal) -> Region:
        """Return the topics that somebody may read."""
        if "read" not in principal.grant.verbs:
            return NOTHING
        return Region.below(principal.grant.topics) if self._policies is None else self._policies.visible(principal)

    def stamp(self, principal: Principal, events: Sequence[NewEvent]) -> Sequence[NewEvent]:
        """Return events with the actor and the address that they come from, where the role says so."""
        if not principal.pinned:
            return events
        stamped = []
        for number, event in enumerate(events):
            actor = self.actor(principal, event.actor, f"events[{number}].actor")
            context = {**event.context, "ip": principal.address}
            stamped.append(msgspec.structs.replace(event, actor=actor, context=context))
        return stamped

    def actor(self, principal: Principal, given: Actor | None, place: str) -> Actor | None:
        """Return who is written down as the actor, where the role says so: nobody else than who asks."""
        if not principal.pinned:
            return given
        if given is not None and given.id != principal.name:
            problem = f"{place}: must be left out, or be {principal.name}, got {given.id!r:.60}"
            self._recorder.note("actor", principal, "denied", (), problem)
            raise Forbidden(problem)
        return Actor(type=principal.kind, id=principal.name)

    def charge(self, principal: Principal, read_bytes: int = 0, events: int = 0) -> None:
        """Count what somebody was sent, and the events that were read for it."""
        self._budgets.charge(principal, read_bytes, events)

    def owes_ms(self, principal: Principal) -> int:
        """Return how long somebody must wait for more."""
        return self._budgets.owes_ms(principal)

    def admit(self, principal: Principal) -> Callable[[], None]:
        """Count a connection that stays open; see `port.Access`."""
        return self._budgets.admit(principal)

    def tally(self) -> AccessTally:
        """Return what was counted so far."""
        return AccessTally(self._callers.refused, 0 if self._policies is None else self._policies.errors)

    # Tickets and sessions

    def ticket(self, principal: Principal) -> str:
        """Return a secret that stands for somebody once."""
        return self._callers.tickets.issue(principal, self._clock.wall_ms())

    def sign_in(self, principal: Principal) -> str:
        """Return a secret that stands for somebody until it is over, or they sign out.

        Raises:
            Overloaded: too many are in use.
        """
        self._recorder.note("login", principal, "success")
        return self._callers.sessions.issue(principal, self._clock.wall_ms())

    def sign_out(self, session: str) -> None:
        """Forget a session."""
        self._callers.sessions.spend(session, self._clock.wall_ms())

    # The end

    def follow(self, principal: Principal, ended: Ended) -> Callable[[], None]:
        """Have `ended` called when somebody's access is over; see `port.Access`."""
        self._recorder.note("login", principal, "success")
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

    async def run(self, record: Record) -> None:
        """Watch the files, tell whose access ends, and record who looked, until cancelled."""
        try:
            while True:
                if self._policies is not None:
                    # Before others take their place.
                    await self._recorder.record_policies(self._policies.digests, record)
                await asyncio.sleep(_LOOK_S)
                await self.look()
                await self._recorder.record_tokens(self._callers.tokens, record)
                await self._recorder.record(record, everything=False)
        finally:
            await self._recorder.record(record, everything=True)

    async def look(self) -> None:
        """Read again what has changed, and tell whose access ends."""
        await asyncio.to_thread(self._callers.reread)
        if self._policies is not None:
            await self._policies.reread()
        for followers in list(self._followers.values()):
            for follower in list(followers):
                why = self._ended(follower[0])
                if why is not None:
                    followers.discard(follower)
                    follower[1](why)
        self._followers = {key: followers for key, followers in self._followers.items() if followers}

    def _ended(self, principal: Principal) -> AuditError | None:
        if (why := self._callers.over(principal)) is not None:
            return Unauthorized(why)
        if self._policies is not None and principal.policies != self._policies.version:
            # What is open was allowed by others. Who connects again is judged by those of now, and goes on.
            return Unavailable("the policies have changed: connect again")
        return None
