"""What a commit of the log comes to in LevelDB: one batch of puts and deletes, all or none.

Owns what only the one writer needs to know: counts of topics and rollups as of the last sealed segment, the newest
checkpoint, and whether anything is in the write-ahead log alone.
"""

from __future__ import annotations

from typing import Any, Final

from cachetools import LRUCache

from audit.codec.checksum import seal_record
from audit.codec.commits import commit_key, encode_claims, encode_commit
from audit.codec.events import event_value
from audit.codec.keys import EXPIRED, POSTING, SEGMENT_RECEIPTS, TREE, key_of_checkpoint, key_of_topic
from audit.codec.segments import Layout, Segment, encode_chunks, encode_directory
from audit.codec.terms import TOPIC, topic_of_term
from audit.model.errors import OutcomeUnknown
from audit.model.topic import Topic
from audit.storage.driver import error_text, plyvel, reading
from audit.storage.erasing import Rewritten, erasure_key
from audit.storage.expiry import Expired, find_expired
from audit.storage.metricrecords import put_metrics
from audit.storage.port import Batch, Erasure, SignedCheckpoint
from audit.storage.records import (
    decode_count,
    encode_checkpoint,
    encode_count,
    encode_erasure,
    encode_receipts,
    encode_tile,
    encode_tree,
)
from audit.storage.rollups import RollupWriter

__all__ = ["CommitWriter", "TopicCounts", "read_count"]

_COUNT_CACHE: Final = 16_384
_NOTHING_EXPIRED: Final = Expired([], None)

TopicCounts = tuple[int, int, int]
"""Events of a topic, and the ids of the first and the last of them."""


class CommitWriter:
    """Writes the commits of one open database. For the writer's thread alone."""

    def __init__(self, database: Any, layout: Layout) -> None:
        self._database = database
        self._layout = layout
        # Of topics as of the last sealed segment, to be added to without reading them again.
        self._counts: LRUCache[Topic, TopicCounts] = LRUCache(_COUNT_CACHE)
        self._rollups = RollupWriter(database)
        self.checkpoint: SignedCheckpoint | None = None
        """The newest one that is on the disk."""
        self.unsettled = False
        """Whether something is in the write-ahead log only, behind a handle that has not failed."""

    def write(self, batch: Batch, rewritten: Rewritten | None) -> None:
        """Make a commit durable; see `Storage.append`.

        Args:
            batch: What to write.
            rewritten: What its erasure makes of sealed segments; None: it erases nothing.
        """
        counts: dict[Topic, TopicCounts] = {}
        expired = _NOTHING_EXPIRED
        with reading:
            for segment in batch.sealed:
                self._add_counts(segment, counts)
            rollups = self._rollups.added(batch.sealed)
            if batch.sealed:
                expired = find_expired(self._database, event_value(batch.sealed[-1].events[-1]))
        self.unsettled = False
        try:
            with self._database.write_batch(sync=True) as puts:
                # Before the receipts of this commit: one of them may use an expired key again.
                for key in (*batch.dropped, *expired.keys, *batch.purged):
                    puts.delete(key)
                if batch.erasure is not None and rewritten is not None:
                    _put_erasure(puts, batch.erasure, rewritten)
                if expired.through is not None:
                    puts.put(EXPIRED, expired.through)
                for segment in batch.sealed:
                    _put_segment(puts, segment, self._layout)
                for topic, count in counts.items():
                    key = key_of_topic(topic)
                    puts.put(key, encode_count(key, count))
                self._rollups.put(puts, rollups)
                if batch.head is not None:
                    key = commit_key(batch.head.events[0])
                    puts.put(key, encode_commit(key, batch.head))
                self._put_tree(puts, batch)
                put_metrics(self._database, puts, batch.metrics)
                batch.ready()
        except (plyvel.Error, OSError) as error:
            raise OutcomeUnknown(f"the write failed, its outcome is not known: {error_text(error)}") from error
        self.unsettled = True
        self._counts.update(counts)
        self.checkpoint = batch.checkpoint or self.checkpoint
        self._rollups.written(rollups)

    def _put_tree(self, puts: Any, batch: Batch) -> None:
        for tile in batch.tiles:
            puts.put(*encode_tile(tile))
        if batch.tree is not None:
            puts.put(TREE, encode_tree(batch.tree))
        if batch.checkpoint is not None:
            if self.checkpoint is not None:
                puts.delete(key_of_checkpoint(self.checkpoint.size))
            puts.put(*encode_checkpoint(batch.checkpoint))

    def _add_counts(self, segment: Segment, counts: dict[Topic, TopicCounts]) -> None:
        """Add a segment to the counts of its topics, reading those that this commit has not touched yet."""
        for term, positions in segment.postings.items():
            # Few terms are topics: most are not worth a call.
            topic = topic_of_term(term) if term[0] == TOPIC[0] else None
            if topic is None:
                continue
            known = counts.get(topic) or self._counts.get(topic) or read_count(self._database, topic)
            last_id = event_value(segment.events[positions[-1]])
            if known is None:
                counts[topic] = (len(positions), event_value(segment.events[positions[0]]), last_id)
            else:
                counts[topic] = (known[0] + len(positions), known[1], last_id)


def read_count(database: Any, topic: Topic) -> TopicCounts | None:
    """Return the count of a topic as of the last sealed segment; None: no sealed event has it."""
    key = key_of_topic(topic)
    record = database.get(key, verify_checksums=True)
    return None if record is None else decode_count(key, record)


def _put_erasure(puts: Any, erasure: Erasure, rewritten: Rewritten) -> None:
    for key in rewritten.deletes:
        puts.delete(key)
    for key, record in rewritten.puts:
        puts.put(key, record)
    for key, commit in erasure.commits:
        puts.put(key, encode_commit(key, commit))
    key = erasure_key(erasure.event_id)
    puts.put(key, encode_erasure(key, rewritten.segments))


def _put_segment(puts: Any, segment: Segment, layout: Layout) -> None:
    put = puts.put
    put(*encode_directory(segment, layout))
    for key, record in encode_chunks(segment, layout):
        put(key, record)
    own = segment.key
    for term, positions in segment.postings.items():
        put(POSTING + term + own, positions)
    if not segment.claims:
        return
    key = SEGMENT_RECEIPTS + own
    put(key, seal_record(key, encode_claims(segment.claims)))
    for key, record in encode_receipts(segment):
        put(key, record)
