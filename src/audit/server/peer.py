"""What the transport knows of the other end of a connection: its certificate, or whose process it is."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any, Final

from audit.server.access.identity import Peer

__all__ = ["peer_of", "subject_of"]

_CREDENTIALS: Final = struct.Struct("3i")
"""As Linux has them: process, user, group."""
_SHORT: Final = {
    "commonName": "CN",
    "countryName": "C",
    "domainComponent": "DC",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "stateOrProvinceName": "ST",
    "userId": "UID",
}


def peer_of(transport: asyncio.BaseTransport) -> Peer:
    """Return what is vouched for by TLS, which has checked the certificate, or by the system."""
    certificate = transport.get_extra_info("peercert")
    return Peer(subject_of(certificate) if certificate else None, _uid(transport.get_extra_info("socket")))


def subject_of(certificate: dict[str, Any]) -> str:
    """Return the subject of a certificate, as `ssl.SSLSocket.getpeercert` has it: `CN=collector,O=Example`.

    Commas, equals signs and backslashes in a value are escaped by a backslash, so that no value can look like two.
    """
    pairs = [pair for part in reversed(certificate.get("subject", ())) for pair in part]
    return ",".join(f"{_SHORT.get(name, name)}={_escaped(value)}" for name, value in pairs)


def _escaped(value: str) -> str:
    return "".join(f"\\{character}" if character in ",=\\" else character for character in value)


def _uid(end: Any) -> int | None:
    if end is None or end.family != socket.AF_UNIX or not hasattr(socket, "SO_PEERCRED"):
        return None
    _, uid, _ = _CREDENTIALS.unpack(end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return int(uid)
