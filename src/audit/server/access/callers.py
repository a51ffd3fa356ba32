"""Who is asking: tokens of the file, tickets, sessions, JWTs, certificates and users of this machine.

Owns who is known. What is shown and not good is answered late, and later each time, by the address that shows it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from cachetools import LRUCache

from audit.log.clock import Clock
from audit.model.errors import AuditError, Unauthorized
from audit.server.access.identity import Peer, Shown
from audit.server.access.port import Principal
from audit.server.access.rules import AccessRules, Assigned, Grant, JwtVerifier
from audit.server.access.tickets import TICKET_MS, Secrets, digest_of
from audit.server.access.tokenfile import Stamp, read_tokens, stamp_of
from audit.server.access.tokens import Token, check_token

__all__ = ["SESSION_MS", "Callers"]

_log: Final = logging.getLogger("audit.access")
SESSION_MS: Final = 8 * 60 * 60 * 1000
_FORGIVEN_MS: Final = 60_000
"""After so long without another one an address's failed logins are forgotten."""
_MAX_DELAY_S: Final = 2.0
_FIRST_DELAY_S: Final = 0.05
_REMEMBERED: Final = 10_000
_DOTS_OF_JWT: Final = 2


class Callers:
    """Everybody who is known, and since when somebody is not any more."""

    def __init__(
        self,
        tokens: Path,
        rules: AccessRules,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
        verify_jwt: JwtVerifier | None,
    ) -> None:
        """Read the tokens; see `guard.GuardedAccess`. Blocks, shortly.

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
        self.tickets = Secrets(TICKET_MS, random_bytes)
        self.sessions = Secrets(SESSION_MS, random_bytes)
        self._failures: LRUCache[str, tuple[int, int]] = LRUCache(_REMEMBERED)
        self.refused = 0
        """Requests so far that showed something that is not good."""

    @property
    def tokens(self) -> Mapping[str, Token]:
        """The tokens by their ids: another mapping whenever the file has changed."""
        return self._tokens

    async def identify(self, shown: Shown, address: str) -> Principal | None:
        """Return who shows this; None: nothing is shown.

        Raises:
            Unauthorized: what is shown is not good.
        """
        now_ms = self._clock.wall_ms()
        if shown.bearer is not None:
            if self._verify_jwt is not None and shown.bearer.count(".") == _DOTS_OF_JWT:
                found = await self._verify_jwt(shown.bearer)
                return self._somebody("jwt", found.subject, found.assigned, address, found.expires_ms)
            token = check_token(shown.bearer, self._tokens, now_ms)
            assigned = Assigned(token.role, tuple(token.topics))
            return self._somebody("token", token.id, assigned, address, token.expires_ms)
        if shown.ticket is not None:
            return self._still(self.tickets.spend(shown.ticket, now_ms), "the ticket", address)
        if shown.session is not None:
            found_by = self._still(self.sessions.find(shown.session, now_ms), "the session", address)
            return found_by._replace(session=digest_of(shown.session))
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
        if (why := self.over(found)) is not None:
            raise Unauthorized(why)
        return found._replace(address=address)

    def over(self, principal: Principal) -> str | None:
        """Return why somebody's access is over; None: it is not."""
        if principal.session is not None and not self.sessions.stands(principal.session, self._clock.wall_ms()):
            return "the session is over"
        if principal.kind == "token":
            token = self._tokens.get(principal.name)
            return "the token is not known any more" if token is None else token.ended(self._clock.wall_ms())
        if principal.expires_ms is not None and self._clock.wall_ms() >= principal.expires_ms:
            return "the access has expired"
        return None

    def delay_s(self, address: str) -> float:
        """Count a failed login, and return how late it is to be answered."""
        now_ms = self._clock.monotonic_ms()
        failures, since_ms = self._failures.get(address, (0, now_ms))
        if now_ms - since_ms > _FORGIVEN_MS:
            failures = 0
        self._failures[address] = (failures + 1, now_ms)
        self.refused += 1
        return min(_FIRST_DELAY_S * 2.0 ** min(failures, 10), _MAX_DELAY_S)

    def reread(self) -> None:
        """Read the tokens again if the file has changed; blocks, shortly."""
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
