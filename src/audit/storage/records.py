"""Small records: metadata, topic counts, receipts of idempotency keys, the Merkle tree's <-> bytes."""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from audit.codec.checksum import open_record, seal_record
from audit.codec.commits import DIGEST_BYTES
from audit.codec.keys import CHECKPOINT, ID_BYTES, META, RECEIPT, TREE, describe, key_of_checkpoint, key_of_tile
from audit.codec.segments import Segment, id_bytes_of
from audit.model.errors import StoreCorrupt, StoreFormat
from audit.proof.hashing import HASH_BYTES
from audit.proof.tiles import TILE_WIDTH, Tile
from audit.storage.port import FORMAT, KnownClaim, SignedCheckpoint, StoreMeta, TreeHead

__all__ = [
    "decode_checkpoint",
    "decode_count",
    "decode_erasure",
    "decode_meta",
    "decode_receipt",
    "decode_tile",
    "decode_tree",
    "encode_checkpoint",
    "encode_count",
    "encode_erasure",
    "encode_meta",
    "encode_receipt",
    "encode_receipts",
    "encode_tile",
    "encode_tree",
    "receipt_key",
]

_BYTE: Final = 256
_COUNT: Final = struct.Struct("<Q16s16s")
_TREE: Final = struct.Struct(f"<Q{HASH_BYTES}s")
_TILE_BYTES: Final = TILE_WIDTH * HASH_BYTES
_RECEIPT: Final = struct.Struct(f"<{DIGEST_BYTES}s16sQHB")


def encode_meta(meta: StoreMeta) -> bytes:
    """Return the metadata's record: JSON, readable by every version."""
    return msgspec.json.encode(meta)


def decode_meta(record: bytes) -> StoreMeta:
    """Return the metadata of its record.

    Raises:
        StoreFormat: written by a version with another format.
        StoreCorrupt: the record is damaged.
    """
    try:
        version = msgspec.json.decode(record, type=dict[str, object])["format"]
        if version != FORMAT:
            newer = isinstance(version, int) and version > FORMAT
            remedy = "upgrade audit-store to read it" if newer else "export it with the version that wrote it"
            raise StoreFormat(f"the store has format {version!r:.20}, this version reads format {FORMAT}: {remedy}")
        meta = msgspec.json.decode(record, type=StoreMeta)
    except (msgspec.MsgspecError, KeyError, UnicodeDecodeError) as error:
        raise StoreCorrupt(describe(META), f"can't be decoded: {error}") from error
    layout = meta.layout
    # A position is one byte, and so is a chunk's number.
    if not (1 <= layout.segment_events <= _BYTE and min(layout) >= 1):
        raise StoreCorrupt(describe(META), f"has a layout that no store is made with: {layout}")
    return meta


def encode_count(key: bytes, count: tuple[int, int, int]) -> bytes:
    """Return the record of a topic's events, first id and last id."""
    events, first_id, last_id = count
    return seal_record(key, _COUNT.pack(events, first_id.to_bytes(16, "big"), last_id.to_bytes(16, "big")))


def decode_count(key: bytes, record: bytes) -> tuple[int, int, int]:
    """Return a topic's events, first id and last id.

    Raises:
        StoreCorrupt: the record is damaged.
    """
    body = open_record(key, record)
    try:
        events, first_id, last_id = _COUNT.unpack(body)
    except struct.error as error:
        raise StoreCorrupt(describe(key), f"can't be decoded: {error}") from error
    return events, int.from_bytes(first_id, "big"), int.from_bytes(last_id, "big")


def encode_erasure(key: bytes, segments: list[bytes]) -> bytes:
    """Return the record of an erasure that is to be purged: the ids of the segments with erased events."""
    return seal_record(key, b"".join(segments))


