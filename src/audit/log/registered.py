"""Registered metrics: their panes are kept in the store, and brought up to the log by a thread of their own.

Off the path of appends: the thread follows the log, some events at a time, and has the writer keep the panes that
changed together with how far they go. Whoever asks reads those panes, and the events after them; so an answer is exact
however far behind the thread is. What a crash takes away is folded in again.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future, wait
from typing import Final, NamedTuple

from audit.codec.cursors import Position
from audit.log.clock import Clock
from audit.log.folding import Folding, fold_next, running_future
from audit.log.handle import Handle
from audit.log.measuring import Measuring
from audit.log.sequencer import Sequencer
from audit.log.wakeups import Sleeper, Wakeups
from audit.metrics.keeping import Kept, decode_kept
from audit.metrics.plan import Plan, check_metric
from audit.metrics.query import Metric
from audit.model.errors import (
    AuditError,
    InvalidParameter,
    NotFound,
    StoreClosed,
    StoreCorrupt,
    TooLarge,
    Unavailable,
)
from audit.storage.port import MetricWrite

__all__ = ["MAX_METRICS", "Registered", "Registration"]

MAX_METRICS: Final = 100
_KEEP_EVENTS: Final = 20_000
"""Events after which panes are kept, though more are to come."""
_KEEP_MS: Final = 1_000
"""Time after which they are kept, and between two such times: each is a write that appends wait for."""
_KEEP_BYTES: Final = 32
"""And as many events as pay for what was kept last, at so many bytes an event: large panes are kept less often."""
_GATHER_S: Final = 0.1
"""How long commits gather before they are folded in: many at once cost less than one after the other."""
_BUSY_EVENTS: Final = 1_000
"""Committed meanwhile, these say that the log is busy: folding then waits, so that appends have the interpreter."""
_LAG_EVENTS: Final = 100_000
"""But no longer than until so many wait, or until most of what is in memory does: from disk they cost twice as much."""
_FEW_EVENTS: Final = 4_000
"""Being no further behind than this is caught up enough to wait again."""
_YIELD_S: Final = 0.001
"""Between two pieces while appends wait, so that they go first."""
_LOOKS: Final = 5
"""Looks at the queue of appends while commits gather."""
_RETRY_S: Final = 1.0
_log = logging.getLogger("audit")


class Registration(NamedTuple):
    """A registered metric, and how many of the log's events are in its panes so far."""

    metric: Metric
    size: int


