"""Storage that fails on demand: an append that is lost or was written all the same, a store that can't be reopened yet.

`Faults` is the plan and outlives the handles, as a disk does; `FaultyStorage` is one handle that follows it. Invariant:
after a failed append a handle refuses every further one, so that a log that goes on writing to it is found out.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Final

from audit.model.errors import OutcomeUnknown, StoreCorrupt, Unavailable
from audit.model.topic import Topic
from audit.storage.port import (
    Batch,
    ChildCount,
    Found,
    Head,
    KeptMetric,
    KnownClaim,
    RollupRange,
    Rollups,
    Run,
    Search,
    Storage,
    StoreMeta,
)

__all__ = ["Faults", "FaultyStorage", "Pause"]

_PATIENCE_S: Final = 30.0


class Pause:
    """One append held up in the middle: `reached` waits until it is, `resume` lets it go on."""

    def __init__(self) -> None:
        self._reached = threading.Event()
        self._resumed = threading.Event()

    def reached(self) -> None:
        """Return once the append is held up.

        Raises:
            TimeoutError: it is not, for 30 s.
        """
        if not self._reached.wait(_PATIENCE_S):
            raise TimeoutError(f"no append came within {_PATIENCE_S:g} s")

    def resume(self) -> None:
        """Let the append go on."""
        self._resumed.set()

    def hold(self) -> None:
        """Stand still until resumed; for the storage."""
        self._reached.set()
        if not self._resumed.wait(_PATIENCE_S):
            raise TimeoutError(f"the append was not resumed within {_PATIENCE_S:g} s")


class Faults:
    """What is to go wrong with one store. Give `faults.open` to a log as its opener."""

    def __init__(self, opener: Callable[[], Storage]) -> None:
        self._opener = opener
        self._lock = threading.Condition()
        self._appends = 0
        self._refusals = 0
        self._refused = 0
        self._failures: dict[int, bool] = {}
        self._pauses: dict[int, Pause] = {}
        self._error: Callable[[], Exception] = _disk_error

    @property
    def appends(self) -> int:
        """Appends asked for so far, over all handles, failed ones included."""
        with self._lock:
            return self._appends

    def fail_append(self, nth: int, *, persisted: bool, error: Callable[[], Exception] | None = None) -> None:
        """Have an append fail.

        Args:
            nth: Which one: 1 is the next.
            persisted: Whether it really happens before it fails.
            error: Makes the exception; default: `OutcomeUnknown`, as a storage raises it.
        """
        with self._lock:
            self._failures[self._appends + nth] = persisted
            self._error = error or _disk_error

    def pause_append(self, nth: int) -> Pause:
        """Have an append stand still, before anything is written; `nth` as of `fail_append`."""
        pause = Pause()
        with self._lock:
            self._pauses[self._appends + nth] = pause
        return pause

    def refuse_opens(self, times: int) -> None:
        """Have the next so many attempts to open the store fail; 0 lets the next one succeed."""
        with self._lock:
            self._refusals = times

    def await_refusals(self, times: int) -> None:
        """Return once opening was refused so many times, from the beginning.

        Raises:
            TimeoutError: it was not, for 30 s.
        """
        with self._lock:
            if not self._lock.wait_for(lambda: self._refused >= times, _PATIENCE_S):
                raise TimeoutError(f"opening was refused {self._refused} times within {_PATIENCE_S:g} s, not {times}")

    def open(self) -> FaultyStorage:
        """Open the store.

        Raises:
            Unavailable: it is refused.
        """
        with self._lock:
            if self._refusals:
                self._refusals -= 1
                self._refused += 1
                self._lock.notify_all()
                raise Unavailable("opening is refused for now, as a test wants it")
        return FaultyStorage(self._opener(), self)

    def append(self, storage: Storage, batch: Batch) -> None:
        """Append to a storage, or fail, as planned; for `FaultyStorage`."""
        with self._lock:
            self._appends += 1
            pause = self._pauses.pop(self._appends, None)
            persisted = self._failures.pop(self._appends, None)
        if pause is not None:
            batch.ready()
            pause.hold()
        if persisted is not False:
            storage.append(batch)
        if persisted is not None:
            raise self._error()


def _disk_error() -> Exception:
    return OutcomeUnknown("the write failed, as a test wants it")


class FaultyStorage:
    """One handle on a store whose faults are planned. Implements `audit.storage.port.Storage`."""

    def __init__(self, storage: Storage, faults: Faults) -> None:
        self._storage = storage
        self._faults = faults
        self._failed = False

    @property
    def meta(self) -> StoreMeta:
        """What the store says of itself."""
        return self._storage.meta

    def load(self) -> Head:
        """Return the unsealed head."""
        return self._storage.load()

    def append(self, batch: Batch) -> None:
        """Make a commit durable, unless it is planned to fail.

        Raises:
            AssertionError: an append on this handle failed before: it must have been reopened.
        """
        if self._failed:
            raise AssertionError("a handle was written to again after a failed write")
        self._failed = True
        self._faults.append(self._storage, batch)
        self._failed = False

    def claims(self, digests: Sequence[bytes]) -> dict[bytes, KnownClaim]:
        """Return the sealed claims among some idempotency keys' digests."""
        return self._storage.claims(digests)

    def search(self, search: Search, expired: Callable[[], bool]) -> Found:
        """Return sealed events."""
        return self._storage.search(search, expired)

    def get(self, event_id: int) -> bytes | None:
        """Return a sealed event's stored JSON, or None."""
        return self._storage.get(event_id)

    def read_ahead(self, expired: Callable[[], bool]) -> None:
        """See `Storage.read_ahead`."""
        self._storage.read_ahead(expired)

    def search_nowait(self, search: Search) -> Found | None:
        """Return sealed events if they are in memory."""
        return self._storage.search_nowait(search)

    def get_nowait(self, event_id: int) -> bytes | None:
        """Return a sealed event's stored JSON if it is in memory."""
        return self._storage.get_nowait(event_id)

    def run_after(self, event_id: int) -> Run | None:
        """Return the sealed events right after an id."""
        return self._storage.run_after(event_id)

    def tile(self, level: int, number: int) -> bytes:
        """Return the hashes of a full tile of the Merkle tree."""
        return self._storage.tile(level, number)

    def children(self, parent: Topic, after: str, limit: int) -> list[ChildCount]:
        """Return the children of a topic that sealed events have."""
        return self._storage.children(parent, after, limit)

    def topic_counts(self, topics: Sequence[Topic]) -> list[ChildCount | None]:
        """Return the count of each of some topics."""
        return self._storage.topic_counts(topics)

    def rollups(self, topic: Topic, ranges: Sequence[RollupRange]) -> Rollups:
        """Return a topic's sealed events by time."""
        return self._storage.rollups(topic, ranges)

    def metrics(self) -> dict[str, bytes | StoreCorrupt]:
        """Return what is kept of each registered metric."""
        return self._storage.metrics()

    def metric(self, name: str, low_ms: int, high_ms: int) -> KeptMetric | None:
        """Return a registered metric and some of its panes."""
        return self._storage.metric(name, low_ms, high_ms)

    def purge(self) -> list[bytes]:
        """Get what was erased out of all files."""
        return self._storage.purge()

    def close(self) -> None:
        """Close the storage beneath."""
        self._storage.close()
