"""The verbs of metrics: `Metrics` for event loops, `SyncMetrics` for threads. Both check what is asked at once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from audit.log.following import LiveMetric, SyncLiveMetric
from audit.log.registered import Registration
from audit.metrics.pace import DEFAULT_EVERY_MS
from audit.metrics.query import Metric, MetricQuery, MetricResult, query_of

if TYPE_CHECKING:
    from reactivex import Observable

    from audit.log.core import LogCore

__all__ = ["Metrics", "SyncMetrics"]


class Metrics:
    """Metrics of an open log, in an event loop."""

    def __init__(self, core: LogCore) -> None:
        self._core = core

    async def get(self, query: MetricQuery | Mapping[str, Any] | None = None, **members: Any) -> MetricResult:
        """Return all windows of a query as of now.

        Args:
            query: What is asked; or give its members as keywords.
            members: See `MetricQuery`; a bound may be a `datetime` too.

        Raises:
            InvalidParameter: a member is out of form or bounds, or does not go with the measure.
            NotFound: no metric of that name is registered.
            TooLarge: over 500,000 events would have to be read, or there are too many windows or groups.
            Unavailable: the disk is needed and can't be read now.
            StoreCorrupt: a record is damaged or missing.
        """
        core = self._core
        plan = core.plan(query_of(query, members))
        return await core.threads.run(lambda: core.measuring.result(plan))

    def register(self, metric: Metric) -> None:
        """Keep a metric in the store from now on: through restarts, and with the events that are there already.

        Those are folded in by a thread of its own; asked meanwhile, the metric reads those that are still missing. A
        metric of the same name goes on when it is defined alike, and else begins anew.

        Raises:
            InvalidParameter: a member is out of form or bounds.
            TooLarge: 100 metrics are registered already.
            StoreClosed: the log is closed.
        """
        self._core.registered.register(metric)

    async def unregister(self, name: str) -> None:
        """Keep a registered metric no more, and return when nothing of it is in the store.

        Who follows it goes on to be told; who asks for it by name is told that there is none.

        Raises:
            NotFound: no metric of that name is registered.
            StoreClosed: the log was closed before it was done.
        """
        await asyncio.wrap_future(self._core.registered.unregister(name))

    def list(self) -> list[Registration]:
        """Return the registered metrics, by name, and how many events each has folded in."""
        return self._core.registered.registrations()

    async def rebuild(self, name: str) -> None:
        """Fold all events into a registered metric anew, and return when that is done.

        Raises:
            NotFound: no metric of that name is registered.
            StoreClosed: the log was closed before it was done.
        """
        await asyncio.wrap_future(self._core.registered.rebuild(name))

    async def settle(self) -> None:
        """Return when every registered metric has all events folded in and kept that are committed now.

        Raises:
            StoreClosed: the log was closed before.
        """
        await asyncio.wrap_future(self._core.registered.caught_up())

    def subscribe(
        self,
        query: MetricQuery | Mapping[str, Any] | None = None,
        *,
        every: int = DEFAULT_EVERY_MS,
        cursor: str | None = None,
        **members: Any,
    ) -> LiveMetric:
        """Return a reader of a query's windows and of their changes; all readers of one query share its state.

        Args:
            query: What is asked; or give its members as keywords.
            every: Milliseconds between two updates at least; 0: one for each commit that changes something.
            cursor: Of an answer or update of the same query: the first change is what may have changed since.
            members: As of `get`.

        Raises:
            InvalidParameter: a member is out of form or bounds.
            CursorInvalid: the cursor is damaged, or of another store or query.
            NotFound: no metric of that name is registered.
        """
        core = self._core
        follower = core.live_metrics.follow(core.plan(query_of(query, members)), every, cursor)
        return LiveMetric(follower, core.threads, core.clock)

    def observe(
        self, query: MetricQuery | Mapping[str, Any] | None = None, *, every: int = DEFAULT_EVERY_MS, **members: Any
    ) -> Observable[MetricResult]:
        """Return an Observable of a query's answers: to each observer the one as of its subscription, then each change.

        Subscribed in an event loop, an observer is called in it; elsewhere in a thread of its own. A slow one misses
        answers, and then gets the newest. One that raises is disposed of and told by its own `on_error`. Closing the
        log completes all; disposing frees the subscription at once.

        Args:
            query: What is asked; or give its members as keywords.
            every: Milliseconds between two answers at least; 0: one for each commit that changes something.
            members: As of `get`.

        Raises:
            InvalidParameter: a member is out of form or bounds.
            NotFound: no metric of that name is registered.
        """
        return observe(self._core, query_of(query, members), every)


class SyncMetrics:
    """Metrics of an open log, blocking. Arguments and errors are those of `Metrics`."""

    def __init__(self, core: LogCore) -> None:
        self._core = core

    def get(self, query: MetricQuery | Mapping[str, Any] | None = None, **members: Any) -> MetricResult:
        """Return all windows of a query as of now. See `Metrics.get`."""
        return self._core.measuring.result(self._core.plan(query_of(query, members)))

    def register(self, metric: Metric) -> None:
        """Keep a metric in the store from now on. See `Metrics.register`."""
        self._core.registered.register(metric)

    def unregister(self, name: str) -> None:
        """Keep a registered metric no more. See `Metrics.unregister`."""
        self._core.registered.unregister(name).result()

    def list(self) -> list[Registration]:
        """Return the registered metrics, by name. See `Metrics.list`."""
        return self._core.registered.registrations()

    def rebuild(self, name: str) -> None:
        """Fold all events into a registered metric anew. See `Metrics.rebuild`."""
        self._core.registered.rebuild(name).result()

    def settle(self) -> None:
        """Return when every registered metric is up to date. See `Metrics.settle`."""
        self._core.registered.caught_up().result()

    def subscribe(
        self,
        query: MetricQuery | Mapping[str, Any] | None = None,
        *,
        every: int = DEFAULT_EVERY_MS,
        cursor: str | None = None,
        **members: Any,
    ) -> SyncLiveMetric:
        """Return a reader of a query's windows and of their changes. See `Metrics.subscribe`."""
        core = self._core
        follower = core.live_metrics.follow(core.plan(query_of(query, members)), every, cursor)
        return SyncLiveMetric(follower, core.clock)

    def observe(
        self, query: MetricQuery | Mapping[str, Any] | None = None, *, every: int = DEFAULT_EVERY_MS, **members: Any
    ) -> Observable[MetricResult]:
        """Return an Observable of a query's answers. See `Metrics.observe`."""
        return observe(self._core, query_of(query, members), every)


def observe(core: LogCore, query: MetricQuery, every: int) -> Observable[MetricResult]:
    """Return the Observable of a query; what is wrong with it is said at once, not at each subscription."""
    core.live_metrics.follow(core.plan(query), every, None)
    return core.observers.observe_metric(
        lambda: LiveMetric(core.live_metrics.follow(core.plan(query), every, None), core.threads, core.clock),
        lambda: SyncLiveMetric(core.live_metrics.follow(core.plan(query), every, None), core.clock),
    )
