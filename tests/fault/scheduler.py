"""Threads of which one runs at a time, and a seed says which: the same seed is the same interleaving.

`Scheduler.threading` takes the place of the module `threading` in the code under test. Its locks, events and conditions
are points where the baton may pass to another thread; between two points nothing else runs. Whoever waits, waits for
something that another thread brings about, or for a deadline of the fake clock, which moves on when nobody can run.
"""

from __future__ import annotations

import random
import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace, TracebackType
from typing import Any, Final

from audit.testing import FakeClock

__all__ = ["Deadlock", "Killed", "Scheduler"]

MOST_STEPS: Final = 50_000
_KEPT: Final = 60


class Deadlock(AssertionError):
    """Nobody can run, and no time that passes changes that; or it never ends."""


class Killed(BaseException):
    """Raised in a thread whose process was killed; no `except Exception` of the code under test takes it."""


class SimThread:
    """One thread, which runs when it is handed the baton."""

    def __init__(self, scheduler: Scheduler, target: Callable[[], None], name: str) -> None:
        self.name = name
        self.process = scheduler.process
        self.baton = threading.Lock()
        self.baton.acquire()
        self.until: Callable[[], bool] | None = None
        """What it waits for; None: nothing."""
        self.deadline_ms: float | None = None
        self.over = False
        self.ident: int | None = None
        self._scheduler = scheduler
        self._target = target
        self._thread = threading.Thread(target=self._run, name=f"simulated {name}", daemon=True)

    def start(self) -> None:
        self.ident = len(self._scheduler.threads) + 1
        self._scheduler.threads.append(self)
        self._thread.start()
        self._scheduler.point("start")

    def join(self, timeout: float | None = None) -> None:
        self._scheduler.block(lambda: self.over, "join", timeout)

    def is_alive(self) -> bool:
        return self.ident is not None and not self.over

    def settle(self) -> None:
        """Wait for the real thread, which is over."""
        self._thread.join()

    def _run(self) -> None:
        self.baton.acquire()
        try:
            if self.process not in self._scheduler.dead:
                self._target()
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001 - whatever a thread ends with is what the run ends with
            self._scheduler.fail(error)
        finally:
            self.over = True
            self._scheduler.leave()


