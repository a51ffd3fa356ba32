"""Live events as a reactivex Observable. Each subscription is a tail of its own, so that nothing is queued anywhere.

An observer that is slow or fails delays or ends its own subscription, never another's, nor an append. Subscribed in an
event loop it is called there, by a task; elsewhere by a thread. Invariant: a disposed subscription has no sleeper.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from audit.log.following import LiveMetric, SyncLiveMetric
from audit.log.metricobserving import MetricObserving
from audit.log.reader import Window
from audit.log.recent import Snapshot
from audit.log.tail import Batch, End, Notice, Step, TailCore
from audit.log.threads import ReaderThreads
from audit.log.wakeups import Sleeper
from audit.metrics.query import MetricResult
from audit.model.errors import StoreClosed
from audit.model.event import Event

if TYPE_CHECKING:
    from reactivex import Observable
    from reactivex.abc import ObserverBase, SchedulerBase

__all__ = ["Observers"]

_BATCH_EVENTS: Final = 100
"""Events handed out before others in the event loop get their turn."""
_JOIN_S: Final = 5.0
_log = logging.getLogger("audit")


class Observers:
    """The subscriptions of one open log. Keeps each until it is over."""

    def __init__(self, open_tail: Callable[..., TailCore], threads: ReaderThreads) -> None:
        """Take how to open a tail, with the parameters of `LogCore.tail`, and where it may read the disk."""
        self._open_tail = open_tail
        self._threads = threads
        self._lock = threading.RLock()
        self._live: set[_Subscription | MetricObserving] = set()

    def __len__(self) -> int:
        with self._lock:
            return len(self._live)

    def observe(self, topic: object, topics: object, filter: object) -> Observable[Event]:  # noqa: A002 - the wire's name
        """Return the events committed from a subscription on; see `Audit.observe`."""
        # Half of the time that importing this package takes would be spent on it, by those who don't observe as well.
        from reactivex import Observable  # noqa: PLC0415
        from reactivex.disposable import Disposable  # noqa: PLC0415

        def subscribe(observer: ObserverBase[Event], scheduler: SchedulerBase | None = None) -> Disposable:  # noqa: ARG001
            subscription = _Subscription(self._tail(topic, topics, filter), observer, self._forget)
            with self._lock:
                self._live.add(subscription)
            subscription.start(self._threads)
            return Disposable(subscription.dispose)

        # What is wrong with the parameters is said here, not at each subscription.
        self._tail(topic, topics, filter)
        return Observable(subscribe)

    def observe_metric(
        self, follow: Callable[[], LiveMetric], follow_blocking: Callable[[], SyncLiveMetric]
    ) -> Observable[MetricResult]:
        """Return a metric's results from a subscription on; see `Metrics.observe`."""
        from reactivex import Observable  # noqa: PLC0415 - see above
        from reactivex.disposable import Disposable  # noqa: PLC0415

        def subscribe(observer: ObserverBase[MetricResult], scheduler: SchedulerBase | None = None) -> Disposable:  # noqa: ARG001
            observing = MetricObserving(follow, follow_blocking, observer, self._forget)
            with self._lock:
                self._live.add(observing)
            observing.start()
            return Disposable(observing.dispose)

        return Observable(subscribe)

    def _tail(self, topic: object, topics: object, filter: object) -> TailCore:  # noqa: A002
        return self._open_tail(topic, topics, "now", None, "left", None, None, filter)

    def _forget(self, subscription: _Subscription | MetricObserving) -> None:
        with self._lock:
            self._live.discard(subscription)

    def join(self) -> None:
        """Wait for the threads of subscriptions, which end once the log's sleepers are woken for good."""
        with self._lock:
            live = list(self._live)
        for subscription in live:
            subscription.join()

    async def finish(self) -> None:
        """Wait for the tasks of this loop's subscriptions, as `join` does for threads."""
        with self._lock:
            tasks = [one.task for one in self._live if one.task is not None]
        mine = [task for task in tasks if task.get_loop() is asyncio.get_running_loop()]
        if mine:
            await asyncio.wait(mine)


