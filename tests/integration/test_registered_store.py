"""Registered metrics in a store on disk: through restarts, kills in between, checks and damage."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from audit import Audit, Filter, NewEvent, NotFound, StoreCorrupt
from audit.app.fsck import check_store
from audit.codec.keys import METRIC, PANE, ROLLUP
from audit.log.registered import Registered
from audit.metrics.query import Metric
from audit.storage.driver import plyvel

METRICS = [
    Metric(name="all", measure="count"),
    Metric(name="total", measure="sum", field="data"),
    Metric(name="kinds", measure="distinct", field="data"),
    Metric(name="by-topic", measure="quantiles", field="data", group_by="topics.0.0"),
]
EVENTS = 3_000


def events(first: int, stop: int) -> list[NewEvent]:
    return [NewEvent(topics=[(str(number % 3),)], data=number) for number in range(first, stop)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("registered") / "data"
    with Audit.open_sync(path, create=True) as log:
        log.append_many(events(0, 1_000))
        for metric in METRICS:
            log.metrics.register(metric)
        for first in range(1_000, EVENTS, 500):
            log.append_many(events(first, first + 500))
        log.metrics.settle()
    return path


@pytest.fixture
def path(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "data")


def check(path: Path, size: int) -> None:
    with Audit.open_sync(path) as log:
        assert log.metrics.get(metric="all").total == size
        assert log.metrics.get(metric="total").total == sum(range(size))
        found = log.metrics.get(metric="kinds").total
        assert isinstance(found, int)
        assert abs(found - size) < size * 0.05
        groups = log.metrics.get(metric="by-topic", window="1h").windows
        assert {window.group for window in groups} == {"0", "1", "2"}
        assert sum(window.count for window in groups) == size


def test_panes_survive_and_go_on_from_where_they_were(path: Path) -> None:
    with Audit.open_sync(path) as log:
        assert {one.size for one in log.metrics.list()} == {EVENTS}
        log.append_many(events(EVENTS, EVENTS + 300))
    check(path, EVENTS + 300)


CRASHER = """
import os, sys
from audit import Audit, NewEvent
log = Audit.open_sync(sys.argv[1])
for first in range(3_000, 3_700, 100):
    log.append_many([NewEvent(topics=[(str(number % 3),)], data=number) for number in range(first, first + 100)])
os._exit(9)
"""


def test_panes_that_were_lost_with_a_crash_are_folded_in_again(path: Path) -> None:
    assert subprocess.run([sys.executable, "-c", CRASHER, path], check=False).returncode == 9
    assert not check_store(path).findings
    check(path, EVENTS + 700)
    assert not check_store(path).findings


def test_fsck_finds_nothing_wrong_with_them_and_says_which_one_is_damaged(path: Path) -> None:
    assert not check_store(path).findings
    for kind, name in ((METRIC, "metric all"), (PANE, "of metric all"), (ROLLUP, "rollup by day number")):
        database = plyvel.DB(str(path / "log"), compression=None)
        key, record = next(iter(database.iterator(prefix=kind)))
        database.put(key, record[:-1] + bytes([record[-1] ^ 1]))
        database.close()
        (finding,) = check_store(path).findings
        assert name in finding.record
        assert "checksum" in finding.problem
        database = plyvel.DB(str(path / "log"), compression=None)
        database.put(key, record)
        database.close()


def damage_definition(path: Path) -> None:
    database = plyvel.DB(str(path / "log"), compression=None)
    key, record = next(iter(database.iterator(prefix=METRIC + b"total")))
    database.put(key, record[:-1] + bytes([record[-1] ^ 1]))
    database.close()


def test_a_damaged_definition_is_told_until_the_metric_is_registered_again(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damage_definition(path)
    with Audit.open_sync(path) as log:
        assert [one.metric.name for one in log.metrics.list()] == ["all", "by-topic", "kinds"]
        assert "metric total is damaged, and kept no more until it is registered again: checksum" in caplog.text
        for ask in (lambda: log.metrics.get(metric="total"), lambda: log.metrics.rebuild("total")):
            with pytest.raises(StoreCorrupt, match="metric total: checksum mismatch; register it again, or unregister"):
                ask()
        log.metrics.register(METRICS[1])
        log.metrics.settle()
    assert not check_store(path).findings
    check(path, EVENTS)


def test_a_metric_with_a_damaged_definition_can_be_let_go(path: Path) -> None:
    damage_definition(path)
    with Audit.open_sync(path) as log:
        log.metrics.unregister("total")
        with pytest.raises(NotFound):
            log.metrics.get(metric="total")
    assert not check_store(path).findings


def test_a_store_that_can_t_be_opened_is_not_held(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise StoreCorrupt("something", "is damaged")

    with monkeypatch.context() as patched:
        patched.setattr(Registered, "__init__", broken)
        with pytest.raises(StoreCorrupt) as caught:
            Audit.open_sync(path)
    # What went wrong is still known, and everything that led to it.
    assert caught.value.__traceback__ is not None
    check(path, EVENTS)


def test_a_damaged_pane_holds_up_no_other_metric(path: Path) -> None:
    with Audit.open_sync(path) as log:
        log.metrics.register(Metric(name="long", measure="count", filter=Filter(outcome="denied"), pane="3650d"))
        log.append_many([NewEvent(topics=[("0",)], data=EVENTS, outcome="denied")])
        log.metrics.settle()
    database = plyvel.DB(str(path / "log"), compression=None)
    ((key, record),) = database.iterator(prefix=PANE + b"long")
    database.put(key, record[:-1] + bytes([record[-1] ^ 1]))
    database.close()
    with Audit.open_sync(path) as log:
        log.append_many([NewEvent(topics=[("0",)], data=EVENTS + 1, outcome="denied")])
        for _ in range(2):
            with pytest.raises(StoreCorrupt, match="of metric long"):
                log.metrics.settle()
        sizes = {one.metric.name: one.size for one in log.metrics.list()}
        assert sizes.pop("long") == EVENTS + 1
        assert set(sizes.values()) == {EVENTS + 2}
        log.metrics.rebuild("long")
        log.metrics.settle()
        assert {one.size for one in log.metrics.list()} == {EVENTS + 2}
        assert log.metrics.get(metric="long").total == 2
    check(path, EVENTS + 2)


def test_a_damaged_pane_is_told_and_rebuilding_mends_it(path: Path) -> None:
    database = plyvel.DB(str(path / "log"), compression=None)
    key, record = next(iter(database.iterator(prefix=PANE + b"total")))
    database.put(key, record[:-1] + bytes([record[-1] ^ 1]))
    database.close()
    with Audit.open_sync(path) as log:
        with pytest.raises(StoreCorrupt, match=r"pane [0-9]+ of metric total"):
            log.metrics.get(metric="total")
        log.metrics.rebuild("total")
        assert log.metrics.get(metric="total").total == sum(range(EVENTS))
    assert not check_store(path).findings
