"""Thousands of lives of a log, each from a seed: nothing acknowledged is lost, repeated or moved, whatever happens.

`AUDIT_SIM_SEED=… pytest tests/fault/test_simulation.py` has one of them again, step by step as it was.
"""

import logging
import multiprocessing
import os
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

import pytest

from audit.codec.commits import Commit
from audit.log.deciding import apply_commit
from audit.log.recent import Snapshot, newest
from audit.log.sequencer import Sequencer
from audit.log.wakeups import Wakeups
from tests.fault.report import record, scaled
from tests.fault.simulation import Outcome, SimulationError, simulate

RUNS: Final = scaled(2_000)
WORKERS: Final = 2
CHUNK: Final = 50
ENOUGH: Final = 400
"""Runs within which a break must be found."""


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    # A failing disk is told of each time; here it fails some thousand times.
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@contextmanager
def one_processor(number: int) -> Iterator[None]:
    """Have all threads on one processor: only one of them runs at a time, and handing over is twice as fast there."""
    before = os.sched_getaffinity(0)
    ordered = sorted(before)
    os.sched_setaffinity(0, {ordered[number % len(ordered)]})
    yield
    os.sched_setaffinity(0, before)


def lives(seeds: range) -> list[Outcome]:
    logging.disable(logging.CRITICAL)
    with one_processor(seeds.start // CHUNK):
        return [simulate(seed) for seed in seeds]


@pytest.mark.slow
@pytest.mark.timeout(120 + RUNS / 10)
def test_whatever_a_seed_brings_nothing_acknowledged_is_lost() -> None:
    asked = os.environ.get("AUDIT_SIM_SEED")
    if asked is not None:
        simulate(int(asked))
        return
    first = random.SystemRandom().randrange(1 << 40) * CHUNK
    print(f"seeds {first} to {first + RUNS - 1}; AUDIT_SIM_SEED has one again")  # noqa: T201 - what makes a failure happen again
    chunks = [range(at, min(at + CHUNK, first + RUNS)) for at in range(first, first + RUNS, CHUNK)]
    with ProcessPoolExecutor(WORKERS, multiprocessing.get_context("spawn")) as pool:
        outcomes = [outcome for some in pool.map(lives, chunks) for outcome in some]
    assert len(outcomes) == RUNS

    def total(what: str) -> int:
        return sum(getattr(outcome, what) for outcome in outcomes)

    # Each kind of fault did happen, and often.
    for what in ("acknowledged", "unknown", "delivered", "kills", "failures", "refusals", "erased"):
        assert total(what) > RUNS / 20, what
    record(
        fault="simulated: failed writes, refused opens, kills, clock steps, full disks, all interleavings",
        injected=f"seeds {first} to {first + RUNS - 1}: {total('failures')} writes, {total('kills')} kills",
        tried=RUNS,
        acknowledged=total("acknowledged"),
        lost=0,
        repeated=0,
        detected="each run is compared with a list of what callers were told",
    )


def test_a_seed_is_one_schedule() -> None:
    seeds = range(1_000, 1_020)
    # Another process hashes strings in another way, and has other things in memory.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        elsewhere = pool.submit(lives, seeds)
        here = lives(seeds)
        assert here == elsewhere.result()
    assert here == lives(seeds)
    assert len({outcome.digest for outcome in here}) == len(seeds)


# -- the same, with the code broken on purpose -------------------------------------------------------------------------


def _goes_on_after_a_failed_write(self: Sequencer, cause: Exception) -> None:
    self._dating.end()


def _publishes_before_the_write(
    self: Sequencer, commit: Commit, leaves: list[bytes], last_id: int, _erased: Any = ()
) -> None:
    before = self.snapshot
    applied = apply_commit(self._growing.segment, before.tree, commit, leaves, self._layout)
    segments = before.segments
    if applied.batch.sealed:
        segments = newest((*segments[:-1], *applied.batch.sealed, applied.head), self._recent_bytes)
    self._growing.replace(applied.head)
    after = Snapshot(commit.first_index + len(commit.events), last_id, segments, applied.tree)
    self._publish(before.end, after, commit.terms)
    self._handle.writable.append(applied.batch)


def _answers_before_the_write(
    self: Sequencer, commit: Commit, leaves: list[bytes], last_id: int, erased: Any = ()
) -> None:
    try:
        _WRITE(self, commit, leaves, last_id, erased)
    except Exception as error:  # noqa: BLE001 - as the break wants it
        self._fence(error)


_WRITE: Final = Sequencer._write


def _sleeps_whatever_was_published(self: Wakeups, sleeper: Any, terms: Any, still: Callable[[], bool]) -> bool:
    return _SLEEP(self, sleeper, terms, lambda: True)


_SLEEP: Final = Wakeups.sleep


def _wakes_nobody(self: Sequencer, before: Any, after: Snapshot, terms: Any) -> None:
    self.snapshot = after


def _resumes_blindly(self: Sequencer, storage: Any) -> None:
    self._handle.restore(storage)


BREAKS: Final[dict[str, tuple[type, str, Any]]] = {
    "no fencing": (Sequencer, "_fence", _goes_on_after_a_failed_write),
    "published before the batch is on disk": (Sequencer, "_write", _publishes_before_the_write),
    "acknowledged though the write failed": (Sequencer, "_write", _answers_before_the_write),
    "what a reopened store holds is not looked at": (Sequencer, "_resume", _resumes_blindly),
    "a wake-up that is lost": (Wakeups, "sleep", _sleeps_whatever_was_published),
    "no wake-up at all": (Sequencer, "_publish", _wakes_nobody),
}


@pytest.mark.parametrize("what", BREAKS)
def test_a_break_is_found(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, name, broken = BREAKS[what]
    monkeypatch.setattr(owner, name, broken)
    with one_processor(0):
        found = next(failure for seed in range(ENOUGH) if (failure := _failure(seed)) is not None)
        # And found again, in the same way.
        assert _failure(int(found.removeprefix("AUDIT_SIM_SEED=").split()[0])) == found


def _failure(seed: int) -> str | None:
    try:
        simulate(seed)
    except SimulationError as error:
        return str(error)
    return None
