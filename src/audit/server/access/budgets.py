"""How much somebody may ask for, by their role: calls, bytes and events a second, and connections at once."""

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
_READ: Final = ("bytes", "events")
"""What is counted once it is known how much it was; it may leave a debt."""
_READING: Final = frozenset({"read", "metrics"})


class Budgets:
    """What everybody has left."""

    def __init__(self, rules: AccessRules, clock: Clock) -> None:
        self._rules = rules
        self._clock = clock
        self._buckets: LRUCache[tuple[str, str, str], Bucket | None] = LRUCache(_REMEMBERED)
        self._limited = {
            name
            for name, role in rules.roles.items()
            if role.per_second or role.bytes_per_second is not None or role.events_per_second is not None
        }
        """Roles with rates; most have none, and their calls should not pay for it."""
        self._connections: Counter[str] = Counter()

    def take(self, principal: Principal, verb: str) -> None:
        """Count a call.

        Raises:
            Overloaded: too many of them, or too much was read before.
        """
        if principal.role not in self._limited:
            return
        now_ms = self._clock.monotonic_ms()
        who = f"{principal.kind} {principal.name}"
        calls = self._bucket(principal, verb)
        wait_ms = None if calls is None else calls.take(1, now_ms)
        if wait_ms is not None:
            problem = f"too many calls: {who} may {verb} {self._rate(principal, verb):g} times a second"
            raise Overloaded(problem, retry_after_ms=wait_ms)
        if verb in _READING:
            for what in _READ:
                if wait_ms := self._owes_ms(principal, what, now_ms):
                    problem = f"too much was read: {who} may read {self._rate(principal, what):g} {what} a second"
                    raise Overloaded(problem, retry_after_ms=wait_ms)

    def charge(self, principal: Principal, read_bytes: int, events: int) -> None:
        """Count what somebody was sent, and the events that were read for it."""
        if principal.role in self._limited:
            for what, amount in zip(_READ, (read_bytes, events), strict=True):
                bucket = self._bucket(principal, what)
                if bucket is not None:
                    bucket.spend(amount, self._clock.monotonic_ms())

    def owes_ms(self, principal: Principal) -> int:
        """Return for how many milliseconds somebody must not be sent more; 0: for none."""
        if principal.role not in self._limited:
            return 0
        now_ms = self._clock.monotonic_ms()
        return max(self._owes_ms(principal, what, now_ms) for what in _READ)

    def _owes_ms(self, principal: Principal, what: str, now_ms: int) -> int:
        bucket = self._bucket(principal, what)
        return 0 if bucket is None else bucket.take(0, now_ms) or 0

    def _bucket(self, principal: Principal, what: str) -> Bucket | None:
        key = (principal.kind, principal.name, what)
        try:
            return self._buckets[key]
        except KeyError:
            rate = self._rate(principal, what)
            bucket = None if rate is None else Bucket(rate, self._clock.monotonic_ms())
            self._buckets[key] = bucket
            return bucket

    def _rate(self, principal: Principal, what: str) -> float | None:
        role = self._rules.roles.get(principal.role)
        if role is None:
            return None
        if what == "bytes":
            return role.bytes_per_second
        return role.events_per_second if what == "events" else role.per_second.get(what)

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
