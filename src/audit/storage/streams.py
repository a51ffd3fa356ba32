"""Streams of posting lists: for a term, segment after segment, the positions that carry it; combined by any and all.

A stream stands at a segment (`segment`, None at the end) and moves in one direction. Combining them never looks at an
event: only segments in which every demand meets are opened.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from audit.codec.keys import SEGMENT, describe, prefix_of_postings
from audit.codec.postings import intersect, unite
from audit.codec.segments import decode_directory
from audit.codec.terms import Match
from audit.model.errors import StoreCorrupt

__all__ = ["Stream", "check_end", "open_stream"]


class Stream(Protocol):
    """Positions by segment, in one direction."""

    segment: bytes | None

    def positions(self) -> Sequence[int]:
        """Return the positions in the segment that the stream stands at."""
        ...

    def seek(self, segment: bytes) -> None:
        """Move to the first segment at or past this one."""
        ...

    def advance(self) -> None:
        """Move to the next segment."""
        ...


class _Keys:
    """Records of one prefix, in either direction."""

    def __init__(self, iterator: Any, prefix: bytes, *, descending: bool) -> None:
        self._iterator = iterator
        self._prefix = prefix
        self._cut = len(prefix)
        self._step = iterator.prev if descending else iterator.next
        self._descending = descending
        self.segment: bytes | None = None

    def seek(self, segment: bytes) -> None:
        target = self._prefix + segment
        self._iterator.seek(target)
        # The end mark makes every seek land somewhere, so that stepping back from there is always possible.
        if self._descending and self._iterator.key() != target:
            self._iterator.prev()
        self._look()

    def advance(self) -> None:
        self._step()
        self._look()

    def _look(self) -> None:
        iterator = self._iterator
        if iterator.valid():
            key: bytes = iterator.key()
            if key.startswith(self._prefix):
                self.segment = key[self._cut :]
                return
        self.segment = None


class _OneTerm(_Keys):
    def positions(self) -> Sequence[int]:
        value: bytes = self._iterator.value()
        return value

    def advance(self) -> None:
        """Move on. Written out: a search for a rare term does little else between two events."""
        iterator = self._iterator
        self._step()
        key: bytes = iterator.key() if iterator.valid() else b""
        self.segment = key[self._cut :] if key.startswith(self._prefix) else None


class _Everything(_Keys):
    """Every segment, by its directory. Indexes are dense, so a directory that is missing shows."""

    def __init__(self, iterator: Any, sealed: int, *, descending: bool) -> None:
        super().__init__(iterator, SEGMENT, descending=descending)
        self._sealed = sealed
        self._count = 0
        self._expected: int | None = None

    def positions(self) -> Sequence[int]:
        return range(self._count)

    def _look(self) -> None:
        super()._look()
        if self.segment is None:
            check_end(self._expected, self._sealed, descending=self._descending)
            return
        key: bytes = self._iterator.key()
        directory = decode_directory(key, self._iterator.value())
        first, after = directory.first_index, directory.first_index + directory.length
        if self._expected is not None and self._expected != (after if self._descending else first):
            raise StoreCorrupt(describe(key), f"is not next to index {self._expected}: a segment is missing")
        self._count = directory.length
        self._expected = first if self._descending else after


def check_end(expected: int | None, sealed: int, *, descending: bool) -> None:
    """Check that the last directory found is the last there is.

    Args:
        expected: Index that would be next; None: there was no directory at all, or nobody looked.
        sealed: How many events are sealed.
        descending: Whether the walk went towards the first event.

    Raises:
        StoreCorrupt: a directory is missing.
    """
    if expected is not None and (expected > 0 if descending else expected < sealed):
        raise StoreCorrupt(f"the segment at index {expected}", "is missing")


class _AnyOf:
    def __init__(self, streams: Sequence[Stream], *, descending: bool) -> None:
        self._streams = streams
        self._nearest = max if descending else min
        self.segment: bytes | None = None

    def positions(self) -> Sequence[int]:
        return unite([stream.positions() for stream in self._streams if stream.segment == self.segment])

    def seek(self, segment: bytes) -> None:
        for stream in self._streams:
            stream.seek(segment)
        self._look()

    def advance(self) -> None:
        at = self.segment
        for stream in self._streams:
            if stream.segment == at:
                stream.advance()
        self._look()

    def _look(self) -> None:
        left = [stream.segment for stream in self._streams if stream.segment is not None]
        self.segment = self._nearest(left) if left else None


class _AllOf:
    def __init__(self, streams: Sequence[Stream], *, descending: bool) -> None:
        self._streams = streams
        self._farthest = min if descending else max
        self.segment: bytes | None = None

    def positions(self) -> Sequence[int]:
        return intersect([stream.positions() for stream in self._streams])

    def seek(self, segment: bytes) -> None:
        for stream in self._streams:
            stream.seek(segment)
        self._meet()

    def advance(self) -> None:
        self._streams[0].advance()
        self._meet()

    def _meet(self) -> None:
        """Move whoever is behind to where the farthest stands, until all stand at one segment."""
        while True:
            at = [stream.segment for stream in self._streams]
            found = [segment for segment in at if segment is not None]
            if len(found) < len(at):
                self.segment = None
                return
            farthest = self._farthest(found)
            if all(segment == farthest for segment in found):
                self.segment = farthest
                return
            for stream in self._streams:
                if stream.segment != farthest:
                    stream.seek(farthest)


def open_stream(match: Match, new_iterator: Callable[[], Any], sealed: int, *, descending: bool) -> Stream:
    """Return the stream of a match; it stands nowhere until `seek`.

    Args:
        match: What is asked of an event's terms.
        new_iterator: Makes a raw iterator, which the caller closes.
        sealed: How many events are sealed.
        descending: Newest segment first.
    """

    def one(term: bytes) -> Stream:
        return _OneTerm(new_iterator(), prefix_of_postings(term), descending=descending)

    if match.everything:
        return _Everything(new_iterator(), sealed, descending=descending)
    streams = [one(term) for term in match.all_of]
    if len(match.any_of) > 1:
        streams.append(_AnyOf([one(term) for term in match.any_of], descending=descending))
    elif match.any_of:
        streams.append(one(match.any_of[0]))
    return streams[0] if len(streams) == 1 else _AllOf(streams, descending=descending)
