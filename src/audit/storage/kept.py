"""What a store keeps in memory of its sealed segments: blocks, directories, and where searches found what.

Pages of places read before are made of these alone, on the event loop. Never stale, since sealed segments
don't change, but for erasures: after one, all this is put aside and begun anew.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Sequence
from typing import Final

from audit.codec.segments import Directory
from audit.codec.terms import Match
from audit.storage.blockcache import BlockCache
from audit.storage.streams import Stream
from audit.storage.stretches import Stretch, Stretches

__all__ = ["Directories", "Kept", "KeptStream", "NotKept"]

_SHARE: Final = 8
"""Directories and stretches may each take this part of what blocks may."""
_DIRECTORY_BYTES: Final = 600
_AHEAD: Final = 128
"""Segments that a search walks beyond its own end."""


class NotKept(Exception):
    """What was asked for is not in memory. No error: it says that the disk is needed, and stays in the storage."""


class Directories:
    """Directories of segments, by id."""

    def __init__(self, max_bytes: int) -> None:
        self._most = max_bytes // _DIRECTORY_BYTES
        self._lock = threading.Lock()
        self._segments: list[bytes] = []
        self._by_segment: dict[bytes, Directory] = {}

    def holding(self, event_id: bytes, sealed: int) -> tuple[bytes, Directory] | None:
        """Return the last segment that starts at or before an id; None: there is none.

        Args:
            event_id: The 16 bytes of an id.
            sealed: How many events are sealed.

        Raises:
            NotKept: only the disk can tell.
        """
        with self._lock:
            at = bisect_right(self._segments, event_id)
            after = self._by_segment[self._segments[at]] if at < len(self._segments) else None
            follows = sealed if after is None else after.first_index
            if not at:
                if follows:
                    raise NotKept
                return None
            segment = self._segments[at - 1]
            directory = self._by_segment[segment]
        # Beyond its end the id lies in no other segment only if the next one is known to be the next.
        if directory.last_id < event_id and directory.first_index + directory.length != follows:
            raise NotKept
        return segment, directory

    @property
    def full(self) -> bool:
        """Whether one more would push out all others."""
        return len(self._segments) >= self._most

    def get(self, segment: bytes) -> Directory | None:
        """Return the directory of a segment, if it is kept."""
        return self._by_segment.get(segment)

    def add(self, segment: bytes, directory: Directory) -> None:
        """Keep a directory."""
        with self._lock:
            if segment in self._by_segment or not self._most:
                return
            if len(self._segments) >= self._most:
                # They are found again by a seek each; no use is worth the book-keeping.
                self._clear()
            self._by_segment[segment] = directory
            insort(self._segments, segment)

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._clear()

    def _clear(self) -> None:
        self._segments.clear()
        self._by_segment.clear()


class Kept:
    """All that is kept of one store, within one budget."""

    def __init__(self, max_bytes: int) -> None:
        self.blocks = BlockCache(max_bytes - 2 * (max_bytes // _SHARE))
        self.directories = Directories(max_bytes // _SHARE)
        self.stretches = Stretches(max_bytes // _SHARE)

    def clear(self) -> None:
        """Forget all."""
        self.blocks.clear()
        self.directories.clear()
        self.stretches.clear()


class KeptStream:
    """A stream that walks kept stretches first, goes to the disk where they end, and keeps what it finds there."""

    def __init__(
        self, match: Match, stretches: Stretches, open_stream: Callable[[], Stream], end: bytes, *, descending: bool
    ) -> None:
        """Take what it needs; it stands nowhere until `seek`.

        Args:
            match: What is asked of events' terms.
            stretches: Those that are kept.
            open_stream: Opens the stream of records; raises `NotKept` where the disk may not be touched.
            end: Id of the last segment that is sealed, as known before any snapshot was taken; empty: none. Segments
                behind it are left out: what is kept of them may be in no snapshot of ours, and what is in a snapshot
                may be in none of the next reader's, who must not see less.
            descending: Newest segment first.
        """
        self.segment: bytes | None = None
        self._match = match
        self._stretches = stretches
        self._open_stream = open_stream
        self._end = end + b"\0"
        self._descending = descending
        self._step = -1 if descending else 1
        # The stretch it is in, and the place there. Beyond both ends of it, on the disk.
        self._stretch: Stretch | None = None
        self._at = 0
        self._stop = 0
        self._stream: Stream | None = None
        # What was walked on the disk: from where, and what was found, in the order of the walk.
        self._began = b""
        self._segments: list[bytes] = []
        self._positions: list[Sequence[int]] = []

    def seek(self, segment: bytes) -> None:
        """See `Stream.seek`."""
        self._go(min(segment + b"\0", self._end) if self._descending else segment)

    def positions(self) -> Sequence[int]:
        """See `Stream.positions`."""
        stretch = self._stretch
        if stretch is not None:
            return stretch.positions[self._at]
        assert self._stream is not None  # noqa: S101 - it stands at a segment
        assert self.segment is not None  # noqa: S101
        positions = self._stream.positions()
        if positions:
            self._segments.append(self.segment)
            # Lists of integers come from combining posting lists.
            self._positions.append(bytes(positions) if type(positions) is list else positions)
        return positions

    def advance(self) -> None:
        """See `Stream.advance`."""
        stretch = self._stretch
        if stretch is not None:
            self._at = at = self._at + self._step
            if 0 <= at < self._stop:
                self.segment = stretch.segments[at]
            else:
                self._go(stretch.low if self._descending else stretch.high)
            return
        assert self._stream is not None  # noqa: S101 - it stands at a segment
        self._stream.advance()
        self._stand()

    def _stand(self) -> None:
        """Stand where the stream on the disk does."""
        assert self._stream is not None  # noqa: S101
        segment = self._stream.segment
        self.segment = segment if segment is not None and segment < self._end else None

    def _go(self, bound: bytes) -> None:
        """Move to the first segment at or past a bound; descending, to the last before it."""
        descending = self._descending
        # The segment that it stood at last, if it went through a stretch.
        last = self.segment
        while bound if descending else bound < self._end:
            stretch = (self._stretches.before if descending else self._stretches.holding)(self._match, bound)
            if stretch is None:
                self._walk(bound, last)
                return
            segments = stretch.segments
            stop = len(segments) if stretch.high <= self._end else bisect_left(segments, self._end)
            at = bisect_left(segments, bound) - descending
            if 0 <= at < stop:
                self._stretch, self._at, self._stop = stretch, at, stop
                self.segment = segments[at]
                return
            bound = stretch.low if descending else stretch.high
            if segments:
                last = segments[0 if descending else -1]
        self._stretch = self.segment = None

    def _walk(self, bound: bytes, last: bytes | None) -> None:
        """Go on from a bound on the disk, to the end of this search: what is kept further on would save little.

        Args:
            bound: What is kept ends there.
            last: The last segment before it, if there is one that is kept.
        """
        self._stretch = None
        self._stream = stream = self._open_stream()
        self._began = bound
        if last is not None and self._match.everything:
            # From one to the next: only then would it show that one is missing in between.
            stream.seek(last)
            stream.advance()
        else:
            stream.seek(bound)
            if self._descending and stream.segment == bound:
                stream.advance()
        self._stand()

    def read_on(self, blocks: BlockCache) -> None:
        """Walk on while the events themselves are kept: pages of them will take neither disk nor thread then."""
        match = self._match
        if self._stream is None or len(match.all_of) + bool(match.any_of) > 1:
            # Of several demands nobody knows how far it is to the next segment in which they meet.
            return
        for _ in range(_AHEAD):
            # Where it stands may not have been looked at: the page was full before.
            if self.segment is None or self.segment not in blocks:
                return
            if not self._segments or self._segments[-1] != self.segment:
                self.positions()
            self.advance()

    def keep(self) -> None:
        """Keep what was walked on the disk."""
        if self._stream is None:
            return
        at, segments, positions = self.segment, self._segments, self._positions
        looked_at = bool(segments) and segments[-1] == at
        if self._descending:
            high = self._began
            low = b"" if at is None else at if looked_at else at + b"\0"
            segments.reverse()
            positions.reverse()
        else:
            low = self._began
            high = self._end if at is None else at + b"\0" if looked_at else at
        if low < high:
            self._stretches.add(Stretch(self._match, low, high, segments, positions))
