"""The checksum of each record, over its key and its value, so that a record found under another key fails too."""

from __future__ import annotations

import struct
from typing import Final

import xxhash

from audit.codec.keys import describe
from audit.model.errors import StoreCorrupt

__all__ = ["open_record", "seal_record"]

_HEAD: Final = struct.Struct("<BQ")
VERSION: Final = 1


def seal_record(key: bytes, body: bytes) -> bytes:
    """Return the record: version byte, checksum of key and body, body."""
    return _HEAD.pack(VERSION, _digest(key, body)) + body


def open_record(key: bytes, record: bytes) -> memoryview:
    """Return the body of a record.

    Raises:
        StoreCorrupt: another version, or the checksum of key and body differs.
    """
    if len(record) < _HEAD.size:
        raise StoreCorrupt(describe(key), f"has {len(record)} bytes, too few for a record")
    version, digest = _HEAD.unpack_from(record)
    if version != VERSION:
        raise StoreCorrupt(describe(key), f"has version {version}, expected {VERSION}")
    body = memoryview(record)[_HEAD.size :]
    if _digest(key, body) != digest:
        raise StoreCorrupt(describe(key), "checksum mismatch")
    return body


def _digest(key: bytes, body: bytes | memoryview) -> int:
    return xxhash.xxh3_64_intdigest(body, xxhash.xxh3_64_intdigest(key))
