"""A log's whole life from one seed: appenders, tails, readers, faults, clock steps and kills, in the seed's own order.

The log is the real one; its threads are a `Scheduler`'s, its clock is a fake, its storage is in memory and fails as
LevelDB does: what is written to a handle after a failed write is read back from it, and gone when the store is opened
again. `simulate` compares what came of it with a list of what callers were told.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from copy import copy
from typing import Any, Final, NamedTuple, NoReturn

import pytest

import audit.log.checkpoints
import audit.log.handle
import audit.log.purging
import audit.log.queue
import audit.log.sequencer
import audit.log.wakeups
import audit.storage.memory
from audit import (
    Batch,
    CaughtUp,
    ClockSuspect,
    DiskFull,
    End,
    Event,
    NewEvent,
    OutcomeUnknown,
    Overloaded,
    Receipt,
    StoreClosed,
    SyncAudit,
    SyncTail,
    Unavailable,
)
from audit.codec.erasing import erased_ids
from audit.codec.events import event_id_text, is_erased, split_event
from audit.log.purging import Purger
from audit.log.room import Room
from audit.log.signing import Signing
from audit.model.ids import EventId
from audit.proof.keys import SigningKey
from audit.storage.memory import Disk, MemoryStorage
from audit.storage.options import StoreOptions
from audit.storage.port import Batch as Written
from audit.storage.port import Storage
from audit.testing import FakeClock, Faults, check_log, log_on
from audit.testing.logs import STORE_ID
from tests.fault.scheduler import Scheduler
from tests.stores import TINY

__all__ = ["Outcome", "SimulationError", "simulate"]

MODULES: Final = (
    audit.log.checkpoints,
    audit.log.handle,
    audit.log.purging,
    audit.log.queue,
    audit.log.sequencer,
    audit.log.wakeups,
    audit.storage.memory,
)
KEY: Final = SigningKey.new("audit.example/log", bytes(32))
TOPICS: Final = (("a",), ("a", "b"), ("c",))
HOUR_MS: Final = 3_600_000
YEAR_MS: Final = 365 * 24 * HOUR_MS


class Outcome(NamedTuple):
    """What came of a run."""

    seed: int
    digest: int
    steps: int
    switches: int
    acknowledged: int
    unknown: int
    delivered: int
    kills: int
    failures: int
    refusals: int
    erased: int


class SimulationError(AssertionError):
    """A run that went wrong; says how to have it again."""


class FullAtTimes(Room):
    """Disk space that runs out and comes back; asking for it takes a while."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.full = False
        self._scheduler = scheduler

    def check(self) -> None:
        self._scheduler.point("room")
        if self.full:
            raise DiskFull("the disk is full, as the seed wants it")


class LosingStorage:
    """One handle, as LevelDB's: after a failed write it goes on as if nothing had been, and loses what it is given."""

    def __init__(self, beneath: Storage, faults: Faults, disk: Disk, scheduler: Scheduler) -> None:
        self._beneath = beneath
        self._faults = faults
        self._disk = disk
        self._scheduler = scheduler
        self._failed = False

    def append(self, batch: Written) -> None:
        self._scheduler.point("write begins")
        batch.ready()
        if not self._failed:
            self._failed = True
            # A batch is atomic: whoever is killed before or after has written nothing, or all.
            self._faults.append(self._beneath, batch)
            self._failed = False
        else:
            if not isinstance(self._beneath, _Overlay):
                self._beneath = _Overlay(self._disk)
            self._beneath.append(batch)
        self._scheduler.point("write ends")

    def close(self) -> None:
        # After the last reader has left, as the gate of the real one has it.
        self._beneath.close()

    def __getattr__(self, name: str) -> Any:
        self._scheduler.point(name)
        return getattr(self._beneath, name)


class _Overlay(MemoryStorage):
    """A disk's copy: what is written to it never reaches the disk."""

    def __init__(self, disk: Disk) -> None:
        own = copy(disk)
        own.sealed, own.commits, own.claims = list(disk.sealed), dict(disk.commits), dict(disk.claims)
        own.unpurged = set(disk.unpurged)
        own.tiles = dict(disk.tiles)
        super().__init__(own)


