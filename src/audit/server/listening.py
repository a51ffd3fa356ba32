"""Addresses to listen on, and the sockets bound to them."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import socket
import stat
from pathlib import Path
from typing import Final, NamedTuple

from audit.model.errors import InvalidParameter, Unavailable

__all__ = ["Address", "bind", "is_loopback", "parse_address", "url_of"]

SEND_BUFFER_BYTES: Final = 128 * 1024
"""Of each connection, in the kernel: left alone it grows to 4 MB for a peer that does not read."""
_BACKLOG: Final = 2_048
_MAX_PORT: Final = 65_535
_UNIX: Final = "unix:"


class Address(NamedTuple):
    """A host and a port, or a path of a unix socket."""

    host: str
    port: int
    path: str | None = None


def parse_address(text: object) -> Address:
    """Return the address of `HOST:PORT`, `[IPV6]:PORT` or `unix:PATH`.

    Raises:
        InvalidParameter: it is none of these.
    """
    form = "must be HOST:PORT, [IPV6]:PORT or unix:PATH"
    if not isinstance(text, str):
        raise InvalidParameter("listen", f"{form}, got {text!r:.60}")
    if text.startswith(_UNIX):
        path = text.removeprefix(_UNIX)
        if not path:
            raise InvalidParameter("listen", f"{form}, got {text!r}")
        return Address("", 0, path)
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > _MAX_PORT:
        raise InvalidParameter("listen", f"{form} with a port of 0-{_MAX_PORT}, got {text!r:.60}")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise InvalidParameter("listen", f"an IPv6 address stands in brackets, as in [::1]:8440; got {text!r:.60}")
    return Address(host, int(port))


async def bind(address: Address) -> socket.socket:
    """Return a socket that listens.

    Raises:
        Unavailable: the address is in use, or not ours.
    """
    try:
        if address.path is not None:
            return await asyncio.to_thread(_bind_unix, Path(address.path))
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, *_, place = found[0]
        bound = socket.create_server(place[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        raise Unavailable(f"can't listen on {_text(address)}: {error.strerror or error}") from error
    # Connections inherit it.
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    # asyncio does this for sockets that it makes itself; without it a second message at once waits 40 ms for an ACK.
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    bound.settimeout(0)
    return bound


def _bind_unix(path: Path) -> socket.socket:
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        bound.bind(str(path))
        # Whoever may connect may append: the owner alone, until access is told otherwise.
        path.chmod(0o600)
        bound.listen(_BACKLOG)
    except BaseException:
        bound.close()
        raise
    bound.settimeout(0)
    return bound


def _remove_stale(path: Path) -> None:
    """Remove a socket that nobody listens on any more, as a server that was killed leaves it."""
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise OSError(errno.EEXIST, "there is a file of that name, and it is no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _text(address: Address) -> str:
    if address.path is not None:
        return _UNIX + address.path
    return f"[{address.host}]:{address.port}" if ":" in address.host else f"{address.host}:{address.port}"


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach what listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def url_of(bound: socket.socket, *, scheme: str) -> str:
    """Return where a socket listens, as a URL without a path; of a unix socket `unix:PATH`."""
    if bound.family == socket.AF_UNIX:
        return _UNIX + str(bound.getsockname())
    host, port = bound.getsockname()[:2]
    return f"{scheme}://{_text(Address(host, port))}"
