"""The port between the log and what keeps it, in operations of a log, never in get and put.

One writer calls `append`, `claims` and `load`; `search`, `get` and `children` may be called from many threads at once,
beside it. Every error is one of ours; none of a driver's gets through.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from audit.codec.commits import Claim, Commit
from audit.codec.cursors import Position
from audit.codec.rollups import Level
from audit.codec.segments import Layout, Segment
from audit.codec.terms import Match
from audit.model.errors import StoreCorrupt
from audit.model.span import Span
from audit.model.topic import Topic
from audit.proof.tiles import Tile

__all__ = [
    "FORMAT",
    "Batch",
    "ChildCount",
    "Erasure",
    "Found",
    "Head",
    "KeptMetric",
    "KnownClaim",
    "MetricWrite",
    "RollupRange",
    "Rollups",
    "Run",
    "Search",
    "SignedCheckpoint",
    "Storage",
    "StoreMeta",
    "TreeHead",
]

FORMAT = 2
"""Version of the store's format. A change of any record raises it."""


class StoreMeta(msgspec.Struct, frozen=True, kw_only=True):
    """What a store says of itself; written when it is created.

    Attributes:
        format: Version of the format.
        store_id: A ULID, made when the store was created.
        layout: Bounds of its segments.
    """

    format: int
    store_id: str
    layout: Layout


class TreeHead(NamedTuple):
    """The Merkle root of the log's first `size` events."""

    size: int
    root: bytes


class SignedCheckpoint(NamedTuple):
    """A signed statement of the log's size and root: the text of its note, and the size."""

    size: int
    note: str


class MetricWrite(NamedTuple):
    """What is kept of a registered metric from now on.

    Attributes:
        name: Its name.
        body: What is kept of the metric itself; None: it is registered no more, and its panes are gone.
        panes: What is kept of each pane that changed, by its start in Unix milliseconds.
        anew: Whether its other panes are gone.
    """

    name: str
    body: bytes | None
    panes: Mapping[int, bytes]
    anew: bool = False


class KeptMetric(NamedTuple):
    """What is kept of a registered metric, and of some of its panes by their start."""

    body: bytes
    panes: dict[int, bytes]


def _nothing() -> None:
    pass


class Erasure(NamedTuple):
    """What a commit erases of events before it: their payloads, and all that follows from those.

    Attributes:
        event_id: Id of the event that records it, which the commit holds.
        places: Where the erased events are, in order; sealed or not.
        commits: The unsealed commits that are changed by it, under their keys, as they are to be from now on.
    """

    event_id: int
    places: Sequence[Position]
    commits: Sequence[tuple[bytes, Commit]]


class Batch(NamedTuple):
    """One commit, applied: what must become durable together.

    Attributes:
        sealed: Segments that it filled, oldest first.
        head: The events that it left unsealed, or None.
        dropped: Keys of earlier commits whose events are in `sealed`.
        tiles: Tiles of the Merkle tree that it filled, in order.
        tree: Size and root of all that is in full tiles of leaves, when there are new ones; else None.
        checkpoint: Takes the place of the one before; or None.
        metrics: What is kept of registered metrics.
        ready: Called when all is put together, right before it is written: nothing else may wait for it, as a storage
            need not call it, or may do so twice.
        erasure: What it erases of earlier events; `Storage.purge` then gets the old bytes out of all files.
        purged: Keys of earlier erasures whose bytes are gone, as `Storage.purge` returned them.
    """

    sealed: Sequence[Segment]
    head: Commit | None
    dropped: Sequence[bytes]
    tiles: Sequence[Tile] = ()
    tree: TreeHead | None = None
    checkpoint: SignedCheckpoint | None = None
    metrics: Sequence[MetricWrite] = ()
    ready: Callable[[], None] = _nothing
    erasure: Erasure | None = None
    purged: Sequence[bytes] = ()


class Head(NamedTuple):
    """What is not sealed yet, as found when the store was opened.

    Attributes:
        first_index: Index of the first event that is not sealed, which is the number of those that are.
        last_sealed_id: Id of the last sealed event; -1: none.
        commits: Keys and commits after it, in order.
        tree: Size and root of all that is in full tiles of leaves; None: there is no full one.
        checkpoint: The newest one that was signed, or None.
        unpurged: Whether files may still hold what was erased.
    """

    first_index: int
    last_sealed_id: int
    commits: list[tuple[bytes, Commit]]
    tree: TreeHead | None
    checkpoint: SignedCheckpoint | None
    unpurged: bool = False


class Search(NamedTuple):
    """A search among sealed events.

    Attributes:
        match: What is asked of their terms.
        span: Range of their ids.
        descending: Newest first.
        limit: Events to return at most.
        max_bytes: Bytes of JSON to return at most; one event is always returned.
    """

    match: Match
    span: Span
    descending: bool
    limit: int
    max_bytes: int


class Found(NamedTuple):
    """What a search found.

    Attributes:
        events: Stored JSON of each, in the order asked for.
        stopped: The last event examined, when the search stopped before the end of its span; else None.
    """

    events: list[bytes]
    stopped: Position | None


class KnownClaim(NamedTuple):
    """Where the events of an idempotency key are: `length` of them, from `first_index` on.

    The fingerprint is `NO_FINGERPRINT` once one of them was erased.
    """

    fingerprint: bytes
    first_id: int
    first_index: int
    length: int
    of_call: bool


