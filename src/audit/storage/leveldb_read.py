"""Reading sealed events from LevelDB: from posting lists to blocks to slices of stored JSON.

Every function works on iterators that live as long as one bounded piece of work. Posting lists are read with LevelDB's
checksums on; directories and chunks carry a checksum of their own, over their key too, and a missing one is an error.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Any

from audit.codec.checksum import open_record
from audit.codec.cursors import Position
from audit.codec.events import event_id_text
from audit.codec.keys import CHUNK, SEGMENT, describe, id_key
from audit.codec.segments import (
    Directory,
    Layout,
    block_events,
    chunk_blocks,
    decode_block,
    decode_directory,
    pick_events,
)
from audit.model.errors import StoreCorrupt
from audit.model.ids import format_id
from audit.storage.blockcache import BlockCache
from audit.storage.gather import Gather
from audit.storage.port import Found, Search
from audit.storage.streams import check_end, open_stream

__all__ = ["SealedReader"]


class SealedReader:
    """One piece of reading: owns its iterators; close it with `close`."""

    def __init__(self, database: Any, layout: Layout, cache: BlockCache, sealed: int) -> None:
        """Take an open database, of which at least `sealed` events are known to be sealed."""
        self._sealed = sealed
        # All iterators see one moment: a posting list never names a segment that another iterator does not know.
        self._snapshot = database.snapshot()
        self._layout = layout
        self._cache = cache
        self._iterators: list[Any] = []
        self._records: Any = None
        self._per_chunk = layout.chunk_blocks
        self._chunk_key = b""
        self._bounds: tuple[int, ...] = ()
        self._chunk: memoryview = memoryview(b"")

    def close(self) -> None:
        """Close the iterators."""
        for iterator in self._iterators:
            iterator.close()
        self._snapshot.close()

    def _new_iterator(self, *, verify: bool = True) -> Any:
        iterator = self._snapshot.raw_iterator(verify_checksums=verify)
        self._iterators.append(iterator)
        return iterator

    def search(self, search: Search, expired: Callable[[], bool]) -> Found:
        """Return what `Storage.search` does."""
        span, descending = search.span, search.descending
        if span.empty:
            return Found([], None)
        edge = self._edge(span.high - 1 if descending else span.low)
        if edge is None and descending:
            return Found([], None)
        if edge is not None and not descending and edge[1].last_id < id_key(span.low):
            # All of it lies before the span; counting it as examined would stop a search where it began.
            edge = None
        stream = open_stream(search.match, self._new_iterator, self._sealed, descending=descending)
        stream.seek(id_key(span.low) if edge is None else edge[0])
        low_key, high_key = id_key(span.low), id_key(span.high)
        gather = Gather(span, descending=descending, limit=search.limit, max_bytes=search.max_bytes)
        while (segment := stream.segment) is not None:
            if not descending and segment >= high_key:
                break
            positions = stream.positions()
            if edge is not None and segment == edge[0]:
                positions = self._trim(edge, positions, span.high if descending else span.low, descending=descending)
            if gather.add(self.events(segment, gather.choose(positions))) or (descending and segment <= low_key):
                break
            if expired():
                examined = self.directory(segment)
                # A segment that reaches past the span was the last one: the search is over, not interrupted.
                if descending or examined.last_id < high_key:
                    return Found(gather.events, _end_of(segment, examined, descending=descending))
                break
            stream.advance()
        return Found(gather.events, gather.stopped)

    def get(self, event_id: int) -> bytes | None:
        """Return the sealed event with this id, or None."""
        edge = self._edge(event_id)
        if edge is None:
            return None
        segment, directory = edge
        number = directory.block_holding(id_key(event_id))
        wanted = format_id(event_id).encode()
        for event in block_events(self._block(segment, number)):
            if event_id_text(event) == wanted:
                return event
        return None

    def events(self, segment: bytes, positions: Sequence[int]) -> list[bytes]:
        """Return the events at some positions of a segment, in the order of the positions."""
        size = self._layout.block_events
        at, count = 0, len(positions)
        if count == 1:
            # A rare term: one event of a segment, a hundred segments a page.
            number = positions[0] // size
            return pick_events(self._block(segment, number), (positions[0] - number * size,))
        found: list[bytes] = []
        while at < count:
            number = positions[at] // size
            base = number * size
            offsets = [positions[at] - base]
            at += 1
            while at < count and 0 <= (offset := positions[at] - base) < size:
                offsets.append(offset)
                at += 1
            found += pick_events(self._block(segment, number), offsets)
        return found

    def directory(self, segment: bytes) -> Directory:
        """Return a segment's directory."""
        key = SEGMENT + segment
        return decode_directory(key, self._read(key))

    def _edge(self, event_id: int) -> tuple[bytes, Directory] | None:
        """Return the segment that holds or would hold this id: the last that starts at or before it.

        When it ends before the id, the segment after it must be the next one, or the id may be in one that is lost.
        """
        iterator = self._own_iterator()
        target = SEGMENT + id_key(event_id)
        iterator.seek(target)
        if iterator.key() != target:
            iterator.prev()
        if not iterator.valid() or not iterator.key().startswith(SEGMENT):
            self._check_next(SEGMENT, 0)
            return None
        key: bytes = iterator.key()
        directory = decode_directory(key, iterator.value())
        if directory.last_id < id_key(event_id):
            self._check_next(key + b"\0", directory.first_index + directory.length)
        return key[1:], directory

    def _check_next(self, start: bytes, expected: int) -> None:
        """Check that the first directory from a key on is that of the segment at an index, or that there is none."""
        iterator = self._own_iterator()
        iterator.seek(start)
        key: bytes = iterator.key()
        if not key.startswith(SEGMENT):
            check_end(expected, self._sealed, descending=False)
        elif decode_directory(key, iterator.value()).first_index != expected:
            raise StoreCorrupt(describe(key), f"is not at index {expected}: the segment before it is missing")

    def _trim(
        self, edge: tuple[bytes, Directory], positions: Sequence[int], bound: int, *, descending: bool
    ) -> Sequence[int]:
        """Return the positions at or above the bound's place (ascending), or below it (descending)."""
        segment, directory = edge
        key = id_key(bound)
        if directory.last_id < key:
            return positions if descending else ()
        if key <= segment:
            return () if descending else positions
        number = directory.block_holding(key)
        texts = [event_id_text(event) for event in block_events(self._block(segment, number))]
        place = number * self._layout.block_events + bisect_left(texts, format_id(bound).encode())
        at = bisect_left(positions, place)
        return positions[:at] if descending else positions[at:]

    def _block(self, segment: bytes, number: int) -> bytes:
        place = (segment, number)
        block = self._cache.get(place)
        if block is None:
            at = number // self._per_chunk
            key = CHUNK + segment + bytes((at,))
            if key != self._chunk_key:
                self._chunk = open_record(key, self._read(key))
                self._bounds = chunk_blocks(key, self._chunk)
                self._chunk_key = key
            offset = number - at * self._per_chunk
            if offset + 1 >= len(self._bounds):
                raise StoreCorrupt(describe(key), f"has no block {offset}")
            block = decode_block(key, self._chunk[self._bounds[offset] : self._bounds[offset + 1]])
            self._cache.put(place, block)
        return block

    def _read(self, key: bytes) -> bytes:
        """Return the record of a directory or chunk that must be there."""
        iterator = self._own_iterator()
        iterator.seek(key)
        if iterator.key() != key:
            raise StoreCorrupt(describe(key), "is missing")
        value: bytes = iterator.value()
        return value

    def _own_iterator(self) -> Any:
        """Return the iterator for records that carry a checksum of their own; LevelDB's would be a second one."""
        if self._records is None:
            self._records = self._new_iterator(verify=False)
        return self._records


def _end_of(segment: bytes, directory: Directory, *, descending: bool) -> Position:
    """Return the place up to which a segment that was examined whole covers the log."""
    if descending:
        return Position(directory.first_index, int.from_bytes(segment, "big"))
    return Position(directory.first_index + directory.length - 1, int.from_bytes(directory.last_id, "big"))
