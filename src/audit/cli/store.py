"""Opening the log that a command is about: a store in a directory, or one that is served elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from audit.app import Audit
from audit.cli.credentials import token
from audit.cli.options import located
from audit.cli.terminal import complain
from audit.log.signing import Signing
from audit.log.sync import SyncAudit
from audit.model.errors import InvalidParameter, Unavailable

if TYPE_CHECKING:
    from audit.client import News, SyncRemoteAudit

    AnyLog = SyncAudit | SyncRemoteAudit
else:
    # The client and what it needs take a tenth of a second to import, and are an extra.
    AnyLog = SyncAudit

__all__ = ["AnyLog", "Unreachable", "Verify", "connect_to", "open_log"]


class Verify(NamedTuple):
    """What to check a served log with.

    Attributes:
        key: Its public key, as text.
        rotations: Statements by which others took the key's place.
        trusted: Note of the checkpoint to go on from; None: there is none.
    """

    key: str
    rotations: Sequence[str]
    trusted: str | None


_UNSIGNED: Final = Signing()


class Unreachable(Unavailable):
    """There is no server at the URL given, or none that answers."""


def open_log(data: Path | None, url: str | None, *, accept_clock: bool = False, signing: Signing = _UNSIGNED) -> AnyLog:
    """Open the log in `data` or at `url`, which must be there; the caller closes it.

    Raises:
        InvalidParameter: no place was given, or something that a served log can't do.
        StoreError: there is no store, or another process holds it, or it can't be read.
        Unreachable: nothing answers at the URL.
        AuditError: it is no audit server, or does not let this client in.
    """
    if url is None:
        return Audit.open_sync(located(data), accept_clock=accept_clock, signing=signing)
    if signing != _UNSIGNED:
        raise InvalidParameter("--key", "is for whoever runs the server, as --checkpoint-file is: give it there")
    if accept_clock:
        raise InvalidParameter("--accept-clock", "is for whoever runs the server: give it there")
    return connect_to(url)


def connect_to(url: str, verify: Verify | None = None) -> SyncRemoteAudit:
    """Connect to the log at `url`, which must be there, and say on stderr when the connection is lost.

    Raises:
        InvalidParameter: the URL is malformed, or the client is not installed.
        Unreachable: nothing answers there.
        AuditError: it is no audit server, or does not let this client in.
    """
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
        if verify is None:
            return connect_sync(url, on_event=told, token=token())
        key, rotations, trusted = verify
        return connect_sync(
            url, on_event=told, token=token(), verify=True, key=key, rotations=rotations, trusted=trusted
        )
    except InvalidParameter as error:
        raise InvalidParameter("--url", error.problem) from error
    except Unavailable as error:
        raise Unreachable(str(error)) from error
