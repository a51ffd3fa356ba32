"""A disk that fills up and has room again, in turns: refusals below the watermark, reads and tails all the while.

On a small file system of its own. What LevelDB meets on a full disk without these precautions is in `test_opening.py`.
"""

from __future__ import annotations

import itertools
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from audit import Audit, Batch, CaughtUp, DiskFull, NewEvent, OutcomeUnknown, Receipt, StoreOptions, SyncAudit
from audit.app.fsck import check_store
from audit.testing import check_log
from tests.fault.report import record, scaled, seeded

MIB: Final = 1 << 20
OPTIONS: Final = StoreOptions(
    write_buffer_bytes=MIB, recent_bytes=100_000, block_cache_bytes=1, min_free_bytes=6 * MIB, reserve_bytes=2 * MIB
)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 48 MiB."""
    where = tmp_path / "disk"
    where.mkdir()
    try:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(where)], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if mounted.returncode:
        pytest.skip(f"mounting a tmpfs is not possible here: {mounted.stderr.strip()}")
    try:
        yield where
    finally:
        subprocess.run(["umount", str(where)], check=True)


def fill(disk: Path, leave_bytes: int) -> Path:
    """Have others leave only so many bytes of a disk free."""
    others = disk / "others"
    found = os.statvfs(disk)
    with others.open("ab") as file:
        size = found.f_bavail * found.f_frsize - leave_bytes
        if size > 0:
            os.posix_fallocate(file.fileno(), file.tell(), size)
    return others


def settle(log: SyncAudit) -> None:
    """Have LevelDB end what it does in the background: merged tables are deleted, which would make room."""
    log._core.handle.writable._database.compact_range()  # type: ignore[attr-defined]


class Story:
    """A log on a disk, and what is known of it."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._numbers = map(str, itertools.count())
        self.kept: dict[str, Receipt] = {}
        self.refused = 0
        self.unknown = 0

    def event(self) -> NewEvent:
        name, size = next(self._numbers), self._chance.choice((100, 3_000, 20_000))
        text = f"{self._chance.getrandbits(size * 4):x}"
        return NewEvent(topics=[("a",)], action=name, idempotency_key=name, data=text)

    def append(self, log: SyncAudit, count: int) -> None:
        for _ in range(count):
            event = self.event()
            try:
                self.kept[str(event.action)] = log.append(event)
            except OutcomeUnknown:
                # LevelDB had tables to merge while the disk was full, and says so at the next write.
                self.unknown += 1
                self.kept[str(event.action)] = log.append(event)

    def be_refused(self, log: SyncAudit) -> NewEvent:
        """Have an append refused with the right error, alone and in company, and nothing of it be there."""
        event = self.event()
        size = log.info().size
        with pytest.raises(DiskFull, match="appends need") as caught:
            log.append(event)
        assert caught.value.retryable
        with pytest.raises(DiskFull):
            log.append_many([event, self.event()])
        assert log.info().size == size
        self.refused += 2
        return event

    def read(self, log: SyncAudit) -> None:
        """Read everything in both orders and through a tail; all of it is what was acknowledged, in its order."""
        wanted = [(receipt.id, receipt.index, name) for name, receipt in self.kept.items()]
        assert listed(log, "asc") == wanted
        assert listed(log, "desc") == wanted[::-1]
        with log.subscribe() as tail:
            told = []
            while isinstance(notice := tail.read(timeout_s=0), Batch):
                told += [(event.id, event.index, str(event.action)) for event in notice.events]
        assert isinstance(notice, CaughtUp)
        assert told == wanted


def listed(log: SyncAudit, order: str) -> list[tuple[str, int, str]]:
    found = []
    page = log.list(order=order, limit=1_000)
    found += page.events
    while page.has_more:
        page = log.list(order=order, limit=1_000, cursor=page.cursor)
        found += page.events
    return [(event.id, event.index, str(event.action)) for event in found]


def test_a_disk_that_fills_up_again_and_again_refuses_appends_and_nothing_else(small_disk: Path) -> None:
    story, times, path = Story(seeded(4)), scaled(3), small_disk / "data"
    for turn in range(times):
        with Audit.open_sync(path, create=True, options=OPTIONS) as log:
            live = log.subscribe(seek="now")
            before = len(story.kept)
            story.append(log, 40)
            settle(log)
            others = fill(small_disk, OPTIONS.min_free_bytes - 1 - turn)
            refused = story.be_refused(log)
            story.read(log)
            # Whoever follows the log is told what came before, and waits.
            told: list[int] = []
            while isinstance(notice := live.read(timeout_s=0), Batch):
                told += [event.index for event in notice.events]
            assert told == list(range(before, before + 40))
            others.unlink()
            story.kept[str(refused.action)] = log.append(refused)
            assert [event.index for event in live.read(timeout_s=20).events] == [before + 40]  # type: ignore[union-attr]
            story.append(log, 5)
            live.close()
        # Closed, and the last byte of the disk is taken: it opens in the space of its reserve, and can be read.
        assert (path / "reserve").stat().st_size == OPTIONS.reserve_bytes
        others = fill(small_disk, 0)
        with Audit.open_sync(path, options=OPTIONS) as log:
            story.be_refused(log)
            story.read(log)
            others.unlink()
            story.append(log, 5)
        assert check_store(path).findings == []
    with Audit.open_sync(path, options=OPTIONS) as log:
        assert (path / "reserve").stat().st_size == OPTIONS.reserve_bytes
        story.read(log)
        check_log(log)
    record(
        fault="the disk fills up, and has room again",
        injected="a tmpfs of 48 MiB, filled by another file to the watermark, and to its last byte while closed",
        tried=2 * times,
        acknowledged=len(story.kept),
        lost=0,
        repeated=0,
        detected=f"disk_full: {story.refused}, outcome_unknown: {story.unknown}; reads and tails went on",
    )
