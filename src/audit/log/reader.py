"""Pages: one reader over memory and disk. What is in memory is read at once; what needs the disk says so first.

A snapshot is captured before anything is read, so a page is of one moment, and a commit in between changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from itertools import cycle
from typing import Final, NamedTuple

from audit.codec.cursors import START, Position, decode_cursor, encode_cursor, query_digest
from audit.codec.events import event_index
from audit.codec.terms import Match, match_of
from audit.log.clock import Clock
from audit.log.handle import Handle
from audit.log.recent import Snapshot, search_recent
from audit.log.slices import Framed, Slices
from audit.model.errors import CursorInvalid, NotFound
from audit.model.ids import MAX_VALUE, parse_id
from audit.model.query import check_limit, to_query
from audit.model.span import Bound, Span, check_order, to_span
from audit.storage.gather import Gather, position_of
from audit.storage.port import Search

__all__ = ["PAGE_BYTES", "Page", "PageRequest", "Reach", "Reader", "Window"]

PAGE_BYTES: Final = 960 * 1024
_PLANS: Final = 1_024
SEARCH_MS: Final = 50
"""A page stops after searching for so long, even if it is empty."""


class Reach(Enum):
    """How far a search may go; what lies further makes it return None.

    Attributes:
        RECENT: The newest events, which are in memory. Behind them a tail has fallen behind.
        KEPT: And sealed ones that are still in memory from earlier reads.
        DISK: And all others: it may block.
    """

    RECENT = "recent"
    KEPT = "kept"
    DISK = "disk"


class Page(Slices):
    """Events of one page.

    Attributes:
        has_more: Whether the end was not seen; the page may be short, even empty, and more may follow all the same.
    """

    __slots__ = ("has_more",)

    def __init__(self, events: list[bytes] | Framed, cursor: str, *, has_more: bool) -> None:
        super().__init__(events, cursor)
        self.has_more = has_more

    def __repr__(self) -> str:
        return f"Page({len(self)} events, has_more={self.has_more})"


class PageRequest(NamedTuple):
    """A checked request for a page.

    Attributes:
        match: What is asked of events' terms.
        span: Range of ids that the bounds leave; the cursor is not in it yet.
        descending: Newest first.
        limit: 1-1,000.
        digest: What cursors of this query and order are bound to.
        start: Position of the cursor given, or None.
    """

    match: Match
    span: Span
    descending: bool
    limit: int
    digest: bytes
    start: Position | None


class Window(NamedTuple):
    """What was found in a range: events, and where it stopped if that was before the range's end."""

    events: list[bytes]
    stopped: Position | None


