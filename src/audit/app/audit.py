"""`Audit`: the asynchronous verbs, and how to open a log."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Generator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Final

from audit.app.directory import Directory
from audit.log.clock import Clock, SystemClock
from audit.log.core import LogCore, StoreInfo
from audit.log.scrub import Scrub
from audit.log.signing import Signing
from audit.log.sync import SyncAudit
from audit.log.verbs import AsyncVerbs
from audit.model.errors import StoreExists, Unavailable
from audit.model.ids import RANDOM_BITS, format_id
from audit.storage.opening import create_store
from audit.storage.options import StoreOptions

if TYPE_CHECKING:
    from audit.server.access import Access
    from audit.server.options import ServeOptions
    from audit.server.serving import Serving
    from audit.server.tenants import TenantOpener

__all__ = ["Audit", "Opening"]

_DEFAULTS: Final = StoreOptions()
_SECRETS: Final = Scrub()
_UNSIGNED: Final = Signing()


class Audit(AsyncVerbs):
    """An open audit log, used from an event loop. `async with Audit.open("data") as log: …`."""

    @classmethod
    def init(cls, path: str | os.PathLike[str], *, clock: Clock | None = None) -> StoreInfo:
        """Create an empty store. Blocks, shortly.

        Args:
            path: A directory that does not exist yet, or is empty.
            clock: For tests.

        Raises:
            StoreExists: the directory holds a store, or something else.
            Unavailable: it can't be written.
        """
        directory = Directory(path, _DEFAULTS)
        if directory.log_path.exists():
            raise StoreExists(f"{directory.path} holds a store already")
        try:
            if directory.path.is_dir() and not directory.bare():
                raise StoreExists(f"{directory.path} is not empty and holds no store")
        except OSError as error:
            raise Unavailable(f"can't create a store in {directory.path}: {error}") from error
        now_ms = (clock or SystemClock()).wall_ms()
        store_id = format_id(now_ms << RANDOM_BITS | int.from_bytes(os.urandom(RANDOM_BITS // 8), "big"))
        create_store(directory.log_path, store_id)
        return StoreInfo(store_id, 0, None, None)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        create: bool = False,
        accept_clock: bool = False,
        options: StoreOptions = _DEFAULTS,
        signing: Signing = _UNSIGNED,
        scrub: Scrub = _SECRETS,
        clock: Clock | None = None,
    ) -> Opening:
        """Open a log, with `async with` or `await`.

        Args:
            path: The store's directory.
            create: Create the store first when the directory holds none.
            accept_clock: Go on though the newest event is more than an hour ahead of the clock.
            options: Sizes of buffers and caches.
            signing: What checkpoints are signed with, and where else they are kept.
            scrub: What is taken out of events before they are stored; by itself, values named like secrets are masked.
            clock: For tests.

        Raises (once awaited):
            StoreMissing: the directory holds no store.
            StoreLocked: the store is open already; the message says in which process.
            StoreFormat: written in a format this version does not read.
            StoreCorrupt: a record is damaged or missing.
            TamperDetected: the store is not what its newest checkpoint says: events are cut off, changed or replaced.
            ProofInvalid: the checkpoint file has another key's or another log's.
            Unavailable: the disk can't be read.
        """
        return Opening(
            path, create=create, accept_clock=accept_clock, options=options, signing=signing, scrub=scrub, clock=clock
        )

    @classmethod
    def open_sync(
        cls,
        path: str | os.PathLike[str],
        *,
        create: bool = False,
        accept_clock: bool = False,
        options: StoreOptions = _DEFAULTS,
        signing: Signing = _UNSIGNED,
        scrub: Scrub = _SECRETS,
        clock: Clock | None = None,
    ) -> SyncAudit:
        """Open a log for plain threads; `close` it, or use `with`. Arguments and errors as of `open`."""
        return SyncAudit(
            _open(
                path,
                create=create,
                accept_clock=accept_clock,
                options=options,
                signing=signing,
                scrub=scrub,
                clock=clock,
            )
        )

    def serve(
        self,
        listen: str | Sequence[str] = "127.0.0.1:8440",
        *,
        options: ServeOptions | None = None,
        access: Access | None = None,
        tenants: TenantOpener | None = None,
    ) -> Serving:
        """Serve the log over WebSocket and HTTP from this process: `async with` beside the block, `await` for ever.

        Args:
            listen: `HOST:PORT` (port 0: a free one), `[IPV6]:PORT` or `unix:PATH`; or several of them.
            options: Limits, timeouts, TLS.
            access: Who may do what; everybody everything if absent.
            tenants: Opens the log of a tenant by its name (`app.tenants`), to be served at `/t/NAME/…`; None: none.

        Raises:
            InvalidParameter: an address is malformed.
            Unavailable: the extra `server` is not installed; or, once entered, an address is in use.
        """
        try:
            # Only a process that serves pays for the server's libraries, and they are an extra.
            from audit.server.options import ServeOptions  # noqa: PLC0415
            from audit.server.serving import Serving  # noqa: PLC0415
        except ImportError as error:
            raise Unavailable(f"serving needs more packages: pip install 'audit-store[server]' ({error})") from error
        return Serving(self._core, self, listen, options or ServeOptions(), access, tenants)


class Opening:
    """A log about to be opened: `async with` closes it at the end, `await` leaves that to the caller."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        create: bool,
        accept_clock: bool,
        options: StoreOptions,
        signing: Signing,
        scrub: Scrub,
        clock: Clock | None,
    ) -> None:
        self._path = path
        self._create = create
        self._accept_clock = accept_clock
        self._options = options
        self._signing = signing
        self._scrub = scrub
        self._clock = clock
        self._log: Audit | None = None

    def __await__(self) -> Generator[object, None, Audit]:
        return self._open().__await__()

    async def __aenter__(self) -> Audit:
        self._log = await self._open()
        return self._log

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._log is not None:
            await self._log.close()

    async def _open(self) -> Audit:
        opening = asyncio.ensure_future(asyncio.to_thread(self._open_blocking))
        try:
            return Audit(await asyncio.shield(opening))
        except asyncio.CancelledError:
            # Whoever gave up must not leave a store behind that is open and belongs to nobody.
            await asyncio.wait((opening,))
            if opening.exception() is None:
                await asyncio.to_thread(opening.result().close)
            raise

    def _open_blocking(self) -> LogCore:
        return _open(
            self._path,
            create=self._create,
            accept_clock=self._accept_clock,
            options=self._options,
            signing=self._signing,
            scrub=self._scrub,
            clock=self._clock,
        )


def _open(
    path: str | os.PathLike[str],
    *,
    create: bool,
    accept_clock: bool,
    options: StoreOptions,
    signing: Signing,
    scrub: Scrub,
    clock: Clock | None,
) -> LogCore:
    directory = Directory(path, options)
    if create and not directory.log_path.exists():
        try:
            Audit.init(path, clock=clock)
        except StoreExists:
            # Created by somebody else meanwhile: there is one now, as was asked for.
            if not directory.log_path.exists():
                raise
    core = LogCore(
        directory.open,
        clock or SystemClock(),
        directory,
        options,
        accept_clock=accept_clock,
        signing=signing,
        scrub=scrub,
    )
    directory.restore_reserve()
    return core
