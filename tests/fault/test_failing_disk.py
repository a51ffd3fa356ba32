"""A disk that fails: each call that changes a file, in turn, with an I/O error, without space, or half done.

Nothing acknowledged is missing afterwards, nothing is there twice, and the log has gone on by itself. The last test
takes the fence away, and shows that the same checks then find acknowledged events missing.
"""

from __future__ import annotations

import errno
import itertools
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from audit import Audit, StoreCorrupt
from audit.app.fsck import check_store
from audit.testing import check_log
from tests.fault.children import Child, started
from tests.fault.faildisk import KINDS, MODES, WRITE, Control, Mode, build_shim, shim_environment
from tests.fault.report import record, scaled
from tests.fault.sufferer import OPTIONS

STRIDE: Final = 16
"""Of so many calls one is failed in each mode, by `make check`; all of them with AUDIT_FAULT_SCALE=16."""
WHOLE: Final = 12
"""In one of so many lives, the log is checked with all its questions."""
ENOUGH: Final = 100
"""Calls that a life makes at least; fewer would mean that the shim is not there."""
PLAN: Final = {
    "creating": False,
    "closing": False,
    "afterwards": 40,
    "fencing": True,
    "buffer_bytes": OPTIONS.write_buffer_bytes,
}


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_shim(tmp_path_factory.mktemp("shim"))


@contextmanager
def suffering(shim: Path, path: Path) -> Iterator[Child]:
    """Start the process in which logs live on a failing disk."""
    control, disk = path / "control", path / "disk"
    Control(control)
    disk.mkdir()
    environment = {**shim_environment(shim, disk, control), "PYTHONPATH": str(Path(__file__).parents[2])}
    with started("sufferer.py", control, environment=environment) as child:
        yield child


def live(child: Child, store: Path, nth: int, mode: Mode, **plan: int) -> dict[str, Any]:
    """Have a log live, and be killed; return what it was told."""
    child.tell(json.dumps(PLAN | {"store": str(store), "nth": nth, "mode": mode} | plan))
    said: dict[str, Any] = child.line()
    assert "given" in said, f"call {nth} failed, and the program with it: see stderr"
    assert child.line() == {"ended": -9}
    return said


def look(store: Path, said: dict[str, Any], *, whole: bool = False) -> tuple[list[int], list[int]]:
    """Open what a life left behind; return the events that are missing though acknowledged, and those there twice."""
    assert check_store(store).findings == []
    with Audit.open_sync(store, options=OPTIONS) as log:
        if whole:
            check_log(log)
        stored = [event for start in pages(log) for event in start]
        assert len(stored) == log.info().size
    places = {(event.id, event.index, event.action) for event in stored}
    lost = [number for number, id_, index in said["acknowledged"] if (id_, index, str(number)) not in places]
    times = Counter(int(event.action or "") for event in stored)
    assert max(times) < said["given"]
    shutil.rmtree(store)
    return lost, [number for number, count in times.items() if count > 1]


def pages(log: Any) -> Iterator[Any]:
    page = log.list(limit=1_000)
    yield page.events
    while page.has_more:
        page = log.list(limit=1_000, cursor=page.cursor)
        yield page.events


