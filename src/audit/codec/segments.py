"""Segments: up to 256 consecutive events with their posting lists. In memory while recent, in records once sealed.

On disk a segment is a directory (where each block starts, by id), chunks of compressed blocks, and one posting list a
term. A chunk is what is read at once, a block what is decompressed at once: one rare event costs one small block.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Final, NamedTuple

import lz4.block

from audit.codec.checksum import open_record, seal_record
from audit.codec.commits import Claim, Commit
from audit.codec.events import ID_SLICE, event_value
from audit.codec.keys import ID_BYTES, SEGMENT, describe, key_of_chunk
from audit.model.errors import StoreCorrupt
from audit.model.ids import MAX_VALUE

__all__ = [
    "Directory",
    "Layout",
    "Segment",
    "block_events",
    "chunk_blocks",
    "decode_block",
    "decode_directory",
    "encode_chunks",
    "encode_directory",
    "event_bounds",
    "id_bytes_of",
    "place_in_block",
]


class Layout(NamedTuple):
    """Bounds of segments; fixed when a store is created, and kept in its metadata.

    Attributes:
        segment_events: Events of a segment at most; positions in it are one byte.
        segment_bytes: Bytes of its events' JSON at most.
        chunk_blocks: Blocks of a chunk.
        block_events: Events of a block.
    """

    segment_events: int = 256
    segment_bytes: int = 1024 * 1024
    chunk_blocks: int = 8
    block_events: int = 16


class Segment:
    """Consecutive events and their posting lists, growing at the end until sealed.

    The sequencer alone adds to it. Readers may look on from other threads: they know from a snapshot how many events
    are published, and ignore everything beyond (`match_positions` cuts the lists).
    """

    __slots__ = ("_growing", "claims", "commits", "events", "first_id", "first_index", "postings", "size_bytes")

    def __init__(self, first_index: int) -> None:
        self.first_index = first_index
        self.first_id = MAX_VALUE + 1
        """Id of the first event; beyond every id while there is none."""
        self.events: list[bytes] = []
        self._growing: defaultdict[bytes, bytearray] = defaultdict(bytearray)
        self.postings: Mapping[bytes, Sequence[int]] = self._growing
        self.claims: list[Claim] = []
        self.commits: list[bytes] = []
        """Keys of the commit records that hold this segment's events, until it is sealed."""
        self.size_bytes = 0

    def __len__(self) -> int:
        return len(self.events)

    @property
    def key(self) -> bytes:
        """The 16 bytes of the first event's id."""
        return self.first_id.to_bytes(ID_BYTES, "big")

    def room_for(self, events: Sequence[bytes], start: int, layout: Layout) -> int:
        """Return how many of `events`, from `start` on, fit before the segment must be sealed."""
        most = min(layout.segment_events - len(self.events), len(events) - start)
        # All of them, most of the time.
        if self.size_bytes + sum(map(len, events[start : start + most])) <= layout.segment_bytes:
            return most
        size = self.size_bytes
        for count in range(most):
            size += len(events[start + count])
            # One event always fits an empty segment, whatever the layout says.
            if size > layout.segment_bytes and (count or self.events):
                return count
        return most

    def add(self, commit: Commit, start: int, stop: int) -> None:
        """Add events `start` to `stop` of a commit, with their terms and claims."""
        base = len(self.events) - start
        lists = self._growing
        for position, terms in enumerate(commit.terms[start:stop], len(self.events)):
            for term in terms:
                lists[term].append(position)
        if commit.claims:
            self.claims += [claim.moved(base) for claim in commit.claims if start <= claim.position < stop]
        added = commit.events[start:stop]
        if added and not self.events:
            self.first_id = event_value(added[0])
        self.size_bytes += sum(map(len, added))
        self.events.extend(added)

    def seal(self) -> None:
        """Turn posting lists into the bytes that are stored; nothing can be added afterwards."""
        self.postings = {term: bytes(found) for term, found in self._growing.items()}
        self._growing = defaultdict(bytearray)
        self.commits = []

    def with_erased(
        self, events: Mapping[int, bytes], gone: Mapping[bytes, Collection[int]], claims: list[Claim]
    ) -> Segment:
        """Return the segment with some events erased; this one stays as it is, for whoever is reading it.

        Args:
            events: What is left of each, by its position.
            gone: For each term, the positions that carry it no more.
            claims: In place of its claims.
        """
        other = Segment(self.first_index)
        other.first_id = self.first_id
        other.events = [events.get(position, event) for position, event in enumerate(self.events)]
        other.size_bytes = sum(map(len, other.events))
        other.claims = claims
        other.commits = self.commits.copy()
        left = {
            term: [one for one in positions if one not in gone[term]] if term in gone else positions
            for term, positions in self.postings.items()
        }
        if self.postings is self._growing:
            other._growing.update((term, bytearray(positions)) for term, positions in left.items() if positions)
        else:
            other.postings = {term: bytes(positions) for term, positions in left.items() if positions}
        return other


def id_bytes_of(event: bytes) -> bytes:
    """Return the 16 bytes of a stored event's id."""
    return event_value(event).to_bytes(ID_BYTES, "big")


