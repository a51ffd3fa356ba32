"""Commits: what the sequencer decided, and everything needed to apply it again: same bytes, same state."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

import msgspec

from audit.codec.checksum import open_record, seal_record
from audit.codec.events import decode_event, event_value
from audit.codec.keys import COMMIT, describe
from audit.codec.terms import event_terms
from audit.model.errors import StoreCorrupt

__all__ = [
    "CALL_KEY_MS",
    "DIGEST_BYTES",
    "NO_FINGERPRINT",
    "Claim",
    "Commit",
    "commit_key",
    "decode_claims",
    "decode_commit",
    "encode_claims",
    "encode_commit",
]

DIGEST_BYTES: Final = 16
NO_FINGERPRINT: Final = bytes(DIGEST_BYTES)
"""In place of a fingerprint: an event of the request was erased, and nothing may tell what the request was."""
CALL_KEY_MS: Final = 7 * 24 * 3_600_000
"""A call's key is kept for 7 days; an event's as long as the event."""
_HEAD: Final = struct.Struct("<QII")
_CLAIM: Final = struct.Struct(f"<B{DIGEST_BYTES}s{DIGEST_BYTES}sHH")


class Claim(msgspec.Struct, frozen=True, gc=False):
    """One idempotency key, as claimed by the events it came with.

    Attributes:
        digest: Digest of the key; one for a call and one for an event never share a digest.
        fingerprint: Digest of the request as sent; `NO_FINGERPRINT` once an event of it was erased.
        position: Offset of the key's first event in the commit or segment that holds the claim.
        length: Number of events, all next to each other.
        of_call: Whether the key is a call's (kept 7 days) or one event's (kept as long as the event).
    """

    digest: bytes
    fingerprint: bytes
    position: int
    length: int
    of_call: bool

    def moved(self, by: int) -> Claim:
        """Return the claim with its position in what holds it from now on."""
        return Claim(self.digest, self.fingerprint, self.position + by, self.length, self.of_call)


class Commit(NamedTuple):
    """Consecutive events, written together.

    Attributes:
        first_index: Index of the first one.
        events: The stored JSON of each.
        terms: The terms of each.
        claims: Idempotency keys, by position in `events`.
    """

    first_index: int
    events: list[bytes]
    terms: list[tuple[bytes, ...]]
    claims: list[Claim]


def commit_key(first_event: bytes) -> bytes:
    """Return the key of the commit that starts with this stored event."""
    return COMMIT + event_value(first_event).to_bytes(16, "big")


def encode_claims(claims: list[Claim]) -> bytes:
    """Return claims back to back."""
    pack = _CLAIM.pack
    return b"".join([pack(c.of_call, c.digest, c.fingerprint, c.position, c.length) for c in claims])


def decode_claims(body: bytes | memoryview) -> list[Claim]:
    """Return the claims of their bytes.

    Raises:
        struct.error: the bytes are no whole number of claims.
    """
    return [
        Claim(digest, fingerprint, position, count, bool(of_call))
        for of_call, digest, fingerprint, position, count in _CLAIM.iter_unpack(body)
    ]


def encode_commit(key: bytes, commit: Commit) -> bytes:
    """Return the record of a commit: head, lengths of the events, claims, the events back to back."""
    events = commit.events
    head = _HEAD.pack(commit.first_index, len(events), len(commit.claims))
    lengths = struct.pack(f"<{len(events)}I", *map(len, events))
    return seal_record(key, b"".join([head, lengths, encode_claims(commit.claims), *events]))


def decode_commit(key: bytes, record: bytes) -> Commit:
    """Return the commit of a record; its terms are derived from its events.

    Raises:
        StoreCorrupt: checksum, lengths or an event are wrong.
    """
    name = describe(key)
    body = open_record(key, record)
    try:
        first_index, count, claimed = _HEAD.unpack_from(body)
        lengths = struct.unpack_from(f"<{count}I", body, _HEAD.size)
        at = _HEAD.size + 4 * count
        claims = decode_claims(body[at : at + claimed * _CLAIM.size])
        at += claimed * _CLAIM.size
        events = []
        for length in lengths:
            events.append(bytes(body[at : at + length]))
            at += length
        if at != len(body):
            raise StoreCorrupt(name, f"holds {len(body)} bytes, its lengths add up to {at}")
        terms = [event_terms(decode_event(event)) for event in events]
        if not events or commit_key(events[0]) != key:
            raise StoreCorrupt(name, "does not start with the event its key names")
    except (struct.error, msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as error:
        # The last two for an id of more than 128 bits, and for JSON nested too deeply.
        raise StoreCorrupt(name, f"can't be decoded: {error}") from error
    return Commit(first_index, events, terms, claims)