@pytest.mark.parametrize("name", MODES)
def test_whichever_call_fails_nothing_acknowledged_is_lost_and_the_log_goes_on(
    name: str, shim: Path, tmp_path: Path
) -> None:
    mode, store = MODES[name], tmp_path / "disk" / "store"
    stride = max(1, (STRIDE if mode.kinds & WRITE else STRIDE // 4) // scaled(1))
    kinds: Counter[str] = Counter()
    codes: Counter[str] = Counter()
    tried = acknowledged = fenced = calls = 0
    with suffering(shim, tmp_path) as child:
        for nth in itertools.count(1 + list(MODES).index(name) % stride, stride):
            said = live(child, store, nth, mode)
            lost, repeated = look(store, said, whole=tried % WHOLE == 0)
            assert (lost, repeated) == ([], []), (nth, said["first"], said["told"])
            assert not said["after"], f"call {nth}: the write-ahead log was written to after {said['first']}"
            acknowledged += len(said["acknowledged"])
            calls = said["calls"]
            if not said["failed"]:
                break
            tried += 1
            kinds[said["first"][0]] += 1
            codes.update(set(said["told"]))
            fenced += bool(said["writes failed"])
            if "append: outcome_unknown" in said["told"]:
                assert said["writes failed"]
            # Whoever is told first of a disk that fails until told otherwise has it mended.
            if mode.until_told and not said["late"] and said["told"][:1] == ["append: outcome_unknown"]:
                assert said["fenced"] == 1
    assert calls > ENOUGH or not mode.kinds & WRITE
    wanted = {kind for bit, kind in KINDS.items() if mode.kinds & bit}
    assert wanted == set(kinds) if stride == 1 else wanted >= set(kinds)
    if mode.kinds & WRITE:
        assert fenced > tried // 3
        assert codes["append: outcome_unknown"]
    print(f"{name}: {tried} of {calls} calls failed, {fenced} fences; {dict(kinds)}; {dict(codes)}")  # noqa: T201
    record(
        fault=f"a call to the disk fails: {name}",
        injected=f"LD_PRELOAD, one call in turn: {', '.join(f'{kind} ({count})' for kind, count in kinds.items())}",
        tried=tried,
        acknowledged=acknowledged,
        lost=0,
        repeated=0,
        detected=f"outcome_unknown and a fence in {fenced}; else no append in doubt",
    )


WAL_FULL: Final = Mode(errno.ENOSPC, WRITE, until_told=True)
"""No space for a while: what LevelDB goes on after, and then loses what it acknowledges."""


# Buffers so large that all of it is in the write-ahead log when the store is opened again.
THEN: Final = {"afterwards": 200, "buffer_bytes": 1 << 22}


def test_two_hundred_appends_after_a_disk_was_full_for_a_while_are_all_there(shim: Path, tmp_path: Path) -> None:
    acknowledged, tries, store = 0, scaled(6), tmp_path / "disk" / "store"
    with suffering(shim, tmp_path) as child:
        for number in range(tries):
            said = live(child, store, 6 + 7 * number % 32, WAL_FULL, **THEN)
            assert said["failed"]
            assert look(store, said, whole=not number) == ([], [])
            assert not said["after"]
            assert len(said["acknowledged"]) > 200
            acknowledged += len(said["acknowledged"])
    record(
        fault="no space for a while, then two hundred appends, then opened again",
        injected="LD_PRELOAD, ENOSPC from one write on, until told otherwise",
        tried=tries,
        acknowledged=acknowledged,
        lost=0,
        repeated=0,
        detected="outcome_unknown and a fence, each time",
    )


@pytest.mark.parametrize("mode", [WAL_FULL, MODES["a short write, then ENOSPC"]], ids=["nothing written", "cut"])
def test_without_the_fence_the_same_checks_find_acknowledged_events_missing(
    mode: Mode, shim: Path, tmp_path: Path
) -> None:
    """The tests above can fail: LevelDB, written to after a failed write, loses what it acknowledges later."""
    store = tmp_path / "disk" / "store"
    with suffering(shim, tmp_path) as child:
        said = live(child, store, 20, mode, fencing=False, **THEN)
    assert len(said["acknowledged"]) > 200
    assert said["after"], "the shim has not noticed that the failed log was written to"
    # Paranoid as the store is opened, LevelDB does not go on to lose them in silence; they are lost all the same.
    with pytest.raises(StoreCorrupt):
        Audit.open_sync(store, options=OPTIONS)
    with pytest.raises(AssertionError):
        look(store, said)


def test_a_failing_disk_is_not_taken_for_a_store_that_another_process_holds(shim: Path, tmp_path: Path) -> None:
    """In a path that names a lock, too: the driver's message has both the path and the name of the file LOCK."""
    control_file, disk = tmp_path / "control", tmp_path / "locked blocks"
    Control(control_file)
    environment = shim_environment(shim, disk, control_file) | {"PYTHONPATH": str(Path(__file__).parents[2])}
    for nth in range(1, 5):
        # The lock, the old LOG, and what CURRENT and the manifest say.
        plan = {"store": str(disk / f"{nth}"), "nth": nth, "mode": MODES["EIO until told"]}
        disk.mkdir(exist_ok=True)
        with started("sufferer.py", control_file, environment=environment) as child:
            child.tell(json.dumps(PLAN | plan))
            said = child.line()
            assert said["failed"]
            assert said["told"] == ["opening: unavailable"]


@pytest.mark.parametrize("name", ["EIO once", "ENOSPC until told"])
def test_a_creation_that_fails_leaves_nothing_in_the_way_of_the_next_one(name: str, shim: Path, tmp_path: Path) -> None:
    told: Counter[str] = Counter()
    with suffering(shim, tmp_path) as child:
        for nth in itertools.count(1):
            store = tmp_path / "disk" / f"{nth}"
            said = live(child, store, nth, MODES[name], creating=True)
            if said["first"] is None:
                break
            told.update(said["told"])
            assert check_store(store).findings == []
    assert told["unavailable"] > 15
    record(
        fault=f"a call to the disk fails while a store is created: {name}",
        injected="LD_PRELOAD, each call in turn",
        tried=told.total(),
        acknowledged=0,
        lost=0,
        repeated=0,
        detected=f"unavailable, {told['unavailable']} times; created again",
    )


@pytest.mark.parametrize("name", ["EIO once", "ENOSPC until told", "a short write, then EIO until told"])
def test_whichever_call_fails_while_a_log_is_closed_nothing_acknowledged_is_lost(
    name: str, shim: Path, tmp_path: Path
) -> None:
    kinds: Counter[str] = Counter()
    acknowledged, store = 0, tmp_path / "disk" / "store"
    with suffering(shim, tmp_path) as child:
        for nth in itertools.count(1):
            said = live(child, store, nth, MODES[name], closing=True, buffer_bytes=1 << 22)
            assert look(store, said, whole=True) == ([], [])
            assert said["acknowledged"]
            acknowledged += len(said["acknowledged"])
            if said["first"] is None:
                break
            kinds[said["first"][0]] += 1
    # What is in memory is written to a table, whose name goes into the manifest.
    assert kinds["write"] >= 2
    record(
        fault=f"a call to the disk fails while a log is closed: {name}",
        injected=f"LD_PRELOAD, each call in turn: {', '.join(f'{kind} ({count})' for kind, count in kinds.items())}",
        tried=kinds.total(),
        acknowledged=acknowledged,
        lost=0,
        repeated=0,
        detected="not told: the write-ahead log still has it",
    )
