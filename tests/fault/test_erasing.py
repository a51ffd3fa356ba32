"""Erasing on a disk that fails, and in a process that is killed: a pair of events is erased whole or not at all.

What was acknowledged as erased is in no file, before anything is opened again; what was erased and not acknowledged is
in none once the store is open.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from audit import Audit, OutcomeUnknown
from audit.app.fsck import check_store
from audit.codec.erasing import erased_ids
from audit.testing import Faults, check_log, log_on
from tests.fault.children import started
from tests.fault.eraser import OPTIONS, PAIRS, fill, mark_of
from tests.fault.faildisk import Control, build_shim, shim_environment
from tests.fault.report import record, scaled
from tests.stores import holding, leveldb_opener

ROOT = Path(__file__).parents[2]


def look(store: Path, said: list[dict[str, Any]]) -> int:
    """Check what a process left behind; return how many pairs are erased."""
    gone = [one["erased"] for one in said if "erased" in one]
    begun = {one["erasing"] for one in said if "erasing" in one}
    for number in gone:
        assert holding(store, mark_of(number)) == [], f"pair {number} was acknowledged as erased"
    with Audit.open_sync(store, options=OPTIONS) as log:
        log._core._purger.join()
        erased = set()
        for number in range(PAIRS):
            left = log.list(filter={"actor": mark_of(number)}).slices
            assert len(left) in {0, 2}, f"half of pair {number} is erased"
            if not left:
                erased.add(number)
        assert set(gone) <= erased <= begun
        records = [event for event in log.list(("audit", "erased")).events if erased_ids(event)]
        assert sorted(int(event.data["reason"]) for event in records) == sorted(erased)
        assert all(len(erased_ids(event)) == 2 for event in records)
        for number in erased:
            assert holding(store, mark_of(number)) == []
        check_log(log)
    assert check_store(store).findings == []
    return len(erased)


def test_a_killed_process_has_erased_a_call_whole_or_not_at_all(tmp_path: Path) -> None:
    rng = random.Random(7)
    tried = scaled(6)
    erased = 0
    for round_ in range(tried):
        store = tmp_path / f"{round_}"
        with started("eraser.py", store, environment={"PYTHONPATH": str(ROOT)}) as child:
            said = [child.line() for _ in range(rng.randint(1, 2 * PAIRS))]
            child.kill()
            said += child.lines()
            child.wait()
        erased += look(store, said)
    record(
        fault="killed in the middle of erasing",
        injected="kill -9 of a process that erases",
        tried=tried,
        acknowledged=erased,
        lost=0,
        repeated=0,
        detected="all files searched for what was erased; `audit fsck`",
    )


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_shim(tmp_path_factory.mktemp("shim"))


@pytest.mark.parametrize("mode", ["EIO once", "ENOSPC once", "EIO until told", "a short write, then ENOSPC"])
def test_on_a_failing_disk_what_is_acknowledged_as_erased_is_gone(mode: str, shim: Path, tmp_path: Path) -> None:
    rng = random.Random(mode)
    tried = scaled(3)
    erased = failed = 0
    control_file, disk = tmp_path / "control", tmp_path / "disk"
    disk.mkdir()
    control = Control(control_file)
    environment = {**shim_environment(shim, disk, control_file), "PYTHONPATH": str(ROOT)}
    for round_ in range(tried):
        store = disk / f"{round_}"
        nth = rng.randint(1, 120)
        with started("eraser.py", store, control_file, nth, mode, environment=environment) as child:
            said = list(child.lines())
            child.wait()
        assert said, "the program failed"
        failed += bool(control["failed"])
        erased += look(store, said)
    assert erased
    assert failed
    record(
        fault=f"a call to the disk fails while events are erased: {mode}",
        injected="LD_PRELOAD, one call in each life",
        tried=failed,
        acknowledged=erased,
        lost=0,
        repeated=0,
        detected="outcome_unknown; all files searched for what was erased",
    )


@pytest.mark.parametrize("persisted", [False, True])
@pytest.mark.parametrize("nth", [1, 2])
def test_an_erasure_whose_write_fails_is_told_and_done_by_the_next_try(
    nth: int, persisted: bool, tmp_path: Path
) -> None:
    """Of the two writes of an erasure: the erasure itself, and the note that its bytes are gone."""
    store = tmp_path / "log"
    faults = Faults(leveldb_opener(store, options=OPTIONS))
    log = log_on(faults.open)
    ids = fill(log)[3]
    faults.fail_append(nth, persisted=persisted)
    with pytest.raises(OutcomeUnknown):
        log.erase(ids, reason="3")
    done = log.erase(ids, reason="3")
    assert done.erased == (2 if nth == 1 and not persisted else 0)
    assert holding(store, mark_of(3)) == []
    assert len(log.list(("audit", "erased")).events) == 1
    assert log.get(ids[0]).erased
    assert log.get(ids[1]).erased
    check_log(log)
    log.close()
