"""A store served from a thread, for tests of whoever connects to it: it can be stopped, and started again."""

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from anyio.from_thread import start_blocking_portal

from audit import Audit, StoreOptions, SyncAudit
from audit.log.signing import Signing

__all__ = ["Served"]

_UNSIGNED = Signing()
_DEFAULTS = StoreOptions()


class Served:
    """The store at `path`, created if need be, at an address that stays the same."""

    def __init__(
        self,
        path: Path,
        address: str = "127.0.0.1:0",
        *,
        signing: Signing = _UNSIGNED,
        options: StoreOptions = _DEFAULTS,
    ) -> None:
        self.path = path
        self._signing = signing
        self._options = options
        self.address = address
        self.url = ""
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        portal = self._stack.enter_context(start_blocking_portal())
        self.log, self.url = self._stack.enter_context(portal.wrap_async_context_manager(self._serving()))
        if not self.address.startswith("unix:"):
            self.address = self.url.removeprefix("ws://").removesuffix("/rpc")

    @asynccontextmanager
    async def _serving(self) -> AsyncIterator[tuple[SyncAudit, str]]:
        opening = Audit.open(self.path, create=True, signing=self._signing, options=self._options)
        async with opening as log, log.serve(self.address) as server:
            yield log.sync, server.urls[0]

    def stop(self) -> None:
        self._stack.close()
