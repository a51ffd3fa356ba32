"""Bearer tokens: random text that is shown once, of which only a digest is kept. Pure: time and randomness come in.

A token reads `audit_ID_SECRET`. The id names it in lists and in the log; the secret has 256 random bits, so that its
plain SHA-256 can't be turned back into it, and a slow hash would protect nothing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from audit.model.errors import InvalidParameter, Unauthorized
from audit.model.topic import Topic, to_topic
from audit.server.access.rules import Role, role_of

__all__ = ["ID_BYTES", "SECRET_BYTES", "Token", "Tokens", "check_token", "decode_tokens", "encode_tokens", "new_token"]

ID_BYTES: Final = 5
SECRET_BYTES: Final = 32
_VERSION: Final = 1
_MAX_LABEL: Final = 128
_MAX_TOPICS: Final = 64
_TEXT: Final = re.compile(r"audit_([a-z2-7]{8})_([A-Za-z0-9_-]{43})")
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_ID: Final = re.compile(r"[a-z2-7]{8}")


class Token(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is kept of a token.

    Attributes:
        id: Its public name.
        hash: SHA-256 of its secret, in hexadecimal digits.
        label: What it is for, as its maker said.
        role: What may be done with it.
        topics: Where; `()` is everywhere.
        created_ms: When it was made, in Unix milliseconds.
        expires_ms: When it ends; None: never.
        revoked_ms: When it was ended before its time; None: it was not.
    """

    id: str
    hash: str
    role: str
    topics: list[Topic]
    created_ms: int
    label: str = ""
    expires_ms: int | None = None
    revoked_ms: int | None = None

    def ended(self, now_ms: int) -> str | None:
        """Return why the token is good for nothing at a time; None: it is good."""
        if self.revoked_ms is not None:
            return "the token was revoked"
        if self.expires_ms is not None and now_ms >= self.expires_ms:
            return "the token has expired"
        return None


class Tokens(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All tokens of one log, as they are kept."""

    version: int = _VERSION
    tokens: list[Token] = []

    def by_id(self) -> dict[str, Token]:
        """Return the tokens by their ids."""
        return {token.id: token for token in self.tokens}


def new_token(
    randomness: bytes,
    now_ms: int,
    *,
    role: str,
    topics: Sequence[Topic],
    roles: Mapping[str, Role],
    expires_ms: int | None = None,
    label: str = "",
) -> tuple[str, Token]:
    """Return the text of a new token, to be shown once, and what is kept of it.

    Args:
        randomness: `ID_BYTES + SECRET_BYTES` random bytes.
        now_ms: Unix milliseconds.
        role: What may be done with it.
        topics: Where; 1-64 of them; `()` is everywhere.
        roles: Those that there are.
        expires_ms: When it ends; None: never.
        label: At most 128 characters on what it is for.

    Raises:
        InvalidParameter: one of these is out of form or bounds.
    """
    role_of(role, roles)
    if not 1 <= len(topics) <= _MAX_TOPICS:
        raise InvalidParameter("topic", f"must be 1-{_MAX_TOPICS} topics, got {len(topics)}")
    if len(label) > _MAX_LABEL or not label.isprintable():
        raise InvalidParameter("label", f"must be at most {_MAX_LABEL} printable characters, got {label!r:.60}")
    if expires_ms is not None and expires_ms <= now_ms:
        raise InvalidParameter("expires", "must be in the future")
    name = base64.b32encode(randomness[:ID_BYTES]).decode().lower()
    secret = base64.urlsafe_b64encode(randomness[ID_BYTES : ID_BYTES + SECRET_BYTES]).decode().rstrip("=")
    token = Token(
        id=name,
        hash=_digest(secret),
        role=role,
        topics=[to_topic(topic) for topic in topics],
        created_ms=now_ms,
        label=label,
        expires_ms=expires_ms,
    )
    return f"audit_{name}_{secret}", token


def check_token(text: str, tokens: Mapping[str, Token], now_ms: int) -> Token:
    """Return the token of a text.

    Raises:
        Unauthorized: it is none of these, was revoked, or has expired. Of an unknown one no more is said.
    """
    parts = _TEXT.fullmatch(text)
    found = tokens.get(parts[1]) if parts else None
    # One comparison in any case, and one that takes as long wherever the first difference is.
    kept = found.hash if found is not None else "0" * 64
    if not hmac.compare_digest(_digest(parts[2] if parts else ""), kept) or found is None:
        raise Unauthorized("the token is not known here")
    if (why := found.ended(now_ms)) is not None:
        raise Unauthorized(why)
    return found


def encode_tokens(tokens: Tokens) -> bytes:
    """Return what is kept of tokens as JSON."""
    return msgspec.json.format(msgspec.json.encode(tokens), indent=1) + b"\n"


def decode_tokens(text: bytes, place: str) -> Tokens:
    """Return the tokens of a file's text.

    Raises:
        InvalidParameter: it is damaged, or of another version; `place` names it.
    """
    try:
        tokens = msgspec.json.decode(text, type=Tokens)
        if tokens.version != _VERSION:
            raise InvalidParameter(place, f"has version {tokens.version}, this version reads {_VERSION}")
        for token in tokens.tokens:
            if not (_ID.fullmatch(token.id) and _HASH.fullmatch(token.hash)):
                raise InvalidParameter(place, f"holds a token that is none: {token.id!r:.20}")
            for topic in token.topics:
                if to_topic(topic) != topic:
                    raise InvalidParameter(place, f"token {token.id} has a topic that is not normalised")
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidParameter(place, f"is no list of tokens: {error}") from error
    return tokens


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
