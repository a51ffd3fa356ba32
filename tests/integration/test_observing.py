"""Live events as Observables, in event loops and in plain threads, beside observers that fail and logs that close."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import reactivex
from reactivex import operators as ops

from audit import Audit, Event, InvalidParameter, NewEvent, StoreClosed, StoreCorrupt, StoreOptions, SyncAudit
from audit.log.tail import Step, TailCore
from audit.testing import Faults, log_on
from tests.stores import OPTIONS, leveldb_opener

PATIENCE_S = 30.0
SMALL = StoreOptions(recent_bytes=2_000, min_free_bytes=0, reserve_bytes=0)


def event(n: int, *topic: str) -> NewEvent:
    return NewEvent(topics=[topic or ("node",)], data=n)


class Seen:
    """What an observer was told, for another thread or task to wait for."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.data: list[Any] = []
        self.errors: list[Exception] = []
        self.completed = 0
        self.threads: set[str] = set()

    def on_next(self, event: Event) -> None:
        with self._changed:
            self.data.append(event.data)
            self.threads.add(threading.current_thread().name)
            self._changed.notify_all()

    def on_error(self, error: Exception) -> None:
        with self._changed:
            self.errors.append(error)
            self._changed.notify_all()

    def on_completed(self) -> None:
        with self._changed:
            self.completed += 1
            self._changed.notify_all()

    def wait(self, there: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(there, PATIENCE_S), (self.data, self.errors, self.completed)

    def wait_for(self, count: int) -> None:
        self.wait(lambda: len(self.data) >= count)


async def settled(there: Callable[[], bool]) -> None:
    """Return once something is so, which takes a few turns of the event loop."""
    async with asyncio.timeout(PATIENCE_S):
        while not there():  # noqa: ASYNC110 - what is waited for, such as a task being gone, has no event
            await asyncio.sleep(0)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SyncAudit]:
    with log_on(leveldb_opener(tmp_path / "log"), options=OPTIONS) as log:
        yield log


def live(log: SyncAudit | Audit) -> tuple[int, int]:
    """Return how many subscriptions there are, and how many of them sleep."""
    return len(log._core.observers), len(log._core.wakeups)


# -- in an event loop --------------------------------------------------------------------------------------------------


async def test_an_observer_in_an_event_loop_sees_what_is_committed_from_its_subscription_on(tmp_path: Path) -> None:
    async with Audit.open(tmp_path / "data", create=True) as log:
        await log.append(event(0))
        observable = log.observe(("node",))
        await log.append(event(1))
        seen, later = Seen(), Seen()
        observable.subscribe(seen.on_next)
        await log.append_many([event(n) for n in range(2, 500)])
        observable.subscribe(later.on_next)
        await log.append_many([event(500), event(-1, "other"), event(501, "node", "connection")])
        await settled(lambda: len(seen.data) >= 500 and len(later.data) >= 2)
        assert seen.data == list(range(2, 502))
        assert later.data == [500, 501]
        assert seen.threads == {threading.current_thread().name}


async def test_topics_and_filter_choose_what_is_observed(tmp_path: Path) -> None:
    async with Audit.open(tmp_path / "data", create=True) as log:
        union, actions = Seen(), Seen()
        log.observe(topics=[("a",), ("b",)]).subscribe(union.on_next)
        log.observe(filter={"action": "opened"}).subscribe(actions.on_next)
        await log.append_many([event(0, "a"), event(1, "b", "c"), event(2, "d")])
        await log.append(NewEvent(topics=[("e",)], action="opened", data=3))
        await settled(lambda: len(union.data) == 2 and len(actions.data) == 1)
        assert (union.data, actions.data) == ([0, 1], [3])


