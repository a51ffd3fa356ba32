"""`audit serve`: the store on a port, until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from audit.app import Audit
from audit.app.tenants import tenant_opener, tenant_path
from audit.cli.credentials import TOKEN_VARIABLE
from audit.cli.guarding import access_of, tenant_access
from audit.cli.options import AcceptClock, CheckpointFile, DataDir, Keys, NoUrl, Origin, located, signing_of
from audit.cli.scrubbing import scrub_of
from audit.cli.settings import Settings, merge, stray_variables
from audit.cli.terminal import flush, write
from audit.log.scrub import Scrub
from audit.log.signing import Signing
from audit.metrics.builtin import EVENTS
from audit.model.errors import InvalidParameter, NotFound, Unavailable

if TYPE_CHECKING:
    from audit.server.access import Access
    from audit.server.options import ServeOptions

__all__ = ["ConfigFile", "serve"]

ConfigFile = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", envvar="AUDIT_CONFIG", help="More settings, in TOML.")
]

_log: Final = logging.getLogger("audit.serve")
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_THRESHOLDS: Final = (5_000, 5, 5)
"""Objects more than there were, until garbage is looked for among the young; and of how many times, once among older.

Peers that vanish leave garbage in cycles: much higher ones, and it adds up (tests/fault/test_soak.py).
"""
_OTHER_VARIABLES: Final = ("AUDIT_URL", TOKEN_VARIABLE)
"""Settings of other commands."""


def serve(  # noqa: PLR0917 - each is an option
    ctx: typer.Context,
    data: DataDir = None,
    config: ConfigFile = None,
    listen: Annotated[
        list[str] | None,
        typer.Option(
            "--listen",
            metavar="HOST:PORT|unix:PATH",
            envvar="AUDIT_LISTEN",
            help="Where; 127.0.0.1:8440 by itself; repeat for more. Port 0 is any free one.",
        ),
    ] = None,
    create: Annotated[
        bool | None,
        typer.Option("--create", envvar="AUDIT_CREATE", help="Create the store if there is none.", show_default=False),
    ] = None,
    tls_cert: Annotated[
        str | None,
        typer.Option("--tls-cert", metavar="FILE", envvar="AUDIT_TLS_CERT", help="Certificate chain, in PEM."),
    ] = None,
    tls_key: Annotated[
        str | None,
        typer.Option("--tls-key", metavar="FILE", envvar="AUDIT_TLS_KEY", help="Its key, if that file has none."),
    ] = None,
    key: Keys = None,
    origin: Origin = None,
    checkpoint_file: CheckpointFile = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-origin",
            metavar="ORIGIN",
            envvar="AUDIT_ALLOW_ORIGIN",
            help="Pages of this origin may connect, too, such as https://status.example; repeat for more.",
        ),
    ] = None,
    auth: Annotated[
        str | None,
        typer.Option(
            "--auth",
            metavar="tokens|off",
            envvar="AUDIT_AUTH",
            help="tokens: everybody says who they are. off: on this machine alone; so by itself if it has no tokens.",
        ),
    ] = None,
    tls_client_ca: Annotated[
        str | None,
        typer.Option(
            "--tls-client-ca", metavar="FILE", envvar="AUDIT_TLS_CLIENT_CA", help="Who vouches for clients, in PEM."
        ),
    ] = None,
    trusted_proxies: Annotated[
        list[str] | None,
        typer.Option(
            "--trusted-proxy",
            metavar="NETWORK",
            envvar="AUDIT_TRUSTED_PROXIES",
            help="Believe X-Forwarded-For from there, such as 10.0.0.0/8; repeat for more.",
        ),
    ] = None,
    log_format: Annotated[
        str | None,
        typer.Option("--log-format", metavar="console|json", envvar="AUDIT_LOG_FORMAT", help="Of the log on stderr."),
    ] = None,
    log_level: Annotated[
        str | None,
        typer.Option("--log-level", metavar="debug|info|warning|error", envvar="AUDIT_LOG_LEVEL", help="Of the log."),
    ] = None,
    accept_clock: AcceptClock = False,
    _url: NoUrl = None,
) -> None:
    """Serve the store over WebSocket and HTTP; print the addresses, then run until SIGTERM or Ctrl-C."""
    given = {
        "data": None if data is None else str(data),
        "create": create,
        "accept_clock": accept_clock or None,
        "listen": listen,
        "tls_cert": tls_cert,
        "tls_key": tls_key,
        "key": key,
        "origin": origin,
        "checkpoint_file": checkpoint_file,
        "allow_origin": allow_origin,
        "auth": auth,
        "tls_client_ca": tls_client_ca,
        "trusted_proxies": trusted_proxies,
        "log_format": log_format,
        "log_level": log_level,
    }
    settings, named = merge(given, _places(ctx), config)
    located(None if settings.data is None else Path(settings.data))
    _start(settings, named, stray_variables(os.environ, [*_variables(ctx).values(), *_OTHER_VARIABLES]))


def _variables(ctx: typer.Context) -> dict[str, str]:
    """Return the environment variable of each option that has one."""
    found = {}
    for option in ctx.command.params:
        if isinstance(option.envvar, str):
            found[option.name] = option.envvar
    return found


def _places(ctx: typer.Context) -> dict[str, str]:
    """Return how to call each setting in an error: by its flag, or by its variable where that set it."""
    variables = _variables(ctx)
    places = {}
    for option in ctx.command.params:
        name = option.name or ""
        source = ctx.get_parameter_source(name)
        by_variable = source is not None and source.name == "ENVIRONMENT"
        places[name] = variables[name] if by_variable else option.opts[0]
    return places


def _start(settings: Settings, named: Mapping[str, str], stray: Iterable[str]) -> None:
    """Check what needs the server's packages, then serve."""
    try:
        # Every other command does without them; they are an extra.
        from audit.cli.logs import configure_logs  # noqa: PLC0415
        from audit.server.listening import is_loopback, parse_address  # noqa: PLC0415
        from audit.server.options import ServeOptions  # noqa: PLC0415
        from audit.server.serving import Serving  # noqa: F401, PLC0415
    except ImportError as error:
        raise Unavailable(f"serving needs more packages: pip install 'audit-store[server]' ({error})") from error
    hosts = []
    for text in settings.listen:
        try:
            address = parse_address(text)
        except InvalidParameter as error:
            raise InvalidParameter(named["listen"], error.problem) from error
        if address.path is None:
            hosts.append(address.host)
    configure_logs(settings.log_format, settings.log_level)
    for name in stray:
        _log.warning("%s is no setting of audit, and has no effect", name)
    open_to_all = all(is_loopback(host) for host in hosts)
    access = access_of(settings, named, local=open_to_all)
    scrub = scrub_of(settings.scrub, named["scrub"])
    by_tenant = tenant_access(settings, named, required=access is not None)
    signing = signing_of(settings.key, settings.origin, settings.checkpoint_file, named["key"])
    tenants_signing = _tenants_signing(settings, named)
    if not open_to_all and not settings.tls_cert:
        _log.warning("other machines may reach this server, and everything passes in clear text (--tls-cert)")
    options = ServeOptions(
        allow_origins=tuple(settings.allow_origin),
        tls_cert=settings.tls_cert,
        tls_key=settings.tls_key,
        tls_client_ca=settings.tls_client_ca,
    )
    _collect_seldom()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(settings, options, access, by_tenant, scrub, signing, tenants_signing))


