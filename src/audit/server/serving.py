"""A running server: from addresses to an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import uvicorn
from starlette.types import ASGIApp

from audit.log.core import LogCore
from audit.log.verbs import AsyncVerbs
from audit.model.errors import InvalidParameter, Unavailable
from audit.protocol.limits import PATH
from audit.server.access import Access, OpenAccess
from audit.server.context import ServerContext, Traffic
from audit.server.httplink import http_protocol
from audit.server.link import link_protocol
from audit.server.listening import bind, is_loopback, parse_address, url_of
from audit.server.options import ServeOptions
from audit.server.served import ServedLog
from audit.server.tenants import Opened, TenantOpener, TenantRoutes, Tenants

__all__ = ["Serving"]

_SPARE_CONNECTIONS: Final = 64
"""For health checks and scrapes, which must get through when all others are taken."""
_TICKS_A_SECOND: Final = 10
"""As uvicorn counts: at each tenth tick it writes the date that responses carry."""
_TURNS_TO_HAND_OVER: Final = 3
_CLOSE_S: Final = 6.0
"""What closing the last connections may take beyond the time they have to finish."""


class Serving:
    """A server of one log: `async with` runs it beside the block, `await` runs it until cancelled.

    It ends in order: no new connection, subscriptions told their cursors, calls in flight answered. The log stays open.
    """

    def __init__(  # noqa: PLR0917 - the verb's own parameters
        self,
        core: LogCore,
        log: AsyncVerbs,
        listen: str | Sequence[str],
        options: ServeOptions,
        access: Access | None,
        tenants: TenantOpener | None = None,
    ) -> None:
        """Check the addresses; nothing is bound yet.

        Raises:
            InvalidParameter: an address is malformed, or there is none.
        """
        several: Any = [listen] if isinstance(listen, str) else listen
        if not isinstance(several, Sequence) or not several:
            raise InvalidParameter("listen", f"must be an address or a list of them, got {listen!r:.60}")
        self._addresses = [parse_address(one) for one in several]
        self._context = ServerContext(core, log, options, access or OpenAccess())
        self._sockets: list[socket.socket] = []
        self._server: _Server | None = None
        self._running: asyncio.Task[None] | None = None
        self._served: ServedLog | None = None
        self._opener = tenants
        self._tenants: Tenants | None = None
        self._closing_idle: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    @property
    def addresses(self) -> list[str]:
        """Where it listens: `http://127.0.0.1:8440`, or `unix:PATH`."""
        scheme = "https" if self._context.options.tls_cert else "http"
        return [url_of(bound, scheme=scheme) for bound in self._sockets]

    @property
    def _local(self) -> bool:
        """Whether only this machine can reach it."""
        return all(address.path is not None or is_loopback(address.host) for address in self._addresses)

    @property
    def urls(self) -> list[str]:
        """What clients connect to: `ws://127.0.0.1:8440/rpc`, or `unix:PATH`."""
        scheme = "wss" if self._context.options.tls_cert else "ws"
        return [
            url if url.startswith("unix:") else url + PATH
            for url in (url_of(bound, scheme=scheme) for bound in self._sockets)
        ]

    @property
    def traffic(self) -> Traffic:
        """What passed through so far."""
        return self._context.traffic

    def __await__(self) -> Generator[object, None, None]:
        return self._forever().__await__()

    async def _forever(self) -> None:
        async with self:
            if self._running is not None:
                await asyncio.shield(self._running)

    async def __aenter__(self) -> Self:
        """Bind and serve.

        Raises:
            Unavailable: an address is in use, or a file of TLS can't be read.
        """
        config = await asyncio.to_thread(self._configuration)
        # Before anyone can ask: beside it, the first answers would take longer than without it.
        core = self._context.core
        await core.threads.run(core.read_ahead)
        try:
            for address in self._addresses:
                self._sockets.append(await bind(address))
            self._server = _Server(config)
            self._running = asyncio.create_task(self._server.serve(self._sockets))
            await self._started(self._server, self._running)
            if self._served is not None:
                self._served.start()
            if self._tenants is not None:
                self._closing_idle = asyncio.create_task(self._tenants.run())
        except BaseException:
            await self.close()
            raise
        return self

    async def _started(self, server: _Server, running: asyncio.Task[None]) -> None:
        starting = asyncio.create_task(server.ready.wait())
        try:
            await asyncio.wait((starting, running), return_when=asyncio.FIRST_COMPLETED)
        finally:
            starting.cancel()
        if running.done():
            await running

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End in order. Once begun it is finished, even when cancelled; may be called twice."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        try:
            await asyncio.shield(self._closing)
        except asyncio.CancelledError:
            await asyncio.wait((self._closing,))
            raise

    async def _close(self) -> None:
        self._context.stopping.set()
        names = [bound.getsockname() for bound in self._sockets if bound.family == socket.AF_UNIX]
        try:
            if self._server is not None and self._running is not None:
                self._server.stop()
                await self._running
            if self._closing_idle is not None:
                self._closing_idle.cancel()
                await asyncio.wait((self._closing_idle,))
            if self._tenants is not None:
                await self._tenants.close()
            if self._served is not None:
                await self._served.end()
        finally:
            for bound in self._sockets:
                bound.close()
            for name in names:
                await asyncio.to_thread(Path(name).unlink, missing_ok=True)

    def _configuration(self) -> uvicorn.Config:
        options = self._context.options
        config = uvicorn.Config(
            self._application(),
            http=http_protocol(options.handshake_timeout_s, options.send_timeout_s, self._count_aborted),
            ws=link_protocol(options.send_timeout_s, self._count_aborted),
            loop="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=options.connections + _SPARE_CONNECTIONS,
            timeout_graceful_shutdown=int(options.shutdown_timeout_s + _CLOSE_S),
            ws_max_size=options.limits.frame_bytes,
            ws_ping_interval=options.ping_interval_s,
            ws_ping_timeout=options.ping_timeout_s,
            ws_per_message_deflate=False,
            ssl_certfile=options.tls_cert,
            ssl_keyfile=options.tls_key,
            ssl_ca_certs=options.tls_client_ca,
            # Who shows none may still show a token.
            ssl_cert_reqs=ssl.CERT_OPTIONAL if options.tls_client_ca else ssl.CERT_NONE,
        )
        try:
            config.load()
            if config.ssl is not None:
                config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
        except (OSError, ssl.SSLError) as error:
            raise Unavailable(f"can't use the TLS certificate {options.tls_cert}: {error}") from error
        return config

    def _application(self) -> ASGIApp:
        self._served = ServedLog(self._context, local=self._local)
        if self._opener is None:
            return self._served.app
        options = self._context.options
        self._tenants = Tenants(
            self._opener, self._serve_tenant, most_open=options.tenants, idle_s=options.tenant_idle_s
        )
        return TenantRoutes(self._tenants, self._served.app, required=self._context.access.required)

    async def _serve_tenant(self, opened: Opened) -> ServedLog:
        own = self._context
        # What counts for the machine, such as connections, counts for all tenants together.
        context = ServerContext(
            opened.core, opened.log, own.options, opened.access, traffic=own.traffic, stopping=own.stopping
        )
        served = await asyncio.to_thread(ServedLog, context, local=self._local)
        served.start()
        return served

    def _count_aborted(self) -> None:
        self._context.traffic.aborted += 1


class _Server(uvicorn.Server):
    """uvicorn's server as a part of a process that is not its own: no signals, and it says when it is there."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()
        self._stopped = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to whoever owns the process."""
        yield

    def stop(self) -> None:
        """Let `serve` return."""
        self.should_exit = True
        self._stopped.set()

    async def main_loop(self) -> None:
        """Wait until told to stop; uvicorn's own loop looks ten times a second, for what is not asked of it here."""
        seconds = 0
        while not await self.on_tick(_TICKS_A_SECOND * seconds):
            seconds += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._stopped.wait()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen."""
        await super().startup(sockets)
        self.ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more, and end what was accepted."""
        # A connection is accepted in one turn of the loop and handed over in a later one. uvicorn ends those that it
        # has been handed. Of the others, asyncio loses those that the listener's end overtakes, and uvloop hands them
        # over afterwards, when nobody ends them any more.
        loop = asyncio.get_running_loop()
        for listener in sockets or ():
            loop.remove_reader(listener)
        await _hand_over()
        for server in self.servers:
            server.close()
        await _hand_over()
        await super().shutdown(sockets)


async def _hand_over() -> None:
    for _ in range(_TURNS_TO_HAND_OVER):
        await asyncio.sleep(0)
