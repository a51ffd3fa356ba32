"""Checking a whole store: every record is read, and everything that can be derived is derived again and compared.

Events are the truth: from them follow positions, posting lists, topic counts, receipts and the Merkle tree. A finding
names the record.
"""

from __future__ import annotations

import struct
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import count as counting
from itertools import pairwise
from typing import Any, Final, NamedTuple

import msgspec

from audit.codec.checksum import open_record
from audit.codec.commits import Claim, decode_claims, decode_commit
from audit.codec.events import decode_event, event_id_text, event_index, event_value, split_event
from audit.codec.keys import (
    CHECKPOINT,
    CHUNK,
    COMMIT,
    END,
    ERASURE,
    EXPIRED,
    ID_BYTES,
    META,
    METRIC,
    POSTING,
    RECEIPT,
    ROLLUP,
    SEGMENT,
    SEGMENT_RECEIPTS,
    TILE,
    TOPIC,
    TREE,
    describe,
    key_of_chunk,
    key_of_topic,
)
from audit.codec.rollups import Level, decode_rollup
from audit.codec.segments import Directory, Layout, block_events, chunk_blocks, decode_block, decode_directory
from audit.codec.terms import event_terms, topic_of_term
from audit.model.errors import AuditError, StoreClosed, StoreCorrupt, Unavailable
from audit.model.ids import format_id
from audit.model.topic import Topic
from audit.storage.driver import error_text, plyvel
from audit.storage.fsck_erased import ErasureCheck
from audit.storage.fsck_tree import TreeCheck
from audit.storage.port import KnownClaim
from audit.storage.records import decode_count, decode_erasure, decode_receipt, receipt_key
from audit.storage.rollups import add_minutes, minutes_of

__all__ = ["Finding", "Report", "check_database"]

_RECORDS_PER_BREATH: Final = 256
# What decoding raises, of bytes that a checksum vouches for and that are nothing all the same.
_NO_RECORD: Final = (
    msgspec.MsgspecError,
    AuditError,
    struct.error,
    IndexError,
    OverflowError,
    RecursionError,
    ValueError,
)
_KINDS: Final = frozenset(
    (
        CHECKPOINT,
        CHUNK,
        COMMIT,
        END,
        ERASURE,
        META[:1],
        METRIC[:1],
        POSTING,
        RECEIPT,
        ROLLUP,
        SEGMENT,
        SEGMENT_RECEIPTS,
        TILE,
        TOPIC,
    )
)


class Finding(NamedTuple):
    """One thing that is wrong: a record, and what is wrong with it."""

    record: str
    problem: str


class Report(NamedTuple):
    """What a check found.

    Attributes:
        events: Events read.
        segments: Sealed segments read.
        findings: Everything that is wrong; empty: the store is whole.
    """

    events: int
    segments: int
    findings: list[Finding]


def check_database(
    database: Any,
    layout: Layout,
    on_progress: Callable[[int, int], None] | None = None,
    breathe: Callable[[], None] = lambda: None,
) -> Report:
    """Check every record of an open LevelDB database.

    Args:
        database: A snapshot of it, so that all records are of one moment.
        layout: From the store's metadata.
        on_progress: Called with events read and events there are, once a segment.
        breathe: Called every few hundred records; may raise StoreClosed to end the check.

    Returns:
        What was read, and what is wrong.
    """
    check = _Check(database, layout, on_progress, breathe)
    check.segments()
    check.head()
    check.derived()
    return Report(check.next_index, check.segments_read, check.findings)