class Call:
    """One call of an appender, and what it was told."""

    def __init__(self, name: str, events: list[NewEvent], key: str | None) -> None:
        self.names = [f"{name}.{number}" for number in range(len(events))]
        self.events = events
        self.key = key
        self.receipts: list[Receipt] | None = None
        self.in_doubt = False


class Appender:
    """Appends its calls one after the other, in whichever process lives; tries a keyed one again."""

    def __init__(self, world: World, number: int) -> None:
        self._world = world
        self.name = f"appender {number}"
        rng = world.random
        self.calls: list[Call] = []
        for count in range(rng.randint(1, 6)):
            name = f"c{number}-{count}"
            topics = [[rng.choice(TOPICS)] for _ in range(rng.choice((1, 1, 2, 3, 9)))]
            key = rng.choice((None, "call", "event"))
            events = [
                NewEvent(
                    topics=list(topic),
                    action=f"{name}.{at}",
                    data="x" * rng.choice((1, 100, 300)),
                    idempotency_key=f"{name}.{at}" if key == "event" else None,
                )
                for at, topic in enumerate(topics)
            ]
            self.calls.append(Call(name, events, name if key == "call" else None))
        self._next = 0
        self._in_flight = False

    @property
    def over(self) -> bool:
        return self._next == len(self.calls)

    def run(self) -> None:
        if self._in_flight:
            self._doubt(self.calls[self._next])
        while not self.over:
            self._append(self.calls[self._next])

    def _append(self, call: Call) -> None:
        world = self._world
        log = world.log
        try:
            self._in_flight = True
            future: Future[list[Receipt]] = log._core.submit(call.events, call.key, None)
            world.scheduler.block(future.done, "acknowledgement")
            receipts = future.result()
        except OutcomeUnknown:
            self._doubt(call)
            return
        except (Unavailable, ClockSuspect, Overloaded):
            # Nothing was written, this time.
            self._in_flight = False
            self._next += 1
            return
        except StoreClosed:
            # Never before the log is closed in earnest, and then nothing was queued: the next process may have it.
            self._in_flight = False
            world.await_end()
        self._in_flight = False
        call.receipts = receipts
        world.scheduler.note(f"acknowledged {call.names[0]} {receipts[0].index}")
        self._next += 1
        self._read_own(log, call, receipts)

    def _doubt(self, call: Call) -> None:
        self._in_flight = False
        call.in_doubt = True
        if call.key is None and call.events[0].idempotency_key is None:
            self._next += 1

    def _read_own(self, log: SyncAudit, call: Call, receipts: list[Receipt]) -> None:
        """What is acknowledged is there for whoever asks now."""
        at = self._world.random.randrange(len(receipts))
        try:
            raw = log.get_raw(receipts[at].id)
        except (Unavailable, StoreClosed):
            return
        self._world.saw(raw)
        if is_erased(raw):
            assert receipts[at].id in self._world.erasing, "an event is erased that nobody asked to erase"
        else:
            assert f'"action":"{call.names[at]}"'.encode() in raw, "a receipt names another event"


class Follower:
    """Follows a topic by a tail; after a restart by its cursor."""

    def __init__(self, world: World, number: int) -> None:
        self._world = world
        self.name = f"tail {number}"
        self.topic = world.random.choice(((), *TOPICS))
        self._now = world.random.random() < 0.3
        self.cursor: str | None = None
        self.starts = (0, 0)
        self.got: list[bytes] = []

    def run(self) -> None:
        world = self._world
        while True:
            try:
                tail = self._open(world.log)
            except StoreClosed:
                world.await_end()
            for _ in range(world.random.randint(1, 12)):
                try:
                    notice = tail.read(
                        world.random.choice((1, 3, 1_000)), timeout_s=world.random.choice((None, None, 0.0, 0.5))
                    )
                except Unavailable:
                    continue
                except StoreClosed:
                    world.await_end()
                if isinstance(notice, Batch):
                    self.got += map(_header, notice.slices)
                    self.cursor = notice.cursor
                elif isinstance(notice, End):
                    assert notice.reason == "shutdown", notice
                    self.cursor = notice.cursor
                    world.await_end()
                elif isinstance(notice, CaughtUp):
                    self.cursor = notice.cursor
            tail.close()

    def _open(self, log: SyncAudit) -> SyncTail:
        if self.cursor is not None:
            return log.subscribe(self.topic, cursor=self.cursor)
        before = log.info().size
        tail = log.subscribe(self.topic, seek="now" if self._now else None)
        self.starts = (before, log.info().size) if self._now else (0, 0)
        self.cursor = tail.cursor
        return tail

    def expected(self, events: list[tuple[bytes, Event]]) -> list[list[bytes]]:
        """Return what it may have been told, for each place where it may have started."""
        return [
            [
                _header(raw)
                for raw, event in events[start:]
                if not self.topic or any(one[: len(self.topic)] == self.topic for one in event.topics)
            ]
            for start in range(self.starts[0], self.starts[1] + 1)
        ]