@pytest.mark.parametrize(
    ("arguments", "parameter"),
    [({"topic": "node"}, "topic"), ({"topics": []}, "topics"), ({"filter": {"color": "red"}}, "filter.color")],
)
def test_observe_names_the_parameter_that_is_wrong_at_once(
    log: SyncAudit, arguments: dict[str, Any], parameter: str
) -> None:
    with pytest.raises(InvalidParameter) as caught:
        log.observe(**arguments)
    assert caught.value.parameter == parameter


async def test_disposing_frees_everything_at_once(tmp_path: Path) -> None:
    async with Audit.open(tmp_path / "data", create=True) as log:
        seen = Seen()
        disposable = log.observe().subscribe(seen.on_next)
        await settled(lambda: live(log) == (1, 1))
        disposable.dispose()
        assert len(log._core.wakeups) == 0
        disposable.dispose()
        await log.append(event(1))
        await settled(lambda: live(log) == (0, 0))
        assert seen.data == []
        never = Seen()
        log.observe().subscribe(never.on_next).dispose()
        await settled(lambda: live(log) == (0, 0))
        assert never.data == []


async def test_a_subscription_in_an_event_loop_can_be_disposed_of_from_a_thread(tmp_path: Path) -> None:
    asyncio.get_running_loop().set_debug(True)  # refuses calls that are not safe from another thread
    async with Audit.open(tmp_path / "data", create=True) as log:
        disposable = log.observe().subscribe(Seen().on_next)
        await settled(lambda: live(log) == (1, 1))
        await asyncio.to_thread(disposable.dispose)
        assert len(log._core.wakeups) == 0
        await settled(lambda: "audit-observer" not in {task.get_name() for task in asyncio.all_tasks()})
        await settled(lambda: live(log) == (0, 0))


async def test_an_observer_may_dispose_of_itself_in_the_middle_of_a_commit(tmp_path: Path) -> None:
    async with Audit.open(tmp_path / "data", create=True) as log:
        seen = Seen()
        log.observe().pipe(ops.take(3)).subscribe(seen)  # type: ignore[arg-type]
        await log.append_many([event(n) for n in range(10)])
        await settled(lambda: live(log) == (0, 0))
        assert (seen.data, seen.completed) == ([0, 1, 2], 1)


