"""What a client may be told."""

from __future__ import annotations

import re
import ssl as tls
from dataclasses import dataclass, field
from typing import Final

from audit.client.backoff import Backoff
from audit.client.news import Hook
from audit.client.verifying import VerifyOptions
from audit.model.errors import InvalidParameter
from audit.protocol.limits import DEFAULT_CREDIT, MAX_CREDIT

__all__ = ["ClientOptions"]

_TOKEN: Final = re.compile(r"[A-Za-z0-9\-._~+/]+=*")


@dataclass(frozen=True, kw_only=True)
class ClientOptions:
    """Settings of a client; `connect` describes them."""

    open_timeout_s: float | None = 10.0
    call_timeout_s: float | None = 30.0
    reconnect_timeout_s: float | None = None
    credit: int = DEFAULT_CREDIT
    on_event: Hook | None = None
    ssl: tls.SSLContext | None = None
    proxy: str | None = None
    token: str | None = None
    backoff: Backoff = field(default_factory=Backoff)
    verify: VerifyOptions | None = None

    def __post_init__(self) -> None:
        token: object = self.token
        if token is not None and not (isinstance(token, str) and _TOKEN.fullmatch(token)):
            # Not shown: it may be a real one with a line end after it.
            raise InvalidParameter("token", "must be letters, digits and any of -._~+/=")
        for name in ("open_timeout_s", "call_timeout_s", "reconnect_timeout_s"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, (int, float)) and value >= 0):
                raise InvalidParameter(name, f"must be seconds of at least 0, or None, got {value!r:.40}")
        credit: object = self.credit
        if not isinstance(credit, int) or not 1 <= credit <= MAX_CREDIT:
            raise InvalidParameter("credit", f"must be 1-{MAX_CREDIT}, got {credit!r:.40}")