class Run(NamedTuple):
    """Consecutive events with their idempotency keys: all that a log must keep, the rest follows from it.

    Attributes:
        first_index: Index of the first one.
        events: The stored JSON of each.
        claims: Idempotency keys, by position in `events`.
    """

    first_index: int
    events: list[bytes]
    claims: list[Claim]

    def after(self, start: int) -> Run:
        """Return the part from position `start` on."""
        claims = [claim.moved(-start) for claim in self.claims if claim.position >= start]
        return Run(self.first_index + start, self.events[start:], claims)

    def before(self, stop: int) -> Run:
        """Return the part before position `stop`."""
        claims = [claim for claim in self.claims if claim.position < stop]
        return Run(self.first_index, self.events[:stop], claims)


class ChildCount(NamedTuple):
    """The sealed events of one child of a topic. `first_id` and `last_id` are those of the first and last of them."""

    segment: str
    events: int
    first_id: int
    last_id: int


class RollupRange(NamedTuple):
    """A range of time, half-open, at the ends of units of a level."""

    level: Level
    low_ms: int
    high_ms: int


class Rollups(NamedTuple):
    """A topic's sealed events over time.

    Attributes:
        sealed: Events of the log that were sealed; those are counted, all of them.
        counts: Events by the start of their minute, hour or day; none where there are none.
    """

    sealed: int
    counts: dict[int, int]


class Storage(Protocol):
    """A log's storage, open."""

    @property
    def meta(self) -> StoreMeta:
        """What the store says of itself."""
        ...

    def load(self) -> Head:
        """Return the unsealed head.

        Raises:
            StoreCorrupt: a commit is damaged, or its place in the log is wrong.
        """
        ...

    def append(self, batch: Batch) -> None:
        """Make a commit durable, atomically. MUST NOT be called again once it has raised: reopen first.

        Raises:
            OutcomeUnknown: the write failed; whether it happened is known after reopening.
            StoreClosed: nothing was written.
        """
        ...

    def claims(self, digests: Sequence[bytes]) -> dict[bytes, KnownClaim]:
        """Return the sealed claims among some idempotency keys' digests."""
        ...

    def search(self, search: Search, expired: Callable[[], bool]) -> Found:
        """Return sealed events; stops early, between two segments, once `expired` says so.

        Raises:
            StoreCorrupt: a record is damaged or missing; nothing is left out silently.
            Unavailable: the disk can't be read.
        """
        ...

    def get(self, event_id: int) -> bytes | None:
        """Return a sealed event's stored JSON, or None."""
        ...

    def read_ahead(self, expired: Callable[[], bool]) -> None:
        """Read the newest sealed events into memory, as far as they fit, until `expired` says so.

        Raises:
            StoreCorrupt: a record is damaged or missing.
            Unavailable: the disk can't be read.
        """
        ...

    def search_nowait(self, search: Search) -> Found | None:
        """Return what `search` would, if all of it is in memory; None: it may take the disk. Never blocks."""
        ...

    def get_nowait(self, event_id: int) -> bytes | None:
        """Return a sealed event's stored JSON if it is in memory, else None. Never blocks."""
        ...

    def run_after(self, event_id: int) -> Run | None:
        """Return the sealed events right after an id (-1: from the first on), as many as one segment holds; or None.

        Raises:
            StoreCorrupt: a record is damaged or missing.
            Unavailable: the disk can't be read.
        """
        ...

    def tile(self, level: int, number: int) -> bytes:
        """Return the hashes of a full tile of the Merkle tree, which must be there.

        Raises:
            StoreCorrupt: the record is damaged or missing.
            Unavailable: the disk can't be read.
        """
        ...

    def children(self, parent: Topic, after: str, limit: int) -> list[ChildCount]:
        """Return the children of a topic that sealed events have, by name, from right after `after` on."""
        ...

    def topic_counts(self, topics: Sequence[Topic]) -> list[ChildCount | None]:
        """Return the count of each of some topics, None where no sealed event has it."""
        ...

    def rollups(self, topic: Topic, ranges: Sequence[RollupRange]) -> Rollups:
        """Return the sealed events of a topic, and of those nested below it, by time of recording; all at one moment.

        Raises:
            StoreCorrupt: a record is damaged.
            Unavailable: the disk can't be read.
        """
        ...

    def metrics(self) -> dict[str, bytes | StoreCorrupt]:
        """Return what is kept of each registered metric, by its name, or what is wrong with its record.

        Raises:
            StoreCorrupt: they can't be read at all.
            Unavailable: the disk can't be read.
        """
        ...

    def metric(self, name: str, low_ms: int, high_ms: int) -> KeptMetric | None:
        """Return a registered metric and its panes that start in a range, all at one moment; None: there is none.

        Raises:
            StoreCorrupt: a record is damaged.
            Unavailable: the disk can't be read.
        """
        ...

    def purge(self) -> list[bytes]:
        """Get what was erased out of all files, as far as that can be done while they are in use.

        May take long, and be called beside everything else. What is left (keys in the files' own indexes, copies in the
        driver's memory) is gone once the storage is closed and opened again.

        Returns:
            A key for each erasure that is done then; to be given to `append`, after reopening. None: there was nothing.
        """
        ...

    def close(self) -> None:
        """Wait for calls in progress, then close. Calls from then on raise StoreClosed. May be called twice."""
        ...
