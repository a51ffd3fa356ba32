"""A log that is served to those who have a token, and what makes and ends tokens: for tests of access."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from audit import Audit
from audit.log.clock import Clock, SystemClock
from audit.model.topic import parse_topic
from audit.server.access.guard import GuardedAccess
from audit.server.access.policies import Policies
from audit.server.access.rules import AccessRules
from audit.server.access.tokenfile import add_token, revoke_token
from audit.server.access.tokens import ID_BYTES, SECRET_BYTES, new_token
from audit.server.options import ServeOptions
from audit.server.serving import Serving
from audit.testing import memory_audit


class Door:
    """A served log, and the file of its tokens."""

    def __init__(self, log: Audit, server: Serving, path: Path, access: GuardedAccess) -> None:
        self.log = log
        self.server = server
        self.base = server.addresses[0]
        self.url = server.urls[0]
        self.path = path
        self.access = access
        self._number = itertools.count()

    def token(self, role: str, *topics: str, expires_ms: int | None = None) -> str:
        drawn = next(self._number).to_bytes(ID_BYTES, "big") + bytes(range(SECRET_BYTES))
        text, kept = new_token(
            drawn,
            0,
            role=role,
            topics=[parse_topic(topic) for topic in topics],
            roles=self.access._callers._rules.roles,
            expires_ms=expires_ms,
        )
        add_token(self.path, kept)
        self.access._callers.reread()
        return text

    def revoke(self, text: str) -> None:
        revoke_token(self.path, text.split("_")[1], 1)


@asynccontextmanager
async def door(
    tmp_path: Path,
    rules: AccessRules | None = None,
    clock: Clock | None = None,
    policies: Policies | None = None,
    *,
    listen: str = "127.0.0.1:0",
    options: ServeOptions | None = None,
) -> AsyncIterator[Door]:
    path = tmp_path / "tokens.json"
    access = GuardedAccess(path, rules or AccessRules(), clock or SystemClock(), policies=policies)
    async with memory_audit() as log, log.serve(listen, options=options, access=access) as server:
        yield Door(log, server, path, access)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}
