"""No file descriptor left: errors of ours, never an empty or a short answer, and all is well once there are some."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from audit import Audit
from audit.app.fsck import check_store
from tests.fault.children import started
from tests.fault.exhausted import APPENDS, EVENTS, OPTIONS
from tests.fault.report import record

# Tables that a log opened without reading has not opened, so that reading must.
MANY = 6


def test_without_file_descriptors_answers_are_whole_or_errors_and_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "data"
    root = Path(__file__).parents[2]
    with started("exhausted.py", path, environment={"PYTHONPATH": str(root)}) as child:
        tables, opening, whole, taken, without, during, fenced, after, again = child.lines()
        assert child.wait() == 0
    assert tables >= MANY
    assert opening == "unavailable"
    assert taken
    assert whole["list"][0] == whole["tail"][0] == EVENTS
    # What is in memory, or in a table that is open, may be answered; whatever is answered is all of it.
    assert {name: whole[name] if said != "unavailable" else said for name, said in without.items()} == without
    assert {without[name] for name in ("list", "list, newest first", "tail")} == {"unavailable"}
    receipts, codes = during
    assert receipts, "the write-ahead log is open, and takes some"
    assert codes[0] == "outcome_unknown"
    assert set(codes[1:]) == {"unavailable"}
    assert set(fenced.values()) == {"unavailable"}
    assert len(after[0]) == APPENDS
    assert after[1] == []
    assert again["list"] != "unavailable"
    receipts += after[0]
    lost, repeated, size = compared(path, receipts)
    assert (lost, repeated) == (0, 0)
    assert again["list"][0] == again["tail"][0] == size
    record(
        fault="no file descriptor left",
        injected="RLIMIT_NOFILE lowered, every descriptor taken, then freed",
        tried=len(without) + len(fenced) + len(codes) + 1,
        acknowledged=EVENTS + len(receipts),
        lost=lost,
        repeated=repeated,
        detected="unavailable from opening, reads and tails; outcome_unknown and a fence for appends",
    )


def compared(path: Path, receipts: list[Any]) -> tuple[int, int, int]:
    """Open the store again; count the acknowledged events that are missing, and those that are there twice."""
    assert check_store(path).findings == []
    stored: list[tuple[str, str, int]] = []
    with Audit.open_sync(path, options=OPTIONS) as log:
        page = log.list(limit=1_000)
        stored += [(str(event.action), event.id, event.index) for event in page.events]
        while page.has_more:
            page = log.list(limit=1_000, cursor=page.cursor)
            stored += [(str(event.action), event.id, event.index) for event in page.events]
    wanted = {(str(number), id_, index) for number, id_, index in receipts}
    wanted_before = {str(number) for number in range(EVENTS)}
    actions = [action for action, _, _ in stored]
    missing = len(wanted - set(stored)) + len(wanted_before - set(actions))
    return missing, len(actions) - len(set(actions)), len(stored)
