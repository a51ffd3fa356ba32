"""The in-memory reference: a plain list of events and the plainest search, to compare LevelDB with and to test upon.

It refuses what a real store must never be asked: to overwrite, to leave a gap, to go back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from audit.codec.commits import NO_FINGERPRINT, Claim, commit_key, decode_commit, encode_commit
from audit.codec.cursors import Position
from audit.codec.events import decode_event, erase_event, event_index, event_value
from audit.codec.keys import ERASURE, key_of_tile
from audit.codec.segments import Layout, Segment
from audit.codec.terms import event_terms, term_of_topic, topic_of_term
from audit.model.errors import StoreClosed, StoreCorrupt
from audit.model.ids import RANDOM_BITS
from audit.model.topic import Topic
from audit.storage.port import (
    FORMAT,
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
    TreeHead,
)
from audit.storage.records import decode_tile, encode_tile

__all__ = ["Disk", "MemoryStorage"]


class Disk:
    """What outlives the handle: give it to a new `MemoryStorage` to open the same store again."""

    def __init__(self, store_id: str, layout: Layout = Layout()) -> None:  # noqa: B008 - immutable
        self.meta = StoreMeta(format=FORMAT, store_id=store_id, layout=layout)
        self.sealed: list[tuple[int, bytes, frozenset[bytes]]] = []
        self.commits: dict[bytes, bytes] = {}
        self.claims: dict[bytes, KnownClaim] = {}
        self.tiles: dict[bytes, bytes] = {}
        self.tree: TreeHead | None = None
        self.checkpoint: SignedCheckpoint | None = None
        self.metrics: dict[str, KeptMetric] = {}
        self.unpurged: set[bytes] = set()


class MemoryStorage:
    """An open store in memory. Implements `Storage`, whose docstrings hold here."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._lock = threading.Lock()
        self._closed = False

    @property
    def meta(self) -> StoreMeta:
        """What the store says of itself."""
        return self._disk.meta

    def load(self) -> Head:
        """See `Storage.load`."""
        self._check_open()
        sealed = self._disk.sealed
        commits = [(key, decode_commit(key, record)) for key, record in sorted(self._disk.commits.items())]
        disk = self._disk
        last_id = sealed[-1][0] if sealed else -1
        return Head(len(sealed), last_id, commits, disk.tree, disk.checkpoint, bool(disk.unpurged))

    def append(self, batch: Batch) -> None:
        """See `Storage.append`."""
        self._check_open()
        with self._lock:
            disk = self._disk
            disk.unpurged.difference_update(batch.purged)
            if batch.erasure is not None:
                self._erase(batch.erasure)
            for key in batch.dropped:
                del disk.commits[key]
            for segment in batch.sealed:
                self._seal(segment)
            if batch.head is not None:
                key = commit_key(batch.head.events[0])
                if key in disk.commits:
                    raise AssertionError("a commit would be overwritten")
                disk.commits[key] = encode_commit(key, batch.head)
            for tile in batch.tiles:
                key, record = encode_tile(tile)
                before = key_of_tile(tile.name.level, tile.name.number - 1) if tile.name.number else None
                if key in disk.tiles or (before is not None and before not in disk.tiles):
                    raise AssertionError("a tile would overwrite, or leave a gap")
                disk.tiles[key] = record
            disk.tree = batch.tree or disk.tree
            disk.checkpoint = batch.checkpoint or disk.checkpoint
            for write in batch.metrics:
                known = disk.metrics.pop(write.name, None)
                if write.body is None:
                    continue
                panes = {} if write.anew or known is None else known.panes
                disk.metrics[write.name] = KeptMetric(write.body, {**panes, **write.panes})

    def _erase(self, erasure: Erasure) -> None:
        disk = self._disk
        erased = [place.index for place in erasure.places]
        for index, place in enumerate(erasure.places):
            if index and place.last_id <= erasure.places[index - 1].last_id:
                raise AssertionError("the erased events are not in order")
            if place.index < len(disk.sealed):
                known, event, _ = disk.sealed[place.index]
                if known != place.last_id:
                    raise AssertionError("another event would be erased")
                event = erase_event(event)
                disk.sealed[place.index] = known, event, frozenset(event_terms(decode_event(event)))
        for digest, claim in disk.claims.items():
            if any(claim.first_index <= index < claim.first_index + claim.length for index in erased):
                disk.claims[digest] = claim._replace(fingerprint=NO_FINGERPRINT)
        for key, commit in erasure.commits:
            if key not in disk.commits:
                raise AssertionError("a commit would be changed that is not there")
            disk.commits[key] = encode_commit(key, commit)
        disk.unpurged.add(ERASURE + erasure.event_id.to_bytes(16, "big"))

    def _seal(self, segment: Segment) -> None:
        sealed = self._disk.sealed
        if segment.first_index != len(sealed):
            raise AssertionError("a segment would leave a gap or overwrite")
        for event in segment.events:
            event_id = event_value(event)
            if sealed and event_id <= sealed[-1][0]:
                raise AssertionError("an id would go back")
            sealed.append((event_id, event, frozenset(event_terms(decode_event(event)))))
        for claim in segment.claims:
            index = segment.first_index + claim.position
            first_id = event_value(segment.events[claim.position])
            self._disk.claims[claim.digest] = KnownClaim(
                claim.fingerprint, first_id, index, claim.length, claim.of_call
            )

    def claims(self, digests: Sequence[bytes]) -> dict[bytes, KnownClaim]:
        """See `Storage.claims`."""
        self._check_open()
        return {digest: self._disk.claims[digest] for digest in digests if digest in self._disk.claims}

    def search(self, search: Search, expired: Callable[[], bool]) -> Found:
        """See `Storage.search`."""
        self._check_open()
        any_of, all_of = set(search.match.any_of), set(search.match.all_of)
        found: list[bytes] = []
        size = 0
        sealed = self._disk.sealed
        for event_id, event, terms in reversed(sealed) if search.descending else list(sealed):
            if not search.span.low <= event_id < search.span.high:
                continue
            if (not any_of or any_of & terms) and all_of <= terms:
                size += len(event)
                if found and size > search.max_bytes:
                    last = found[-1]
                    return Found(found, Position(event_index(last), event_value(last)))
                found.append(event)
                if len(found) == search.limit:
                    return Found(found, Position(event_index(event), event_id))
            if expired():
                return Found(found, Position(event_index(event), event_id))
        return Found(found, None)

    def get(self, event_id: int) -> bytes | None:
        """See `Storage.get`."""
        self._check_open()
        return next((event for known, event, _ in self._disk.sealed if known == event_id), None)

    def read_ahead(self, expired: Callable[[], bool]) -> None:
        """See `Storage.read_ahead`: all of it is in memory."""

    def search_nowait(self, search: Search) -> Found | None:
        """See `Storage.search_nowait`."""
        return self.search(search, lambda: False)

    def get_nowait(self, event_id: int) -> bytes | None:
        """See `Storage.get_nowait`."""
        return self.get(event_id)

    def run_after(self, event_id: int) -> Run | None:
        """See `Storage.run_after`."""
        self._check_open()
        first = next((index for index, (known, _, _) in enumerate(self._disk.sealed) if known > event_id), None)
        if first is None:
            return None
        events = [event for _, event, _ in self._disk.sealed[first : first + self._disk.meta.layout.segment_events]]
        claims = [
            Claim(digest, claim.fingerprint, claim.first_index - first, claim.length, claim.of_call)
            for digest, claim in self._disk.claims.items()
            if first <= claim.first_index < first + len(events)
        ]
        return Run(first, events, claims)

    def tile(self, level: int, number: int) -> bytes:
        """See `Storage.tile`."""
        self._check_open()
        key = key_of_tile(level, number)
        return decode_tile(key, self._disk.tiles.get(key))

    def children(self, parent: Topic, after: str, limit: int) -> list[ChildCount]:
        """See `Storage.children`."""
        self._check_open()
        nodes = {topic for _, _, terms in self._disk.sealed for term in terms if (topic := topic_of_term(term))}
        names = sorted({node[-1] for node in nodes if node[:-1] == parent and node[-1] > after}, key=str.encode)
        return [count for count in self.topic_counts([(*parent, name) for name in names[:limit]]) if count]

    def topic_counts(self, topics: Sequence[Topic]) -> list[ChildCount | None]:
        """See `Storage.topic_counts`."""
        self._check_open()
        counts: list[ChildCount | None] = []
        for topic in topics:
            term = term_of_topic(topic)
            ids = [event_id for event_id, _, terms in self._disk.sealed if term in terms]
            counts.append(ChildCount(topic[-1], len(ids), ids[0], ids[-1]) if ids else None)
        return counts

    def rollups(self, topic: Topic, ranges: Sequence[RollupRange]) -> Rollups:
        """See `Storage.rollups`."""
        self._check_open()
        with self._lock:
            sealed = list(self._disk.sealed)
        term = term_of_topic(topic)
        counts: dict[int, int] = {}
        for event_id, _, terms in sealed:
            ms = event_id >> RANDOM_BITS
            for level, low_ms, high_ms in ranges:
                if low_ms <= ms < high_ms and (not topic or term in terms):
                    start = ms - ms % level.unit_ms
                    counts[start] = counts.get(start, 0) + 1
        return Rollups(len(sealed), counts)

    def metrics(self) -> dict[str, bytes | StoreCorrupt]:
        """See `Storage.metrics`."""
        self._check_open()
        return {name: kept.body for name, kept in sorted(self._disk.metrics.items())}

    def metric(self, name: str, low_ms: int, high_ms: int) -> KeptMetric | None:
        """See `Storage.metric`."""
        self._check_open()
        with self._lock:
            kept = self._disk.metrics.get(name)
            if kept is None:
                return None
            some = {start: pane for start, pane in sorted(kept.panes.items()) if low_ms <= start < high_ms}
            return kept._replace(panes=some)

    def purge(self) -> list[bytes]:
        """See `Storage.purge`."""
        self._check_open()
        return sorted(self._disk.unpurged)

    def close(self) -> None:
        """See `Storage.close`."""
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosed("the store is closed")
