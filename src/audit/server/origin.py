"""Which web pages may talk to the server: browsers say where a page is from, and send cookies along regardless."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from audit.server.options import ServeOptions

__all__ = ["origin_allowed"]


def origin_allowed(scope: Mapping[str, Any], options: ServeOptions) -> bool:
    """Return whether a request, by its ASGI scope, is from a page of this server, of an allowed origin, or no page."""
    headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
    origins = [value for name, value in headers if name == b"origin"]
    if not origins:
        return True
    if len(origins) > 1:
        return False
    origin = origins[0].decode("latin-1")
    if origin in options.allow_origins:
        return True
    host = next((value.decode("latin-1") for name, value in headers if name == b"host"), "")
    scheme = "https" if scope["scheme"] in {"https", "wss"} else "http"
    # "null" (a sandboxed page, a file) equals no host.
    return bool(host) and origin.lower() == f"{scheme}://{host}".lower()
