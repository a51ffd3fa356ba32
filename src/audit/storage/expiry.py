"""Throwing out the keys of calls after their 7 days, a few segments with each one that is sealed.

Time is that of the newest sealed event, not the clock's, so that the same commits leave the same records everywhere. A
record in the store says how far it has come.
"""

from __future__ import annotations

from contextlib import closing
from typing import Any, Final, NamedTuple

from audit.codec.checksum import open_record
from audit.codec.commits import CALL_KEY_MS, decode_claims
from audit.codec.keys import EXPIRED, SEGMENT, SEGMENT_RECEIPTS
from audit.codec.segments import decode_directory
from audit.model.ids import RANDOM_BITS
from audit.storage.records import decode_receipt, receipt_key

__all__ = ["Expired", "find_expired", "is_expired"]

_SEGMENTS: Final = 4


class Expired(NamedTuple):
    """Records to delete, and up to which segment every expired key is gone then."""

    keys: list[bytes]
    through: bytes | None


def is_expired(event_id: int, newest_id: int) -> bool:
    """Return whether the key of a call that was committed with this id has expired by the newest event."""
    return (event_id >> RANDOM_BITS) + CALL_KEY_MS <= newest_id >> RANDOM_BITS


def find_expired(database: Any, newest_id: int) -> Expired:
    """Return the receipts of expired call keys in the next few segments.

    Raises:
        StoreCorrupt: a record is damaged.
    """
    done = database.get(EXPIRED, verify_checksums=True) or b""
    keys: list[bytes] = []
    through = None
    with closing(database.raw_iterator(verify_checksums=True)) as iterator:
        # The segment after the last one done: no key is as long as its own with a byte behind it.
        iterator.seek(SEGMENT_RECEIPTS + done + b"\0" * bool(done))
        for _ in range(_SEGMENTS):
            if not iterator.valid() or not iterator.key().startswith(SEGMENT_RECEIPTS):
                break
            key: bytes = iterator.key()
            segment = key[1:]
            directory = SEGMENT + segment
            last_id = decode_directory(directory, database.get(directory) or b"").last_id
            if not is_expired(int.from_bytes(last_id, "big"), newest_id):
                break
            for claim in decode_claims(open_record(key, iterator.value())):
                if claim.of_call:
                    keys += _own_receipt(database, claim.digest, newest_id)
            through = segment
            iterator.next()
    return Expired(keys, through)


def _own_receipt(database: Any, digest: bytes, newest_id: int) -> list[bytes]:
    """Return the key of a receipt, unless the same key was used again since."""
    key = receipt_key(digest)
    record = database.get(key, verify_checksums=True)
    if record is None:
        return []
    first_id = decode_receipt(key, record).first_id
    return [key] if is_expired(first_id, newest_id) else []
