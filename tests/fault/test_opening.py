"""Opening what is held, missing, foreign or damaged; forking; a disk that fills up; closing with work under way."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from pathlib import Path
from typing import Any, Final

import pytest

from audit import (
    Audit,
    AuditError,
    Batch,
    CaughtUp,
    DiskFull,
    NewEvent,
    OutcomeUnknown,
    Receipt,
    StoreClosed,
    StoreCorrupt,
    StoreError,
    StoreExists,
    StoreFormat,
    StoreLocked,
    StoreMissing,
    StoreOptions,
    SyncAudit,
    Unavailable,
)
from audit.app.fsck import check_store
from audit.codec.keys import COMMIT, META
from audit.log.room import Room
from audit.storage.driver import plyvel
from audit.storage.port import FORMAT
from audit.testing import check_log, log_on
from tests.fault.children import started
from tests.stores import TINY, copy_store, event, memory_opener

OPTIONS: Final = StoreOptions(write_buffer_bytes=1 << 20, recent_bytes=2_000, min_free_bytes=0, reserve_bytes=0)
PATIENCE_S: Final = 30.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with six hundred events, closed."""
    with Audit.open_sync(tmp_path / "data", create=True, options=OPTIONS) as log:
        for number in range(6):
            log.append_many([event("a", action=f"{number}") for _ in range(100)])
    return tmp_path / "data"


def listing(path: Path) -> dict[str, bytes | None]:
    """Return all that lies below a path."""
    return {str(one.relative_to(path)): one.read_bytes() if one.is_file() else None for one in path.rglob("*")}


def everything(log: SyncAudit) -> list[bytes]:
    stored: list[bytes] = []
    page = log.list(limit=1_000)
    stored += page.slices
    while page.has_more:
        page = log.list(limit=1_000, cursor=page.cursor)
        stored += page.slices
    return stored


# Every way in, for what must be the same in all of them.
WAYS_IN: Final[dict[str, Callable[[Path], object]]] = {
    "open": lambda path: asyncio.run(Audit.open(path, options=OPTIONS)._open()),
    "open_sync": lambda path: Audit.open_sync(path, options=OPTIONS),
    "fsck": check_store,
}
way_in = pytest.mark.parametrize("enter", WAYS_IN.values(), ids=WAYS_IN.keys())


# -- who holds it ------------------------------------------------------------------------------------------------------


@way_in
def test_a_store_that_another_process_holds_is_locked_and_the_message_names_it(
    enter: Callable[[Path], object], path: Path
) -> None:
    with started("holder.py", path) as holder:
        assert holder.line() == "open"
        with pytest.raises(StoreLocked, match=rf"process {holder.pid} \(holder\.py") as caught:
            enter(path)
        assert str(path) in str(caught.value)
        assert not caught.value.retryable
        # The one refused has not taken over the name of the one that holds it.
        with pytest.raises(StoreLocked, match=str(holder.pid)):
            enter(path)
        assert holder.wait() == 0
    with Audit.open_sync(path, options=OPTIONS) as log:
        assert log.append(event("a")).index == 600


@way_in
def test_a_store_that_this_process_holds_is_locked_too(enter: Callable[[Path], object], path: Path) -> None:
    with Audit.open_sync(path, options=OPTIONS) as log:
        with pytest.raises(StoreLocked, match=rf"this process \({os.getpid()}\)"):
            enter(path)
        # Who was refused has not disturbed who holds it.
        assert log.append(event("a")).index == 600
        assert len(log.list(limit=1_000)) == 601


def test_a_killed_holder_leaves_nothing_locked(path: Path) -> None:
    with started("holder.py", path) as holder:
        assert holder.line() == "open"
        holder.kill()
        holder.wait()
    with Audit.open_sync(path, options=OPTIONS) as log:
        assert log.info().size == 600


def test_two_stores_of_one_directory_are_open_at_once(tmp_path: Path) -> None:
    with (
        Audit.open_sync(tmp_path / "one", create=True, options=OPTIONS) as one,
        Audit.open_sync(tmp_path / "other", create=True, options=OPTIONS) as other,
    ):
        assert (one.append(event("a")).index, other.append(event("a")).index) == (0, 0)
        assert one.info().store_id != other.info().store_id


# -- what is no store --------------------------------------------------------------------------------------------------


@way_in
def test_a_store_that_lost_its_current_file_is_missing_and_nothing_is_created(
    enter: Callable[[Path], object], path: Path
) -> None:
    (path / "log" / "CURRENT").unlink()
    before = listing(path)
    with pytest.raises(StoreMissing, match="CURRENT"):
        enter(path)
    with pytest.raises(StoreMissing, match="CURRENT"):
        Audit.open_sync(path, create=True, options=OPTIONS)
    assert listing(path) == before