class Eraser:
    """Erases some of what was acknowledged, in whichever process lives; tries again what was in doubt."""

    name = "eraser"

    def __init__(self, world: World) -> None:
        self._world = world
        self._ids: list[str] = []
        self._left = world.random.randint(0, 3)

    @property
    def over(self) -> bool:
        return self._left == 0

    def run(self) -> None:
        world = self._world
        while not self.over:
            if not self._ids:
                world.scheduler.block(
                    lambda: any(call.receipts for call in world.calls) or all(one.over for one in world.appenders),
                    "something to erase",
                )
                known = [one.id for call in world.calls for one in call.receipts or ()]
                self._ids = world.random.sample(known, min(len(known), world.random.choice((1, 2, 7))))
            if self._ids:
                world.erasing.update(self._ids)
                try:
                    world.log.erase(self._ids, reason="as the seed wants it")
                except (OutcomeUnknown, Unavailable, ClockSuspect, Overloaded):
                    self._left -= 1
                    continue
                except StoreClosed:
                    world.await_end()
                world.erased.update(self._ids)
                self._read_erased()
                self._ids = []
            self._left -= 1
            world.scheduler.point("erased")

    def _read_erased(self) -> None:
        """What is acknowledged as erased is so for whoever asks now, and no file has anything to purge."""
        try:
            raws = [self._world.log.get_raw(one) for one in self._ids]
        except (Unavailable, StoreClosed):
            return
        assert all(map(is_erased, raws)), "an event is not erased, though that was acknowledged"


class Pager:
    """Reads pages; remembers what it saw, which must be true for ever."""

    name = "pager"

    def __init__(self, world: World) -> None:
        self._world = world

    def run(self) -> None:
        rng, world = self._world.random, self._world
        for _ in range(rng.randint(1, 6)):
            try:
                page = world.log.list(rng.choice(((), *TOPICS)), order=rng.choice(("asc", "desc")), limit=20)
            except (Unavailable, StoreClosed):
                continue
            world.saw(*page.slices)
            world.scheduler.point("page")