def _tenants_signing(settings: Settings, named: Mapping[str, str]) -> dict[str, Signing]:
    """Return how each tenant's log signs its checkpoints."""
    found = {}
    for name, given in settings.tenants.items():
        place = f"{named['tenants']}.{name:.70}"
        try:
            tenant_path(Path(), name)
        except NotFound as error:
            raise InvalidParameter(place, str(error)) from error
        found[name] = signing_of(given.key, given.origin, given.checkpoint_file, f"{place}.key")
    return found


async def _serve(  # noqa: PLR0917 - what the settings come to
    settings: Settings,
    options: ServeOptions,
    access: Access | None,
    by_tenant: Callable[[Path], Access],
    scrub: Scrub,
    signing: Signing,
    tenants_signing: Mapping[str, Signing],
) -> None:
    """Serve until a signal comes, then end in order; a second one ends the process at once."""
    loop = asyncio.get_running_loop()
    told = asyncio.Event()

    def stop(number: signal.Signals) -> None:
        # Left to the system from now on: who asks twice is obeyed, even by a loop that hangs.
        for one in _SIGNALS:
            loop.remove_signal_handler(one)
            signal.signal(one, signal.SIG_DFL)
        _log.info("%s: stopping in order; once more stops at once", number.name)
        told.set()

    for one in _SIGNALS:
        loop.add_signal_handler(one, stop, one)
    opening = Audit.open(
        settings.data or "",
        create=settings.create,
        accept_clock=settings.accept_clock,
        signing=signing,
        scrub=scrub,
    )
    async with opening as log:
        metrics = (EVENTS, *settings.metrics)
        for metric in metrics:
            log.metrics.register(metric)
        tenants = tenant_opener(Path(settings.data or ""), by_tenant, scrub, metrics, tenants_signing)
        async with log.serve(settings.listen, options=options, access=access, tenants=tenants) as server:
            write("".join([address + "\n" for address in server.addresses]).encode())
            flush()
            info = log.info()
            # Off: whoever is on this machine may do everything.
            auth = "off" if access is None else "required"
            serving = {"urls": server.urls, "store": info.store_id, "events": info.size, "auth": auth}
            _log.info("serving", extra=serving)
            if not signing.keys:
                risk = "who can write its files can rewrite its history"
                _log.info("no key signs this log's checkpoints (--key): %s", risk)
            await told.wait()
        _log.info("no peer is left; closing the store")
    _log.info("stopped")


def _collect_seldom() -> None:
    """Look for garbage in cycles less often, and never in the program itself: events come by the thousand, without."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes an event loop: uvloop's where it is installed; None: Python's own."""
    try:
        import uvloop  # noqa: PLC0415 - part of an extra, and built for some systems only
    except ImportError:
        return None
    return uvloop.new_event_loop