@way_in
def test_what_is_no_store_is_missing_and_nothing_is_created(enter: Callable[[Path], object], tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "directory" / "notes.txt").write_text("mine")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("mine")
    before = listing(tmp_path)
    for name in ("directory", "empty", "file", "file/below", "nothing", "nothing/below"):
        with pytest.raises(StoreMissing, match=name):
            enter(tmp_path / name)
    assert listing(tmp_path) == before


def test_creating_where_other_files_are_is_refused_and_leaves_them(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    before = listing(tmp_path)
    with pytest.raises(StoreExists, match="not empty"):
        Audit.open_sync(tmp_path, create=True, options=OPTIONS)
    with pytest.raises(StoreExists, match="not empty"):
        Audit.init(tmp_path)
    assert listing(tmp_path) == before


def test_what_a_killed_creation_left_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "data" / "log.new-0123456789abcdef").mkdir(parents=True)
    with Audit.open_sync(tmp_path / "data", create=True, options=OPTIONS) as log:
        assert log.append(event("a")).index == 0


def all_at_once(count: int, act: Callable[[], Any]) -> list[Any]:
    """Do something in many threads at the same moment; return what each of them got, errors of ours included."""
    start = threading.Barrier(count)

    def told() -> Any:
        start.wait(PATIENCE_S)
        try:
            return act()
        except AuditError as error:
            return type(error)

    with ThreadPoolExecutor(count) as threads:
        return [one.result() for one in [threads.submit(told) for _ in range(count)]]


def test_of_simultaneous_creations_one_creates_and_the_others_find_a_store(tmp_path: Path) -> None:
    for number in range(10):
        found = all_at_once(6, lambda number=number: Audit.init(tmp_path / f"{number}"))  # type: ignore[misc]
        assert sorted(map(str, found))[:5] == [str(StoreExists)] * 5
        (info,) = [one for one in found if one is not StoreExists]
        assert [one.name for one in (tmp_path / f"{number}").iterdir()] == ["log"]
        with Audit.open_sync(tmp_path / f"{number}", options=OPTIONS) as log:
            assert log.info().store_id == info.store_id


def test_of_simultaneous_openings_that_create_one_has_the_store_and_the_others_are_told_who(tmp_path: Path) -> None:
    for number in range(5):
        opening = lambda number=number: Audit.open_sync(tmp_path / f"{number}", create=True, options=OPTIONS)  # noqa: E731
        found = all_at_once(6, opening)
        (log,) = [one for one in found if one is not StoreLocked]
        with log:
            assert log.append(event("a")).index == 0


def test_creating_over_a_file_is_refused_and_leaves_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for name in ("file", "file/below"):
        with pytest.raises((StoreError, Unavailable)):
            Audit.open_sync(tmp_path / name, create=True, options=OPTIONS)
    assert listing(tmp_path) == {"file": b"mine"}


def test_creating_a_store_twice_is_refused_and_opening_with_create_opens_it(path: Path) -> None:
    with pytest.raises(StoreExists):
        Audit.init(path)
    with Audit.open_sync(path, create=True, options=OPTIONS) as log:
        assert log.info().size == 600


@pytest.mark.parametrize("name", ["MANIFEST-*", "*.ldb"])
@way_in
def test_a_store_that_lost_another_file_is_corrupt(name: str, enter: Callable[[Path], object], path: Path) -> None:
    # Opened once more, so that what was in the write-ahead log is in a table.
    with Audit.open_sync(path, options=OPTIONS):
        pass
    lost = next((path / "log").glob(name))
    lost.unlink()
    if enter is check_store:
        assert check_store(path).findings
        return
    with pytest.raises(StoreCorrupt):
        enter(path)


# -- what can't be read ------------------------------------------------------------------------------------------------