async def test_a_bad_observer_is_told_and_disposed_of_and_hurts_no_other_nor_appends(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with Audit.open(tmp_path / "data", create=True) as log:
        good, bad, worse, other = Seen(), Seen(), Seen(), Seen()

        def fail(one: Event) -> None:
            raise ValueError(f"can't take {one.data}")

        def fail_again(_: Exception) -> None:
            raise RuntimeError("nor an error")

        observable = log.observe()
        observable.subscribe(good.on_next)
        observable.subscribe(fail, bad.on_error, bad.on_completed)
        observable.subscribe(fail)
        observable.subscribe(fail, fail_again, worse.on_completed)
        observable.pipe(ops.do_action(fail)).subscribe(worse)  # type: ignore[arg-type]
        observable.subscribe(other.on_next)
        await log.append_many([event(n) for n in range(5)])
        await log.append(event(5))
        await settled(lambda: len(good.data) == len(other.data) == 6)
        assert good.data == other.data == list(range(6))
        assert [str(error) for error in bad.errors] == ["can't take 0"]
        assert [str(error) for error in worse.errors] == ["can't take 0"]
        await settled(lambda: live(log) == (2, 2))
        logged = [record.message for record in caplog.records if record.name == "audit"]
        assert len([message for message in logged if "is disposed of" in message]) == 3
        assert len([message for message in logged if "being told" in message]) == 1
    assert (bad.completed, worse.completed) == (0, 0)


async def test_closing_the_log_completes_observers_after_all_that_was_committed(tmp_path: Path) -> None:
    log = await Audit.open(tmp_path / "data", create=True)
    seen = Seen()
    log.observe().subscribe(seen)  # type: ignore[arg-type]
    appends = [log.append_nowait(event(n)) for n in range(2_000)]
    await log.close()
    # Nothing of ours runs any more once `close` has returned.
    assert len(asyncio.all_tasks()) == 1
    assert live(log) == (0, 0)
    assert (seen.data, seen.completed) == (list(range(len(appends))), 1)
    await asyncio.gather(*appends)
    with pytest.raises(StoreClosed):
        log.observe()


async def test_closing_the_log_leaves_no_task_though_an_observer_raises_at_its_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = await Audit.open(tmp_path / "data", create=True)

    def fail() -> None:
        raise ValueError("not over yet")

    log.observe().subscribe(on_completed=fail)
    await log.close()
    assert live(log) == (0, 0)
    assert "were over" in caplog.text


def test_a_loop_that_ends_frees_its_subscriptions(log: SyncAudit) -> None:
    async def subscribe() -> None:
        for _ in range(3):
            log.observe().subscribe(Seen().on_next)
        await settled(lambda: live(log) == (3, 3))
        log.observe().subscribe(Seen().on_next)  # its task never runs

    asyncio.run(subscribe())
    assert live(log) == (0, 0)
    log.append(event(1))


async def test_a_slow_observer_gets_every_event_from_disk_and_costs_no_memory(tmp_path: Path) -> None:
    async with Audit.open(tmp_path / "data", create=True, options=SMALL) as log:
        seen = Seen()
        log.observe(("node",)).subscribe(seen.on_next)
        await asyncio.sleep(0)
        # Appended in a thread while this loop stands still: the observer is thousands of events behind.
        for start in range(0, 5_000, 500):
            log.sync.append_many([event(n) for n in range(start, start + 500)])
        await settled(lambda: len(seen.data) >= 5_000)
        assert seen.data == list(range(5_000))


async def test_closing_the_log_ends_an_observer_that_is_behind(tmp_path: Path) -> None:
    log = await Audit.open(tmp_path / "data", create=True, options=SMALL)
    seen = Seen()
    log.observe().subscribe(seen)  # type: ignore[arg-type]
    await asyncio.sleep(0)
    for start in range(0, 3_000, 500):
        log.sync.append_many([event(n) for n in range(start, start + 500)])
    log.sync.close()
    await settled(lambda: seen.completed == 1)
    assert seen.data == list(range(len(seen.data)))
    assert seen.errors == []
    await settled(lambda: live(log) == (0, 0))


@pytest.mark.parametrize("in_loop", [True, False])
def test_an_error_of_the_store_is_the_observers_to_hear(tmp_path: Path, in_loop: bool) -> None:
    def corrupt(_: Any) -> Any:
        raise StoreCorrupt("segment 1", "is damaged, as a test wants it")

    path = tmp_path / "log"
    with log_on(leveldb_opener(path), options=OPTIONS) as log:
        seen = Seen()
        entered, behind = threading.Event(), threading.Event()

        def slow(one: Event) -> None:
            seen.on_next(one)
            entered.set()
            behind.wait(PATIENCE_S)

        def fall_behind() -> None:
            log.append(event(0))
            entered.wait(PATIENCE_S)
            log.append_many([event(n) for n in range(1, 200)])
            log._core.handle.writable.search = lambda *_: corrupt(None)  # type: ignore[method-assign]
            behind.set()

        async def observe() -> None:
            log.observe().subscribe(slow, seen.on_error)
            await asyncio.gather(asyncio.to_thread(fall_behind), settled(lambda: len(seen.errors) == 1))

        if in_loop:
            asyncio.run(observe())
        else:
            log.observe().subscribe(slow, seen.on_error)
            fall_behind()
            seen.wait(lambda: len(seen.errors) == 1)
        assert isinstance(seen.errors[0], StoreCorrupt)
        assert seen.data == [0]
        seen.wait(lambda: live(log) == (0, 0))


# -- in threads --------------------------------------------------------------------------------------------------------


def test_observers_in_plain_threads_see_every_event_in_order(log: SyncAudit) -> None:
    seen = [Seen() for _ in range(4)]
    disposables = [log.observe(("node",)).subscribe(one.on_next) for one in seen]

    def work(base: int) -> None:
        for n in range(200):
            log.append(event(base + n))

    workers = [threading.Thread(target=work, args=(base,)) for base in (0, 1_000, 2_000)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    committed = [one.data for one in log.list(("node",), limit=1_000).events]
    for one in seen:
        one.wait_for(600)
        assert one.data == committed
        assert one.threads == {"audit-observer"}
    for disposable in disposables:
        disposable.dispose()
    assert len(log._core.wakeups) == 0


@pytest.mark.parametrize("in_loop", [True, False])
def test_a_commit_right_before_an_observer_falls_asleep_is_not_missed(
    log: SyncAudit, monkeypatch: pytest.MonkeyPatch, in_loop: bool
) -> None:
    seen, late = Seen(), iter([event(1), event(2)])
    step = TailCore.step

    def step_and_commit(tail: TailCore, max_events: int) -> Any:
        found = step(tail, max_events)
        if found is Step.SLEEP and (new := next(late, None)) is not None:
            log.append(new)
        return found

    monkeypatch.setattr(TailCore, "step", step_and_commit)

    async def observe() -> None:
        log.observe().subscribe(seen.on_next)
        await settled(lambda: len(seen.data) >= 2)

    if in_loop:
        asyncio.run(observe())
    else:
        log.observe().subscribe(seen.on_next)
        seen.wait_for(2)
    assert seen.data == [1, 2]


def test_a_bad_observer_in_a_thread_hurts_no_other(log: SyncAudit, caplog: pytest.LogCaptureFixture) -> None:
    good, bad = Seen(), Seen()

    def fail(_: Event) -> None:
        raise ValueError("can't take it")

    log.observe().subscribe(fail, bad.on_error)
    log.observe().subscribe(good.on_next)
    for n in range(3):
        log.append(event(n))
    good.wait_for(3)
    bad.wait(lambda: len(bad.errors) == 1)
    assert good.data == [0, 1, 2]
    assert "is disposed of" in caplog.text


def test_disposing_of_a_thread_that_sleeps_frees_it(log: SyncAudit) -> None:
    seen = Seen()
    disposable = log.observe().subscribe(seen.on_next)
    log.append(event(1))
    seen.wait_for(1)
    thread = next(one for one in threading.enumerate() if one.name == "audit-observer")
    disposable.dispose()
    assert len(log._core.wakeups) == 0
    thread.join(PATIENCE_S)
    assert live(log) == (0, 0)
    log.append(event(2))
    assert seen.data == [1]


def test_closing_completes_observers_in_threads_and_waits_for_them(tmp_path: Path) -> None:
    faults = Faults(leveldb_opener(tmp_path / "log"))
    log = log_on(faults.open, options=OPTIONS)
    seen = Seen()
    log.observe().subscribe(seen)  # type: ignore[arg-type]
    pause = faults.pause_append(1)
    appends = [log.append_nowait(event(n)) for n in range(50)]
    pause.reached()
    closing = threading.Thread(target=log.close)
    closing.start()
    pause.resume()
    closing.join()
    assert (seen.data, seen.completed) == (list(range(len(appends))), 1)
    assert live(log) == (0, 0)


def test_an_observer_may_close_the_log(log: SyncAudit) -> None:
    seen = Seen()
    observable: reactivex.Observable[Event] = log.observe()
    observable.pipe(ops.do_action(lambda _: log.close())).subscribe(seen)  # type: ignore[arg-type]
    log.append(event(1))
    seen.wait(lambda: seen.completed == 1)
    assert seen.data == [1]


def test_a_log_that_was_observed_is_freed(tmp_path: Path) -> None:
    log = log_on(leveldb_opener(tmp_path / "log"), options=OPTIONS)
    log.observe().subscribe(Seen().on_next)
    log.append(event(1))
    log.close()
    gone = weakref.ref(log._core)
    del log
    gc.collect()
    assert gone() is None
