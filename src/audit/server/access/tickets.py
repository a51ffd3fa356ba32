"""One-use secrets in memory: tickets, with which a browser opens a WebSocket, and sessions of people who signed in.

Browsers can't set headers on a WebSocket, and what stands in a URL ends up in logs and histories. So a page asks for a
ticket with its token, over HTTP, and shows it as a second subprotocol, once, within half a minute.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from audit.model.errors import Overloaded
from audit.server.access.port import Principal

__all__ = ["TICKET_MS", "TICKET_PROTOCOL", "Secrets", "digest_of"]

TICKET_MS: Final = 30_000
TICKET_PROTOCOL: Final = "audit.ticket."
"""What the subprotocol that carries a ticket starts with."""
_MOST: Final = 10_000
_BYTES: Final = 32


class Secrets:
    """Secrets that stand for somebody for a while. Only their digests are kept, in the order in which they end."""

    def __init__(self, lifetime_ms: int, random_bytes: Callable[[int], bytes], most: int = _MOST) -> None:
        self.lifetime_ms = lifetime_ms
        self._random_bytes = random_bytes
        self._most = most
        self._known: OrderedDict[bytes, tuple[int, Principal]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def issue(self, principal: Principal, now_ms: int) -> str:
        """Return a new secret for somebody.

        Raises:
            Overloaded: too many are in use.
        """
        self._forget(now_ms)
        if len(self._known) >= self._most:
            raise Overloaded(f"{self._most} tickets or sessions are in use")
        secret = self._random_bytes(_BYTES).hex()
        # Looked up by digest: how long that takes tells nothing of the secrets that there are.
        self._known[digest_of(secret)] = (now_ms + self.lifetime_ms, principal)
        return secret

    def find(self, secret: str, now_ms: int) -> Principal | None:
        """Return whom a secret stands for; None: it is not known, or over."""
        digest = digest_of(secret)
        return self._known[digest][1] if self.stands(digest, now_ms) else None

    def stands(self, digest: bytes, now_ms: int) -> bool:
        """Return whether the secret of a digest stands for somebody."""
        self._forget(now_ms)
        return digest in self._known

    def spend(self, secret: str, now_ms: int) -> Principal | None:
        """Return whom a secret stands for, and forget it; None: it is not known, was used, or is over."""
        found = self.find(secret, now_ms)
        self._known.pop(digest_of(secret), None)
        return found

    def _forget(self, now_ms: int) -> None:
        while self._known:
            digest, (ends_ms, _) = next(iter(self._known.items()))
            if ends_ms > now_ms:
                break
            del self._known[digest]


def digest_of(secret: str) -> bytes:
    """Return what is kept of a secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()
