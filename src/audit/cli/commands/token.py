"""`audit token`: who may do what over a socket, as tokens beside the store. A running server sees a change at once."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from audit.app.directory import Directory
from audit.app.tenants import tenant_path
from audit.cli.commands.serve import ConfigFile
from audit.cli.formats.events import default_format
from audit.cli.formats.rows import print_rows
from audit.cli.guarding import roles_of
from audit.cli.options import DataDir, FormatOption, NoUrl, located
from audit.cli.settings import Settings, read_file
from audit.cli.terminal import complain, write
from audit.log.clock import SystemClock
from audit.model.errors import InvalidParameter, StoreMissing
from audit.model.ids import RANDOM_BITS
from audit.model.span import to_span
from audit.model.topic import format_topic, parse_topic
from audit.server.access.tokenfile import NAME, add_token, read_tokens, revoke_token
from audit.server.access.tokens import ID_BYTES, SECRET_BYTES, Token, new_token
from audit.storage.options import StoreOptions

__all__ = ["build"]

Tenant = Annotated[str | None, typer.Option("--tenant", metavar="NAME", help="Of a tenant's log.")]

_DURATION: Final = re.compile(r"([1-9][0-9]{0,5})([mhd])")
_UNIT_MS: Final = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}
_COLUMNS: Final = ("id", "role", "topics", "label", "created", "expires", "state")


def build() -> typer.Typer:
    """Return the commands about tokens."""
    app = typer.Typer(help="Make, list and revoke the tokens that a served log knows.", no_args_is_help=True)
    app.command("new")(new)
    app.command("list")(list_tokens)
    app.command("revoke")(revoke)
    return app


def new(  # noqa: PLR0917 - each is an option
    role: Annotated[str, typer.Option("--role", metavar="ROLE", help="emitter, reader, auditor, admin, or of FILE.")],
    topic: Annotated[
        list[str], typer.Option("--topic", metavar="A/B/C", help="Where it holds; / is everywhere; repeat for more.")
    ],
    data: DataDir = None,
    expires: Annotated[
        str, typer.Option("--expires", metavar="30d|12h|TIME|never", help="How long, or until when.")
    ] = "90d",
    label: Annotated[str, typer.Option("--label", metavar="TEXT", help="What it is for.")] = "",
    config: ConfigFile = None,
    _url: NoUrl = None,
    tenant: Tenant = None,
) -> None:
    """Make a token and print it: it is shown this once, and only a digest of it is kept."""
    path = _path(data, tenant)
    now_ms = SystemClock().wall_ms()
    settings = Settings(**({} if config is None else read_file(config)))
    named = {name: f"{config}: {name}" for name in Settings.__struct_fields__}
    try:
        text, token = new_token(
            os.urandom(ID_BYTES + SECRET_BYTES),
            now_ms,
            role=role,
            topics=[parse_topic(one, "--topic") for one in topic],
            roles=roles_of(settings, named),
            expires_ms=_expiry(expires, now_ms),
            label=label,
        )
    except InvalidParameter as error:
        raise InvalidParameter(f"--{error.parameter.removeprefix('--')}", error.problem) from error
    add_token(path, token)
    write(f"{text}\n".encode())
    complain(f"token {token.id}: {role} on {_topics(token)}, expires {_time(token.expires_ms)}; it is not shown again")


def list_tokens(data: DataDir = None, tenant: Tenant = None, chosen: FormatOption = None, _url: NoUrl = None) -> None:
    """List the tokens, those that ended included."""
    now_ms = SystemClock().wall_ms()
    rows: list[dict[str, Any]] = [
        {
            "id": token.id,
            "role": token.role,
            "topics": _topics(token),
            "label": token.label,
            "created": _time(token.created_ms),
            "expires": _time(token.expires_ms),
            "state": _state(token, now_ms),
        }
        for token in read_tokens(_path(data, tenant)).tokens
    ]
    print_rows(chosen or default_format(), _COLUMNS, rows)


def revoke(
    token: Annotated[str, typer.Argument(metavar="ID", help="As in `audit token list`.")],
    data: DataDir = None,
    tenant: Tenant = None,
    _url: NoUrl = None,
) -> None:
    """End a token at once; a running server closes its connections within a second."""
    ended = revoke_token(_path(data, tenant), token, SystemClock().wall_ms())
    complain(f"token {ended.id} is revoked")


def _path(data: Path | None, tenant: str | None) -> Path:
    """Return the file of tokens of a store."""
    place = located(data)
    directory = Directory(place if tenant is None else tenant_path(place, tenant), StoreOptions())
    if not directory.log_path.is_dir():
        raise StoreMissing(f"{directory.path} holds no store: `audit init` creates one")
    return directory.path / NAME


def _expiry(text: str, now_ms: int) -> int | None:
    if text == "never":
        return None
    parts = _DURATION.fullmatch(text)
    if parts is not None:
        return now_ms + int(parts[1]) * _UNIT_MS[parts[2]]
    try:
        return to_span(text, None).low >> RANDOM_BITS
    except InvalidParameter as error:
        problem = f"must be such as 30d, 12h, 90m, never, or an RFC 3339 time, got {text!r:.40}"
        raise InvalidParameter("--expires", problem) from error


def _topics(token: Token) -> str:
    return " ".join(format_topic(topic) for topic in token.topics)


def _state(token: Token, now_ms: int) -> str:
    if token.revoked_ms is not None:
        return "revoked"
    return "good" if token.ended(now_ms) is None else "expired"


def _time(ms: int | None) -> str:
    return "never" if ms is None else datetime.fromtimestamp(ms // 1000, UTC).isoformat().replace("+00:00", "Z")
