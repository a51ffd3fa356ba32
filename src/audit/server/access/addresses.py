"""Where a request comes from: the peer of its connection, or, behind a proxy that is trusted, whom the proxy names.

`X-Forwarded-For` is anybody's to write. It is read from the right, where the nearest proxy writes, and only as long as
those who wrote are trusted; what is left of that is hearsay.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from audit.model.errors import InvalidParameter

__all__ = ["Network", "address_of", "parse_network"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
LOCAL = "local"
"""The address of whoever comes through a unix socket."""


def parse_network(text: str) -> Network:
    """Return the network of `10.0.0.0/8` or of a single address.

    Raises:
        InvalidParameter: it is none.
    """
    try:
        return ipaddress.ip_network(text, strict=True)
    except ValueError as error:
        raise InvalidParameter("trusted_proxies", f"must be networks such as 10.0.0.0/8: {error}") from error


def address_of(scope: Mapping[str, Any], trusted: Sequence[Network] = ()) -> str:
    """Return the address that a request comes from, by its ASGI scope; `local` through a unix socket."""
    client = scope.get("client")
    peer = client[0] if client and client[0] else LOCAL
    if not trusted or not _within(peer, trusted):
        return peer
    chain = [
        one.strip()
        for name, value in scope["headers"]
        if name == b"x-forwarded-for"
        for one in value.decode("latin-1").split(",")
    ]
    for one in reversed(chain):
        if not _is_address(one):
            break
        peer = one
        if not _within(one, trusted):
            break
    return peer


def _within(text: str, networks: Sequence[Network]) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return any(address.version == network.version and address in network for network in networks)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
