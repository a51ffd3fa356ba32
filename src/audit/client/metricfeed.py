"""A metric as its reader sees it, over any number of connections: all windows as they are now, and which are news.

No I/O, and no queue: what comes is folded at once, so that a reader who reads nothing fills no memory. Invariant: the
windows told so far, with those that are news put over them, are those of the newest notification.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Final

from audit.client.feed import again
from audit.log.tail import End
from audit.metrics.folding import Folded, WindowKey
from audit.metrics.query import MetricQuery, MetricResult, MetricUpdate
from audit.model.errors import AuditError
from audit.model.topic import Topic
from audit.protocol.client import Note
from audit.protocol.metricmessages import SnapshotNote, UpdateNote, WatchParams

__all__ = ["MetricFeed"]


class MetricFeed:
    """What a client holds of one subscription to a metric. For one reader at a time."""

    method: Final = "metrics.subscribe"

    def __init__(self, query: MetricQuery, every_ms: int, cursor: str | None) -> None:
        self._query = query
        self._every_ms = every_ms
        self.resume_at: str | None = cursor
        """Cursor of the last notification received."""
        self.started = False
        """Whether it was subscribed once."""
        self.on_change: Callable[[], None] = lambda: None
        """Called when there is something to read."""
        self._folded: Folded | None = None
        self._news: set[WindowKey] = set()
        self._since: datetime | None = None
        self._all = False
        self._moved = False
        self._told_at = cursor
        self._over: End | AuditError | None = None

    @property
    def topics(self) -> tuple[Topic, ...]:
        """What is asked about; of a registered metric, only the server knows."""
        return tuple(self._query.topics or [self._query.topic])

    @property
    def cursor(self) -> str | None:
        """Resumes after what was read last."""
        return self._told_at

    def request(self, _max_credit: int) -> WatchParams:
        """Return what to subscribe to on a new connection."""
        # Without a state there is nothing that changes could be put over.
        cursor = self.resume_at if self._folded is not None else None
        asked = {name: getattr(self._query, name) for name in MetricQuery.__struct_fields__}
        return WatchParams(**asked, every=self._every_ms, cursor=cursor)

    def receive(self, note: Note) -> None:
        """Take a notification; not the one that ends it."""
        if self._over is not None:
            return
        params = note.params
        if isinstance(params, SnapshotNote):
            self._folded = Folded(MetricResult(windows=params.windows, total=params.total, as_of=params.as_of))
            self._all = True
        elif isinstance(params, UpdateNote) and self._folded is not None:
            update = MetricUpdate(
                windows=params.windows, total=params.total, as_of=params.as_of, all=params.all, since=params.since
            )
            self._news |= self._folded.update(update)
            times = [window.start for window in update.windows] + ([] if update.since is None else [update.since])
            # With late events, windows may come back that had left, before the time that others have left by.
            self._all |= update.all or (self._since is not None and any(time < self._since for time in times))
            self._since = self._since if update.since is None else update.since
        else:
            return
        self.resume_at = params.cursor
        self._moved = True
        self.on_change()

    def move(self, cursor: str) -> None:
        """Take over the cursor of the end."""
        self.resume_at = cursor or self.resume_at

    def grant(self) -> int:
        """Return 0: metrics take no credit."""
        return 0

    def finish(self, over: End | AuditError) -> None:
        """End it: its reader is told once what came before is read."""
        if self._over is None:
            self._over = over
            self.on_change()

    def close(self) -> None:
        """End it at once."""
        if self._over is None:
            self._moved = False
            self.finish(End(self._told_at or "", "cancelled"))

    # The reader

    @property
    def latest(self) -> MetricResult | None:
        """All windows as of the newest notification; None: there was none yet."""
        return None if self._folded is None else self._folded.result()

    def snapshot(self) -> MetricResult | None:
        """Return all windows, and count them as read; None: there are none yet.

        Raises:
            AuditError: the subscription failed before there were any.
        """
        if self._folded is None:
            if isinstance(self._over, AuditError):
                raise again(self._over)
            return None
        self._read()
        return self._folded.result()

    def take(self) -> MetricUpdate | End | None:
        """Return what is new since it was read last; None: nothing.

        Raises:
            AuditError: the subscription failed, and everything before is read.
        """
        if not self._moved or self._folded is None:
            if isinstance(self._over, AuditError):
                raise again(self._over)
            return self._over
        folded = self._folded
        update = MetricUpdate(
            windows=folded.result().windows if self._all else folded.windows(self._news),
            total=folded.total,
            as_of=folded.as_of,
            all=self._all,
            since=None if self._all else self._since,
        )
        self._read()
        return update

    @property
    def over(self) -> End | AuditError | None:
        """How it ended; None: it did not."""
        return self._over

    def _read(self) -> None:
        self._news = set()
        self._since = None
        self._all = False
        self._moved = False
        self._told_at = self.resume_at