class Reader:
    """Reads pages and single events."""

    def __init__(self, handle: Handle, snapshot: Callable[[], Snapshot], store_id: str, clock: Clock) -> None:
        self._handle = handle
        self._snapshot = snapshot
        self._store_id = store_id
        self._plans: dict[tuple[object, ...], tuple[Match, bytes]] = {}
        self._clock = clock

    def request(  # noqa: PLR0917 - the verb's own parameters
        self,
        topic: object,
        topics: object,
        seek: Bound | None,
        seek_end: Bound | None,
        inclusive: str,
        order: str,
        limit: object,
        cursor: object,
        filter: object,  # noqa: A002 - the wire's name
    ) -> PageRequest:
        """Check what a caller asks for.

        Raises:
            InvalidParameter: a parameter is out of form or bounds.
            CursorInvalid: the cursor is damaged, or of another store, query or order.
        """
        self._handle.check()
        match, digest = self.plan(topic, topics, filter, order)
        start = None if cursor is None else decode_cursor(cursor, digest)
        span = to_span(seek, seek_end, inclusive)
        return PageRequest(match, span, order == "desc", check_limit(limit), digest, start)

    def plan(self, topic: object, topics: object, filter: object, order: str) -> tuple[Match, bytes]:  # noqa: A002
        """Return what a query asks of events' terms, and what its cursors are bound to; the same query is planned once.

        Raises:
            InvalidParameter: a parameter is out of form or bounds.
        """
        # A dict's items are given a place of their own: as a filter, a tuple is no filter.
        items = tuple(filter.items()) if isinstance(filter, dict) else None
        key = (topic, topics, None if items is not None else filter, order, items)
        try:
            planned = self._plans.get(key)
        except TypeError:
            # Lists can't be looked up, nor other mappings; they are planned each time.
            return self._plan(topic, topics, filter, order)
        if planned is None:
            planned = self._plan(topic, topics, filter, order)
            if len(self._plans) >= _PLANS:
                self._plans.clear()
            self._plans[key] = planned
        return planned

    def _plan(self, topic: object, topics: object, filter: object, order: str) -> tuple[Match, bytes]:  # noqa: A002
        query = to_query(topic, topics, filter)
        return match_of(query), query_digest(self._store_id, query, check_order(order))

    def forget(self) -> None:
        """Forget the queries asked before: one may name what was erased."""
        self._plans.clear()

    def page_nowait(self, request: PageRequest) -> Page | None:
        """Return the page if it can be had without touching the disk, else None."""
        return self._page(request, self._snapshot(), Reach.KEPT)

    def page(self, request: PageRequest) -> Page:
        """Return the page; may block on the disk.

        Raises:
            CursorInvalid: the cursor points beyond the log, or at another event than it did.
            Unavailable: the disk is needed and can't be read now.
            StoreCorrupt: a record is damaged or missing.
        """
        page = self._page(request, self._snapshot(), Reach.DISK)
        assert page is not None  # noqa: S101 - only what may not go to the disk returns None
        return page

    def _page(self, request: PageRequest, snapshot: Snapshot, reach: Reach) -> Page | None:
        descending = request.descending
        start = request.start
        span = request.span
        if start is not None:
            if not self.check_position(start, snapshot, disk=reach is Reach.DISK):
                return None
            span = span_after(start, span, descending=descending)
        # One more than asked for tells whether anything follows.
        window = self.window(request.match, span, snapshot, request.limit + 1, reach, descending=descending)
        if window is None:
            return None
        events, stopped = window
        if len(events) > request.limit:
            events = events[: request.limit]
            stopped = position_of(events[-1])
        where = stopped or _end(events, span, snapshot, request)
        return Page(events, encode_cursor(request.digest, where), has_more=stopped is not None)

    def window(
        self, match: Match, span: Span, snapshot: Snapshot, limit: int, reach: Reach, *, descending: bool
    ) -> Window | None:
        """Return events of a range at one moment; None: they are out of reach."""
        span = span.below(snapshot.last_id + 1)
        if span.empty:
            return Window([], None)
        boundary = snapshot.first_id
        on_disk = span.below(boundary)
        if not descending and not on_disk.empty:
            found = self._search(match, on_disk, limit, PAGE_BYTES, reach, descending=False)
            return found and _and_recent(found, match, span, snapshot, limit)
        gather = Gather(span, descending=descending, limit=limit, max_bytes=PAGE_BYTES)
        if on_disk.empty:
            search_recent(snapshot, match, span, gather)
            return Window(gather.events, gather.stopped)
        if span.high > boundary:
            search_recent(snapshot, match, span.above(boundary), gather)
            if gather.stopped is not None:
                return Window(gather.events, gather.stopped)
        found = self._search(match, on_disk, *gather.room, reach, descending=True)
        if found is None:
            return None
        # By the page's own rule, what follows may not fit any more: a search always returns one event.
        if not gather.add(found.events) or gather.stopped is None:
            return Window(gather.events, found.stopped)
        return Window(gather.events, gather.stopped)

    def _search(
        self, match: Match, span: Span, limit: int, max_bytes: int, reach: Reach, *, descending: bool
    ) -> Window | None:
        if reach is Reach.RECENT:
            return None
        if reach is Reach.KEPT:
            # Not timed: without the disk, each step finds at least one event.
            wanted = Search(match, span, descending, limit, max_bytes)
            kept = self._handle.read_nowait(lambda storage: storage.search_nowait(wanted))
            return None if kept is None else Window(kept.events, kept.stopped)
        now = self._clock.monotonic_ms
        until = now() + SEARCH_MS
        search = Search(match, span, descending, limit, max_bytes)
        # A look at the clock takes as long as the step to the next segment: every fourth time will do.
        turns = cycle((False, False, False, True))
        found = self._handle.read(lambda storage: storage.search(search, lambda: next(turns) and now() >= until))
        return Window(found.events, found.stopped)

    def get_nowait(self, event_id: str) -> bytes | None:
        """Return an event's stored JSON if it is in memory, else None.

        Raises:
            InvalidParameter: no event id.
        """
        self._handle.check()
        value = parse_id(event_id)
        event = self._snapshot().event_with(value)
        return event or self._handle.read_nowait(lambda storage: storage.get_nowait(value))

    def get(self, event_id: str) -> bytes:
        """Return an event's stored JSON; may block on the disk.

        Raises:
            InvalidParameter: no event id.
            NotFound: no event has this id.
        """
        self._handle.check()
        value = parse_id(event_id)
        snapshot = self._snapshot()
        event = snapshot.event_with(value)
        if event is None and value < snapshot.first_id and value <= snapshot.last_id:
            event = self._handle.read(lambda storage: storage.get(value))
        if event is None:
            raise NotFound(f"no event has the id {event_id}")
        return event

    def check_not_forked(self) -> None:
        """Return unless this is a forked child, in which nobody would ever wake a tail.

        Raises:
            StoreForked: it is.
        """
        if self._handle.forked:
            self._handle.check()

    def check_position(self, position: Position, snapshot: Snapshot, *, disk: bool) -> bool:
        """Check that a cursor's event is the one it was; return False when only the disk can tell.

        Raises:
            CursorInvalid: its index lies beyond the log, or another event is there: this is a restored copy.
        """
        if position.index < 0:
            return True
        if position.index >= snapshot.size:
            raise CursorInvalid("cursor", f"points at index {position.index}, the log has {snapshot.size} events")
        event = snapshot.event_at(position.index)
        if event is not None:
            if position_of(event).last_id != position.last_id:
                raise CursorInvalid("cursor", f"another event is at index {position.index}: the log is not the same")
            return True
        event = self._handle.read_nowait(lambda storage: storage.get_nowait(position.last_id))
        if event is None:
            if not disk:
                return False
            event = self._handle.read(lambda storage: storage.get(position.last_id))
        if event is None or event_index(event) != position.index:
            raise CursorInvalid("cursor", f"another event is at index {position.index}: the log is not the same")
        return True


