"""How a client is made: `async with connect(url) as log`, or `log = await connect(url)`."""

from __future__ import annotations

import ssl as tls
from collections.abc import Generator, Sequence
from types import TracebackType

from audit.client.address import Address, parse_address
from audit.client.backoff import Backoff
from audit.client.core import RemoteCore
from audit.client.news import Hook
from audit.client.options import ClientOptions
from audit.client.remote import RemoteAudit
from audit.client.verifying import VerifyOptions
from audit.model.errors import InvalidParameter
from audit.protocol.limits import DEFAULT_CREDIT

__all__ = ["Connecting", "connect"]

_BACKOFF = Backoff()


def connect(
    url: str,
    *,
    open_timeout_s: float | None = 10.0,
    call_timeout_s: float | None = 30.0,
    reconnect_timeout_s: float | None = None,
    credit: int = DEFAULT_CREDIT,
    on_event: Hook | None = None,
    ssl: tls.SSLContext | None = None,
    proxy: str | None = None,
    token: str | None = None,
    backoff: Backoff = _BACKOFF,
    verify: bool = False,
    key: str | None = None,
    rotations: Sequence[str] = (),
    trusted: str | None = None,
) -> Connecting:
    """Connect to a log that is served elsewhere, with `async with` or `await`.

    A connection that is lost is made again, for as long as it takes; tails go on where they were, and calls are tried
    again. Only the first connection must succeed at once.

    Args:
        url: `ws://HOST:PORT`, `wss://HOST:PORT` (also `http://`, `https://`) or `unix:PATH`; the path is `/rpc` if
            there is none.
        open_timeout_s: How long one attempt to connect may take; None: for ever.
        call_timeout_s: How long a call may take, with all its tries; None: for ever.
        reconnect_timeout_s: How long to go on without a connection; after that every tail and call fails. None: for
            ever.
        credit: Events of a tail that may be on their way or wait to be read: the bound of the memory it takes.
        on_event: Called in the event loop with what happens to the connection, and must return at once.
        ssl: Certificates for `wss://`; None: those that the system trusts.
        proxy: URL of an HTTP or SOCKS proxy. None: none; environment variables are not looked at.
        token: What says who this client is, where the server asks; not to be sent over `ws://` to another machine.
        backoff: Delays between attempts.
        verify: Check each event, page and batch against the log's checkpoints, and those against each other, before
            anybody gets to see it: `TamperDetected` names what is not as it was signed.
        key: To verify with: the log's public key, as text.
        rotations: To verify with: statements by which other keys took its place, in their order.
        trusted: To verify with: the checkpoint to go on from, `trusted` of an earlier client.

    Raises:
        InvalidParameter: a parameter is out of form or bounds.
        ProofInvalid: a rotation or the trusted checkpoint does not hold.

    Raises (once awaited):
        Unavailable: nothing answers there, or not in time.
        Unauthorized, Forbidden: the server does not let this client in.
        ProtocolViolation: what answers there is no audit server.
    """
    if not verify and (key is not None or rotations or trusted is not None):
        raise InvalidParameter("verify", "must be True for `key`, `rotations` and `trusted` to be of use")
    options = ClientOptions(
        open_timeout_s=open_timeout_s,
        call_timeout_s=call_timeout_s,
        reconnect_timeout_s=reconnect_timeout_s,
        credit=credit,
        on_event=on_event,
        ssl=ssl,
        proxy=proxy,
        token=token,
        backoff=backoff,
        verify=VerifyOptions.parse(key, trusted, rotations) if verify else None,
    )
    return Connecting(parse_address(url), options)


class Connecting:
    """A client about to be connected: `async with` closes it at the end, `await` leaves that to the caller."""

    def __init__(self, address: Address, options: ClientOptions) -> None:
        self._address = address
        self._options = options
        self._log: RemoteAudit | None = None

    def __await__(self) -> Generator[object, None, RemoteAudit]:
        return self._open().__await__()

    async def __aenter__(self) -> RemoteAudit:
        self._log = await self._open()
        return self._log

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._log is not None:
            await self._log.close()

    async def _open(self) -> RemoteAudit:
        core = RemoteCore(self._address, self._options)
        await core.connection.start()
        return RemoteAudit(core)
