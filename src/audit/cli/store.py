"""Opening the log that a command is about: a store in a directory, or one that is served elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from audit.app import Audit
from audit.cli.credentials import token
from audit.cli.options import located
from audit.cli.terminal import complain
from audit.log.sync import SyncAudit
from audit.model.errors import InvalidParameter, Unavailable

if TYPE_CHECKING:
    from audit.client import News, SyncRemoteAudit

    AnyLog = SyncAudit | SyncRemoteAudit
else:
    # The client and what it needs take a tenth of a second to import, and are an extra.
    AnyLog = SyncAudit

__all__ = ["AnyLog", "Unreachable", "open_log"]


class Unreachable(Unavailable):
    """There is no server at the URL given, or none that answers."""


def open_log(data: Path | None, url: str | None, *, accept_clock: bool = False) -> AnyLog:
    """Open the log in `data` or at `url`, which must be there; the caller closes it.

    Raises:
        InvalidParameter: no place was given, or something that a served log can't do.
        StoreError: there is no store, or another process holds it, or it can't be read.
        Unreachable: nothing answers at the URL.
        AuditError: it is no audit server, or does not let this client in.
    """
    if url is None:
        return Audit.open_sync(located(data), accept_clock=accept_clock)
    if accept_clock:
        raise InvalidParameter("--accept-clock", "is for whoever runs the server: give it there")
    return _connect(url)


def _connect(url: str) -> SyncRemoteAudit:
    try:
        from audit.client import Connected, Disconnected, connect_sync  # noqa: PLC0415 - see AnyLog
    except ImportError as error:
        problem = f"needs the client: pip install 'audit-store[client]' ({error})"
        raise InvalidParameter("--url", problem) from error

    down = False

    def told(news: News) -> None:
        nonlocal down
        if isinstance(news, Disconnected) and news.retry_in_s is not None and not down:
            down = True
            complain(f"{news.reason}; trying again")
        elif isinstance(news, Connected) and news.again:
            down = False
            complain(f"connected to {news.url} again")

    try:
        return connect_sync(url, on_event=told, token=token())
    except InvalidParameter as error:
        raise InvalidParameter("--url", error.problem) from error
    except Unavailable as error:
        raise Unreachable(str(error)) from error