def _and_recent(found: Window, match: Match, span: Span, snapshot: Snapshot, limit: int) -> Window:
    """Return the events that were found on disk, oldest first, and those in memory that follow."""
    if found.stopped is not None or span.high <= snapshot.first_id:
        return found
    gather = Gather(span, descending=False, limit=limit, max_bytes=PAGE_BYTES)
    gather.add(found.events)
    if gather.stopped is None:
        search_recent(snapshot, match, span.above(snapshot.first_id), gather)
    return Window(gather.events, gather.stopped)


def span_after(start: Position, span: Span, *, descending: bool) -> Span:
    """Return a span whose near bound is replaced by a position."""
    if descending:
        return Span(span.low, start.last_id)
    return Span(max(start.floor, start.last_id + 1 if start.index >= 0 else 0), span.high)


def _end(events: Sequence[bytes], span: Span, snapshot: Snapshot, request: PageRequest) -> Position:
    """Return the place after a page that saw the end of its range."""
    if request.descending:
        if events:
            return position_of(events[-1])
        return request.start or Position(-1, min(span.high, MAX_VALUE))
    if span.high > snapshot.last_id:
        # All there is was seen: a tail from here need not look at it again. A bound beyond it still holds.
        end = snapshot.end
        return Position(end.index, end.last_id, span.low) if span.low > end.last_id + 1 else end
    if events:
        return position_of(events[-1])
    return request.start or Position(START.index, START.last_id, span.low)
