"""What the log counts of itself: plain numbers, read by whoever publishes them. No library, no lock.

Each number has one writer: the sequencer's thread. Others may read at any time, and see one commit more in one number
than in another.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

__all__ = ["COMMIT_BYTES", "COMMIT_EVENTS", "DURATIONS_S", "Histogram", "Meters"]

COMMIT_EVENTS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000)
COMMIT_BYTES: Final = tuple(4**power for power in range(4, 12))
"""256 bytes to 4 MiB."""
DURATIONS_S: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class Histogram:
    """How often a value fell between which bounds.

    Attributes:
        bounds: Upper bounds, ascending, each belonging to its own bucket; one more bucket is above the last.
        counts: Observations in each bucket.
        total: Sum of what was observed.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total: float = 0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def cumulative(self) -> list[int]:
        """Return for each bound, and for none, how many values were not above it."""
        total = 0
        return [total := total + count for count in list(self.counts)]


class Meters:
    """The numbers of one log, from its opening on.

    Attributes:
        events: Events committed.
        failed: Commits whose write failed; each fences the store.
        commit_events: Events of a commit.
        commit_bytes: Their stored JSON.
        commit_s: From deciding a commit to its publication.
        write_s: The synchronous write alone, which is where the disk is waited for.
    """

    __slots__ = ("commit_bytes", "commit_events", "commit_s", "events", "failed", "write_s")

    def __init__(self) -> None:
        self.events = 0
        self.failed = 0
        self.commit_events = Histogram(COMMIT_EVENTS)
        self.commit_bytes = Histogram(COMMIT_BYTES)
        self.commit_s = Histogram(DURATIONS_S)
        self.write_s = Histogram(DURATIONS_S)

    def committed(self, events: Sequence[bytes], took_s: float) -> None:
        """Count a commit of these stored events."""
        self.events += len(events)
        self.commit_events.observe(len(events))
        self.commit_bytes.observe(sum(map(len, events)))
        self.commit_s.observe(took_s)
