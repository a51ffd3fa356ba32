"""What is said of an identity provider, apart from `jwt`, which needs more packages."""

from __future__ import annotations

import msgspec

__all__ = ["JwtSettings"]


class JwtSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose tokens are believed, and what they say.

    Attributes:
        issuer: Must be their `iss`.
        audience: Must be among their `aud`.
        jwks: The provider's keys: a file, or an `https://` URL.
        leeway_s: By how many seconds the clocks may differ.
        role_claim: Claim with the name of a role.
        topics_claim: Claim with a list of topics, each as in `node/connection`.
        tenant_claim: Claim with the tenant in whose log a token is good, or a list of them; "" is the log without a
            name. A token without it is good nowhere. None: all are good in the log without a name, and nowhere else.
    """

    issuer: str
    audience: str
    jwks: str
    leeway_s: float = 60.0
    role_claim: str = "audit_role"
    topics_claim: str = "audit_topics"
    tenant_claim: str | None = None
