"""Where searches found what: for a match, stretches of segments that were walked, and the positions that matched there.

Never stale: sealed segments don't change, and a stretch ends before those that were not sealed when it was walked.
Bounded in bytes; the stretch not used for longest is thrown out first.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from audit.codec.terms import Match

__all__ = ["Stretch", "Stretches"]

_ENTRY_BYTES: Final = 130
"""What a segment with a match costs beyond its positions, in CPython."""
_MOST_ENTRIES: Final = 256
"""Of one stretch: joining two copies them."""


class Stretch:
    """Every segment with a match whose id is at or above `low` and below `high`. Never changed."""

    __slots__ = ("high", "low", "match", "positions", "segments", "size_bytes")

    def __init__(
        self, match: Match, low: bytes, high: bytes, segments: list[bytes], positions: list[Sequence[int]]
    ) -> None:
        self.match = match
        self.low = low
        self.high = high
        self.segments = segments
        self.positions = positions
        self.size_bytes = _ENTRY_BYTES * (2 + len(segments)) + sum(map(len, positions))

    def part(self, low: bytes, high: bytes) -> Stretch:
        """Return the part between two bounds."""
        start, stop = bisect_left(self.segments, low), bisect_left(self.segments, high)
        return Stretch(self.match, low, high, self.segments[start:stop], self.positions[start:stop])

    def joined(self, after: Stretch) -> Stretch:
        """Return this stretch and the one that begins where it ends."""
        return Stretch(
            self.match, self.low, after.high, self.segments + after.segments, self.positions + after.positions
        )


class Stretches:
    """Stretches by match, shared by the event loop and reader threads."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._lock = threading.Lock()
        # Of one match they never overlap; sorted.
        self._by_match: dict[Match, list[Stretch]] = {}
        self._ages: OrderedDict[Stretch, None] = OrderedDict()
        self._bytes = 0

    def holding(self, match: Match, segment: bytes) -> Stretch | None:
        """Return the stretch that says what is at a segment's id; None: nobody walked there."""
        with self._lock:
            known = self._by_match.get(match)
            if known is None:
                return None
            at = bisect_right(known, segment, key=_low) - 1
            if at < 0 or known[at].high <= segment:
                return None
            self._ages.move_to_end(known[at])
            return known[at]

    def before(self, match: Match, bound: bytes) -> Stretch | None:
        """Return the stretch that says what is right before an id; None: nobody walked there."""
        with self._lock:
            known = self._by_match.get(match)
            if known is None:
                return None
            at = bisect_left(known, bound, key=_low) - 1
            if at < 0 or known[at].high < bound:
                return None
            self._ages.move_to_end(known[at])
            return known[at]

    def add(self, walked: Stretch) -> None:
        """Keep what a walk has found; in its bounds it takes the place of what was known."""
        with self._lock:
            known = self._by_match.setdefault(walked.match, [])
            start = bisect_left(known, walked.low, key=_high)
            stop = bisect_right(known, walked.high, key=_low)
            pieces = [walked]
            if start < stop:
                # Touching ones come along, to be joined with.
                if known[start].low < walked.low:
                    pieces.insert(0, known[start].part(known[start].low, walked.low))
                if known[stop - 1].high > walked.high:
                    pieces.append(known[stop - 1].part(walked.high, known[stop - 1].high))
            for old in known[start:stop]:
                self._forget(old)
            joined = [pieces[0]]
            for piece in pieces[1:]:
                if len(joined[-1].segments) + len(piece.segments) <= _MOST_ENTRIES:
                    joined[-1] = joined[-1].joined(piece)
                else:
                    joined.append(piece)
            known[start:stop] = joined
            for piece in joined:
                self._ages[piece] = None
                self._bytes += piece.size_bytes
            while self._bytes > self.max_bytes:
                self._drop(next(iter(self._ages)))

    def _drop(self, stretch: Stretch) -> None:
        known = self._by_match[stretch.match]
        known.remove(stretch)
        if not known:
            del self._by_match[stretch.match]
        self._forget(stretch)

    def _forget(self, stretch: Stretch) -> None:
        del self._ages[stretch]
        self._bytes -= stretch.size_bytes

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._by_match.clear()
            self._ages.clear()
            self._bytes = 0


def _low(stretch: Stretch) -> bytes:
    return stretch.low


def _high(stretch: Stretch) -> bytes:
    return stretch.high
