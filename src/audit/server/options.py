"""What a server may be told; the defaults are for one that faces browsers."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from audit.protocol.limits import Limits

__all__ = ["ServeOptions"]


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """Settings of a server.

    Attributes:
        limits: What one connection may do.
        connections: Connections at once, of all kinds; one more is closed with 4429, or answered 503.
        allow_origins: Origins of web pages that may connect, beside the server's own, such as `https://status.example`.
        tenants: Tenants whose logs are open at once.
        tenant_idle_s: A tenant's log that nobody has used for so long is closed.
        tls_cert: File with the certificate chain, in PEM; None: no TLS.
        tls_key: File with its private key; None: it is in the certificate's file.
        tls_client_ca: File with the authorities, in PEM, whose certificates say who a client is; None: none do.
        send_timeout_s: A peer whose socket takes nothing for so long is aborted.
        progress_s: How often a subscription to which nothing happens is told how far the log is.
        ping_interval_s: How often a WebSocket is pinged.
        ping_timeout_s: A peer that does not answer a ping for so long is closed.
        handshake_timeout_s: A connection that has not sent its first request by then is closed.
        shutdown_timeout_s: How long a server that stops waits for its peers.
    """

    limits: Limits = field(default_factory=Limits)
    connections: int = 10_000
    allow_origins: tuple[str, ...] = ()
    tenants: int = 100
    tenant_idle_s: float = 60.0
    tls_cert: str | os.PathLike[str] | None = None
    tls_key: str | os.PathLike[str] | None = None
    tls_client_ca: str | os.PathLike[str] | None = None
    send_timeout_s: float = 20.0
    progress_s: float = 10.0
    ping_interval_s: float = 20.0
    ping_timeout_s: float = 20.0
    handshake_timeout_s: float = 10.0
    shutdown_timeout_s: float = 10.0
