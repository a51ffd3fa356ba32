"""A subscription as its reader sees it, over any number of connections: what came unread, and where to go on.

No I/O. Invariants: `resume_at` is the cursor of the last notification received, so that what is buffered is never asked
for again; credit granted, events buffered and events read but not granted anew add up to the window, so that a reader
who reads nothing stalls the server and fills no memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import msgspec

from audit.codec.cursors import Position, encode_cursor
from audit.codec.events import event_index, event_value
from audit.log.slices import Framed
from audit.log.tail import Batch, CaughtUp, End, FellBehind, Notice
from audit.model.errors import AuditError, ProtocolViolation
from audit.model.event import Event
from audit.model.topic import Topic
from audit.protocol.client import CreditWindow, EventBatch, EventPage, Note, SliceBatch, SlicePage
from audit.protocol.messages import CaughtUpNote, FellBehindNote, SubscribeParams

__all__ = ["Feed", "FeedQuery", "again", "events_of"]


class FeedQuery(NamedTuple):
    """What a feed asks for.

    Attributes:
        params: As it is sent the first time.
        digest: What its cursors are bound to.
        start: Cursor of the place where it starts; None: at the log's end, which only the server knows.
    """

    params: SubscribeParams
    digest: bytes
    start: str | None


@dataclass
class _Progress:
    """The cursor moved, and there is nothing to tell."""

    cursor: str


class Feed:
    """What a client holds of one subscription. For one reader at a time."""

    method: Final = "events.subscribe"

    def __init__(self, query: FeedQuery, window: int) -> None:
        self.query = query
        self.resume_at: str | None = None
        """Cursor of the last notification received; None: there was none yet."""
        self.started = False
        """Whether it was subscribed once: the next time resumes it."""
        self.on_change: Callable[[], None] = lambda: None
        """Called when there is something to read."""
        self._window_events = window
        self._window = CreditWindow(window)
        self.to_grant = 0
        """Events that the server may be let to send now; `grant` takes them."""
        self._left = query.params.limit
        self._items: deque[Batch | CaughtUp | FellBehind | _Progress] = deque()
        self._read_of_first = 0
        self._caught_up = False
        self._read_up_to = query.start
        self._over: End | AuditError | None = None

    @property
    def cursor(self) -> str | None:
        """Resumes right after what was read last; None: it starts at the log's end, and nobody said where that is."""
        if self._read_of_first:
            first = self._items[0]
            assert isinstance(first, Batch)  # noqa: S101 - only of a batch some events are read
            return self.cursor_after(first.slices[self._read_of_first - 1])
        return self._read_up_to

    def cursor_after(self, event: bytes) -> str:
        """Return the cursor right after one stored event."""
        return encode_cursor(self.query.digest, Position(event_index(event), event_value(event)))

    @property
    def topics(self) -> tuple[Topic, ...]:
        """What is asked for: a topic, or a union of them."""
        params = self.query.params
        return tuple([tuple(topic) for topic in params.topics or [params.topic]])

    @property
    def is_over(self) -> bool:
        """Whether nothing more is wanted from the server."""
        return self._over is not None

    def request(self, max_credit: int) -> SubscribeParams | None:
        """Return what to subscribe to on a new connection; None: nothing, since the limit was reached.

        Args:
            max_credit: Events that the server lets a client grant.
        """
        try:
            buffered = self._buffered
        except ProtocolViolation as error:
            self._spoil(error)
            return None
        left = None if self._left is None else max(0, self._left - buffered)
        if left == 0:
            assert self.resume_at is not None  # noqa: S101 - the events that used it up came with a cursor
            self.finish(End(self.resume_at, "limit"))
            return None
        window = min(self._window_events, max_credit)
        self._window = CreditWindow(window)
        self.to_grant = 0
        return msgspec.structs.replace(
            self.query.params,
            cursor=self.resume_at or self.query.params.cursor,
            limit=left,
            credit=max(0, window - buffered),
        )

    def receive(self, note: Note) -> None:
        """Take a notification; not the one that ends it."""
        if self._over is not None:
            return
        params: Any = note.params
        self.resume_at = params.cursor
        if isinstance(params, EventBatch) or (isinstance(params, SliceBatch) and params.events):
            batch = Batch(events_of(params), params.cursor)
            if self._read_up_to is None:
                # Right before the first event: nothing is covered, and what has a lower id is not asked for.
                self._read_up_to = encode_cursor(self.query.digest, Position(-1, 0, event_value(batch.slices[0])))
            self._items.append(batch)
        # A subscription that was resumed catches up again, which is no news to who was told so before.
        elif isinstance(params, CaughtUpNote) and not self._caught_up:
            self._caught_up = True
            self._items.append(CaughtUp(params.cursor))
        elif isinstance(params, FellBehindNote) and self._caught_up:
            self._caught_up = False
            self._items.append(FellBehind(params.cursor))
        else:
            self.move(params.cursor)
        if self._read_up_to is None:
            self._read_up_to = params.cursor
        self.on_change()

    def move(self, cursor: str) -> None:
        """Take over a cursor that came without anything to tell."""
        self.resume_at = cursor
        if self._items and isinstance(last := self._items[-1], _Progress):
            last.cursor = cursor
        else:
            self._items.append(_Progress(cursor))
        self._settle_progress()

    def finish(self, over: End | AuditError) -> None:
        """End it: its reader is told once all that came before is read."""
        if self._over is None:
            self._over = over
            self.on_change()

    def close(self) -> None:
        """End it at once, at what was read: what is buffered is dropped. One that is read to its end stays as it is."""
        if self._over is not None and not self._items:
            return
        cursor = self.cursor
        self._items.clear()
        self._read_of_first = 0
        self._read_up_to = cursor
        self._over = End(cursor or "", "cancelled")
        self.on_change()

    @property
    def is_waiting(self) -> bool:
        """Whether there is nothing to read yet."""
        return not self._items and self._over is None

    @property
    def has_events(self) -> bool:
        """Whether the next thing to read is an event."""
        return bool(self._items) and isinstance(self._items[0], Batch)

    @property
    def first_batch(self) -> Batch | None:
        """The batch to be read next, all of it, also when a part was read; None: something else, or nothing."""
        first = self._items[0] if self._items else None
        return first if isinstance(first, Batch) else None

    def pop(self) -> Event | None:
        """Return the next event if it has come and nothing is to be told before it."""
        if not self._items or not isinstance(first := self._items[0], Batch):
            return None
        try:
            event = first.events[self._read_of_first]
        except ProtocolViolation as error:
            self._spoil(error)
            raise
        self._read(first, 1)
        return event

    def take(self, max_events: int) -> Notice | None:
        """Return the next notice, or None: nothing has come.

        Raises:
            AuditError: the subscription failed, and everything before is read.
        """
        if not self._items:
            if isinstance(self._over, AuditError):
                raise again(self._over)
            return self._over
        first = self._items[0]
        if isinstance(first, Batch):
            done = self._read_of_first
            try:
                if not done and len(first) <= max_events:
                    self._read(first, len(first))
                    return first
                some = first.slices[done : done + max_events]
            except ProtocolViolation as error:
                self._spoil(error)
                raise
            self._read(first, len(some))
            return Batch(some, self.cursor or first.cursor)
        self._items.popleft()
        self._read_up_to = first.cursor
        self._settle_progress()
        assert not isinstance(first, _Progress)  # noqa: S101 - never the first: `_settle_progress` took it
        return first

    @property
    def _buffered(self) -> int:
        """Events that came and were not read.

        Raises:
            ProtocolViolation: some are none.
        """
        return sum([len(item) for item in self._items if isinstance(item, Batch)]) - self._read_of_first

    def _spoil(self, error: ProtocolViolation) -> None:
        """End it with what can't be read; it is told again to whoever reads on."""
        self._items.clear()
        self._read_of_first = 0
        self.finish(error)

    def _read(self, first: Batch, events: int) -> None:
        if self._left is not None:
            self._left -= events
        self._read_of_first += events
        if self._read_of_first == len(first):
            self._items.popleft()
            self._read_of_first = 0
            self._read_up_to = first.cursor
            self._settle_progress()
        self.to_grant += self._window.consumed(events)

    def grant(self) -> int:
        """Return how much more the server may be let to send now, and count it as granted."""
        events, self.to_grant = self.to_grant, 0
        return events

    def _settle_progress(self) -> None:
        if self._items and isinstance(first := self._items[0], _Progress):
            self._items.popleft()
            self._read_up_to = first.cursor


def events_of(received: EventBatch | EventPage | SliceBatch | SlicePage) -> list[bytes] | Framed:
    """Return the events of a batch or a page that was received, decoded or not."""
    if isinstance(received, EventBatch):
        return Framed(received.decode, received.cut)
    if isinstance(received, EventPage):
        return Framed(lambda: received.events, received.cut)
    return [bytes(event) for event in received.events]


def again(error: AuditError) -> AuditError:
    """Return an error to raise once more: one that is raised twice would carry both its traces."""
    made: Any = error.__reduce__()
    copied: AuditError = made[0](*made[1])
    copied.__cause__ = error.__cause__
    return copied