class World:
    """What outlives the processes: the disk, the clock, those who call; and what happens to them."""

    def __init__(self, seed: int) -> None:
        self.clock = FakeClock()
        self.scheduler = Scheduler(seed, self.clock)
        self.random = self.scheduler.random
        self._disk = Disk(STORE_ID, TINY)
        self._faults = Faults(lambda: MemoryStorage(self._disk))
        self._room = FullAtTimes(self.scheduler)
        self._options = StoreOptions(
            recent_bytes=self.random.choice((0, 1_000, 1 << 20)), queue_events=self.random.choice((9, 10_000))
        )
        # Half of the logs sign, some of them after nearly every commit.
        keys = (KEY,) if self.random.random() < 0.5 else ()
        self._signing = Signing(keys=keys, interval_s=self.random.choice((0.0, 0.5, 60.0)))
        self._seen: dict[bytes, bytes] = {}
        self.erasing: set[str] = set()
        """What somebody has asked to erase."""
        self.erased: set[str] = set()
        """What was acknowledged as erased."""
        self.eraser = Eraser(self)
        self.appenders = [Appender(self, number) for number in range(self.random.randint(1, 3))]
        self.followers = [Follower(self, number) for number in range(self.random.randint(1, 3))]
        self.log: SyncAudit
        self._seed = seed
        self.kills = self.failures = self.refusals = 0
        self.stored: list[bytes] = []

    def saw(self, *raws: bytes) -> None:
        """Remember events that somebody was shown."""
        for raw in raws:
            before = self._seen.setdefault(event_id_text(raw), raw)
            assert _header(before) == _header(raw), "an id has two events"
            if before != raw:
                assert event_id_text(raw).decode() in self.erasing, "an event is erased that nobody asked to erase"
                assert is_erased(before) or is_erased(raw), "an id has two events"

    def await_end(self) -> NoReturn:
        """Wait until the process is over; nothing goes on after that."""
        self.scheduler.block(lambda: False, "the end of the process")
        raise AssertionError("there is life after the end")

    def run(self) -> None:
        self._start()
        for _ in range(self.random.randint(0, 8)):
            for _ in range(self.random.randint(1, 30)):
                self.scheduler.point("between two faults")
            self._disturb()
        self._settle()
        busy: list[Appender | Eraser] = [*self.appenders, self.eraser]
        self.scheduler.block(lambda: all(one.over for one in busy), "all is appended, and erased")
        self._check_tails()
        self._restart(kill=self.random.random() < 0.5)
        with self.scheduler.undisturbed():
            self._check()
        self._end_process()

    # -- what happens --------------------------------------------------------------------------------------------------

    def _disturb(self) -> None:
        what = self.random.choice(
            ("fail", "fail", "fail", "kill", "kill", "close", "step", "year", "full", "time", "settle")
        )
        self.scheduler.note(what)
        if what == "fail":
            self.failures += 1
            self._faults.fail_append(self.random.randint(1, 2), persisted=self.random.random() < 0.5)
            if self.random.random() < 0.5:
                self.refusals += 1
                self._faults.refuse_opens(self.random.choice((1, 2, 5, 12)))
        elif what in {"kill", "close"}:
            self._restart(kill=what == "kill")
        elif what == "step":
            self.clock.step(self.random.choice((-1_000, -HOUR_MS + 1, 1_000, HOUR_MS - 1, 0)))
        elif what == "year":
            self.clock.step(self.random.choice((-YEAR_MS, 2 * HOUR_MS, -2 * HOUR_MS)))
        elif what == "full":
            self._room.full = True
        elif what == "time":
            self.clock.advance(self.random.choice((1, 60_000)))
        else:
            self._settle()

    def _settle(self) -> None:
        """Put everything right that can be put right."""
        self._room.full = False
        self._faults.refuse_opens(0)
        self.log.accept_clock()

    def _open(self) -> Storage:
        self.scheduler.point("open")
        beneath: Any = LosingStorage(self._faults.open()._storage, self._faults, self._disk, self.scheduler)
        opened: Storage = beneath
        return opened

    def _start(self) -> None:
        """Start a process: the log, and all who use it, going on where they were."""
        self.scheduler.process += 1
        self.log = log_on(
            self._open,
            clock=self.clock,
            room=self._room,
            options=self._options,
            seed=self._seed,
            accept_clock=True,
            signing=self._signing,
        )
        work: list[Appender | Follower | Eraser | Pager] = [*self.appenders, *self.followers, self.eraser]
        if self.random.random() < 0.5:
            work.append(Pager(self))
        for one in work:
            self.scheduler.threading.Thread(one.run, one.name).start()

    def _restart(self, *, kill: bool) -> None:
        if kill:
            self.kills += 1
        else:
            self._faults.refuse_opens(0)
            self.log.close()
        self._end_process()
        self._faults.refuse_opens(0)
        self._start()

    def _end_process(self) -> None:
        self.scheduler.kill(self.scheduler.process)

    # -- what must be so -----------------------------------------------------------------------------------------------

    def _check_tails(self) -> None:
        """Without anything that would wake them: who follows is told all that there is, by itself."""
        # What was in doubt is settled once the store is open again.
        self.scheduler.block(lambda: self.log._core.sequencer._fenced_by is None, "the store is back")
        self.stored = [raw for raw, _ in self._everything()]
        events = self._everything()
        for one in self.followers:
            self.scheduler.block(
                lambda one=one: one.cursor is not None and one.got in one.expected(events),  # type: ignore[misc]
                f"{one.name} has everything",
            )

    def _everything(self) -> list[tuple[bytes, Event]]:
        found: list[tuple[bytes, Event]] = []
        cursor, more = None, True
        while more:
            page = self.log.list(limit=1_000, cursor=cursor)
            found += zip(page.slices, page.events, strict=True)
            cursor, more = page.cursor, page.has_more
        return found

    def _check(self) -> None:
        check_log(self.log)
        events = self._everything()
        assert [raw for raw, _ in events] == self.stored, "the events are not those of before the restart"
        self._check_erasures(events)
        places = self._places(events)
        for call in (call for one in self.appenders for call in one.calls):
            found = [places.pop(name) for name in call.names if name in places]
            if call.receipts is not None:
                told = [(receipt.id, receipt.index) for receipt in call.receipts]
                assert found == told, f"{call.names[0]} was acknowledged at {told}, found {found}"
            elif not call.in_doubt:
                assert not found, f"{call.names[0]} was refused and is there: {found}"
            elif found:
                assert len(found) == len(call.names), f"part of {call.names[0]} is there: {found}"
            indexes = [index for _, index in found]
            assert indexes == list(range(indexes[0], indexes[0] + len(indexes))) if indexes else True, "out of order"
        assert not places, f"nobody appended {places}"
        for one in self.appenders:
            own = [call.receipts[0].index for call in one.calls if call.receipts]
            assert own == sorted(own), f"{one.name}'s calls are out of order"
        stored = {_header(raw) for raw in self.stored}
        assert all(_header(raw) in stored for raw in self._seen.values()), "somebody was shown what is not there"
        for follower in self.followers:
            assert follower.got in follower.expected(events), f"{follower.name} was told other events"

    def _places(self, events: list[tuple[bytes, Event]]) -> dict[str | None, tuple[EventId, int]]:
        """Return id and index of what was appended, by its name, though it is erased."""
        told = [call for call in self.calls if call.receipts]
        names = {one.id: name for call in told for one, name in zip(call.receipts or (), call.names, strict=True)}
        appended = [event for _, event in events if not erased_ids(event)]
        places = {names.get(event.id, event.action): (event.id, event.index) for event in appended}
        assert len(places) == len(appended), "an event is there twice"
        return places

    def _check_erasures(self, events: list[tuple[bytes, Event]]) -> None:
        gone = [event.id for _, event in events if event.erased]
        named = [one for _, event in events for one in erased_ids(event)]
        assert sorted(named) == gone, "the records of erasures do not name just what is erased, each once"
        assert self.erased <= set(gone) <= self.erasing, "what is erased is not what was asked for"

    @property
    def calls(self) -> list[Call]:
        return [call for one in self.appenders for call in one.calls]