def decode_erasure(key: bytes, record: bytes) -> list[bytes]:
    """Return the ids of the segments with events that an erasure has erased.

    Raises:
        StoreCorrupt: the record is damaged.
    """
    body = bytes(open_record(key, record))
    if len(body) % ID_BYTES:
        raise StoreCorrupt(describe(key), f"has {len(body)} bytes, no whole number of ids")
    return [body[at : at + ID_BYTES] for at in range(0, len(body), ID_BYTES)]


def receipt_key(digest: bytes) -> bytes:
    """Return the key of an idempotency key's receipt."""
    return RECEIPT + digest


def encode_receipt(key: bytes, claim: KnownClaim) -> bytes:
    """Return the record of an idempotency key's receipt."""
    first_id = claim.first_id.to_bytes(16, "big")
    return _receipt(key, claim.fingerprint, first_id, claim.first_index, claim.length, of_call=claim.of_call)


def encode_receipts(segment: Segment) -> list[tuple[bytes, bytes]]:
    """Return key and record of the receipt of each idempotency key in a segment."""
    events, first_index = segment.events, segment.first_index
    made = []
    for claim in segment.claims:
        key = RECEIPT + claim.digest
        place = claim.position
        first_id = id_bytes_of(events[place])
        record = _receipt(key, claim.fingerprint, first_id, first_index + place, claim.length, of_call=claim.of_call)
        made.append((key, record))
    return made


def _receipt(key: bytes, fingerprint: bytes, first_id: bytes, first_index: int, length: int, *, of_call: bool) -> bytes:
    return seal_record(key, _RECEIPT.pack(fingerprint, first_id, first_index, length, of_call))


def decode_receipt(key: bytes, record: bytes) -> KnownClaim:
    """Return an idempotency key's receipt.

    Raises:
        StoreCorrupt: the record is damaged.
    """
    body = open_record(key, record)
    try:
        fingerprint, first_id, first_index, count, of_call = _RECEIPT.unpack(body)
    except struct.error as error:
        raise StoreCorrupt(describe(key), f"can't be decoded: {error}") from error
    return KnownClaim(fingerprint, int.from_bytes(first_id, "big"), first_index, count, bool(of_call))


def encode_tile(tile: Tile) -> tuple[bytes, bytes]:
    """Return key and record of a full tile: its hashes."""
    key = key_of_tile(tile.name.level, tile.name.number)
    return key, seal_record(key, tile.hashes)


def decode_tile(key: bytes, record: bytes | None) -> bytes:
    """Return the hashes of a full tile.

    Raises:
        StoreCorrupt: the record is damaged, or there is none.
    """
    if record is None:
        raise StoreCorrupt(describe(key), "is missing")
    body = open_record(key, record)
    if len(body) != _TILE_BYTES:
        raise StoreCorrupt(describe(key), f"has {len(body)} bytes, not {_TILE_BYTES}")
    return bytes(body)


def encode_tree(head: TreeHead) -> bytes:
    """Return the record of the tree's size and root."""
    return seal_record(TREE, _TREE.pack(*head))


def decode_tree(record: bytes) -> TreeHead:
    """Return the tree's size and root.

    Raises:
        StoreCorrupt: the record is damaged.
    """
    body = open_record(TREE, record)
    try:
        return TreeHead._make(_TREE.unpack(body))
    except struct.error as error:
        raise StoreCorrupt(describe(TREE), f"can't be decoded: {error}") from error


def encode_checkpoint(checkpoint: SignedCheckpoint) -> tuple[bytes, bytes]:
    """Return key and record of a checkpoint."""
    key = key_of_checkpoint(checkpoint.size)
    return key, seal_record(key, checkpoint.note.encode())


def decode_checkpoint(key: bytes, record: bytes) -> SignedCheckpoint:
    """Return a checkpoint.

    Raises:
        StoreCorrupt: the record is damaged.
    """
    body = open_record(key, record)
    try:
        return SignedCheckpoint(int.from_bytes(key[len(CHECKPOINT) :], "big"), bytes(body).decode())
    except UnicodeDecodeError as error:
        raise StoreCorrupt(describe(key), f"can't be decoded: {error}") from error
