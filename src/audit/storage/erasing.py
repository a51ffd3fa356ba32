"""Erasing sealed events: which records change, and how old versions of them get out of LevelDB's files.

LevelDB overwrites nothing: an old version stays in a table, or in the write-ahead log, until a compaction meets the new
one. `find_rewritten` says what a batch must hold; `purge_ranges` what must be compacted then. The write buffer must be
emptied before that batch: two versions of a key in one buffer are both written to the table that it becomes.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any, Final, NamedTuple

from audit.codec.checksum import open_record, seal_record
from audit.codec.commits import NO_FINGERPRINT, Claim, decode_claims, encode_claims
from audit.codec.cursors import Position
from audit.codec.erasing import changes_of, without_fingerprints
from audit.codec.events import event_value
from audit.codec.keys import (
    COMMIT,
    ERASURE,
    ID_BYTES,
    METRIC,
    POSTING,
    RECEIPT,
    SEGMENT,
    SEGMENT_RECEIPTS,
    describe,
    id_key,
    key_of_chunk,
)
from audit.codec.segments import Directory, Layout, Segment, decode_directory, encode_chunks
from audit.codec.terms import TOPIC
from audit.model.errors import StoreCorrupt
from audit.model.event import MAX_CALL_EVENTS
from audit.storage.leveldb_read import SealedReader
from audit.storage.records import decode_receipt, encode_receipt, receipt_key

__all__ = ["Rewritten", "erasure_key", "find_rewritten", "purge_ranges"]

_FEW: Final = 8
"""Ranges of chunks to compact one by one; more are compacted with all that lies between them."""


class Rewritten(NamedTuple):
    """Records of sealed segments that an erasure changes.

    Attributes:
        puts: Their keys and new values.
        deletes: Keys of those that go away.
        segments: Segments with erased events, by their ids.
    """

    puts: list[tuple[bytes, bytes]]
    deletes: list[bytes]
    segments: list[bytes]


def erasure_key(event_id: int) -> bytes:
    """Return the key of the record of an erasure that is to be purged."""
    return ERASURE + event_id.to_bytes(ID_BYTES, "big")


class _Rewriting:
    """An erasure's changes among sealed segments, being gathered."""

    def __init__(self, database: Any, reader: SealedReader, layout: Layout) -> None:
        self._database = database
        self._reader = reader
        self._layout = layout
        self.found = Rewritten([], [], [])

    def _get(self, key: bytes) -> bytes | None:
        record: bytes | None = self._database.get(key, verify_checksums=True)
        return record

    def events(self, own: bytes, directory: Directory, positions: Sequence[int]) -> None:
        """Erase the events at some positions of a segment: in its chunks, and in posting lists."""
        layout, found = self._layout, self.found
        segment = Segment(directory.first_index)
        segment.first_id = int.from_bytes(own, "big")
        segment.events = self._reader.events(own, range(directory.length))
        changes = changes_of(segment.events, positions)
        chunks = {position // layout.block_events // layout.chunk_blocks for position in changes.events}
        for position, event in changes.events.items():
            segment.events[position] = event
        found.puts.extend((key, record) for key, record in encode_chunks(segment, layout) if key[-1] in chunks)
        for term, gone in changes.gone.items():
            key = POSTING + term + own
            before = self._get(key)
            if before is None:
                raise StoreCorrupt(describe(key), "is missing")
            left = bytes([position for position in before if position not in gone])
            if left:
                found.puts.append((key, left))
            else:
                found.deletes.append(key)
        found.segments.append(own)

    def receipts(self, places: Sequence[Position]) -> None:
        """Take the fingerprints out of receipts; a call may have begun several segments before an event of it."""
        erased = [place.index for place in places]
        lowest = SEGMENT + b"\xff" * (ID_BYTES + 1)
        with closing(self._database.raw_iterator(verify_checksums=True)) as iterator:
            for place in reversed(places):
                # Towards the first event; what was looked at for a later one is not looked at again.
                iterator.seek(min(lowest, SEGMENT + id_key(place.last_id) + b"\0"))
                iterator.prev()
                while iterator.valid() and iterator.key().startswith(SEGMENT):
                    key: bytes = iterator.key()
                    directory = decode_directory(key, iterator.value())
                    if directory.first_index + directory.length + MAX_CALL_EVENTS <= place.index + 1:
                        break
                    self._claims(key[1:], directory, erased)
                    lowest = key
                    iterator.prev()

    def _claims(self, own: bytes, directory: Directory, erased: Sequence[int]) -> None:
        key = SEGMENT_RECEIPTS + own
        record = self._get(key)
        if record is None:
            return
        before = decode_claims(open_record(key, record))
        after = without_fingerprints(before, directory.first_index, erased)
        if after == before:
            return
        self.found.puts.append((key, seal_record(key, encode_claims(after))))
        for claim in after:
            if claim.fingerprint == NO_FINGERPRINT:
                self._receipt(own, claim)

    def _receipt(self, own: bytes, claim: Claim) -> None:
        key = receipt_key(claim.digest)
        record = self._get(key)
        if record is None:
            # A call's key that has expired.
            return
        receipt = decode_receipt(key, record)
        # The same key may have been used again since it expired.
        if receipt.first_id == event_value(self._reader.events(own, [claim.position])[0]):
            self.found.puts.append((key, encode_receipt(key, receipt._replace(fingerprint=NO_FINGERPRINT))))


def find_rewritten(
    database: Any, reader: SealedReader, layout: Layout, places: Sequence[Position], *, sealed: int
) -> Rewritten:
    """Return what erasing some events changes among the records of sealed segments.

    Args:
        database: LevelDB's.
        reader: Reads its sealed events as of now.
        layout: From the store's metadata.
        places: Where the erased events are, in order.
        sealed: How many events are sealed.

    Raises:
        StoreCorrupt: a record is damaged or missing.
    """
    rewriting = _Rewriting(database, reader, layout)
    by_segment: dict[bytes, tuple[Directory, list[int]]] = {}
    for place in places:
        if place.index < sealed:
            segment, directory = reader.segment_of(place.last_id)
            by_segment.setdefault(segment, (directory, []))[1].append(place.index - directory.first_index)
    for segment, (directory, positions) in by_segment.items():
        rewriting.events(segment, directory, positions)
    rewriting.receipts(places)
    return rewriting.found


def purge_ranges(segments: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    """Return the ranges of keys in which an old version of some record may hold what was erased.

    Which terms went away is not noted down, as that would be to write them down again: all posting lists but those of
    topics are in it.

    Args:
        segments: Ids of the segments with erased events, sorted.
    """
    chunks = [(key_of_chunk(segment, 0), key_of_chunk(segment, 255)) for segment in segments]
    if len(chunks) > _FEW:
        chunks = [(chunks[0][0], chunks[-1][1])]
    every = b"\xff" * (ID_BYTES + 1)
    kinds = [
        (COMMIT, COMMIT + every),
        (RECEIPT, RECEIPT + every),
        (SEGMENT_RECEIPTS, SEGMENT_RECEIPTS + every),
        (POSTING, POSTING + TOPIC),
        (METRIC[:1], METRIC[:1] + b"\xff"),
    ]
    return [*chunks, *kinds]
