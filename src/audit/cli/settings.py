"""Settings of `audit serve`: a flag goes before the environment, that before a file, that before what is built in.

Every error names the place that the value came from.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_type_hints

import msgspec

from audit.cli.metrictables import metrics_of
from audit.metrics.query import Metric
from audit.model.errors import InvalidParameter
from audit.server.access.policies import CedarSettings
from audit.server.access.provider import JwtSettings
from audit.server.access.rules import Role

__all__ = ["Given", "LogFormat", "LogLevel", "ScrubSettings", "Settings", "merge", "read_file", "stray_variables"]

Auth = Literal["tokens", "off"]
LogFormat = Literal["console", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]

_ORIGIN: Final = re.compile(r"https?://(\[[0-9A-Fa-f:.]+\]|[^\s/:?#@*\[\]]+)(:\d{1,5})?")
# Kubernetes sets these in every container for a service that is called "audit".
_OF_KUBERNETES: Final = re.compile(r"AUDIT_(SERVICE_|PORT$|PORT_)")


class Given(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What somebody may do who needs no token.

    Attributes:
        role: Name of a role.
        topics: Where, each as in `node/connection`; `/` is everywhere.
        tenant: In whose log; absent: in the one without a name.
    """

    role: str
    topics: list[str]
    tenant: str | None = None


class TenantSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is said of one tenant's log; see `Settings` for each.

    Attributes:
        key: Files with the private keys that sign its checkpoints.
        origin: Its name in them, if not that of the key.
        checkpoint_file: Where the newest one is kept outside the store.
    """

    key: list[str] = []
    origin: str | None = None
    checkpoint_file: str | None = None


class ScrubRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is done to some texts of events; see `audit.log.scrub.Rule`. Topics are written as `node/connection`."""

    way: str
    field: str | None = None
    pattern: str | None = None
    topics: list[str] = msgspec.field(default_factory=lambda: ["/"])


class ScrubSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is taken out of events before they are stored.

    Attributes:
        profile: `gdpr`: rules for the usual personal data; they go before `rules`.
        rules: More.
        key_file: File whose bytes are the key of hashes.
        secrets: Whether values named like secrets are masked.
    """

    profile: Literal["gdpr"] | None = None
    rules: list[ScrubRule] = []
    key_file: str | None = None
    secrets: bool = True


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a server is told.

    Attributes:
        data: The store's directory.
        create: Create the store when the directory holds none.
        accept_clock: Append although the clock jumped, or lies behind the newest event.
        listen: `HOST:PORT`, `[IPV6]:PORT` or `unix:PATH`, each.
        tls_cert: File with the certificate chain, in PEM.
        tls_key: File with its private key.
        key: Files with the private keys that sign checkpoints; two while one takes the other's place.
        origin: The log's name in checkpoints, if not that of the key.
        checkpoint_file: Where the newest checkpoint is kept outside the store.
        allow_origin: Origins of web pages that may connect, beside the server's own.
        auth: `tokens`: everybody must say who they are; `off`: nobody has to, on this machine alone. Absent: `off`
            where only this machine can reach the server and nobody is known to it.
        tls_client_ca: File with the authorities, in PEM, whose certificates say who a client is.
        trusted_proxies: Networks whose `X-Forwarded-For` is believed.
        roles: Roles by name, beside the built-in ones: `verbs`, `pinned` and rates.
        certificates: By subject, such as `CN=collector,O=Example`: `role` and `topics`.
        users: Of this machine, by name or number, through a unix socket: `role` and `topics`.
        jwt: Whose tokens are believed, beside those of `audit token`.
        cedar: Policies that must allow it, too, whatever somebody has been given.
        scrub: What is taken out of events before they are stored.
        tenants: What is said of tenants' logs, by name.
        log_format: How the server's log is written.
        log_level: What is worth a line of it.
        metrics: Metrics that the server registers: tables `[metrics.NAME]`, as of `audit.metrics.query.Metric`.
    """

    data: str | None = None
    create: bool = False
    accept_clock: bool = False
    listen: list[str] = msgspec.field(default_factory=lambda: ["127.0.0.1:8440"])
    tls_cert: str | None = None
    tls_key: str | None = None
    key: list[str] = []
    origin: str | None = None
    checkpoint_file: str | None = None
    allow_origin: list[str] = []
    auth: Auth | None = None
    tls_client_ca: str | None = None
    trusted_proxies: list[str] = []
    roles: dict[str, Role] = {}
    certificates: dict[str, Given] = {}
    users: dict[str, Given] = {}
    jwt: JwtSettings | None = None
    cedar: CedarSettings | None = None
    scrub: ScrubSettings = ScrubSettings()
    tenants: dict[str, TenantSettings] = {}
    log_format: LogFormat = "console"
    log_level: LogLevel = "info"
    metrics: list[Metric] = []


