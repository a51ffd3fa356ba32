"""Reading sealed events from LevelDB: from posting lists to blocks to slices of stored JSON.

Every function works on iterators that live as long as one bounded piece of work. Posting lists are read with LevelDB's
checksums on; directories and chunks carry a checksum of their own, over their key too, and a missing one is an error.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from audit.codec.checksum import open_record
from audit.codec.commits import decode_claims
from audit.codec.cursors import Position
from audit.codec.events import event_id_text, event_value
from audit.codec.keys import SEGMENT, SEGMENT_RECEIPTS, describe, id_key, key_of_chunk
from audit.codec.segments import (
    Directory,
    Layout,
    block_events,
    chunk_blocks,
    decode_block,
    decode_directory,
    event_bounds,
    place_in_block,
)
from audit.model.errors import StoreCorrupt
from audit.model.ids import format_id
from audit.model.span import Span
from audit.storage.driver import plyvel
from audit.storage.gather import Gather
from audit.storage.kept import Kept, KeptStream, NotKept
from audit.storage.port import Found, Run, Search
from audit.storage.streams import Stream, check_end, open_stream

__all__ = ["SealedReader"]


_FEW: Final = 16
"""Events worth handing to the page; more than these, and a segment's, are never read in vain."""
_NOWHERE: Final = (-(1 << 62), b"")
"""No block: a place so far before a segment that no position lies in it."""