class _Subscription:
    """One observer and its tail. The task or thread that `start` makes is alone in calling the observer."""

    def __init__(self, tail: TailCore, observer: ObserverBase[Event], forget: Callable[[_Subscription], None]) -> None:
        self._tail = tail
        self._observer = observer
        self._forget = forget
        self._sleeper: Sleeper | None = None
        self._over = False
        self._thread: threading.Thread | None = None
        self.task: asyncio.Task[None] | None = None

    def start(self, threads: ReaderThreads) -> None:
        """Begin calling the observer, in the running event loop or else in a new thread."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._thread = threading.Thread(target=self._run_in_thread, name="audit-observer", daemon=True)
            self._thread.start()
        else:
            self.task = loop.create_task(self._run_in_loop(loop, threads), name="audit-observer")
            # Not in the task itself, which may be cancelled before it runs at all.
            self.task.add_done_callback(lambda _: self._gone())

    def _gone(self) -> None:
        self._tail.end("cancelled")
        self._forget(self)

    def dispose(self) -> None:
        """Call the observer no more; nothing is registered any more when this returns. From any thread."""
        self._tail.end("cancelled")
        sleeper = self._sleeper
        if sleeper is None:
            return
        self._tail.wake_up(sleeper)
        if sleeper.loop is None:
            sleeper.wake()
            return
        try:
            sleeper.loop.call_soon_threadsafe(sleeper.wake)
        except RuntimeError:
            # The loop is closed, its tasks are gone.
            self._forget(self)

    def join(self) -> None:
        """Wait for the thread, unless this is it, or an observer holds it up."""
        thread = self._thread
        if thread is None or thread is threading.current_thread():
            return
        thread.join(_JOIN_S)
        if thread.is_alive():
            _log.warning("an observer has not returned for %g s after the log was closed: it is left alone", _JOIN_S)

    # -- in the task or thread ---------------------------------------------------------------------------------------

    async def _run_in_loop(self, loop: asyncio.AbstractEventLoop, threads: ReaderThreads) -> None:
        try:
            while not self._over:
                step = self._next()
                if step is Step.SLEEP:
                    with self._registered(Sleeper(loop)) as sleeper:
                        if sleeper is not None:
                            await sleeper.wait(None)
                elif step is Step.READ_DISK:
                    self._take(await threads.run(self._tail.read_disk))
                else:
                    await asyncio.sleep(0)
        except StoreClosed:
            # Closed before it had caught up.
            self._complete()
        except Exception as error:  # noqa: BLE001 - the tail's errors are the observer's to hear, as are its own
            self._fail(error)

    def _run_in_thread(self) -> None:
        try:
            while not self._over:
                step = self._next()
                if step is Step.SLEEP:
                    with self._registered(Sleeper(None)) as sleeper:
                        if sleeper is not None:
                            sleeper.wait_blocking(None)
                elif step is Step.READ_DISK:
                    self._take(self._tail.read_disk())
        except StoreClosed:
            self._complete()
        except Exception as error:  # noqa: BLE001 - the same
            self._fail(error)
        finally:
            self._forget(self)

    @contextmanager
    def _registered(self, sleeper: Sleeper) -> Iterator[Sleeper | None]:
        """Be woken by the next commit that matters; None: there is something to see already."""
        # Set first: whoever disposes finds either this, or that it must not register any more.
        self._sleeper = sleeper
        try:
            if not self._tail.fall_asleep(sleeper):
                yield None
                return
            try:
                yield sleeper
            finally:
                self._tail.wake_up(sleeper)
        finally:
            self._sleeper = None

    def _next(self) -> Step | None:
        """Tell the observer what there is; return what must be done before there is more."""
        notice = self._tail.step(_BATCH_EVENTS)
        if isinstance(notice, Step):
            return notice
        self._tell(notice)
        return None

    def _take(self, found: tuple[Window, Snapshot]) -> None:
        """Take over what was read from disk and tell the observer."""
        batch = self._tail.take(*found)
        if batch is not None:
            self._tell(batch)

    def _tell(self, notice: Notice) -> None:
        if isinstance(notice, Batch):
            self._hand_out(notice)
        elif isinstance(notice, End):
            self._over = True
            if notice.reason == "shutdown":
                self._complete()

    def _hand_out(self, batch: Batch) -> None:
        for event in batch.events:
            try:
                self._observer.on_next(event)
            except Exception:
                _log.exception("an observer failed at event %s, and is disposed of", event.id)
                raise

    def _complete(self) -> None:
        try:
            self._observer.on_completed()
        except Exception:  # noqa: BLE001 - an observer is foreign code; so below
            _log.exception("an observer failed when its events were over")

    def _fail(self, error: Exception) -> None:
        """Tell the observer of an error, which is the last thing it hears."""
        try:
            self._observer.on_error(error)
        except Exception as other:  # noqa: BLE001
            # An observer without an `on_error` raises what it was given.
            if other is not error:
                _log.exception("an observer failed at being told of an error")