_TYPES: Final[dict[str, Any]] = get_type_hints(Settings)


def read_file(path: Path) -> dict[str, Any]:
    """Return the settings of a TOML file, each of the right type.

    Raises:
        InvalidParameter: it can't be read or is no TOML; a setting is unknown, or of another type.
    """
    try:
        with path.open("rb") as file:
            table = tomllib.load(file)
    except OSError as error:
        raise InvalidParameter("--config", f"can't read {path}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidParameter("--config", f"{path} is no TOML: {error}") from error
    return {name: _checked(path, name, value) for name, value in table.items()}


def _checked(path: Path, name: str, value: Any) -> Any:
    if name not in _TYPES:
        meant = name.replace("-", "_").lower()
        known = f"it is written {meant}" if meant in _TYPES else f"known are {', '.join(_TYPES)}"
        raise InvalidParameter(f"{path}: {name[:60]}", f"is unknown; {known}")
    if name == "metrics":
        return metrics_of(f"{path}: {name}", value)
    if isinstance(value, str) and _TYPES[name] == list[str]:
        # One address is the most common number of them.
        value = [value]
    try:
        return msgspec.convert(value, _TYPES[name])
    except msgspec.ValidationError as error:
        raise InvalidParameter(f"{path}: {name}", _problem(name, value, str(error))) from error


def _problem(name: str, value: Any, text: str) -> str:
    words = _words(name)
    if words and isinstance(value, str):
        return f"must be one of {', '.join(words)}, got {value[:40]!r}"
    return text[:1].lower() + text[1:].replace(" | null", "")


def merge(given: Mapping[str, Any], places: Mapping[str, str], path: Path | None) -> tuple[Settings, dict[str, str]]:
    """Return the settings that hold, and for each how errors call the place that it came from.

    Args:
        given: What flags and the environment say; None, or an empty list: nothing.
        places: How errors call each of them, such as `--listen` or `AUDIT_LISTEN`.
        path: A file with more, or None.

    Raises:
        InvalidParameter: as `read_file`; a setting is out of form; one is missing that another needs.
    """
    filed = {} if path is None else read_file(path)
    said = {name: value for name, value in given.items() if value is not None and value != []}
    settings = Settings(**{**filed, **said})
    named = {
        name: f"{path}: {name}" if name in filed and name not in said else places.get(name, name) for name in _TYPES
    }
    _check(settings, named)
    return settings, named


def _check(settings: Settings, named: Mapping[str, str]) -> None:
    for name in ("auth", "log_format", "log_level"):
        word = getattr(settings, name)
        if word is not None and word not in _words(name):
            raise InvalidParameter(named[name], f"must be one of {', '.join(_words(name))}, got {word!r:.40}")
    if not settings.listen:
        raise InvalidParameter(named["listen"], "must name at least one address")
    for origin in settings.allow_origin:
        if not _ORIGIN.fullmatch(origin):
            form = "must be an origin such as https://status.example, with no path and no *"
            raise InvalidParameter(named["allow_origin"], f"{form}; got {origin!r:.80}")
    if settings.tls_key is not None and settings.tls_cert is None:
        raise InvalidParameter(named["tls_key"], "is of no use without a certificate (--tls-cert)")
    if settings.tls_client_ca is not None and settings.tls_cert is None:
        raise InvalidParameter(named["tls_client_ca"], "is of no use without a certificate (--tls-cert)")
    for name in ("tls_cert", "tls_key", "tls_client_ca"):
        file = getattr(settings, name)
        if file is not None and not Path(file).is_file():
            raise InvalidParameter(named[name], f"there is no file {file}")


def _words(name: str) -> tuple[str, ...]:
    """Return the words that a setting may be; none: it is no choice among words."""
    kind = _TYPES[name]
    return tuple(word for one in (kind, *get_args(kind)) for word in get_args(one) if isinstance(word, str))


def stray_variables(environment: Iterable[str], known: Iterable[str]) -> list[str]:
    """Return the variables that look like settings and are none."""
    stray = {name for name in environment if name.startswith("AUDIT_")} - set(known)
    return sorted(name for name in stray if not _OF_KUBERNETES.match(name))