def _header(raw: bytes) -> bytes:
    return split_event(raw)[0]


def simulate(seed: int) -> Outcome:
    """Live through one seed.

    Raises:
        SimulationError: something was lost, repeated, reordered, invented, or never came.
    """
    with _simulated_threads() as use:
        world = World(seed)
        use(world.scheduler)
        try:
            world.scheduler.run(world.run)
        except Exception as error:
            story = "\n  ".join(world.scheduler.tail)
            raise SimulationError(f"AUDIT_SIM_SEED={seed} has it again: {error!r:.2000}\n  {story}") from error
    calls = [call for one in world.appenders for call in one.calls]
    told = world.scheduler
    return Outcome(
        seed=seed,
        digest=told.digest,
        steps=told.steps,
        switches=told.switches,
        acknowledged=sum(len(call.names) for call in calls if call.receipts),
        unknown=sum(call.in_doubt and call.receipts is None for call in calls),
        delivered=sum(len(one.got) for one in world.followers),
        kills=world.kills,
        failures=world.failures,
        refusals=world.refusals,
        erased=len(world.erased),
    )


@contextmanager
def _simulated_threads() -> Iterator[Callable[[Scheduler], None]]:
    """Put a scheduler in the place of threads, in the modules that wait."""
    collected = gc.isenabled()
    # What a destructor does would be done at some other point the next time.
    gc.disable()
    try:
        with pytest.MonkeyPatch.context() as patch:

            def use(scheduler: Scheduler) -> None:
                for module in MODULES:
                    patch.setattr(module, "threading", scheduler.threading)

                def answer(future: Future[Any]) -> Any:
                    scheduler.block(future.done, "what the writer does for an erasure")
                    return future.result()

                patch.setattr(Purger, "_answer", staticmethod(answer))

            yield use
    finally:
        if collected:
            gc.enable()
