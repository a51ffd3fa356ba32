"""Where a server is: what callers write, and what a WebSocket needs to know of it."""

from __future__ import annotations

from typing import Final, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from websockets.exceptions import InvalidURI
from websockets.uri import parse_uri

from audit.model.errors import InvalidParameter
from audit.protocol.limits import PATH

__all__ = ["Address", "parse_address"]

# A server prints the address of its pages, and people paste that.
_SCHEMES: Final = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
_UNIX: Final = ("ws+unix://", "unix://", "ws+unix:", "unix:")


class Address(NamedTuple):
    """A server's address.

    Attributes:
        uri: Of the WebSocket.
        socket_path: Path of the Unix socket; None: none.
        shown: The address in messages, without a password.
    """

    uri: str
    socket_path: str | None
    shown: str


def parse_address(url: object) -> Address:
    """Return the address that a URL stands for.

    Args:
        url: `ws://`, `wss://`, `http://` or `https://` (taken for the former two) with host and port, the path being
            `/rpc` if there is none; or `unix:PATH` of a socket.

    Raises:
        InvalidParameter: it is neither.
    """
    if not isinstance(url, str):
        raise InvalidParameter("url", f"must be a string, got {url!r:.60}")
    for prefix in _UNIX:
        if url.startswith(prefix):
            path = url.removeprefix(prefix)
            if not path:
                raise InvalidParameter("url", "unix: needs the path of a socket, such as unix:/run/audit.sock")
            return Address(f"ws://localhost{PATH}", path, f"unix:{path}")
    try:
        parts = urlsplit(url)
        scheme = _SCHEMES.get(parts.scheme.lower())
        if scheme is None or not parts.hostname:
            raise InvalidParameter("url", f"must be ws://HOST:PORT, wss://HOST:PORT or unix:PATH, got {url!r:.80}")
        path = PATH if parts.path in {"", "/"} else parts.path
        uri = urlunsplit((scheme, parts.netloc, path, parts.query, parts.fragment))
        parse_uri(uri)
    except (ValueError, InvalidURI) as error:
        if isinstance(error, InvalidParameter):
            raise
        raise InvalidParameter("url", f"{url!r:.80}: {error}") from error
    host = parts.netloc.rpartition("@")[2]
    return Address(uri, None, urlunsplit((scheme, host, path, "", "")))