class _Check:
    """The state of one check: the place in the log, and what records must follow from the events so far."""

    def __init__(
        self,
        database: Any,
        layout: Layout,
        on_progress: Callable[[int, int], None] | None,
        breathe: Callable[[], None],
    ) -> None:
        self._database = database
        self._breathe = breathe
        self._layout = layout
        self._on_progress = on_progress
        self.findings: list[Finding] = []
        self.next_index = 0
        self.segments_read = 0
        self._last_id = -1
        self._total = 0
        self._counts: dict[Topic, tuple[int, int, int]] = {}
        self._minutes: defaultdict[Topic, Counter[int]] = defaultdict(Counter)
        self._receipts: dict[bytes, KnownClaim] = {}
        self._posting_lists: Counter[bytes] = Counter()
        self._chunks = 0
        self._unread: set[bytes] = set()
        self._tree = TreeCheck(database, self._note)
        self._erasures = ErasureCheck(self._note)
        self._unsealed: list[tuple[str, KnownClaim]] = []

    @contextmanager
    def _noting(self, record: str) -> Iterator[None]:
        """Turn what goes wrong into a finding, and go on."""
        try:
            yield
        except (StoreClosed, Unavailable):
            # Of `breathe`: the check is over.
            raise
        except StoreCorrupt as error:
            self.findings.append(Finding(error.record, error.problem))
        except plyvel.Error as error:
            self.findings.append(Finding(record, f"LevelDB can't read it: {error_text(error)}"))
        except _NO_RECORD as error:
            self.findings.append(Finding(record, f"can't be decoded: {error}"))

    def _note(self, record: str, problem: str) -> None:
        self.findings.append(Finding(record, problem))

    def _records(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        iterator = self._database.raw_iterator(verify_checksums=True)
        last = b""
        with closing(iterator):
            try:
                iterator.seek(prefix)
                for number in counting():
                    if not iterator.valid() or not iterator.key().startswith(prefix):
                        break
                    last = iterator.key()
                    yield last, iterator.value()
                    iterator.next()
                    if number % _RECORDS_PER_BREATH == 0:
                        self._breathe()
            except plyvel.Error as error:
                # A block of many records can't be read: the last one before it is the nearest name there is.
                where = (
                    f"behind {describe(last)}" if last else f"at the first {describe(prefix) if prefix else 'record'}"
                )
                self._note(f"the database, {where}", f"LevelDB can't read it: {error_text(error)}")

    def segments(self) -> None:
        """Check every sealed segment: directory, chunks, events, posting lists."""
        directories: list[tuple[bytes, Directory]] = []
        for key, record in self._records(SEGMENT):
            with self._noting(describe(key)):
                directories.append((key, decode_directory(key, record)))
        self._total = sum(directory.length for _, directory in directories)
        for key, directory in directories:
            name = describe(key)
            if directory.first_index != self.next_index:
                self._note(name, f"starts at index {directory.first_index}, expected {self.next_index}")
                self.next_index = directory.first_index
            self._unread.add(key[1:])
            with self._noting(name):
                self._segment(key[1:], directory, name)
                self._unread.discard(key[1:])
            self.next_index = directory.first_index + directory.length
            self.segments_read += 1
            self._breathe()
            if self._on_progress is not None:
                self._on_progress(self.next_index, self._total)

    def _segment(self, segment: bytes, directory: Directory, name: str) -> None:
        blocks = list(self._blocks(segment, directory))
        events = [event for block in blocks for event in block]
        if len(events) != directory.length:
            raise StoreCorrupt(name, f"has {len(events)} events, its directory says {directory.length}")
        starts = b"".join([event_value(block[0]).to_bytes(ID_BYTES, "big") for block in blocks])
        if starts != directory.block_ids:
            self._note(name, "its directory's block ids are not those of its blocks")
        if event_value(events[0]).to_bytes(ID_BYTES, "big") != segment:
            self._note(name, "does not start with the event its key names")
        if event_value(events[-1]).to_bytes(ID_BYTES, "big") != directory.last_id:
            self._note(name, "does not end with the event its directory names")
        expected: dict[bytes, bytearray] = defaultdict(bytearray)
        for position, event in enumerate(events):
            for term in self._event(event, directory.first_index + position):
                expected[term].append(position)
        for term, positions in expected.items():
            key = POSTING + term + segment
            found = self._database.get(key, verify_checksums=True)
            if found != bytes(positions):
                self._note(describe(key), "is missing" if found is None else "is not what the events say")
            topic = topic_of_term(term)
            if topic is not None:
                count, first, _ = self._counts.get(topic, (0, event_value(events[positions[0]]), 0))
                self._counts[topic] = (count + len(positions), first, event_value(events[positions[-1]]))
        for topic, minutes in minutes_of(events, expected):
            self._minutes[topic].update(minutes)
        self._posting_lists[segment] = len(expected)
        self._claims(segment, events, directory)
        self._hash(directory.first_index, events)

    def _blocks(self, segment: bytes, directory: Directory) -> Iterator[list[bytes]]:
        blocks = -(-directory.length // self._layout.block_events)
        for number in range(-(-blocks // self._layout.chunk_blocks)):
            key = key_of_chunk(segment, number)
            record = self._database.get(key, verify_checksums=True)
            if record is None:
                raise StoreCorrupt(describe(key), "is missing")
            body = open_record(key, record)
            self._chunks += 1
            for start, end in pairwise(chunk_blocks(key, body)):
                yield block_events(decode_block(key, body[start:end]))

    def _event(self, event: bytes, index: int) -> tuple[bytes, ...]:
        """Check one event against its place; return its terms."""
        name = f"event {event_id_text(event).decode()}"
        value = event_value(event)
        if value <= self._last_id:
            self._note(name, f"its id is not above the one before, {format_id(self._last_id)}")
        self._last_id = value
        if event_index(event) != index:
            self._note(name, f"says index {event_index(event)}, stands at {index}")
        split_event(event)
        decoded = decode_event(event)
        self._erasures.add(event, decoded, value, index)
        return event_terms(decoded)

    def _claims(self, segment: bytes, events: list[bytes], directory: Directory) -> None:
        key = SEGMENT_RECEIPTS + segment
        record = self._database.get(key, verify_checksums=True)
        if record is None:
            return
        expired = self._database.get(EXPIRED, verify_checksums=True) or b""
        for claim in decode_claims(open_record(key, record)):
            if claim.position >= len(events):
                self._note(describe(key), f"names position {claim.position} of {len(events)} events")
                continue
            if not (claim.of_call and segment <= expired):
                self._receipts[claim.digest] = _receipt(claim, events, directory.first_index)

    def _hash(self, first_index: int, events: list[bytes]) -> None:
        # Behind a hole no hash would be right; the hole itself is a finding.
        if self._tree.size == first_index:
            self._tree.add(events)

    def head(self) -> None:
        """Check the commits that are not sealed."""
        for key, record in self._records(COMMIT):
            with self._noting(describe(key)):
                commit = decode_commit(key, record)
                if commit.first_index != self.next_index:
                    self._note(describe(key), f"starts at index {commit.first_index}, expected {self.next_index}")
                for index, event in enumerate(commit.events, commit.first_index):
                    self._event(event, index)
                for claim in commit.claims:
                    self._unsealed.append((describe(key), _receipt(claim, commit.events, commit.first_index)))
                self._hash(commit.first_index, commit.events)
                self.next_index = commit.first_index + len(commit.events)

    def derived(self) -> None:
        """Check that nothing is there that no event accounts for, and that counts and receipts are right."""
        found: Counter[bytes] = Counter()
        for key, _ in self._records(POSTING):
            found[key[-ID_BYTES:]] += 1
        for segment in (found.keys() | self._posting_lists.keys()) - self._unread:
            if found[segment] != self._posting_lists[segment]:
                problem = f"has {found[segment]} posting lists, its events make {self._posting_lists[segment]}"
                self._note(describe(SEGMENT + segment), problem)
        for key, _ in self._records(b""):
            if key[:1] not in _KINDS:
                self._note(describe(key), "is of no known kind")
        if self._unread:
            # What can't be read can't be summed up either; the findings above say what is wrong.
            return
        for topic, count in self._counts.items():
            key = key_of_topic(topic)
            with self._noting(describe(key)):
                record = self._database.get(key, verify_checksums=True)
                if record is None or decode_count(key, record) != count:
                    self._note(describe(key), "is not what the events say")
        self._amount(TOPIC, len(self._counts), "topic counts")
        self._rollups()
        for key, record in self._records(METRIC[:1]):
            with self._noting(describe(key)):
                open_record(key, record)
        for digest, receipt in self._receipts.items():
            key = receipt_key(digest)
            with self._noting(describe(key)):
                record = self._database.get(key, verify_checksums=True)
                if record is None or decode_receipt(key, record) != receipt:
                    self._note(describe(key), "is not what its segment says")
        self._amount(RECEIPT, len(self._receipts), "receipts")
        self._erased()
        self._amount(CHUNK, self._chunks, "chunks")
        if self._tree.size == self.next_index:
            self._proven()

    def _proven(self) -> None:
        self._amount(TILE, self._tree.tiles, "tiles")
        with self._noting(describe(TREE)):
            self._tree.head()
        for key, record in self._records(CHECKPOINT):
            with self._noting(describe(key)):
                self._tree.checkpoint(key, record)

    def _erased(self) -> None:
        named = [(describe(receipt_key(digest)), receipt) for digest, receipt in self._receipts.items()]
        for name, receipt in named + self._unsealed:
            self._erasures.claim(name, receipt.fingerprint, receipt.first_index, receipt.length)
        for key, record in self._records(ERASURE):
            with self._noting(describe(key)):
                decode_erasure(key, record)

    def _rollups(self) -> None:
        records: dict[bytes, dict[int, int]] = {}
        levels: dict[bytes, Level] = {}

        def new(key: bytes, level: Level) -> dict[int, int]:
            levels[key] = level
            return {}

        for topic, minutes in self._minutes.items():
            add_minutes(records, topic, minutes, new)
        for key, counts in records.items():
            with self._noting(describe(key)):
                record = self._database.get(key, verify_checksums=True)
                if record is None or decode_rollup(key, record, levels[key]) != counts:
                    self._note(describe(key), "is not what the events say")
        self._amount(ROLLUP, len(records), "rollups")

    def _amount(self, kind: bytes, expected: int, name: str) -> None:
        found = sum(1 for _ in self._records(kind))
        if found != expected:
            self._note(name, f"there are {found}, the events make {expected}")


def _receipt(claim: Claim, events: list[bytes], first_index: int) -> KnownClaim:
    first_id = event_value(events[claim.position])
    return KnownClaim(claim.fingerprint, first_id, first_index + claim.position, claim.length, claim.of_call)
