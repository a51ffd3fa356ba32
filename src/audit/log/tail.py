"""Tails: history from a bound, then live, without end. A tail is a position and a wake-up, never a queue.

`TailCore` is the tail without waiting: each step returns something to tell, or says that it must sleep or needs the
disk; `log.tails` does the waiting, in an event loop or in a thread. No gap and no duplicate, because a step reads
everything from its position to the size of one snapshot, and sleeping compares the two under the publisher's lock.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Final, Literal, NamedTuple

from audit.codec.cursors import Position, encode_cursor
from audit.codec.terms import Match
from audit.log.reader import Reach, Reader, Window, span_after
from audit.log.recent import Snapshot
from audit.log.sequencer import Sequencer
from audit.log.slices import Framed, Slices
from audit.log.wakeups import Sleeper, Wakeups
from audit.model.errors import InvalidParameter
from audit.model.ids import MAX_VALUE, RANDOM_BITS
from audit.model.span import Span
from audit.storage.gather import position_of

__all__ = ["Batch", "CaughtUp", "End", "FellBehind", "Notice", "Step", "TailCore", "TailRequest", "check_tail_limit"]

BATCH_EVENTS: Final = 1_000

EndReason = Literal["seek_end", "limit", "cancelled", "shutdown"]


class Batch(Slices):
    """Events of a tail.

    Attributes:
        erasures: As of the snapshot that they were read with: copies of another one's may hold what was erased since.
    """

    __slots__ = ("erasures",)

    def __init__(self, events: list[bytes] | Framed, cursor: str, erasures: int = 0) -> None:
        super().__init__(events, cursor)
        self.erasures = erasures

    def __repr__(self) -> str:
        return f"Batch({len(self)} events)"


class CaughtUp(NamedTuple):
    """Everything committed so far was delivered; what follows is live."""

    cursor: str


class FellBehind(NamedTuple):
    """The tail has been slower than the log for so long that it reads from disk again; nothing is left out."""

    cursor: str


class End(NamedTuple):
    """The tail is over. `cursor` resumes it."""

    cursor: str
    reason: EndReason


Notice = Batch | CaughtUp | FellBehind | End


class Step(Enum):
    """What a tail must do before it can go on."""

    SLEEP = "sleep"
    READ_DISK = "read disk"


class TailRequest(NamedTuple):
    """A checked request for a tail.

    Attributes:
        match: What is asked of events' terms.
        span: Range of ids; its lower end is where the tail starts.
        limit: Events after which the tail ends; None: never.
        digest: What its cursors are bound to.
        start: Position of a cursor, or None.
        now: Whether it starts at the log's end.
    """

    match: Match
    span: Span
    limit: int | None
    digest: bytes
    start: Position | None
    now: bool


class TailCore:
    """A tail's position and what it has told so far. Belongs to one reader; only `read_disk` may run elsewhere."""

    def __init__(self, request: TailRequest, reader: Reader, sequencer: Sequencer, wakeups: Wakeups) -> None:
        self._match = request.match
        self._span = request.span
        self._left = request.limit
        self._digest = request.digest
        self._reader = reader
        self._sequencer = sequencer
        self._wakeups = wakeups
        self._terms = request.match.wake_terms
        self._caught_up = False
        self._unchecked = request.start
        self._ended: EndReason | None = None
        self._asked = BATCH_EVENTS
        self._asleep = False
        snapshot = sequencer.snapshot
        if request.start is not None:
            self._position = request.start
            self._span = span_after(request.start, request.span, descending=False)
        elif request.now:
            self._position = snapshot.end
            self._span = Span(snapshot.last_id + 1, request.span.high)
        else:
            # Nothing is covered yet; the span's lower end keeps out what was not asked for.
            self._position = Position(-1, 0, request.span.low)

    @property
    def cursor(self) -> str:
        """Resumes right after what was returned last."""
        return encode_cursor(self._digest, self._position)

    @property
    def position(self) -> Position:
        """What is covered."""
        return self._position

    @property
    def query(self) -> bytes:
        """What its cursors are bound to: the same for every tail of one query."""
        return self._digest

    @property
    def exhausted(self) -> bool:
        """Whether no event can follow: the next step is the end."""
        return self._ended is not None or self._left == 0 or self._span.empty

    @property
    def live(self) -> bool:
        """Whether nothing but the next commit decides what it tells next: any tail of its query would tell the same."""
        return (
            self._caught_up
            and self._ended is None
            and self._left is None
            and self._span.high > MAX_VALUE
            and self._span.low <= self._position.last_id + 1
        )

    def fork(self) -> TailCore:
        """Return another tail of the same query, which stands where this live one does."""
        request = TailRequest(self._match, self._span, None, self._digest, None, now=False)
        other = TailCore(request, self._reader, self._sequencer, self._wakeups)
        other._position = self._position
        other._caught_up = True
        return other

    def skip_to(self, position: Position) -> None:
        """Go on from where another live tail of the query stands; what lies between was told by that one."""
        self._position = position

    def cursor_after(self, event: bytes) -> str:
        """Return the cursor right after one stored event."""
        return encode_cursor(self._digest, position_of(event))

    def end(self, reason: EndReason) -> None:
        """End the tail; the next step says so."""
        if self._ended is None:
            self._ended = reason

    @property
    def ended(self) -> bool:
        """Whether the tail has ended or been told to."""
        return self._ended is not None

    @property
    def lag(self) -> int:
        """Events committed that it has not looked at; none while it sleeps, since a commit that matters wakes it."""
        return 0 if self._asleep else max(0, self._sequencer.snapshot.size - 1 - self._position.index)

    def step(self, max_events: int) -> Notice | Step:
        """Return the next thing to tell, or what must be done first.

        Raises:
            CursorInvalid: the cursor it started from points at another event than it did.
        """
        self._reader.check_not_forked()
        if self._ended is not None:
            return End(self.cursor, self._ended)
        if self._left == 0:
            self._ended = "limit"
            return End(self.cursor, "limit")
        # Before the snapshot: what is committed between the two is in the snapshot, and below the promise.
        promised = self._sequencer.watermark() if self._span.high <= MAX_VALUE else 0
        snapshot = self._sequencer.snapshot
        self._asked = max_events
        if not self.check_start(disk=False):
            return Step.READ_DISK
        if self._position.index < snapshot.size - 1 and not self._span.empty:
            limit = max_events if self._left is None else min(max_events, self._left)
            window = self._reader.window(self._match, self._rest, snapshot, limit, Reach.RECENT, descending=False)
            if window is None:
                if self._caught_up:
                    self._caught_up = False
                    return FellBehind(self.cursor)
                return Step.READ_DISK
            batch = self._take(window, snapshot)
            if batch is not None:
                return batch
        if self._position.index >= snapshot.size - 1 or self._span.empty or self._span.high <= snapshot.last_id + 1:
            if self._is_over(snapshot, promised):
                self._ended = "seek_end"
                return End(self.cursor, "seek_end")
            if not self._caught_up:
                self._caught_up = True
                return CaughtUp(self.cursor)
            if self._wakeups.closed:
                self._ended = "shutdown"
                return End(self.cursor, "shutdown")
            return Step.SLEEP
        return self.step(max_events)

    def check_start(self, *, disk: bool) -> bool:
        """Verify the cursor that the tail starts from; False: only the disk can tell.

        Raises:
            CursorInvalid: it points at another event than it did.
        """
        if self._unchecked is not None:
            if not self._reader.check_position(self._unchecked, self._sequencer.snapshot, disk=disk):
                return False
            self._unchecked = None
        return True

    def read_disk(self) -> tuple[Window, Snapshot]:
        """Read on from disk; blocks, changes nothing, and may be dropped: `take` makes it count."""
        snapshot = self._sequencer.snapshot
        if self._unchecked is not None:
            self._reader.check_position(self._unchecked, snapshot, disk=True)
        limit = self._asked if self._left is None else min(self._asked, self._left)
        window = self._reader.window(self._match, self._rest, snapshot, limit, Reach.DISK, descending=False)
        assert window is not None  # noqa: S101 - only what may not go to the disk returns None
        return window, snapshot

    def take(self, window: Window, snapshot: Snapshot) -> Batch | None:
        """Take over what was read from disk; None: nothing matched, go on."""
        self._unchecked = None
        return self._take(window, snapshot)

    @property
    def _rest(self) -> Span:
        """The part of the span after what is covered."""
        covered = self._position
        return self._span.above(covered.last_id + 1) if covered.index >= 0 else self._span

    def _take(self, window: Window, snapshot: Snapshot) -> Batch | None:
        events, stopped = window
        if stopped is not None:
            self._position = stopped
        elif self._span.high > snapshot.last_id:
            self._position = self._floored(snapshot.end)
        elif events:
            self._position = position_of(events[-1])
            self._span = Span(self._span.low, 0)
        else:
            self._span = Span(self._span.low, 0)
        if not events:
            return None
        if self._left is not None:
            self._left -= len(events)
        return Batch(events, self.cursor, snapshot.erasures)

    def _floored(self, position: Position) -> Position:
        """Return a position that still keeps out ids below the span."""
        if self._span.low > position.last_id + 1:
            return Position(position.index, position.last_id, self._span.low)
        return position

    def _is_over(self, snapshot: Snapshot, promised: int) -> bool:
        """Whether no event below the span's upper end can come any more."""
        if self._span.empty:
            return True
        high = self._span.high
        if high > MAX_VALUE:
            return False
        return high <= snapshot.last_id + 1 or high <= promised

    def timeout_s(self, now_ms: int) -> float | None:
        """Return after how long a sleeping tail must look whether its end has passed; None: never."""
        high = self._span.high
        if high > MAX_VALUE:
            return None
        # At most a day at a time: waking too early does no harm, and timers overflow.
        return min(86_400.0, max(0.0, ((high >> RANDOM_BITS) - now_ms) / 1000) + 0.001)

    def fall_asleep(self, sleeper: Sleeper) -> bool:
        """Register for the next commit that may matter; False: there is something to see already."""

        def nothing_new() -> bool:
            return self._ended is None and self._position.index >= self._sequencer.snapshot.size - 1

        self._asleep = self._wakeups.sleep(sleeper, self._terms, nothing_new)
        return self._asleep

    def wake_up(self, sleeper: Sleeper) -> None:
        """Leave the registry; what was committed meanwhile without a match counts as covered."""
        self._asleep = False
        covered = self._wakeups.leave(sleeper, self._terms, lambda: self._sequencer.snapshot.end)
        if covered.index > self._position.index:
            self._position = self._floored(covered)


def check_tail_limit(limit: Any) -> int | None:
    """Return a tail's limit: an integer of at least 1, or None.

    Raises:
        InvalidParameter: it is neither.
    """
    if limit is None or (isinstance(limit, int) and not isinstance(limit, bool) and limit >= 1):
        return limit
    raise InvalidParameter("limit", f"must be an integer of at least 1, or None, got {limit!r:.40}")