def rewritten(path: Path, prefix: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """Change the first record of a kind through the driver; return its key."""
    database = plyvel.DB(str(path / "log"), compression=None)
    try:
        key, record = next(database.iterator(prefix=prefix))
        database.put(key, change(record))
    finally:
        database.close()
    assert isinstance(key, bytes)
    return key


@pytest.mark.parametrize(
    ("version", "remedy"), [(FORMAT + 1, "upgrade"), (99, "upgrade"), (0, "export"), ("x", "export")]
)
@way_in
def test_a_store_of_another_format_is_refused_and_the_message_names_the_remedy(
    version: object, remedy: str, enter: Callable[[Path], object], path: Path
) -> None:
    rewritten(path, META, lambda record: json.dumps(json.loads(record) | {"format": version}).encode())
    with pytest.raises(StoreFormat, match=f"format {version!r}.*reads format {FORMAT}.*{remedy}"):
        enter(path)
    # It is left as it was: with its own version it would open.
    rewritten(path, META, lambda record: json.dumps(json.loads(record) | {"format": FORMAT}).encode())
    with Audit.open_sync(path, options=OPTIONS) as log:
        assert log.info().size == 600


@pytest.mark.parametrize("at", [0, 3, 60, -1])
def test_a_damaged_commit_is_named_and_the_store_is_not_opened(at: int, path: Path) -> None:
    with Audit.open_sync(path, options=OPTIONS) as log:
        first = log.list(order="desc", limit=88).events[-1]
        assert first.index == 512

    def flipped(record: bytes) -> bytes:
        changed = bytearray(record)
        changed[at] ^= 0x10
        return bytes(changed)

    rewritten(path, COMMIT, flipped)
    for _ in range(2):
        with pytest.raises(StoreCorrupt, match=first.id) as caught:
            Audit.open_sync(path, options=OPTIONS)
        assert caught.value.record == f"commit {first.id}"
    assert [finding.record for finding in check_store(path).findings][:1] == [f"commit {first.id}"]


async def test_an_opening_that_is_cancelled_leaves_nothing_open(path: Path) -> None:
    for _ in range(3):
        opening = asyncio.ensure_future(Audit.open(path, options=OPTIONS)._open())
        await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
    async with Audit.open(path, options=OPTIONS) as log:
        assert log.info().size == 600


# -- forking -----------------------------------------------------------------------------------------------------------


def test_a_forked_child_is_refused_every_verb_and_the_parent_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "data"
    with started("forker.py", path) as forker:
        child, parent = forker.line(), forker.line()
        assert forker.wait() == 0
    refused = {name: "store_forked" for name in child if name not in ("open", "fsck")}
    # The parent holds it: to a child it is as locked as to any other process.
    assert child == {**refused, "open": "store_locked", "fsck": "store_locked"}
    assert parent == {
        "child ended with": "0",
        "append": "600",
        "get": "0",
        "list": "601",
        "tail": "591",
        "close": "None",
    }
    assert check_store(path).findings == []
    with Audit.open_sync(path, options=OPTIONS) as log:
        assert log.info().size == 601


# -- a disk that fills up ----------------------------------------------------------------------------------------------


class Tank(Room):
    """Disk space that a test lets out and in."""

    def __init__(self) -> None:
        self.full = False

    def check(self) -> None:
        if self.full:
            raise DiskFull("0 KiB of disk space left")


def test_below_the_watermark_appends_are_refused_while_reads_and_tails_go_on(path: Path) -> None:
    huge = StoreOptions(min_free_bytes=1 << 62, reserve_bytes=0, recent_bytes=2_000)
    with Audit.open_sync(path, options=huge) as log:
        for _ in range(3):
            with pytest.raises(DiskFull, match="appends need") as caught:
                log.append(event("a"))
            assert caught.value.retryable
        with pytest.raises(DiskFull):
            log.append_many([event("a")] * 3, idempotency_key="k")
        assert len(everything(log)) == 600
        tail = log.subscribe()
        told = 0
        while isinstance(notice := tail.read(timeout_s=0), Batch):
            told += len(notice.events)
        assert told == 600
        assert isinstance(notice, CaughtUp)
        assert [topic.events for topic in log.topics().topics] == [600]
    with Audit.open_sync(path, options=OPTIONS) as log:
        assert log.append_many([event("a")] * 3, idempotency_key="k")[0].index == 600


def test_appends_go_on_by_themselves_once_there_is_space() -> None:
    tank = Tank()
    with log_on(memory_opener(TINY), room=tank) as log:
        log.append_many([event("a", action="before")] * 6)
        tail = log.subscribe(seek="now", limit=3)
        tank.full = True
        refused = [log.append_nowait(event("a", action="refused")) for _ in range(20)]
        wait_for(refused, PATIENCE_S)
        assert {type(one.exception()) for one in refused} == {DiskFull}
        tank.full = False
        assert [log.append(event("a", action="after")).index for _ in range(3)] == [6, 7, 8]
        assert [one.index for one in tail] == [6, 7, 8]
        assert [one.action for one in check_log(log)] == ["before"] * 6 + ["after"] * 3


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 24 MiB."""
    where = tmp_path / "disk"
    where.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(where)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if mounted.returncode:
        pytest.skip(f"mounting is not possible here: {mounted.stderr.strip()}")
    try:
        yield where
    finally:
        subprocess.run(["umount", str(where)], check=True)


def fill(disk: Path, *, leave_bytes: int = 0) -> Path:
    """Fill a disk with one file."""
    ballast = disk / "ballast"
    found = os.statvfs(disk)
    size = found.f_bavail * found.f_frsize - leave_bytes
    with ballast.open("ab") as file, contextlib.suppress(OSError):
        os.posix_fallocate(file.fileno(), file.tell(), size)
    return ballast


def large(name: str) -> NewEvent:
    return event("a", action=name, idempotency_key=name, data=os.urandom(15_000).hex())


def append_until_refused(
    log: SyncAudit, names: Iterator[str], kept: dict[str, Receipt], *, most: int = 3_000
) -> tuple[NewEvent, AuditError]:
    """Append, noting receipts, until the disk is full; return what was refused, and how."""
    for _ in range(most):
        name = next(names)
        one = large(name)
        try:
            kept[name] = log.append(one)
        except AuditError as error:
            return one, error
    raise AssertionError(f"the disk took {most} events")


def assert_kept(log: SyncAudit, kept: dict[str, Receipt]) -> None:
    stored = everything(log)
    assert [f'"index":{index},'.encode() in raw[:60] for index, raw in enumerate(stored)] == [True] * len(stored)
    for name, receipt in kept.items():
        assert f'"{receipt.id}"'.encode() in stored[receipt.index][:40]
        assert f'"action":"{name}"'.encode() in stored[receipt.index]


def test_a_full_disk_loses_nothing_acknowledged_and_appends_go_on_once_there_is_space(small_disk: Path) -> None:
    options = StoreOptions(write_buffer_bytes=1 << 20, recent_bytes=50_000, min_free_bytes=0, reserve_bytes=4 << 20)
    path = small_disk / "data"
    names = map(str, itertools.count())
    kept: dict[str, Receipt] = {}
    with Audit.open_sync(path, create=True, options=options) as log:
        for _ in range(20):
            name = next(names)
            kept[name] = log.append(large(name))
        assert (path / "reserve").stat().st_size == 4 << 20
        ballast = fill(small_disk)
        refused, error = append_until_refused(log, names, kept)
        assert isinstance(error, (OutcomeUnknown, DiskFull))
        # The reserve was given up for it, and the log goes on in its space: the same call, then others.
        again = log.append(refused)
        assert log.append(refused) == again
        kept[str(refused.action)] = again
        assert not (path / "reserve").exists()
        assert_kept(log, kept)
        # Full again, with no reserve left: whatever happens now is told, and memory answers all the same.
        fill(small_disk)
        lost, error = append_until_refused(log, names, kept)
        assert isinstance(error, (OutcomeUnknown, Unavailable))
        assert log.list(order="desc", limit=1).events[0].index == log.info().size - 1
        waiting = log.append_nowait(lost)
        ballast.unlink()
        kept[str(lost.action)] = waiting.result(PATIENCE_S)
        for _ in range(20):
            name = next(names)
            kept[name] = log.append(large(name))
        assert_kept(log, kept)
    assert check_store(path).findings == []
    with Audit.open_sync(path, options=options) as log:
        assert (path / "reserve").exists()
        assert_kept(log, kept)
        assert log.append(refused) == again


def test_a_nearly_full_disk_refuses_appends_before_it_is_full(small_disk: Path) -> None:
    options = StoreOptions(write_buffer_bytes=1 << 20, min_free_bytes=6 << 20, reserve_bytes=2 << 20)
    path = small_disk / "data"
    names = map(str, itertools.count())
    kept: dict[str, Receipt] = {}
    with Audit.open_sync(path, create=True, options=options) as log:
        refused, error = append_until_refused(log, names, kept)
        assert isinstance(error, DiskFull)
        assert kept
        assert_kept(log, kept)
    # It can be closed, opened and read as it is.
    with Audit.open_sync(path, options=options) as log:
        assert_kept(log, kept)
        # Given up already where LevelDB was merging tables, which takes space, when it was closed.
        (path / "reserve").unlink(missing_ok=True)
    with Audit.open_sync(path, options=OPTIONS) as log:
        assert log.append(refused).index == len(kept)


@pytest.mark.parametrize("reserve_bytes", [4 << 20, 0], ids=["a reserve", "no reserve"])
def test_a_store_that_was_killed_before_its_disk_filled_up_opens_with_its_reserve_or_with_space(
    reserve_bytes: int, small_disk: Path
) -> None:
    options = StoreOptions(write_buffer_bytes=2 << 20, min_free_bytes=0, reserve_bytes=reserve_bytes)
    path = small_disk / "data"
    names = map(str, itertools.count())
    kept: dict[str, Receipt] = {}
    with Audit.open_sync(small_disk / "killed", create=True, options=options) as log:
        for _ in range(30):
            name = next(names)
            kept[name] = log.append(large(name))
        copy_store(small_disk / "killed", path)
    shutil.rmtree(small_disk / "killed")
    ballast = fill(small_disk)
    if not reserve_bytes:
        for _ in range(2):
            with pytest.raises(Unavailable, match="space"):
                Audit.open_sync(path, options=options)
        ballast.unlink()
    with Audit.open_sync(path, options=options) as log:
        assert_kept(log, kept)
        assert log.append(large("later")).index == 30
    assert check_store(path).findings == []


# -- closing with work under way ---------------------------------------------------------------------------------------


def told(outcomes: list[Any]) -> list[Receipt]:
    """Return the receipts among outcomes; what is none must be an error of ours that says nothing was written."""
    receipts = [one for one in outcomes if isinstance(one, Receipt)]
    assert all(isinstance(one, (Receipt, StoreClosed, Unavailable)) for one in outcomes), outcomes
    return receipts


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
async def test_closing_with_two_hundred_appends_in_flight_commits_each_or_says_why_not(steps: int, path: Path) -> None:
    log = await Audit.open(path, options=OPTIONS)
    tasks = [asyncio.ensure_future(log.append(event("a", action=f"in flight {number}"))) for number in range(200)]
    for _ in range(steps):
        await asyncio.sleep(0)
    await log.close()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    committed = {one.index: number for number, one in enumerate(outcomes) if isinstance(one, Receipt)}
    told(outcomes)
    if steps:
        # What was accepted before the log was closed is committed.
        assert len(committed) == 200
    with pytest.raises(StoreClosed):
        await log.append(event("a"))
    async with Audit.open(path, options=OPTIONS) as reopened:
        assert reopened.info().size == 600 + len(committed)
        stored = everything(reopened.sync)[600:]
        for index, raw in enumerate(stored, 600):
            assert f'"action":"in flight {committed[index]}"'.encode() in raw
        receipts = told(outcomes)
        assert sorted(receipt.id for receipt in receipts) == [json.loads(raw)["id"] for raw in stored]
    assert check_store(path).findings == []


def test_closing_with_two_hundred_appends_queued_commits_them_in_their_order(path: Path) -> None:
    log = Audit.open_sync(path, options=OPTIONS)
    futures = [log.append_nowait(event("a", action=f"in flight {number}")) for number in range(200)]
    log.close()
    log.close()
    wait_for(futures, PATIENCE_S)
    receipts = told([one.exception() or one.result() for one in futures])
    assert [receipt.index for receipt in receipts] == list(range(600, 800))
    with pytest.raises(StoreClosed):
        log.append_nowait(event("a"))
    with Audit.open_sync(path, options=OPTIONS) as reopened:
        assert [json.loads(raw)["id"] for raw in everything(reopened)[600:]] == [receipt.id for receipt in receipts]


def test_closing_beside_threads_that_go_on_appending_commits_each_or_says_why_not(path: Path) -> None:
    log = Audit.open_sync(path, options=OPTIONS)
    under_way = threading.Semaphore(0)

    def work(number: int) -> list[Receipt]:
        receipts: list[Receipt] = []
        for turn in itertools.count():
            try:
                receipts += log.append_many([event("a", action=f"{number}.{turn}")] * (1 + turn % 3))
            except StoreClosed:
                return receipts
            under_way.release()
        raise AssertionError("never closed")

    with ThreadPoolExecutor(8) as pool:
        working = [pool.submit(work, number) for number in range(8)]
        for _ in range(100):
            assert under_way.acquire(timeout=PATIENCE_S)
        log.close()
        receipts = [receipt for one in working for receipt in one.result(PATIENCE_S)]
    receipts.sort(key=lambda receipt: receipt.index)
    assert [receipt.index for receipt in receipts] == list(range(600, 600 + len(receipts)))
    with Audit.open_sync(path, options=OPTIONS) as reopened:
        assert [json.loads(raw)["id"] for raw in everything(reopened)[600:]] == [receipt.id for receipt in receipts]
