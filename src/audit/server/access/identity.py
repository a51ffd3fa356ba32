"""What a request shows of who sends it: headers and subprotocols, read strictly. Pure.

Nothing is looked for in the URL, which ends up in logs and histories.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final, NamedTuple

from audit.model.errors import Unauthorized
from audit.server.access.tickets import TICKET_PROTOCOL

__all__ = ["PEER", "TENANT", "Peer", "Shown", "cookie_name", "shown_by"]

_COOKIE: Final = "audit_session"
PEER: Final = "audit.peer"
"""Where an ASGI scope has what the transport knows of the other end."""
TENANT: Final = "audit.tenant"
"""Where an ASGI scope has the name of the tenant that is asked for; without it, it is the log without a name."""
_SCHEME: Final = "bearer "


class Peer(NamedTuple):
    """The other end of a connection, as the system or TLS vouches for it.

    Attributes:
        subject: Distinguished name of its certificate, such as `CN=collector,O=Example`; None: it showed none.
        uid: Number of the user at the other end of a unix socket; None: it is none.
    """

    subject: str | None = None
    uid: int | None = None


class Shown(NamedTuple):
    """What a request shows; at most one of a bearer token, a ticket and a session counts, in this order."""

    bearer: str | None
    ticket: str | None
    session: str | None
    peer: Peer


def cookie_name(scope: Mapping[str, Any]) -> str:
    """Return the name of the cookie that stands for a session, by the ASGI scope: each tenant has its own.

    By name and not by path: which path leads here from outside, through a proxy, is not known.
    """
    tenant = scope.get(TENANT)
    return _COOKIE if tenant is None else f"{_COOKIE}_{tenant}"


def shown_by(scope: Mapping[str, Any]) -> Shown:
    """Return what a request shows, by its ASGI scope.

    Raises:
        Unauthorized: it shows something twice, or another scheme than `Bearer`.
    """
    headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
    given = [value.decode("latin-1") for name, value in headers if name == b"authorization"]
    if len(given) > 1:
        raise Unauthorized("the header Authorization is given twice")
    bearer = None
    if given:
        if given[0][: len(_SCHEME)].lower() != _SCHEME:
            raise Unauthorized("the header Authorization must be: Bearer TOKEN")
        bearer = given[0][len(_SCHEME) :].strip()
    offered = scope.get("subprotocols") or ()
    tickets = [one.removeprefix(TICKET_PROTOCOL) for one in offered if one.startswith(TICKET_PROTOCOL)]
    if len(tickets) > 1:
        raise Unauthorized("a ticket is given twice")
    return Shown(
        bearer, tickets[0] if tickets else None, _session(headers, cookie_name(scope)), scope.get(PEER) or Peer()
    )


def _session(headers: Iterable[tuple[bytes, bytes]], called: str) -> str | None:
    found = None
    for name, value in headers:
        if name != b"cookie":
            continue
        try:
            cookie = SimpleCookie(value.decode("latin-1")).get(called)
        except CookieError:
            # Some other cookie of the same host; it is not for us to judge.
            continue
        if cookie is not None:
            found = cookie.value
    return found