class Directory(NamedTuple):
    """What a sealed segment's own record says.

    Attributes:
        first_index: Index of the first event.
        length: Number of events.
        last_id: The 16 bytes of the last event's id.
        block_ids: The id of each block's first event, 16 bytes each, back to back.
    """

    first_index: int
    length: int
    last_id: bytes
    block_ids: bytes

    def block_holding(self, event_id: bytes) -> int:
        """Return the number of the block that would hold this id."""
        ids = self.block_ids
        firsts = _ids(len(ids) // ID_BYTES).unpack_from(ids)
        return max(0, bisect_right(firsts, event_id) - 1)


_DIRECTORY: Final = struct.Struct(f"<QH{ID_BYTES}s")
_CHUNK_ENTRY: Final = struct.Struct("<I")


@lru_cache(512)
def _ids(count: int) -> struct.Struct:
    """Return the form of `count` ids."""
    return struct.Struct(f"{ID_BYTES}s" * count)


def encode_directory(segment: Segment, layout: Layout) -> tuple[bytes, bytes]:
    """Return key and record of a segment's directory."""
    events = segment.events
    key = SEGMENT + segment.key
    starts = b"".join([id_bytes_of(event) for event in events[:: layout.block_events]])
    head = _DIRECTORY.pack(segment.first_index, len(events), id_bytes_of(events[-1]))
    return key, seal_record(key, head + starts)


def decode_directory(key: bytes, record: bytes) -> Directory:
    """Return the directory of a segment.

    Raises:
        StoreCorrupt: the checksum or the form is wrong.
    """
    body = open_record(key, record)
    try:
        first_index, count, last_id = _DIRECTORY.unpack_from(body)
    except struct.error as error:
        raise StoreCorrupt(describe(key), f"can't be decoded: {error}") from error
    return Directory(first_index, count, last_id, bytes(body[_DIRECTORY.size :]))


def encode_chunks(segment: Segment, layout: Layout) -> Iterable[tuple[bytes, bytes]]:
    """Yield key and record of each chunk: ends of its compressed blocks, then the blocks."""
    events = segment.events
    own_key = segment.key
    size = layout.block_events
    blocks = [_encode_block(events[start : start + size]) for start in range(0, len(events), size)]
    for number, start in enumerate(range(0, len(blocks), layout.chunk_blocks)):
        some = blocks[start : start + layout.chunk_blocks]
        key = key_of_chunk(own_key, number)
        yield key, seal_record(key, _with_bounds(some))


def _encode_block(events: list[bytes]) -> bytes:
    packed: bytes = lz4.block.compress(_with_bounds(events))
    return packed


def _with_bounds(parts: list[bytes]) -> bytes:
    """Return where each part starts and the last one ends, and then the parts."""
    count = len(parts) + 1
    return _numbers(count).pack(*accumulate(map(len, parts), initial=4 * count)) + b"".join(parts)


@lru_cache(512)
def _numbers(count: int) -> struct.Struct:
    """Return the form of `count` numbers of 4 bytes; blocks and chunks have few different counts."""
    return struct.Struct(f"<{count}I")


def chunk_blocks(key: bytes, body: memoryview) -> tuple[int, ...]:
    """Return where the blocks of a chunk's body lie: the n-th from the n-th number to the one after.

    The chunk's checksum vouches for the numbers between; a wrong one would not decompress.

    Raises:
        StoreCorrupt: they do not end where the chunk does.
    """
    try:
        head: int = _CHUNK_ENTRY.unpack_from(body)[0]
        bounds = _numbers(head // 4).unpack_from(body)
    except struct.error as error:
        raise StoreCorrupt(describe(key), f"can't be decoded: {error}") from error
    if not bounds or bounds[-1] != len(body):
        raise StoreCorrupt(describe(key), "its blocks do not end where it does")
    return bounds


def decode_block(key: bytes, packed: memoryview) -> bytes:
    """Return a block of a chunk, decompressed: starts of its events, then the events.

    Raises:
        StoreCorrupt: it can't be decompressed.
    """
    try:
        block: bytes = lz4.block.decompress(packed)
    except (lz4.block.LZ4BlockError, ValueError) as error:
        # The latter when there are too few bytes for a size, or the size is no possible one.
        raise StoreCorrupt(describe(key), f"a block can't be decompressed: {error}") from error
    return block


_PAIR: Final = struct.Struct("<II")
_ID_START: Final = ID_SLICE.start
_ID_STOP: Final = ID_SLICE.stop


def block_events(block: bytes) -> list[bytes]:
    """Return all events of a decompressed block."""
    return [block[start:end] for start, end in pairwise(_starts(block))]


def _starts(block: bytes) -> tuple[int, ...]:
    """Return where the events of a decompressed block start, and where the last one ends."""
    return _numbers(_CHUNK_ENTRY.unpack_from(block)[0] // 4).unpack_from(block)


event_bounds: Final = _PAIR.unpack_from
"""Where an event of a decompressed block lies: give the block, and 4 times the event's offset in it."""


def place_in_block(block: bytes, id_text: bytes) -> int:
    """Return the offset of the first event of a decompressed block whose id is not below this text."""
    starts = _starts(block)
    return bisect_left(
        starts, id_text, 0, len(starts) - 1, key=lambda start: block[start + _ID_START : start + _ID_STOP]
    )
