"""A metric as a reactivex Observable: what it is now to whoever subscribes, however late, then each change.

Each subscription follows the metric by itself, so that nothing is replayed from a buffer: the first value is computed,
or shared with who follows the same query, when it is subscribed. An observer that is slow or fails delays or ends its
own subscription, never another's. Invariant: of what it was told, an observer is never told something older.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from audit.log.following import LiveMetric, SyncLiveMetric
from audit.log.tail import End
from audit.metrics.query import MetricResult
from audit.model.errors import StoreClosed

if TYPE_CHECKING:
    from reactivex.abc import ObserverBase

__all__ = ["MetricObserving"]

_JOIN_S: Final = 5.0
_log: Final = logging.getLogger("audit")


class MetricObserving:
    """One observer and its metric. The task or thread that `start` makes is alone in calling the observer."""

    def __init__(
        self,
        follow: Callable[[], LiveMetric],
        follow_blocking: Callable[[], SyncLiveMetric],
        observer: ObserverBase[MetricResult],
        forget: Callable[[MetricObserving], None],
    ) -> None:
        """Take how the metric is followed in an event loop, and in a thread; one of the two is used."""
        self._follow = follow
        self._follow_blocking = follow_blocking
        self._observer = observer
        self._forget = forget
        self._loop: asyncio.AbstractEventLoop | None = None
        self._close: Callable[[], None] = lambda: None
        self._thread: threading.Thread | None = None
        self.task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin calling the observer, in the running event loop or else in a new thread."""
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:
            live = self._follow_blocking()
            self._close = live.close
            self._thread = threading.Thread(target=self._run, args=(live,), name="audit-observer", daemon=True)
            self._thread.start()
        else:
            metric = self._follow()
            self._close = metric.close
            self.task = self._loop.create_task(self._run_in_loop(metric), name="audit-observer")
            self.task.add_done_callback(lambda _: self._gone())

    def _gone(self) -> None:
        self._close()
        self._forget(self)

    def dispose(self) -> None:
        """Call the observer no more. From any thread."""
        if self._loop is None or self._in_loop():
            self._close()
            return
        try:
            self._loop.call_soon_threadsafe(self._close)
        except RuntimeError:
            # The loop is closed, its tasks are gone.
            self._forget(self)

    def _in_loop(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False

    def join(self) -> None:
        """Wait for the thread, unless this is it, or an observer holds it up."""
        thread = self._thread
        if thread is None or thread is threading.current_thread():
            return
        thread.join(_JOIN_S)
        if thread.is_alive():
            _log.warning("an observer has not returned for %g s after the log was closed: it is left alone", _JOIN_S)

    # -- in the task or thread ---------------------------------------------------------------------------------------

    async def _run_in_loop(self, live: LiveMetric) -> None:
        try:
            self._tell(await live.snapshot())
            while not isinstance(change := await live.changes(), End):
                self._tell(live.latest)
                # One that is told each commit lets others run between two of them.
                await asyncio.sleep(0)
            self._ended(change)
        except StoreClosed:
            self._complete()
        except Exception as error:  # noqa: BLE001 - what goes wrong is the observer's to hear, as are its own errors
            self._fail(error)

    def _run(self, live: SyncLiveMetric) -> None:
        try:
            self._tell(live.snapshot())
            while not isinstance(change := live.changes(), End):
                self._tell(live.latest)
            self._ended(change)
        except StoreClosed:
            self._complete()
        except Exception as error:  # noqa: BLE001 - the same
            self._fail(error)
        finally:
            self._gone()

    def _tell(self, result: MetricResult | None) -> None:
        assert result is not None  # noqa: S101 - something was told
        try:
            self._observer.on_next(result)
        except Exception:
            _log.exception("an observer of a metric failed, and is disposed of")
            raise

    def _ended(self, end: End) -> None:
        if end.reason == "shutdown":
            self._complete()

    def _complete(self) -> None:
        try:
            self._observer.on_completed()
        except Exception:  # noqa: BLE001 - an observer is foreign code; so below
            _log.exception("an observer failed when its metric was over")

    def _fail(self, error: Exception) -> None:
        """Tell the observer of an error, which is the last thing it hears."""
        try:
            self._observer.on_error(error)
        except Exception as other:  # noqa: BLE001
            # An observer without an `on_error` raises what it was given.
            if other is not error:
                _log.exception("an observer failed at being told of an error")
