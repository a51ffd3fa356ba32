"""Many logs behind one port: each tenant's is a store of its own, opened when asked for and closed when idle.

A tenant has its own order, tokens, cursors and proofs; what belongs to one means nothing in another. Whether a tenant
exists is told only to who is known in it. Owns which are open; never more than fit into the memory set aside for them.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from starlette.types import ASGIApp, Receive, Scope, Send

from audit.log.core import LogCore
from audit.log.verbs import AsyncVerbs
from audit.model.errors import AuditError, NotFound, Overloaded, Unauthorized
from audit.protocol.limits import CloseCode
from audit.server.access import Access
from audit.server.access.identity import TENANT, shown_by
from audit.server.problems import response_to
from audit.server.served import ServedLog

__all__ = ["PREFIX", "Opened", "TenantOpener", "TenantRoutes", "Tenants", "check_tenant"]

PREFIX: Final = "/t/"
_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_LOOK_S: Final = 1.0

_log: Final = logging.getLogger("audit.server")


class Opened(NamedTuple):
    """A tenant's log, open, and who may do what in it."""

    core: LogCore
    log: AsyncVerbs
    access: Access


TenantOpener = Callable[[str], Awaitable[Opened]]
"""Opens a tenant's log by its name, or raises NotFound."""


def check_tenant(name: str) -> str:
    """Return a tenant's name.

    Raises:
        NotFound: no tenant can be called that: names are 1-63 of `a-z`, `0-9` and `-`, which is never first or last.
    """
    if not _NAME.fullmatch(name):
        raise NotFound(f"no tenant is called {name!r:.70}: names are 1-63 of a-z, 0-9 and -, not first or last")
    return name


@dataclass(eq=False)
class _Tenant:
    name: str
    served: ServedLog
    log: AsyncVerbs
    users: int = 0
    idle_since: float = field(default=0.0)


class Tenants:
    """The tenants of one server that are open."""

    def __init__(
        self,
        opener: TenantOpener,
        serve: Callable[[Opened], Awaitable[ServedLog]],
        *,
        most_open: int,
        idle_s: float,
    ) -> None:
        """Open none yet.

        Args:
            opener: Opens a tenant's log.
            serve: Begins to serve a log that is open.
            most_open: Tenants open at once.
            idle_s: One that nobody has used for so long is closed.
        """
        self._opener = opener
        self._serve = serve
        self._most = most_open
        self._idle_s = idle_s
        self._open: dict[str, _Tenant] = {}
        self._changing = asyncio.Lock()
        """Held while a tenant is opened or closed: a store can be open once only."""

    def __len__(self) -> int:
        return len(self._open)

    async def enter(self, name: str) -> _Tenant:
        """Return a tenant, which stays open until `leave`.

        Raises:
            NotFound: there is none of this name.
            Overloaded: as many as may be are open and in use.
            StoreError, Unavailable: its store can't be opened.
        """
        check_tenant(name)
        tenant = self._open.get(name)
        if tenant is None:
            async with self._changing:
                tenant = self._open.get(name)
                if tenant is None:
                    await self._make_room()
                    tenant = self._open[name] = await self._opened(name)
                # Before the lock is let go, so that nobody closes it in between.
                tenant.users += 1
                return tenant
        tenant.users += 1
        return tenant

    def leave(self, tenant: _Tenant) -> None:
        """Let go of a tenant."""
        tenant.users -= 1
        tenant.idle_since = asyncio.get_running_loop().time()

    async def run(self) -> None:
        """Close what is idle, until cancelled."""
        while True:
            await asyncio.sleep(min(_LOOK_S, self._idle_s))
            await self.close_idle(self._idle_s)

    async def close_idle(self, idle_s: float) -> None:
        """Close the tenants that nobody has used for so long."""
        now = asyncio.get_running_loop().time()
        async with self._changing:
            for tenant in list(self._open.values()):
                if not tenant.users and now - tenant.idle_since >= idle_s:
                    await self._close(tenant)

    async def close(self) -> None:
        """Close all of them."""
        async with self._changing:
            for tenant in list(self._open.values()):
                await self._close(tenant)

    async def _opened(self, name: str) -> _Tenant:
        opened = await self._opener(name)
        try:
            return _Tenant(name, await self._serve(opened), opened.log)
        except BaseException:
            # Nobody else knows of it, and a log that is open can't be opened.
            await opened.log.close()
            raise

    async def _make_room(self) -> None:
        if len(self._open) < self._most:
            return
        idle = [tenant for tenant in self._open.values() if not tenant.users]
        if not idle:
            raise Overloaded(f"{self._most} tenants are open and in use")
        await self._close(min(idle, key=lambda tenant: tenant.idle_since))

    async def _close(self, tenant: _Tenant) -> None:
        # Out of the way first: who comes now waits for the lock, and opens it again.
        del self._open[tenant.name]
        try:
            try:
                await tenant.served.end()
            finally:
                await tenant.log.close()
        except AuditError as error:
            _log.error("the log of tenant %s did not close in order: %s", tenant.name, error)


class TenantRoutes:
    """`/t/NAME/…` for tenants, all else for the log without a name. A raw ASGI application."""

    def __init__(self, tenants: Tenants, default: ASGIApp, *, required: bool) -> None:
        """Take both.

        Args:
            tenants: Those that there are.
            default: The application of the log without a name.
            required: Whether everybody must say who they are.
        """
        self._tenants = tenants
        self._default = default
        self._required = required

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, as ASGI has it."""
        path: str = scope.get("path", "")
        if not path.startswith(PREFIX):
            await self._default(scope, receive, send)
            return
        name, slash, rest = path.removeprefix(PREFIX).partition("/")
        scope = {**scope, TENANT: name}
        try:
            tenant = await self._tenants.enter(name)
        except AuditError as error:
            await _refuse(self._told(error, scope), scope, receive, send)
            return
        try:
            inner = f"{slash}{rest}"
            await tenant.served.app({**scope, "path": inner, "raw_path": inner.encode()}, receive, send)
        finally:
            self._tenants.leave(tenant)

    def _told(self, error: AuditError, scope: Scope) -> AuditError:
        """Return what is told of an error: nobody learns which tenants there are who is not known in one."""
        if not self._required or not isinstance(error, NotFound):
            return error
        try:
            shown = shown_by(scope)
        except Unauthorized as odd:
            return odd
        if shown.bearer is None and shown.ticket is None and shown.session is None:
            return Unauthorized("say who you are: Authorization: Bearer TOKEN (audit token new makes one)")
        return Unauthorized("the token is not known here")


async def _refuse(error: AuditError, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "websocket":
        await response_to(error)(scope, receive, send)
        return
    await receive()
    if isinstance(error, Unauthorized):
        # As a tenant answers that there is.
        offered = scope["subprotocols"]
        await send({"type": "websocket.accept", "subprotocol": offered[0] if offered else None})
        await send({"type": "websocket.close", "code": int(CloseCode.UNAUTHORIZED), "reason": str(error)[:123]})
        return
    answer = response_to(error)
    headers = [(name, value) for name, value in answer.raw_headers if name != b"content-length"]
    start = {"type": "websocket.http.response.start", "status": answer.status_code, "headers": headers}
    await send(start)
    await send({"type": "websocket.http.response.body", "body": answer.body})
