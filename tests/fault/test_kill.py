"""A process that appends is killed: everything it has acknowledged is there, and every call whole or not at all."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from audit import Audit, NewEvent
from audit.app.fsck import check_store
from audit.codec.events import event_id_text, event_index
from audit.proof.checkpoints import read_checkpoint
from tests.fault.appender import OPTIONS, TASKS, signing_beside
from tests.fault.children import started
from tests.fault.report import record, scaled


def everything(path: Path) -> list[bytes]:
    """Return all that a store holds, once it is found to be what the checkpoint says that was written last."""
    signed = read_checkpoint(path.with_name("checkpoint").read_text(encoding="utf-8"))
    with Audit.open_sync(path, options=OPTIONS, signing=signing_beside(path)) as log:
        assert 0 < signed.size <= log.info().size
        stored: list[bytes] = []
        page = log.list(limit=1_000)
        stored += page.slices
        while page.has_more:
            page = log.list(limit=1_000, cursor=page.cursor)
            stored += page.slices
        assert len(stored) == log.info().size
    return stored


def killed_after(lines: int, path: Path, round_: int) -> list[dict[str, Any]]:
    """Let a process append, kill it once it has said so many lines, and return all that it did say."""
    with started("appender.py", path, round_) as child:
        said = [child.line() for _ in range(lines)]
        child.kill()
        said += child.lines()
        assert child.wait() == -9
    return said


def assert_acknowledged_are_there(said: list[dict[str, Any]], stored: list[bytes]) -> None:
    for call in said:
        found = [stored[index] for _, index in call["receipts"]]
        assert [[event_id_text(one).decode(), event_index(one)] for one in found] == call["receipts"]
        data = [json.loads(one)["data"] for one in found]
        assert [(one["call"], one["place"]) for one in data] == [(call["call"], n) for n in range(len(data))]
        assert len(data) == data[0]["of"]


def assert_calls_are_whole(stored: list[bytes]) -> dict[str, int]:
    """Check that each call is there once, whole and in a row; return the number of calls of each task and round."""
    places: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for index, one in enumerate(stored):
        data = json.loads(one)["data"]
        places[data["call"]].append((index, data["place"], data["of"]))
    numbers: dict[str, list[int]] = defaultdict(list)
    for call, found in places.items():
        first, _, size = found[0]
        assert found == [(first + place, place, size) for place in range(size)], call
        task, _, number = call.rpartition(".")
        numbers[task].append(int(number))
    for task, calls in numbers.items():
        assert calls == list(range(len(calls))), f"calls of {task} are missing, or out of order"
    return {task: len(calls) for task, calls in numbers.items()}


def test_a_killed_process_loses_nothing_acknowledged_and_leaves_whole_calls(tmp_path: Path) -> None:
    path = tmp_path / "data"
    before: list[bytes] = []
    receipts: set[str] = set()
    counts = (200, 1, 300) * scaled(1)
    for round_, count in enumerate(counts):
        said = killed_after(count, path, round_)
        assert len(said) >= count
        report = check_store(path)
        assert report.findings == []
        stored = everything(path)
        assert report.events == len(stored)
        assert stored[: len(before)] == before, "what was there before this round has changed"
        assert [event_index(one) for one in stored] == list(range(len(stored)))
        ids = [event_id_text(one) for one in stored]
        assert ids == sorted(set(ids))
        assert_acknowledged_are_there(said, stored)
        calls = assert_calls_are_whole(stored)
        for task in range(TASKS):
            acknowledged = sum(call["call"].startswith(f"{round_}.{task}.") for call in said)
            # A task has one call under way at most.
            assert calls.get(f"{round_}.{task}", 0) in (acknowledged, acknowledged + 1)
        before = stored
        receipts.update(event_id for call in said for event_id, _ in call["receipts"])
    record(
        fault="killed writer",
        injected="kill -9 of a process that appends from 8 tasks",
        tried=len(counts),
        acknowledged=len(receipts),
        lost=len(receipts - {event_id_text(one).decode() for one in before}),
        repeated=len(before)
        - len({tuple(json.loads(one)["data"].get(name) for name in ("call", "place")) for one in before}),
        detected="receipts compared with the log after each kill; `audit fsck`",
    )


def repeated(call: list[dict[str, Any]]) -> tuple[list[NewEvent], str | None]:
    """Return a stored call as it was made."""
    events = [
        NewEvent(
            topics=[tuple(topic) for topic in one["topics"]],
            action=one["action"],
            idempotency_key=f"{one['action']}.{one['data']['place']}" if one["data"]["keyed"] == "event" else None,
            data=one["data"],
        )
        for one in call
    ]
    return events, call[0]["action"] if call[0]["data"]["keyed"] == "call" else None


def test_a_call_repeated_with_its_key_after_a_kill_answers_its_receipts(tmp_path: Path) -> None:
    """Also one that was not acknowledged: its caller can't know that it was committed."""
    path = tmp_path / "data"
    killed_after(300, path, 0)
    stored = everything(path)
    calls: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for one in map(json.loads, stored):
        if one["data"]["keyed"]:
            calls[one["action"]].append(one)
    assert {call[0]["data"]["keyed"] for call in calls.values()} == {"call", "event"}
    with Audit.open_sync(path, options=OPTIONS) as log:
        for call in calls.values():
            events, key = repeated(call)
            receipts = log.append_many(events, idempotency_key=key)
            assert [(receipt.id, receipt.index) for receipt in receipts] == [(one["id"], one["index"]) for one in call]
        assert log.info().size == len(stored)
