"""How much somebody may ask for: calls of each verb and bytes a second, by their role, and connections at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from cachetools import LRUCache

from audit.log.clock import Clock
from audit.model.errors import Overloaded
from audit.server.access.port import Principal
from audit.server.access.rates import Bucket
from audit.server.access.rules import AccessRules

__all__ = ["Budgets"]

_REMEMBERED: Final = 10_000
_BYTES: Final = "bytes"


class Budgets:
    """What everybody has left."""

    def __init__(self, rules: AccessRules, clock: Clock) -> None:
        self._rules = rules
        self._clock = clock
        self._buckets: LRUCache[tuple[str, str, str], Bucket | None] = LRUCache(_REMEMBERED)
        self._limited = {
            name for name, role in rules.roles.items() if role.per_second or role.bytes_per_second is not None
        }
        """Roles with rates; most have none, and their calls should not pay for it."""
        self._connections: Counter[str] = Counter()

    def take(self, principal: Principal, verb: str) -> None:
        """Count a call.

        Raises:
            Overloaded: too many of them, or too much was read before.
        """
        if principal.role in self._limited:
            self._take(principal, verb, 1)
            if verb == "read":
                self._take(principal, _BYTES, 0)

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