class SealedReader:
    """One piece of reading: owns its iterators; close it with `close`."""

    def __init__(
        self, database: Any, layout: Layout, kept: Kept, sealed: int, last: bytes = b"", *, disk: bool = True
    ) -> None:
        """Take an open database and what is kept of it.

        Args:
            database: Open, and not closed before this is.
            layout: Bounds of its segments.
            kept: What is in memory of them.
            sealed: How many events are known to be sealed, at least.
            last: Id of the segment that the last of these is in; empty: there is none.
            disk: Whether the database may be touched; else what is not kept raises `NotKept`.
        """
        self._database = database
        self._sealed = sealed
        self._last = last
        self._layout = layout
        self._kept = kept
        self._blocks = kept.blocks
        self._disk = disk
        self._snapshot: Any = None
        self._iterators: list[Any] = []
        self._per_chunk = layout.chunk_blocks
        self._chunk_key = self._chunk_segment = b""
        self._chunk_number = -1
        self._asked = b""
        self._wanted = False
        self._bounds: tuple[int, ...] = ()
        self._chunk: memoryview = memoryview(b"")

    def close(self) -> None:
        """Close the iterators."""
        for iterator in self._iterators:
            iterator.close()
        if self._snapshot is not None:
            self._snapshot.close()

    def _look(self) -> Any:
        """Return the snapshot that all is read from: a posting list never names a segment that is not in it."""
        if self._snapshot is None:
            if not self._disk:
                raise NotKept
            self._snapshot = self._database.snapshot()
        return self._snapshot

    def new_iterator(self, *, verify: bool = True) -> Any:
        """Return a raw iterator of the snapshot that all is read from; it is closed with this."""
        iterator = self._look().raw_iterator(verify_checksums=verify)
        self._iterators.append(iterator)
        return iterator

    def search(self, search: Search, expired: Callable[[], bool]) -> Found:
        """Return what `Storage.search` does."""
        span, descending = search.span, search.descending
        if span.empty:
            return Found([], None)
        low_key = id_key(span.low)
        edge = self._edge(id_key(span.high - 1) if descending else low_key)
        if edge is None and descending:
            return Found([], None)
        if edge is not None and not descending and edge[1].last_id < low_key:
            # All of it lies before the span; counting it as examined would stop a search where it began.
            edge = None
        first = low_key if edge is None else edge[0]

        def on_disk() -> Stream:
            return open_stream(search.match, self.new_iterator, self._sealed, descending=descending)

        stretches = self._kept.stretches
        if not stretches.max_bytes:
            stream = on_disk()
            stream.seek(first)
            return self._walk(search, stream, first, edge, expired)
        stream = KeptStream(search.match, stretches, on_disk, self._last, descending=descending)
        stream.seek(first)
        found = self._walk(search, stream, first, edge, expired)
        # What is wrong further on is no matter of this search: whoever asks for that place is told.
        with suppress(StoreCorrupt, plyvel.Error):
            stream.read_on(self._blocks)
        stream.keep()
        return found

    def _walk(
        self,
        search: Search,
        stream: Stream,
        first: bytes,
        edge: tuple[bytes, Directory] | None,
        expired: Callable[[], bool],
    ) -> Found:
        """Gather events from where a stream stands on.

        Args:
            search: What is asked for.
            stream: Where its matches are.
            first: Id of the segment that the near bound is in.
            edge: The same with its directory; None: the bound is in none.
            expired: As of `Storage.search`.
        """
        span, descending = search.span, search.descending
        low_key, high_key = id_key(span.low), id_key(span.high)
        gather = Gather(span, descending=descending, limit=search.limit, max_bytes=search.max_bytes)
        found: list[bytes] = []
        left = search.limit
        while (segment := stream.segment) is not None:
            if not descending and segment >= high_key:
                break
            positions, near = stream.positions(), _NOWHERE
            if edge is not None:
                if segment == first:
                    positions, near = self._trim(edge, positions, span, descending=descending)
                edge = None
            if descending:
                positions = positions[: -left - 1 : -1]
            elif len(positions) > left:
                positions = positions[:left]
            left -= len(positions)
            found += self.events(segment, positions, near)
            # A rare term's events are handed over together: one at a time is as slow as getting them out of a block.
            if len(found) >= _FEW or not left:
                full, found = gather.add(found), []
                if full:
                    break
            if descending and segment <= low_key:
                break
            if expired():
                full, found = gather.add(found), []
                if full:
                    break
                return Found(gather.events, self._examined(segment, high_key, descending=descending))
            stream.advance()
        gather.add(found)
        return Found(gather.events, gather.stopped)

    def _examined(self, segment: bytes, high_key: bytes, *, descending: bool) -> Position | None:
        """Return where a search is interrupted, after this segment; None: it is over, for the span ends in there."""
        directory = self.directory(segment)
        if descending:
            return Position(directory.first_index, int.from_bytes(segment, "big"))
        if directory.last_id >= high_key:
            return None
        return Position(directory.first_index + directory.length - 1, int.from_bytes(directory.last_id, "big"))

    def get(self, event_id: int) -> bytes | None:
        """Return the sealed event with this id, or None."""
        key = id_key(event_id)
        edge = self._edge(key)
        if edge is None:
            return None
        segment, directory = edge
        number = directory.block_holding(key)
        wanted = format_id(event_id).encode()
        if self._keeps(segment):
            events = self._kept_block(segment, number) or self.load(segment, number)
        else:
            events = block_events(self._block(segment, number))
        for event in events:
            if event_id_text(event) == wanted:
                return event
        return None

    def run_after(self, event_id: int) -> Run | None:
        """Return what `Storage.run_after` does."""
        edge = self._edge(id_key(event_id + 1))
        if edge is None or int.from_bytes(edge[1].last_id, "big") <= event_id:
            # `_edge` has made sure that the next one is the one that follows.
            iterator = self.new_iterator(verify=False)
            iterator.seek(SEGMENT if edge is None else SEGMENT + edge[0] + b"\0")
            key: bytes = iterator.key()
            if not key.startswith(SEGMENT):
                return None
            edge = key[1:], decode_directory(key, iterator.value())
        segment, directory = edge
        events = self.events(segment, range(directory.length))
        key = SEGMENT_RECEIPTS + segment
        record = self._look().get(key, verify_checksums=True)
        try:
            claims = [] if record is None else decode_claims(open_record(key, record))
        except struct.error as error:
            raise StoreCorrupt(describe(key), f"can't be decoded: {error}") from error
        return Run(directory.first_index, events, claims).after(bisect_right(events, event_id, key=event_value))

    def events(self, segment: bytes, positions: Sequence[int], near: tuple[int, bytes] = _NOWHERE) -> list[bytes]:
        """Return the events at some positions of a segment, in the order of the positions.

        Args:
            segment: The segment's id.
            positions: Where the events are in it.
            near: A block of the segment that is at hand already, and the position of its first event.
        """
        size = self._layout.block_events
        if self._keeps(segment):
            return self._kept_events(segment, positions, size)
        first, block = near
        end = first + size
        found: list[bytes] = []
        for position in positions:
            if not first <= position < end:
                number = position // size
                first = number * size
                end = first + size
                block = self._block(segment, number)
            # Where nothing is kept, only those that are wanted are cut out.
            start, stop = event_bounds(block, 4 * (position - first))
            found.append(block[start:stop])
        return found

    def _kept_events(self, segment: bytes, positions: Sequence[int], size: int) -> list[bytes]:
        """Return what `events` does, where blocks are kept."""
        kept = self._blocks.get(segment) or []
        # Not all of them may be kept.
        with suppress(IndexError):
            return [kept[position // size][position % size] for position in positions]
        first = end = 0
        events: Sequence[bytes] = ()
        found: list[bytes] = []
        for position in positions:
            if not first <= position < end:
                number = position // size
                first = number * size
                end = first + size
                # Not by `_kept_block`: these blocks may be thrown out for those that come in.
                events = (kept[number] if number < len(kept) else ()) or self.load(segment, number)
            found.append(events[position - first])
        return found

    def directory(self, segment: bytes) -> Directory:
        """Return a segment's directory."""
        directory = self._kept.directories.get(segment)
        if directory is None:
            key = SEGMENT + segment
            directory = decode_directory(key, self._read(key))
            self._kept.directories.add(segment, directory)
        return directory

    def segment_of(self, event_id: int) -> tuple[bytes, Directory]:
        """Return id and directory of the segment that holds a sealed event.

        Raises:
            StoreCorrupt: none does.
        """
        edge = self._edge(id_key(event_id))
        if edge is None or edge[1].last_id < id_key(event_id):
            raise StoreCorrupt(f"event {format_id(event_id)}", "is in no segment")
        return edge

    def _edge(self, event_id: bytes) -> tuple[bytes, Directory] | None:
        """Return the segment that holds or would hold this id: the last that starts at or before it.

        When it ends before the id, the segment after it must be the next one, or the id may be in one that is lost.
        """
        try:
            return self._kept.directories.holding(event_id, self._sealed)
        except NotKept:
            pass
        # Directories carry a checksum of their own; LevelDB's would be a second one.
        iterator = self.new_iterator(verify=False)
        target = SEGMENT + event_id
        iterator.seek(target)
        if iterator.key() != target:
            iterator.prev()
        key: bytes = iterator.key() if iterator.valid() else b""
        if not key.startswith(SEGMENT):
            self._check_next(iterator, SEGMENT, 0)
            return None
        directory = decode_directory(key, iterator.value())
        self._kept.directories.add(key[1:], directory)
        if directory.last_id < event_id:
            self._check_next(iterator, key + b"\0", directory.first_index + directory.length)
        return key[1:], directory

    def _check_next(self, iterator: Any, start: bytes, expected: int) -> None:
        """Check that the first directory from a key on is that of the segment at an index, or that there is none."""
        iterator.seek(start)
        key: bytes = iterator.key()
        if not key.startswith(SEGMENT):
            check_end(expected, self._sealed, descending=False)
            return
        directory = decode_directory(key, iterator.value())
        if directory.first_index != expected:
            raise StoreCorrupt(describe(key), f"is not at index {expected}: the segment before it is missing")
        self._kept.directories.add(key[1:], directory)

    def _trim(
        self, edge: tuple[bytes, Directory], positions: Sequence[int], span: Span, *, descending: bool
    ) -> tuple[Sequence[int], tuple[int, bytes]]:
        """Return the positions inside the span's near bound: at or above its place (ascending), or below (descending).

        With them comes the block that was looked at for it, and the position of its first event.
        """
        segment, directory = edge
        bound = span.high if descending else span.low
        key = id_key(bound)
        if directory.last_id < key:
            return positions if descending else (), _NOWHERE
        if key <= segment:
            return () if descending else positions, _NOWHERE
        number = directory.block_holding(key)
        first = number * self._layout.block_events
        text = format_id(bound).encode()
        near = _NOWHERE
        if self._keeps(segment):
            events = self._kept_block(segment, number) or self.load(segment, number)
            place = bisect_left(events, text, key=event_id_text)
        else:
            near = first, self._block(segment, number)
            place = place_in_block(near[1], text)
        at = bisect_left(positions, first + place)
        return positions[:at] if descending else positions[at:], near

    def _keeps(self, segment: bytes) -> bool:
        """Return whether blocks of a segment are looked for in memory, and kept there; the same until another's."""
        if segment != self._asked:
            self._asked = segment
            # Who may not touch the disk only looks.
            self._wanted = not self._disk or self._blocks.wants(segment)
        return self._wanted

    def _kept_block(self, segment: bytes, number: int) -> Sequence[bytes]:
        """Return the events of a block if they are kept, else nothing."""
        kept = self._blocks.get(segment)
        return kept[number] if kept is not None and number < len(kept) else ()

    def load(self, segment: bytes, number: int) -> list[bytes]:
        """Return the events of a block from the disk, and have them kept."""
        events = block_events(self._block(segment, number))
        self._blocks.put(segment, number, events)
        return events

    def _block(self, segment: bytes, number: int) -> bytes:
        """Return a block from the disk, decompressed."""
        at = number // self._per_chunk
        if at != self._chunk_number or segment != self._chunk_segment:
            # Kept at hand: the next block is likely to be in it, too.
            key = key_of_chunk(segment, at)
            self._chunk = open_record(key, self._read(key))
            self._bounds = chunk_blocks(key, self._chunk)
            self._chunk_key = key
            self._chunk_segment = segment
            self._chunk_number = at
        bounds = self._bounds
        offset = number - at * self._per_chunk
        if offset + 1 >= len(bounds):
            raise StoreCorrupt(describe(self._chunk_key), f"has no block {offset}")
        return decode_block(self._chunk_key, self._chunk[bounds[offset] : bounds[offset + 1]])

    def _read(self, key: bytes) -> bytes:
        """Return the record of a directory or chunk that must be there; it carries a checksum of its own."""
        record: bytes | None = (self._snapshot or self._look()).get(key)
        if record is None:
            raise StoreCorrupt(describe(key), "is missing")
        return record
