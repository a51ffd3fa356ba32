"""Every decoder, with what it may raise: whatever bytes come, it returns a value or one of these.

A record that is checksummed is tried twice: as it comes, and with a checksum that is right, so that what is behind it
is reached. What a target returns can be encoded again and decoded to the same.
"""

from __future__ import annotations

import contextlib
import json
import struct
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final, NamedTuple

import msgspec

from audit.codec.checksum import open_record, seal_record
from audit.codec.commits import commit_key, decode_claims, decode_commit, encode_claims, encode_commit
from audit.codec.cursors import decode_cursor, decode_name_cursor, encode_cursor, encode_name_cursor, query_digest
from audit.codec.events import decode_event
from audit.codec.keys import COMMIT, SEGMENT, describe, key_of_chunk, key_of_topic
from audit.codec.rollups import MINUTE, decode_rollup, prefix_of_rollups, rollup_key
from audit.codec.segments import chunk_blocks, decode_block, decode_directory
from audit.metrics.keeping import Kept, decode_kept, decode_pane, encode_kept
from audit.metrics.plan import plan_of
from audit.metrics.query import MetricQuery
from audit.model.errors import (
    AuditError,
    CursorInvalid,
    InvalidParameter,
    ProofInvalid,
    ProtocolViolation,
    StoreCorrupt,
    StoreFormat,
)
from audit.model.ids import format_id, parse_id
from audit.model.query import to_query
from audit.proof.checkpoints import Checkpoint, read_checkpoint, sign_checkpoint
from audit.proof.exports import encode_head, verify_export
from audit.proof.files import encode_proof, parse_proof
from audit.proof.hashing import EMPTY_ROOT
from audit.proof.keys import SigningKey, VerifierKey
from audit.proof.leaves import leaf_hash
from audit.proof.notes import parse_note
from audit.proof.tiles import decode_bundle, encode_bundle, parse_tile_path
from audit.protocol.client import ClientSession
from audit.protocol.limits import Limits
from audit.protocol.messages import InfoParams
from audit.protocol.server import Broken, Refused, ServerSession
from audit.storage.records import (
    decode_count,
    decode_meta,
    decode_receipt,
    encode_count,
    encode_meta,
    encode_receipt,
    receipt_key,
)
from audit.testing.logs import STORE_ID

__all__ = ["TARGETS", "Target", "try_bytes"]

ID: Final = bytes.fromhex("0194200000000000000000000000002a")
COUNT_KEY: Final = key_of_topic(("a", "b"))
RECEIPT_KEY: Final = receipt_key(b"d" * 16)
CHUNK_KEY: Final = key_of_chunk(ID, 0)
KEY: Final = SigningKey.new("example.com/log", bytes(32))
ROLLUP_KEY: Final = rollup_key(prefix_of_rollups(("a", "b"), MINUTE), 7)
SUM: Final = plan_of(MetricQuery(measure="sum", field="data"))
DISTINCT: Final = plan_of(MetricQuery(measure="distinct", field="data"))
UPTIME: Final = plan_of(MetricQuery(measure="uptime", up="u", down="d"))
DIGEST: Final = query_digest(STORE_ID, to_query(), "asc")


class Target(NamedTuple):
    """A decoder of bytes.

    Attributes:
        decode: It.
        errors: What it is documented to raise.
        again: Encodes what it returned and decodes that; must return the same.
    """

    decode: Callable[[bytes], Any]
    errors: tuple[type[Exception], ...]
    again: Callable[[Any], Any] | None = None


def _sealed(key: bytes, decode: Callable[[bytes, bytes], Any]) -> Callable[[bytes], Any]:
    return lambda body: decode(key, seal_record(key, body))


def _decode_chunk(key: bytes, record: bytes) -> list[bytes]:
    body = open_record(key, record)
    return [decode_block(key, body[start:end]) for start, end in pairwise(chunk_blocks(key, body))]


def _as_server(data: bytes) -> None:
    for text in (True, False):
        session = ServerSession(Limits())
        session.subscribed(0, session.subscribe(5))
        event = session.receive(data, text=text)
        if isinstance(event, Broken):
            assert 0 < len(event.reason.encode()) <= 123
        if isinstance(event, (Broken, Refused)) and event.frame is not None:
            json.loads(event.frame)


def _as_client(data: bytes) -> None:
    session = ClientSession()
    session.request("server.info", InfoParams())
    session.receive(data)


def _text(decode: Callable[[Any], Any]) -> Callable[[bytes], Any]:
    return lambda data: decode(data.decode("utf-8", "surrogateescape"))


def _verify_export(data: bytes) -> None:
    lines = data.splitlines(keepends=True)
    with contextlib.suppress(ProofInvalid):
        verify_export(lines, [KEY.verifier], KEY.name)
    # What comes after a head that holds.
    head = encode_head(sign_checkpoint(Checkpoint(KEY.name, 0, EMPTY_ROOT), KEY))
    verify_export([head, *lines], [KEY.verifier], KEY.name)