class Registered:
    """The registered metrics of one log. Any thread may ask; its own alone folds."""

    def __init__(
        self, handle: Handle, measuring: Measuring, sequencer: Sequencer, wakeups: Wakeups, clock: Clock
    ) -> None:
        """Take over the metrics that the store has. A damaged definition is told, here and to whoever asks for it.

        Raises:
            StoreCorrupt, Unavailable: they can't be read at all.
        """
        self._handle = handle
        self._measuring = measuring
        self._sequencer = sequencer
        self._wakeups = wakeups
        self._clock = clock
        self._lock = threading.Lock()
        self._foldings: dict[str, Folding] = {}
        self._damaged: dict[str, str] = {}
        """Metrics whose definition is damaged, and what is wrong with it."""
        self._leaving: list[tuple[str, Future[None]]] = []
        """Metrics that the store still has, and who waits until it has them no more."""
        self._kept_ms = clock.monotonic_ms()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._changed = threading.Event()
        self._sleeper: Sleeper | None = None
        for name, body in handle.read(lambda storage: storage.metrics()).items():
            try:
                if isinstance(body, StoreCorrupt):
                    raise body
                kept = decode_kept(name, body)
                plan = check_metric(kept.metric)
            except (StoreCorrupt, InvalidParameter) as error:
                # It can be made again from the events, which are what the log is for.
                problem = error.problem if isinstance(error, StoreCorrupt) else str(error)
                self._damaged[name] = problem
                _log.error("metric %s is damaged, and kept no more until it is registered again: %s", name, problem)
                continue
            position = _position(kept)
            if position is not None and position.last_id > sequencer.snapshot.last_id:
                # Its panes hold what is not in the log any more, and would never be asked to take in what comes next.
                _log.warning("metric %s has events that the log has lost: it is folded anew", name)
                position = None
            self._foldings[name] = Folding(kept.metric, plan, position)

    def register(self, metric: Metric) -> None:
        """Keep a metric from now on; one of the same name and definition goes on, one of another begins anew.

        Raises:
            InvalidParameter: a member is out of form or bounds.
            TooLarge: there are 100 already.
            StoreClosed: the log is closed.
        """
        self._handle.check()
        plan = check_metric(metric)
        with self._lock:
            known = self._foldings.get(metric.name)
            if known is not None and known.metric == metric:
                return
            if known is None and len(self._foldings) >= MAX_METRICS:
                raise TooLarge("name", f"{MAX_METRICS} metrics are registered already, which is the most there may be")
            same = known is not None and known.plan == plan and known.metric.pane == metric.pane
            if known is not None and same:
                known.metric = metric
                known.told = False
            else:
                anew = self._foldings[metric.name] = Folding(metric, plan, None)
                if known is not None:
                    anew.relieve(known)
                self._damaged.pop(metric.name, None)
        self.start()

    def unregister(self, name: str) -> Future[None]:
        """Keep a metric no more; the future is done when nothing of it is in the store.

        Raises:
            NotFound: there is none of that name.
            StoreClosed: the log is closed.
        """
        future = running_future()
        with self._lock:
            self._check_open()
            folding = self._foldings.pop(name, None)
            if folding is None and self._damaged.pop(name, None) is None:
                raise _unknown(name)
            self._leaving.append((name, future))
        if folding is not None:
            folding.fail(_unknown(name))
        self.start()
        return future

    def start(self) -> None:
        """Begin to follow the log, if there is anything to follow it for."""
        with self._lock:
            wanted = self._foldings or self._leaving
            if self._thread is None and wanted and not self._stopping.is_set():
                self._thread = threading.Thread(target=self._run, name="audit-metrics", daemon=True)
                self._thread.start()
        self._wake()

    def registrations(self) -> list[Registration]:
        """Return the registered metrics, by name."""
        with self._lock:
            return [Registration(one.metric, one.size) for _, one in sorted(self._foldings.items())]

    def metric(self, name: str) -> Metric:
        """Return a registered metric.

        Raises:
            NotFound: there is none of that name.
            StoreCorrupt: its definition is damaged.
        """
        with self._lock:
            return self._folding(name).metric

    def plan(self, name: str) -> Plan:
        """Return the plan that its panes are of; errors as of `metric`."""
        with self._lock:
            return self._folding(name).plan

    def _folding(self, name: str) -> Folding:
        found = self._foldings.get(name)
        if found is not None:
            return found
        if name in self._damaged:
            raise StoreCorrupt(f"metric {name}", f"{self._damaged[name]}; register it again, or unregister it")
        raise _unknown(name)

    def rebuild(self, name: str) -> Future[None]:
        """Fold all events anew; the future is done when the panes go as far as the log did when this was called.

        Raises:
            NotFound: there is none of that name.
            StoreCorrupt: its definition is damaged.
            StoreClosed: the log is closed.
        """
        with self._lock:
            self._check_open()
            folding = self._folding(name)
            anew = self._foldings[name] = Folding(folding.metric, folding.plan, None)
            anew.relieve(folding)
            future = anew.wait_for(self._measuring.size)
        self.start()
        return future

    def forget(self) -> None:
        """Fold all events anew for every metric, as some were erased, and wait until nothing else is kept. Blocks.

        Raises:
            StoreClosed: the log is closed before that is done.
        """
        for future in [self.rebuild(one.metric.name) for one in self.registrations()]:
            future.result()

    def caught_up(self) -> Future[None]:
        """Return a future that is done when the panes of all metrics go as far as the log does now.

        Raises:
            StoreClosed: the log is closed.
        """
        all_done = running_future()
        size = self._measuring.size
        with self._lock:
            self._check_open()
            parts = [folding.wait_for(size) for folding in self._foldings.values()]
        left, counting = len(parts), threading.Lock()
        if not left:
            all_done.set_result(None)

        def done(_: Future[None]) -> None:
            nonlocal left
            with counting:
                left -= 1
                if left:
                    return
            error = next(filter(None, [part.exception() for part in parts]), None)
            if error is None:
                all_done.set_result(None)
            else:
                all_done.set_exception(error)

        for part in parts:
            part.add_done_callback(done)
        self._wake()
        return all_done

    def close(self) -> None:
        """Keep what is folded in, and end the thread. Blocks."""
        self._stopping.set()
        self._wake()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        with self._lock:
            for folding in self._foldings.values():
                folding.fail(StoreClosed("the log is closed"))
            for _, future in self._leaving:
                future.set_exception(StoreClosed("the log is closed"))
            self._leaving.clear()

    def _check_open(self) -> None:
        if self._stopping.is_set():
            raise StoreClosed("the log is closed")

    # -- the thread --------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        self._changed.set()
        sleeper = self._sleeper
        if sleeper is not None:
            sleeper.wake()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._changed.clear()
            try:
                more = self._step()
            except StoreClosed:
                break
            except AuditError as error:
                _log.warning("registered metrics wait, and go on later: %s", error)
                self._stopping.wait(_RETRY_S)
                continue
            except Exception:  # noqa: BLE001 - whatever it was, the log goes on, and this is tried again
                _log.exception("registered metrics wait, and go on later")
                self._stopping.wait(_RETRY_S)
                continue
            if not more:
                self._sleep()
            elif any(one.awaited for one in self._all()):
                continue
            elif self._behind() < _FEW_EVENTS:
                # New events came while the others were folded in: a busy log would be followed step by step.
                self._gather()
            elif len(self._sequencer):
                self._stopping.wait(_YIELD_S)
        try:
            self._keep(self._all())
        except AuditError as error:
            _log.warning("what is not kept of registered metrics is folded in again: %s", error)

    def _all(self) -> list[Folding]:
        with self._lock:
            return [one for one in self._foldings.values() if one.broken is None]

    def _step(self) -> bool:
        """Fold in some events, and keep what is to be kept; return whether there is more to do."""
        self._let_go()
        foldings = self._all()
        snapshot = self._measuring.look().snapshot
        folded = fold_next(foldings, self._measuring, self._handle, snapshot)
        now_ms = self._clock.monotonic_ms()
        some = 1 if now_ms - self._kept_ms >= _KEEP_MS else _KEEP_EVENTS
        due = [one for one in foldings if not one.told or one.arrived or (one.unkept >= some and _pays(one))]
        if due:
            self._keep(due)
        for one in foldings:
            one.tell()
        return folded

    def _let_go(self) -> None:
        """Have the writer take what is registered no more out of the store. What is registered again begins anew."""
        with self._lock:
            leaving = list(self._leaving)
            gone = [name for name, _ in leaving if name not in self._foldings]
        if gone:
            self._written([MetricWrite(name, None, {}) for name in dict.fromkeys(gone)])
        with self._lock:
            del self._leaving[: len(leaving)]
        for _, future in leaving:
            future.set_result(None)

    def _keep(self, foldings: list[Folding]) -> None:
        """Have the writer keep what has changed, and wait until it is on disk."""
        changed = [one for one in foldings if one.unkept or not one.told]
        if not changed:
            return
        self._written([one.write() for one in changed])
        self._kept_ms = self._clock.monotonic_ms()
        for one in changed:
            one.kept()

    def _written(self, writes: list[MetricWrite]) -> None:
        """Have the writer write, and wait until it is on disk."""
        future = self._sequencer.keep(writes)
        while not wait((future,), _GATHER_S).done:
            if self._stopping.is_set() and self._handle.fenced:
                raise Unavailable("the store is fenced, and the log is being closed")
        future.result()

    def _sleep(self) -> None:
        """Wait for the next commit, and a little for more of them; or until something is to be kept."""
        sleeper = Sleeper(None)
        self._sleeper = sleeper
        foldings = self._all()
        size = min([one.size for one in foldings], default=self._measuring.size)
        keep_in_s = None
        if any(one.unkept and _pays(one) for one in foldings):
            keep_in_s = max(0, self._kept_ms + _KEEP_MS - self._clock.monotonic_ms()) / 1000
        try:
            still = lambda: size == self._measuring.size and not self._changed.is_set()  # noqa: E731
            if self._wakeups.sleep(sleeper, (), still):
                try:
                    sleeper.wait_blocking(keep_in_s)
                finally:
                    self._wakeups.leave(sleeper, (), lambda: Position(-1, 0))
        finally:
            self._sleeper = None
        self._gather()

    def _gather(self) -> None:
        """Let commits gather, as long as there are many of them and nobody waits."""
        while not self._changed.is_set():
            before, busy = self._measuring.size, False
            for _ in range(_LOOKS):
                self._changed.wait(_GATHER_S / _LOOKS)
                busy = busy or len(self._sequencer) > 0
            busy = busy or self._measuring.size - before >= _BUSY_EVENTS
            snapshot = self._sequencer.snapshot
            most = (snapshot.size - snapshot.first_index) * 3 // 4 if snapshot.first_index else _LAG_EVENTS
            if not busy or self._behind() >= min(most, _LAG_EVENTS):
                return

    def _behind(self) -> int:
        size = self._measuring.size
        return size - min([one.size for one in self._all()], default=size)


def _unknown(name: str) -> NotFound:
    return NotFound(f"no metric is registered as {name!r:.140}")


def _pays(one: Folding) -> bool:
    return one.unkept >= min(one.kept_bytes // _KEEP_BYTES, _LAG_EVENTS)


def _position(kept: Kept) -> Position | None:
    return Position(kept.size - 1, int(kept.last_id, 16)) if kept.size else None
