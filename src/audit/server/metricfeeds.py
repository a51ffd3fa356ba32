"""Metrics read once for all who subscribe to the same one: a feed for each query and pace, and its members.

A feed keeps no queue. A member holds the version that it was sent, and is sent what has changed since: one that takes
nothing for a while finds the newest state afterwards, and costs nothing until then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple, Protocol

from audit.log.core import LogCore
from audit.log.following import LiveMetric
from audit.log.measuring import Spend
from audit.log.tail import End
from audit.metrics.pace import check_every
from audit.metrics.query import MetricQuery, MetricResult
from audit.model.errors import AuditError, StoreClosed, TooLarge
from audit.protocol.frames import encode, encode_metric, metric_head, metric_tail
from audit.server.gauges import Gauge, LiveGauge, check_gauge
from audit.server.link import frame_of
from audit.server.metricstate import MetricState, first_state, next_state

__all__ = ["MetricFeed", "MetricFeeds", "MetricMember"]

_log: Final = logging.getLogger("audit.server")
_CURSORS: Final = 64
"""Cursors told last, of which it is known what has changed since."""


class MetricMember(Protocol):
    """A subscription that gets a metric from a feed."""

    def offer(self) -> None:
        """Be told that there may be something to send; must neither wait nor fail."""
        ...


class MetricFeeds:
    """The metrics' feeds of one server. All belongs to its event loop."""

    def __init__(self, core: LogCore, gauge: Callable[[Gauge], MetricResult], frame_bytes: int) -> None:
        """Take the log, what reads the server's own metrics, and how large a frame may be."""
        self._core = core
        self._gauge = gauge
        self._frame_bytes = frame_bytes
        self._feeds: dict[_Place, MetricFeed] = {}

    def __len__(self) -> int:
        """Return how many feeds there are."""
        return len(self._feeds)

    async def enter(self, query: MetricQuery, every_ms: int, cursor: str | None, spend: Spend) -> MetricFeed:
        """Return a query's feed, once there is a first result, with a place in it: to be joined, or left.

        Args:
            query: What is asked.
            every_ms: Milliseconds between two updates at least.
            cursor: What the peer was told last; it is checked, and then `version_at` says what it is worth.
            spend: Told of the events that are read for the feed, if this begins it.

        Raises:
            InvalidParameter: a parameter is out of form or bounds.
            CursorInvalid: the cursor is damaged, or of another store or query.
            AuditError: the metric can't be computed.
        """
        gauge = check_gauge(query)
        if gauge is not None:
            place = _Place(gauge.metric.name, check_every(every_ms))
        else:
            place = _Place(self._core.plan(query).digest, every_ms)
            if cursor is not None:
                await self._live(query, every_ms, cursor, spend).check()
        feed = self._feeds.get(place)
        if feed is None or feed.over:
            live: LiveMetric | LiveGauge
            if gauge is None:
                live = self._live(query, every_ms, None, spend)
            else:
                live = LiveGauge(partial(self._gauge, gauge), every_ms)
            feed = MetricFeed(live, self._frame_bytes)
            self._feeds[place] = feed
            feed.task = asyncio.create_task(self._run(feed, place))
        await feed.enter()
        return feed

    def _live(self, query: MetricQuery, every_ms: int, cursor: str | None, spend: Spend) -> LiveMetric:
        core = self._core
        return LiveMetric(core.live_metrics.follow(core.plan(query), every_ms, cursor), core.threads, core.clock, spend)

    async def _run(self, feed: MetricFeed, place: _Place) -> None:
        try:
            await feed.run()
        finally:
            if self._feeds.get(place) is feed:
                del self._feeds[place]
            # It holds where it was cancelled, and that the feed: together they would wait for the collector.
            feed.task = None

    async def close(self) -> None:
        """End all feeds."""
        tasks = [feed.task for feed in self._feeds.values() if feed.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Place(NamedTuple):
    digest: str
    every_ms: int


class MetricFeed:
    """One metric at one pace, for its members."""

    def __init__(self, live: LiveMetric | LiveGauge, frame_bytes: int) -> None:
        self._live = live
        self._frame_bytes = frame_bytes
        self._members: dict[MetricMember, None] = {}
        self._entering = 0
        self._begun = asyncio.Event()
        self._state: MetricState | None = None
        self._failure: AuditError | None = None
        self._frames: dict[tuple[str, int], bytes] = {}
        self._versions: dict[str, int] = {}
        self.over = False
        """Whether it tells nobody anything any more."""
        self.task: asyncio.Task[None] | None = None

    # Members

    async def enter(self) -> None:
        """Return once there is a state, with a place in the feed: to be joined, or left.

        Raises:
            AuditError: there can't be one.
        """
        self._entering += 1
        try:
            await self._begun.wait()
            # Raises what went wrong.
            _ = self.state
        except BaseException:
            self.leave(None)
            raise

    def join(self, member: MetricMember) -> None:
        """Tell a member from now on; it was let in by `enter`."""
        self._entering -= 1
        self._members[member] = None

    def leave(self, member: MetricMember | None) -> None:
        """Tell a member no more; None: one that was let in and did not join. The last one ends the feed."""
        if member is None:
            self._entering -= 1
        else:
            self._members.pop(member, None)
        if not self._members and not self._entering and self.task is not None:
            self.over = True
            self.task.cancel()

    # The task

    async def run(self) -> None:
        """Read the metric until nobody is left, or it ends."""
        try:
            await self._read()
        except AuditError as error:
            self._failure = error
        except Exception as error:  # noqa: BLE001 - one feed's failure is not the server's, and is logged
            _log.exception("a metric's feed failed")
            self._failure = AuditError(f"the metric can't be computed: {error}")
        finally:
            self.over = True
            self._live.close()
            self._begun.set()
        self._offer()

    async def _read(self) -> None:
        self._show(first_state(await self._live.snapshot()))
        while True:
            change = await self._live.changes()
            if isinstance(change, End):
                raise StoreClosed("the log is closed")
            assert change is not None  # noqa: S101 - there is no timeout
            self._show(next_state(self.state, change))

    def _show(self, state: MetricState) -> None:
        self._state = state
        self._frames.clear()
        # Of several states at one cursor, the first: what changed after it is told again, which changes nothing.
        self._versions.setdefault(state.as_of.cursor, state.version)
        if len(self._versions) > _CURSORS:
            del self._versions[next(iter(self._versions))]
        self._begun.set()
        self._offer()

    def _offer(self) -> None:
        for member in list(self._members):
            member.offer()

    # What members are sent

    @property
    def state(self) -> MetricState:
        """The newest state.

        Raises:
            StoreClosed: the log was closed.
            AuditError: the metric can't be computed any more.
        """
        if self._failure is not None:
            raise self._failure
        assert self._state is not None  # noqa: S101 - members have waited for it
        return self._state

    def version_at(self, cursor: str) -> int:
        """Return a version that whoever holds a cursor has seen; 0: it is not known."""
        return self._versions.get(cursor, 0)

    def frame(self, subscription: str, version: int) -> bytes:
        """Return the frame that leads from a version to the newest state; from 0: that tells all of it.

        Raises:
            TooLarge: it is beyond what a frame may have.
            As of `state`.
        """
        place = (subscription, version)
        frame = self._frames.get(place)
        if frame is None:
            frame = self._frames[place] = self._built(subscription, self.state, version)
        return frame

    def _built(self, subscription: str, state: MetricState, version: int) -> bytes:
        windows = [one.encoded for one in state.changed(version)]
        whole = version < state.whole
        since = None if whole or state.low is None else encode(state.low)
        head = metric_head(state.as_of.cursor, encode(state.as_of), encode(state.total))
        tail = metric_tail(windows, since=since, whole=version > 0 and whole)
        message = encode_metric("metrics.update" if version else "metrics.snapshot", subscription, head + tail)
        if len(message) > self._frame_bytes:
            raise TooLarge("window", f"makes {len(windows)} windows, more than a frame holds: ask for fewer")
        return frame_of(message)