class Scheduler:
    """Who runs, and who waits for what."""

    def __init__(self, seed: int, clock: FakeClock) -> None:
        self.random = random.Random(seed)
        self.clock = clock
        self.threads: list[SimThread] = []
        self.process = 0
        """Whom threads that are made now belong to; 0 is the world, which is never killed."""
        self.dead: set[int] = set()
        self.steps = 0
        self.switches = 0
        self.restless = self.random.choice((0.05, 0.2, 0.5))
        """How often a point is one where somebody else goes on."""
        self.digest = 0
        self.tail: deque[str] = deque(maxlen=_KEPT)
        """What happened last."""
        self.current: SimThread | None = None
        self.failure: BaseException | None = None
        self._done = threading.Lock()
        self._done.acquire()
        self.threading: Any = SimpleNamespace(
            Lock=lambda: _Lock(self),
            Condition=lambda lock=None: _Condition(self, lock),
            Event=lambda: _Event(self),
            Thread=lambda target, name, daemon=True: SimThread(self, target, name),
            current_thread=lambda: self.current,
        )

    def run(self, main: Callable[[], None]) -> None:
        """Run `main` as the world's thread, and all that it starts, until all are over.

        Raises:
            BaseException: what the first thread to fail raised.
        """
        first = SimThread(self, main, "world")
        first.ident = 1
        self.threads.append(first)
        first._thread.start()
        self.current = first
        first.baton.release()
        self._done.acquire()
        self.current = None
        for thread in self.threads:
            thread.settle()
        if self.failure is not None:
            raise self.failure

    # -- for the running thread ----------------------------------------------------------------------------------------

    def point(self, label: str) -> None:
        """Let somebody else go on, or not."""
        me = self.current
        if me is None:
            return
        self.check_alive()
        self.steps += 1
        if self.random.random() < self.restless:
            self._note(label)
            self._pass_on(self.random.choice(self._ready()))

    def block(self, until: Callable[[], bool], label: str, timeout_s: float | None = None) -> bool:
        """Wait until something is so, or the time is over; return whether it is."""
        me = self.current
        self.point(label)
        if until():
            return True
        if me is None:
            raise Deadlock(f"{label}: nobody is left to wait for")
        me.until = until
        me.deadline_ms = None if timeout_s is None else self.clock.monotonic_ms() + timeout_s * 1000
        self._note(f"waits: {label}")
        try:
            self._pass_on(self._next())
        except Deadlock as error:
            self.fail(error)
            raise Killed from error
        finally:
            me.until = me.deadline_ms = None
        return until()

    def note(self, text: str) -> None:
        """Add a line to what happened."""
        self._note(text)

    def check_alive(self) -> None:
        """Return unless the running thread's process was killed, or the run has failed."""
        me = self.current
        if me is not None and (me.process in self.dead or (self.failure is not None and me.process)):
            raise Killed

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Let nobody else go on at points that need not wait."""
        restless, self.restless = self.restless, 0.0
        yield
        self.restless = restless

    def kill(self, process: int) -> None:
        """End the threads of a process wherever they are; none of them does anything more."""
        self.dead.add(process)
        self._note(f"kill {process}")
        me = self.current
        assert me is not None
        for thread in self.threads:
            if thread.process == process and not thread.over:
                thread.until = None
                self._reap(me, thread)

    def _reap(self, me: SimThread, thread: SimThread) -> None:
        self._heir = me
        self._pass_on(thread)
        self._heir = None

    _heir: SimThread | None = None
    """Who goes on after a thread that is being killed."""

    # -- handing over --------------------------------------------------------------------------------------------------

    def _ready(self) -> list[SimThread]:
        now = self.clock.monotonic_ms()
        return [
            thread
            for thread in self.threads
            if not thread.over
            and (
                thread.until is None or (thread.deadline_ms is not None and thread.deadline_ms <= now) or thread.until()
            )
        ]

    def _next(self) -> SimThread:
        """Return somebody who can run; when nobody can, time passes."""
        if self.steps > MOST_STEPS:
            raise Deadlock(f"no end after {self.steps} steps")
        self.steps += 1
        ready = self._ready()
        if not ready:
            waiting = [one.deadline_ms for one in self.threads if not one.over and one.deadline_ms is not None]
            if not waiting:
                names = [one.name for one in self.threads if not one.over]
                raise Deadlock(f"{names} wait for each other")
            self.clock.advance(max(0, int(min(waiting) - self.clock.monotonic_ms()) + 1))
            ready = self._ready()
        return self.random.choice(ready)

    def _pass_on(self, to: SimThread) -> None:
        me = self.current
        if to is me:
            return
        self.switches += 1
        self.current = to
        to.baton.release()
        assert me is not None
        me.baton.acquire()
        self.check_alive()

    def leave(self) -> None:
        """Hand the baton on for good."""
        me = self.current
        assert me is not None
        self._note("ends")
        left = [thread for thread in self.threads if not thread.over]
        if self.failure is not None:
            # Everybody else is ended where they stand, one after the other.
            self.dead.update(thread.process for thread in left)
            self._heir = None
            to = left[0] if left else None
        elif self._heir is not None:
            to = self._heir
        elif left:
            try:
                to = self._next()
            except Deadlock as error:
                self.fail(error)
                self.leave()
                return
        else:
            to = None
        self.current = to
        (self._done if to is None else to.baton).release()

    def fail(self, error: BaseException) -> None:
        """End the run with an error, unless it has one."""
        self.failure = self.failure or error

    def _note(self, text: str) -> None:
        line = f"{self.current.name if self.current else ''}: {text}"
        self.digest = zlib.crc32(line.encode(), self.digest)
        self.tail.append(line)


class _Lock:
    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._held = False

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        scheduler = self._scheduler
        scheduler.point("lock")
        while self._held:
            if not blocking or not scheduler.block(lambda: not self._held, "lock", None if timeout < 0 else timeout):
                return False
        self._held = True
        return True

    def release(self) -> None:
        self._held = False

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held = False
        if kind is None:
            self._scheduler.point("unlocked")


class _Event:
    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._set = False

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True

    def wait(self, timeout: float | None = None) -> bool:
        return self._scheduler.block(self.is_set, "event", timeout)


class _Condition:
    def __init__(self, scheduler: Scheduler, lock: _Lock | None) -> None:
        self._scheduler = scheduler
        self._lock = lock or _Lock(scheduler)
        self._waiting: list[list[bool]] = []

    def __enter__(self) -> bool:
        return self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.__exit__(kind, error, trace)

    def wait(self, timeout: float | None = None) -> bool:
        told = [False]
        self._waiting.append(told)
        self._lock.release()
        try:
            return self._scheduler.block(lambda: told[0], "condition", timeout)
        finally:
            if told in self._waiting:
                self._waiting = [one for one in self._waiting if one is not told]
            self._scheduler.check_alive()
            self._lock.acquire()

    def wait_for(self, predicate: Callable[[], bool], timeout: float | None = None) -> bool:
        clock = self._scheduler.clock
        until = None if timeout is None else clock.monotonic_ms() + timeout * 1000
        while not predicate():
            left = None if until is None else (until - clock.monotonic_ms()) / 1000
            if left is not None and left <= 0:
                break
            self.wait(left)
        return predicate()

    def notify(self, n: int = 1) -> None:
        for told in self._waiting[:n]:
            told[0] = True
        self._waiting = self._waiting[n:]

    def notify_all(self) -> None:
        self.notify(len(self._waiting))