def _kept_again(kept: Kept) -> Kept:
    return decode_kept("a", encode_kept(kept))


TARGETS: Final[dict[str, Target]] = {
    "a record": Target(lambda data: open_record(COUNT_KEY, data), (StoreCorrupt,)),
    "a commit": Target(lambda data: decode_commit(COMMIT + ID, data), (StoreCorrupt,)),
    "a commit's body": Target(
        _sealed(COMMIT + ID, decode_commit),
        (StoreCorrupt,),
        lambda commit: decode_commit(commit_key(commit.events[0]), encode_commit(commit_key(commit.events[0]), commit)),
    ),
    "claims": Target(decode_claims, (struct.error,), lambda claims: decode_claims(encode_claims(claims))),
    "a directory": Target(lambda data: decode_directory(SEGMENT + ID, data), (StoreCorrupt,)),
    "a directory's body": Target(_sealed(SEGMENT + ID, decode_directory), (StoreCorrupt,)),
    "a chunk": Target(lambda data: _decode_chunk(CHUNK_KEY, data), (StoreCorrupt,)),
    "a chunk's body": Target(_sealed(CHUNK_KEY, _decode_chunk), (StoreCorrupt,)),
    "a count": Target(lambda data: decode_count(COUNT_KEY, data), (StoreCorrupt,)),
    "a count's body": Target(
        _sealed(COUNT_KEY, decode_count),
        (StoreCorrupt,),
        lambda count: decode_count(COUNT_KEY, encode_count(COUNT_KEY, count)),
    ),
    "a receipt": Target(lambda data: decode_receipt(RECEIPT_KEY, data), (StoreCorrupt,)),
    "a receipt's body": Target(
        _sealed(RECEIPT_KEY, decode_receipt),
        (StoreCorrupt,),
        lambda claim: decode_receipt(RECEIPT_KEY, encode_receipt(RECEIPT_KEY, claim)),
    ),
    "a rollup": Target(lambda data: decode_rollup(ROLLUP_KEY, data, MINUTE), (StoreCorrupt,)),
    "a rollup's body": Target(_sealed(ROLLUP_KEY, lambda key, data: decode_rollup(key, data, MINUTE)), (StoreCorrupt,)),
    "a registered metric": Target(lambda data: decode_kept("a", data), (StoreCorrupt,), _kept_again),
    "a pane of a sum": Target(lambda data: decode_pane(SUM, "a", data), (StoreCorrupt,)),
    "a pane of distinct values": Target(lambda data: decode_pane(DISTINCT, "a", data), (StoreCorrupt,)),
    "a pane of components": Target(lambda data: decode_pane(UPTIME, "a", data), (StoreCorrupt,)),
    "the metadata": Target(decode_meta, (StoreCorrupt, StoreFormat), lambda meta: decode_meta(encode_meta(meta))),
    "an event": Target(decode_event, (msgspec.MsgspecError, UnicodeDecodeError)),
    "a key": Target(describe, ()),
    "a cursor": Target(
        _text(lambda text: decode_cursor(text, DIGEST)),
        (CursorInvalid,),
        lambda position: decode_cursor(encode_cursor(DIGEST, position), DIGEST),
    ),
    "a name's cursor": Target(
        _text(lambda text: decode_name_cursor(text, DIGEST)),
        (CursorInvalid,),
        lambda name: decode_name_cursor(encode_name_cursor(DIGEST, name), DIGEST),
    ),
    "an id": Target(_text(parse_id), (InvalidParameter,), lambda value: parse_id(format_id(value))),
    "a frame for a server": Target(_as_server, ()),
    "a frame for a client": Target(_as_client, (ProtocolViolation, AuditError)),
    "a leaf": Target(leaf_hash, (ProofInvalid,)),
    "a bundle": Target(decode_bundle, (ProofInvalid,), lambda entries: decode_bundle(encode_bundle(entries))),
    "a tile's path": Target(_text(parse_tile_path), (ProofInvalid,), lambda name: parse_tile_path(name.path)),
    "a note": Target(_text(parse_note), (ProofInvalid,), lambda note: parse_note(note.encoded)),
    "a checkpoint": Target(_text(read_checkpoint), (ProofInvalid,)),
    "a public key": Target(_text(VerifierKey.parse), (ProofInvalid,), lambda key: VerifierKey.parse(key.text)),
    "a proof": Target(_text(parse_proof), (ProofInvalid,), lambda proof: parse_proof(encode_proof(proof))),
    "an export": Target(_verify_export, (ProofInvalid,)),
}


def try_bytes(target: Target, data: bytes) -> Any:
    """Decode some bytes; return what came of it, None for a documented error. Whatever else is raised is a defect."""
    with contextlib.suppress(*target.errors):
        value = target.decode(data)
        if target.again is not None:
            assert target.again(value) == value, f"{value!r:.200} does not come back as it was"
        return value
    return None
