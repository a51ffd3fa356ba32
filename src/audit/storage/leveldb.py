"""The log in LevelDB. Owns the database handle; every call to it, closing included, holds the gate.

Precautions, each against a measured fault of the parts: checksums paranoid; raw iterators only (plain ones end silently
on an I/O error); creating is its own step; no handle is written to again after an error; never used after a fork.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any, Final

from audit.codec.commits import Commit, decode_commit
from audit.codec.keys import (
    CHECKPOINT,
    COMMIT,
    END,
    ERASURE,
    META,
    SEGMENT,
    TREE,
    describe,
    key_of_tile,
    prefix_of_children,
)
from audit.codec.segments import decode_directory
from audit.model.errors import (
    StoreCorrupt,
    StoreForked,
)
from audit.model.topic import Topic
from audit.storage.ahead import keep_newest
from audit.storage.driver import Reading, reading
from audit.storage.erasing import Rewritten, find_rewritten, purge_ranges
from audit.storage.forks import abandon_after_fork
from audit.storage.fsck import Report, check_database
from audit.storage.gate import Gate
from audit.storage.kept import Kept, NotKept
from audit.storage.leveldb_read import SealedReader
from audit.storage.leveldb_write import CommitWriter, read_count
from audit.storage.metricrecords import read_metric, read_metrics
from audit.storage.options import StoreOptions
from audit.storage.port import (
    Batch,
    ChildCount,
    Erasure,
    Found,
    Head,
    KeptMetric,
    KnownClaim,
    RollupRange,
    Rollups,
    Run,
    Search,
    SignedCheckpoint,
    StoreMeta,
)
from audit.storage.records import (
    decode_checkpoint,
    decode_count,
    decode_erasure,
    decode_meta,
    decode_receipt,
    decode_tile,
    decode_tree,
    receipt_key,
)
from audit.storage.rollups import read_rollups

__all__ = ["LevelDBStorage"]

_RUN_CACHE_BYTES: Final = 1024 * 1024
_NO_KEYS: Final = b"\xff"
"""A range without a record: compacting it only has LevelDB write its memory to a table."""
_reading_meta: Final = Reading(describe(META))
_reading_directories: Final = Reading("the directories of segments, or the commits behind them")


class LevelDBStorage:
    """An open store. Implements `Storage`, whose docstrings hold here."""

    def __init__(self, database: Any, options: StoreOptions) -> None:
        self._database = database
        self._gate = Gate()
        with _reading_meta:
            if database.get(END) is None:
                raise StoreCorrupt(describe(END), "is missing")
            record = database.get(META, verify_checksums=True)
        if record is None:
            raise StoreCorrupt(describe(META), "is missing")
        self._meta = decode_meta(record)
        self._kept_bytes = options.block_cache_bytes
        self._kept = Kept(self._kept_bytes)
        # Set by the writer: the number of sealed events and the id of the last segment, together. Readers need a lower
        # bound only, to notice segments that are lost.
        self._sealed = (0, b"")
        self._writer = CommitWriter(database, self._meta.layout)
        abandon_after_fork(self)

    @property
    def meta(self) -> StoreMeta:
        """What the store says of itself."""
        return self._meta

    def load(self) -> Head:
        """See `Storage.load`."""
        with self._gate, _reading_directories, closing(self._database.raw_iterator(verify_checksums=True)) as iterator:
            first_index, last_id, last_segment = _sealed_end(iterator)
            self._sealed = (first_index, last_segment)
            commits: list[tuple[bytes, Commit]] = []
            iterator.seek(COMMIT)
            expected = first_index
            while iterator.valid() and iterator.key().startswith(COMMIT):
                key = iterator.key()
                commit = decode_commit(key, iterator.value())
                if commit.first_index != expected:
                    problem = f"starts at index {commit.first_index}, expected {expected}"
                    raise StoreCorrupt(describe(key), problem)
                expected += len(commit.events)
                commits.append((key, commit))
                iterator.next()
            self._writer.checkpoint = checkpoint = _newest_checkpoint(iterator)
            tree = self._database.get(TREE, verify_checksums=True)
            iterator.seek(ERASURE)
            unpurged = iterator.key().startswith(ERASURE)
        return Head(first_index, last_id, commits, tree and decode_tree(tree), checkpoint, unpurged)

    def append(self, batch: Batch) -> None:
        """See `Storage.append`."""
        with self._gate:
            rewritten = self._rewritten(batch.erasure) if batch.erasure is not None else None
            self._writer.write(batch, rewritten)
            if rewritten is not None:
                # Another one, rather than this one emptied: a reader that began before may go on adding to it.
                self._kept = Kept(self._kept_bytes)
            if batch.sealed:
                last = batch.sealed[-1]
                self._sealed = (last.first_index + len(last), last.key)

    def claims(self, digests: Sequence[bytes]) -> dict[bytes, KnownClaim]:
        """See `Storage.claims`."""
        found = {}
        with self._gate, reading:
            for digest in digests:
                key = receipt_key(digest)
                record = self._database.get(key, verify_checksums=True)
                if record is not None:
                    found[digest] = decode_receipt(key, record)
        return found

    def search(self, search: Search, expired: Callable[[], bool]) -> Found:
        """See `Storage.search`."""
        with self._gate, reading, closing(self._reader()) as reader:
            return reader.search(search, expired)

    def read_ahead(self, expired: Callable[[], bool]) -> None:
        """See `Storage.read_ahead`."""
        kept = self._kept
        if kept.blocks.max_bytes:
            with self._gate, reading, closing(self._reader(kept)) as reader:
                keep_newest(reader, kept, self._meta.layout.block_events, expired)

    def search_nowait(self, search: Search) -> Found | None:
        """See `Storage.search_nowait`."""
        self._gate.check()
        try:
            return self._reader(disk=False).search(search, lambda: False)
        except NotKept:
            return None

    def get_nowait(self, event_id: int) -> bytes | None:
        """See `Storage.get_nowait`."""
        self._gate.check()
        try:
            return self._reader(disk=False).get(event_id)
        except NotKept:
            return None

    def get(self, event_id: int) -> bytes | None:
        """See `Storage.get`."""
        with self._gate, reading, closing(self._reader()) as reader:
            return reader.get(event_id)

    def run_after(self, event_id: int) -> Run | None:
        """See `Storage.run_after`."""
        # A cache of its own: what is read once, in order, must not push out what pages are made of.
        with self._gate, reading, closing(self._reader(Kept(_RUN_CACHE_BYTES))) as reader:
            return reader.run_after(event_id)

    def tile(self, level: int, number: int) -> bytes:
        """See `Storage.tile`."""
        key = key_of_tile(level, number)
        # It carries a checksum of its own, as chunks do.
        with self._gate, reading:
            record = self._database.get(key)
        return decode_tile(key, record)

    def children(self, parent: Topic, after: str, limit: int) -> list[ChildCount]:
        """See `Storage.children`."""
        prefix = prefix_of_children(parent)
        found: list[ChildCount] = []
        with self._gate, reading, closing(self._database.raw_iterator(verify_checksums=True)) as iterator:
            # The least name after `after` is the one with a zero byte behind it.
            iterator.seek(prefix + (after.encode() + b"\0" if after else b""))
            while len(found) < limit and iterator.valid():
                key = iterator.key()
                if not key.startswith(prefix):
                    break
                found.append(ChildCount(key[len(prefix) :].decode(), *decode_count(key, iterator.value())))
                iterator.next()
        return found

    def topic_counts(self, topics: Sequence[Topic]) -> list[ChildCount | None]:
        """See `Storage.topic_counts`."""
        with self._gate, reading:
            counts = [read_count(self._database, topic) for topic in topics]
        return [count and ChildCount(topic[-1], *count) for topic, count in zip(topics, counts, strict=True)]

    def rollups(self, topic: Topic, ranges: Sequence[RollupRange]) -> Rollups:
        """See `Storage.rollups`."""
        with self._gate, reading, closing(self._database.snapshot()) as snapshot:
            with closing(snapshot.raw_iterator(verify_checksums=True)) as iterator:
                sealed, *_ = _sealed_end(iterator)
            return Rollups(sealed, read_rollups(snapshot, topic, ranges))

    def metrics(self) -> dict[str, bytes | StoreCorrupt]:
        """See `Storage.metrics`."""
        with self._gate, reading:
            return read_metrics(self._database)

    def metric(self, name: str, low_ms: int, high_ms: int) -> KeptMetric | None:
        """See `Storage.metric`."""
        with self._gate, reading, closing(self._database.snapshot()) as snapshot:
            return read_metric(snapshot, name, low_ms, high_ms)

    def close(self) -> None:
        """See `Storage.close`."""
        if not self._gate.shut():
            return
        if self._writer.unsettled:
            # What is only in the write-ahead log goes into a table: a log that is lost or cut while nobody has the
            # store open would be missed by nobody, a table would. Should it fail, the log is still there.
            self._database.compact_range(start=_NO_KEYS, stop=_NO_KEYS)
        self._database.close()

    def drop_caches(self) -> None:
        """Forget what is kept of sealed segments, so that a benchmark can measure reads without them."""
        self._kept.clear()

    def check(
        self, on_progress: Callable[[int, int], None] | None = None, pause: Callable[[], None] | None = None
    ) -> Report:
        """Check every record as of now, while appends and reads go on; see `check_database`.

        Args:
            on_progress: Called with events read and events there are, once a segment.
            pause: Called every few hundred records, so that whoever waits for the interpreter gets it.

        Raises:
            StoreClosed: closed meanwhile.
        """

        def breathe() -> None:
            # Whoever closes waits for this.
            self._gate.check()
            if pause is not None:
                pause()

        with self._gate:
            with reading:
                snapshot = self._database.snapshot()
            with closing(snapshot):
                return check_database(snapshot, self._meta.layout, on_progress, breathe)

    def purge(self) -> list[bytes]:
        """See `Storage.purge`."""
        keys: list[bytes] = []
        segments: set[bytes] = set()
        with self._gate, reading, closing(self._database.raw_iterator(verify_checksums=True)) as iterator:
            iterator.seek(ERASURE)
            while iterator.key().startswith(ERASURE):
                keys.append(iterator.key())
                segments.update(decode_erasure(iterator.key(), iterator.value()))
                iterator.next()
        # Once, a table may be moved down by LevelDB itself, past the level that is compacted last. Not twice.
        for start, stop in purge_ranges(sorted(segments)) * 2 if keys else ():
            # Each by itself: whoever closes the store waits for one, not for all.
            with self._gate:
                self._database.compact_range(start=start, stop=stop)
        return keys

    def _rewritten(self, erasure: Erasure) -> Rewritten:
        """Empty the write buffer and return which records of sealed segments an erasure changes."""
        # Two versions of a record in one buffer would both be written to the table that it becomes.
        self._database.compact_range(start=_NO_KEYS, stop=_NO_KEYS)
        with reading, closing(self._reader()) as reader:
            return find_rewritten(self._database, reader, self._meta.layout, erasure.places, sealed=self._sealed[0])

    def _reader(self, kept: Kept | None = None, *, disk: bool = True) -> SealedReader:
        return SealedReader(self._database, self._meta.layout, kept or self._kept, *self._sealed, disk=disk)

    def abandon(self) -> None:
        """In a forked child: refuse every call, and never let the handle be closed.

        Closing would wait for LevelDB's background thread, which a child does not have; leaking it keeps even the
        interpreter's end from trying.
        """
        self._gate.abandon(StoreForked("the store was opened before this process was forked: open it after forking"))
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._database))


def _sealed_end(iterator: Any) -> tuple[int, int, bytes]:
    """Return the number of sealed events, the id of the last one (-1: there is none) and that of its segment."""
    iterator.seek(SEGMENT + b"\xff" * 17)
    iterator.prev()
    if not iterator.valid() or not iterator.key().startswith(SEGMENT):
        return 0, -1, b""
    directory = decode_directory(iterator.key(), iterator.value())
    last_id = int.from_bytes(directory.last_id, "big")
    return directory.first_index + directory.length, last_id, iterator.key()[1:]


def _newest_checkpoint(iterator: Any) -> SignedCheckpoint | None:
    iterator.seek(CHECKPOINT + b"\xff" * 9)
    iterator.prev()
    key: bytes = iterator.key() if iterator.valid() else b""
    return decode_checkpoint(key, iterator.value()) if key.startswith(CHECKPOINT) else None
