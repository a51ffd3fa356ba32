"""Cursors: opaque tokens that say "continue right after here", bound to a store, a query and an order."""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from typing import Final

import msgspec

from audit.model.errors import CursorInvalid
from audit.model.query import Query

__all__ = [
    "START",
    "Position",
    "decode_cursor",
    "decode_name_cursor",
    "encode_cursor",
    "encode_name_cursor",
    "query_digest",
]

_VERSION: Final = 1
_DIGEST_BYTES: Final = 8
_FORM: Final = struct.Struct(f">B{_DIGEST_BYTES}sq16s17s")
_CHECK_BYTES: Final = 4
_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")


class Position(msgspec.Struct, frozen=True, gc=False):
    """A place in the log.

    Attributes:
        index: Index of the last event covered, in the order of the query; -1: none, at the log's start.
        last_id: Its id; 0 when there is none.
        floor: Ids below are not asked for: a lower bound that lay beyond the last event.
    """

    index: int
    last_id: int
    floor: int = 0


START: Final = Position(-1, 0)


def query_digest(store_id: str, query: Query, order: str) -> bytes:
    """Return what a cursor is bound to: store, normalised topics, filter and order."""
    text = msgspec.json.encode([store_id, query.topics, query.filter, order])
    return hashlib.blake2b(text, digest_size=_DIGEST_BYTES, person=b"audit cursor").digest()


def encode_cursor(digest: bytes, position: Position) -> str:
    """Return the token of a position."""
    form = _FORM.pack(
        _VERSION, digest, position.index, position.last_id.to_bytes(16, "big"), position.floor.to_bytes(17, "big")
    )
    check = hashlib.blake2b(form, digest_size=_CHECK_BYTES).digest()
    # 54 bytes make 72 characters: there is no padding to take off.
    return binascii.b2a_base64(form + check, newline=False).translate(_URL_SAFE).decode()


def decode_cursor(token: object, digest: bytes) -> Position:
    """Return the position of a token.

    Raises:
        CursorInvalid: damaged, or bound to another store, query or order.
    """
    raw = _unwrap(token)
    form, check = raw[:-_CHECK_BYTES], raw[-_CHECK_BYTES:]
    if len(form) != _FORM.size or hashlib.blake2b(form, digest_size=_CHECK_BYTES).digest() != check:
        raise CursorInvalid("cursor", f"{str(token)[:40]!r} is no cursor, or damaged")
    version, bound_to, index, last_id, floor = _FORM.unpack(form)
    if version != _VERSION:
        raise CursorInvalid("cursor", f"has version {version}, expected {_VERSION}")
    if bound_to != digest:
        raise CursorInvalid("cursor", "was made for another store, query or order")
    return Position(index, int.from_bytes(last_id, "big"), int.from_bytes(floor, "big"))


def encode_name_cursor(digest: bytes, name: str) -> str:
    """Return the token of "continue right after this name", for listings by name."""
    form = digest + name.encode()
    check = hashlib.blake2b(form, digest_size=_CHECK_BYTES).digest()
    return base64.urlsafe_b64encode(check + form).rstrip(b"=").decode()


def decode_name_cursor(token: object, digest: bytes) -> str:
    """Return the name of a token.

    Raises:
        CursorInvalid: damaged, or bound to another store or topic.
    """
    raw = _unwrap(token)
    check, form = raw[:_CHECK_BYTES], raw[_CHECK_BYTES:]
    if hashlib.blake2b(form, digest_size=_CHECK_BYTES).digest() != check:
        raise CursorInvalid("cursor", f"{str(token)[:40]!r} is no cursor, or damaged")
    if form[:_DIGEST_BYTES] != digest:
        raise CursorInvalid("cursor", "was made for another store, query or order")
    try:
        return form[_DIGEST_BYTES:].decode()
    except UnicodeDecodeError as error:
        # The checksum is no secret: somebody made this one up.
        raise CursorInvalid("cursor", f"{str(token)[:40]!r} is no cursor") from error


def _unwrap(token: object) -> bytes:
    if not isinstance(token, str):
        raise CursorInvalid("cursor", f"must be a string, got {token!r:.40}")
    try:
        return base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise CursorInvalid("cursor", f"{token[:40]!r} is no cursor") from error
