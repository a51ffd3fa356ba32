"""Tokens of an identity provider: JWTs, checked against its keys. Needs the extra `jwt`.

Only signatures of a private key count: with a shared secret, or none, whoever knows the public key could make tokens.
"""

from __future__ import annotations

import asyncio
import threading
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from jwt import PyJWK, PyJWKSet, decode, get_unverified_header
from jwt.exceptions import PyJWKSetError, PyJWTError

from audit.log.clock import Clock
from audit.model.errors import InvalidParameter, Unauthorized, Unavailable
from audit.model.topic import Topic, parse_topic
from audit.server.access.provider import JwtSettings
from audit.server.access.rules import Assigned, JwtVerifier, Vouched

__all__ = ["Provider"]

_ALGORITHMS: Final = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
_AGAIN_MS: Final = 30_000
"""How often the keys are asked for at most: a token with an unknown key must not make a request each."""
_OLD_MS: Final = 3_600_000
_MAX_BYTES: Final = 1024 * 1024
_TIMEOUT_S: Final = 5.0
_MAX_TOKEN: Final = 8_192
_MAX_NAME: Final = 200


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Goes where the settings say and nowhere else: a redirect may lead out of TLS."""

    def redirect_request(self, *_: object) -> None:
        """Return nothing: that is an error."""


class Provider:
    """An identity provider: its keys, as last seen. `verify` may be called from one event loop."""

    def __init__(self, settings: JwtSettings, clock: Clock) -> None:
        """Check the settings; keys are asked for when they are needed.

        Raises:
            InvalidParameter: the keys are neither a file nor at an `https://` URL.
        """
        if "://" in settings.jwks and not settings.jwks.startswith("https://"):
            raise InvalidParameter("jwt.jwks", f"must be a file or an https:// URL, got {settings.jwks!r:.80}")
        if "://" not in settings.jwks and not Path(settings.jwks).is_file():
            raise InvalidParameter("jwt.jwks", f"there is no file {settings.jwks}")
        self._settings = settings
        self._clock = clock
        self._keys: dict[str | None, PyJWK] = {}
        self._asked_ms: int | None = None
        self._asking = threading.Lock()

    def verifier(self, tenant: str) -> JwtVerifier | None:
        """Return what checks tokens for a tenant's log; None: none is good there. The keys are the same for all."""
        if self._settings.tenant_claim is None:
            return None

        async def verify(text: str) -> Vouched:
            try:
                claims = await self._claims(text)
            except Unauthorized as error:
                # Whether there is this tenant is not for everybody who makes up a token to find out.
                raise Unauthorized("the token is not known here") from error
            return self._vouched(claims, tenant)

        return verify

    async def verify(self, text: str) -> Vouched:
        """Return whom a JWT for the log without a name is about.

        Raises:
            Unauthorized: it is not good.
            Unavailable: the provider's keys can't be had.
        """
        return self._vouched(await self._claims(text), "")

    async def _claims(self, text: str) -> Mapping[str, Any]:
        """Return what a JWT says that the provider has signed for us."""
        if len(text) > _MAX_TOKEN:
            raise Unauthorized("the token is too long")
        try:
            key_id = get_unverified_header(text).get("kid")
            key = await self._key(key_id)
            return decode(
                text,
                key,
                algorithms=_ALGORITHMS,
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                leeway=self._settings.leeway_s,
                # By our clock, below: a test's, or the one that all of the log goes by.
                options={"require": ["exp", "iss", "aud", "sub"], "verify_exp": False, "verify_nbf": False},
            )
        except PyJWTError as error:
            raise Unauthorized(f"the token is not good: {error}") from error

    def _vouched(self, claims: Mapping[str, Any], tenant: str) -> Vouched:
        settings = self._settings
        if settings.tenant_claim is not None:
            named = claims.get(settings.tenant_claim)
            if tenant not in (named if isinstance(named, list) else [named]):
                raise Unauthorized("the token is not known here")
        now_s = self._clock.wall_ms() / 1000
        subject, role, topics = claims["sub"], claims.get(settings.role_claim), claims.get(settings.topics_claim)
        expires_s, begins_s = claims["exp"], claims.get("nbf", 0)
        if not (isinstance(expires_s, (int, float)) and isinstance(begins_s, (int, float))):
            raise Unauthorized("the token's times are none")
        if now_s >= expires_s + settings.leeway_s:
            raise Unauthorized("the token has expired")
        if now_s < begins_s - settings.leeway_s:
            raise Unauthorized("the token is not good yet")
        if not isinstance(role, str):
            raise Unauthorized(f"the token has no claim {settings.role_claim}")
        if not isinstance(subject, str) or not 1 <= len(subject) <= _MAX_NAME or not subject.isprintable():
            raise Unauthorized(f"the token's subject must be 1-{_MAX_NAME} printable characters")
        return Vouched(subject, Assigned(role, self._topics(topics)), int((expires_s + settings.leeway_s) * 1000))

    def _topics(self, topics: object) -> tuple[Topic, ...]:
        if not isinstance(topics, list) or not all(isinstance(one, str) for one in topics):
            raise Unauthorized(f"the token's claim {self._settings.topics_claim} must be a list of topics")
        try:
            return tuple(parse_topic(one) for one in topics)
        except InvalidParameter as error:
            raise Unauthorized(f"the token's claim {self._settings.topics_claim}: {error}") from error

    async def _key(self, key_id: str | None) -> PyJWK:
        now_ms = self._clock.monotonic_ms()
        since_ms = None if self._asked_ms is None else now_ms - self._asked_ms
        old = since_ms is None or since_ms >= _OLD_MS
        if old or (key_id not in self._keys and since_ms is not None and since_ms >= _AGAIN_MS):
            await asyncio.to_thread(self._refresh, now_ms)
        key = self._keys.get(key_id)
        if key is None and key_id is None and len(self._keys) == 1:
            key = next(iter(self._keys.values()))
        if key is None:
            raise Unauthorized("the token is signed with a key that the provider does not have")
        return key

    def _refresh(self, now_ms: int) -> None:
        with self._asking:
            if self._asked_ms is not None and self._asked_ms >= now_ms:
                return
            try:
                keys = PyJWKSet.from_json(self._fetch()).keys
            except (OSError, ValueError, PyJWKSetError, PyJWTError) as error:
                if self._keys:
                    # The keys of before are as good as they were; asked again later.
                    self._asked_ms = now_ms
                    return
                raise Unavailable(f"the keys of {self._settings.issuer} can't be had: {error}") from error
            self._keys = {key.key_id: key for key in keys}
            self._asked_ms = now_ms

    def _fetch(self) -> str:
        place = self._settings.jwks
        if not place.startswith("https://"):
            return Path(place).read_text(encoding="utf-8")
        with urllib.request.build_opener(_NoRedirect).open(place, timeout=_TIMEOUT_S) as answer:
            body: bytes = answer.read(_MAX_BYTES)
        return body.decode()
