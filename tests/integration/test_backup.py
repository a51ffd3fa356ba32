"""A restored log is the same log: ids, bytes, pages, cursors, topics, and the answers to retries."""

import itertools
import random
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit import Audit, BackupInvalid, InvalidParameter, NewEvent, Receipt, StoreExists, SyncAudit, Unavailable
from audit.app.fsck import check_store
from audit.app.restore import restore_store
from audit.codec.backups import Decoder
from audit.log.core import LogCore
from audit.log.room import Room
from audit.log.sync import SyncAudit as Log
from audit.storage.opening import open_store
from audit.testing import FakeClock
from audit.testing.checking import check_log
from audit.testing.faults import Faults
from tests.fault.report import record, scaled
from tests.stores import LAYOUTS, OPTIONS, event, leveldb_opener
from tests.strategies import new_events

EXAMPLES: Final = scaled(40)
SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a directory of its own is made in it


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path


def opened(path: Path, clock: FakeClock | None = None) -> SyncAudit:
    """Open a store whose LevelDB is in `path/log`."""
    opener = lambda: open_store(path / "log", OPTIONS)  # noqa: E731 - shorter so
    return Log(LogCore(opener, clock or FakeClock(), Room(), OPTIONS, accept_clock=True))


class Source:
    """A store that is appended to, and what was asked of it."""

    def __init__(self, path: Path, layout: str = "tiny") -> None:
        path.mkdir(parents=True)
        leveldb_opener(path / "log", LAYOUTS[layout])
        self.path = path
        self.clock = FakeClock()
        self.log = opened(path, self.clock)
        self.calls: list[tuple[list[NewEvent], str | None, list[Receipt]]] = []

    def append(self, events: list[NewEvent], key: str | None = None) -> None:
        self.calls.append((events, key, self.log.append_many(events, idempotency_key=key)))


def everything(log: SyncAudit, **arguments: Any) -> tuple[list[bytes], list[str]]:
    """Return all events of a query, and the cursor of every page."""
    events: list[bytes] = []
    cursors: list[str] = []
    cursor, more = None, True
    while more:
        page = log.list(**arguments, limit=7, cursor=cursor)
        events += page.slices
        cursors.append(page.cursor)
        cursor, more = page.cursor, page.has_more
    return events, cursors


def check_same(source: Source, restored: Path) -> None:
    """Ask both logs everything, and repeat every call that had keys."""
    report = check_store(restored)
    assert report.findings == []
    with opened(restored, source.clock) as log:
        assert log.info() == source.log.info()
        check_log(log)
        for arguments in ({}, {"order": "desc"}, {"topic": ("a",)}, {"filter": {"action": "open"}}):
            assert everything(log, **arguments) == everything(source.log, **arguments)
        assert log.topics(limit=1_000) == source.log.topics(limit=1_000)
        # Cursors of one go on in the other.
        for cursor in everything(source.log)[1]:
            assert log.list(cursor=cursor).slices == source.log.list(cursor=cursor).slices
        assert log.checkpoint() == source.log.checkpoint()
        size = log.info().size
        for events, key, receipts in source.calls:
            if key is not None or all(one.idempotency_key for one in events):
                assert log.append_many(events, idempotency_key=key) == receipts
        assert log.info().size == size


@pytest.fixture(scope="module")
def restored() -> Iterator[Counter[str]]:
    """What was backed up and restored, in all examples together."""
    told: Counter[str] = Counter()
    yield told
    record(
        fault="a store that is gone",
        injected="backed up in one to four files, by size or by the file before, and restored elsewhere",
        tried=told["restores"],
        acknowledged=told["events"],
        lost=0,
        repeated=0,
        detected="bytes, pages, cursors, topics and answers to retries compared; fsck",
    )


@given(
    pool=st.lists(new_events, min_size=1, max_size=4),
    seed=st.integers(0, 2**32),
    layout=st.sampled_from(sorted(LAYOUTS)),
    by_number=st.booleans(),
)
@settings(max_examples=EXAMPLES, deadline=None)
def test_backup_and_its_increments_restore_to_the_same_log(
    restored: Counter[str], pool: list[NewEvent], seed: int, layout: str, by_number: bool
) -> None:
    rng = random.Random(seed)
    with TemporaryDirectory(dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None) as directory:
        place = Path(directory)
        source = Source(place / "source", layout)
        numbers = itertools.count()
        files: list[Path] = []
        size = 0
        with source.log:
            for _ in range(rng.randint(1, 4)):
                for _ in range(rng.randint(0, 8)):
                    source.clock.advance(rng.randint(0, 1))
                    events = rng.choices(pool, k=rng.randint(1, 9))
                    keys = rng.choice(["none", "call", "events"])
                    if keys == "events":
                        events = [
                            msgspec.structs.replace(one, idempotency_key=f"key {next(numbers)}") for one in events
                        ]
                    source.append(events, f"call {next(numbers)}" if keys == "call" else None)
                if by_number and not size:
                    # From event 0 on: a full backup, which an empty one is not followed by.
                    files.clear()
                since = None if not files else size if by_number else files[-1]
                files.append(place / f"backup {next(numbers)}")
                info = source.log.backup(files[-1], since=since)
                assert (info.size, info.events) == (source.log.info().size, source.log.info().size - size)
                size = info.size
            told = restore_store(place / "restored", files)
            assert told == source.log.info()._replace(origin=None)
            check_same(source, place / "restored")
            restored.update(restores=1, events=size)


def filled(path: Path, calls: int = 12) -> Source:
    source = Source(path)
    for number in range(calls):
        source.append([event("a", str(number % 3), action="open") for _ in range(number % 4 + 1)], f"call {number}")
        source.append([event("b", data="x" * 90, idempotency_key=f"key {number}")])
    return source


def untouched(place: Path, restored: Path) -> bool:
    return not restored.exists() and not list(place.glob(".*"))


@pytest.fixture
def chain(place: Path) -> tuple[Path, list[Path]]:
    """A place, and a full backup with an increment in it."""
    source = filled(place / "source")
    with source.log as log:
        log.backup(place / "full")
        source.append([event("c")])
        source.append([event("c")], "late")
        log.backup(place / "more", since=place / "full")
    return place, [place / "full", place / "more"]


def test_every_flipped_byte_is_refused(chain: tuple[Path, list[Path]]) -> None:
    _, files = chain
    for file in files:
        sound = file.read_bytes()
        # Restoring from half of them would take long: reading is what finds them, and it is the same code.
        for at in range(len(sound)):
            damaged = bytearray(sound)
            damaged[at] ^= 1 << at % 8
            with pytest.raises(BackupInvalid):
                read(damaged)
        assert read(bytearray(sound)) > 0
    flips = sum(file.stat().st_size for file in files)
    note("a flipped bit in a backup", "one in every byte", flips)


def note(fault: str, injected: str, tried: int) -> None:
    detected = "refused before anything is restored, naming file and byte"
    record(fault=fault, injected=injected, tried=tried, acknowledged=0, lost=0, repeated=0, detected=detected)


def read(data: bytearray) -> int:
    """Read a backup as a restore does; return its events."""
    view = memoryview(bytes(data))
    at = 0

    def take(count: int) -> bytes:
        nonlocal at
        found = bytes(view[at : at + count])
        at += len(found)
        return found

    return sum(len(commit.events) for commit in Decoder(take, "test").commits())


def test_every_cut_and_every_addition_is_refused(chain: tuple[Path, list[Path]]) -> None:
    _, files = chain
    for file in files:
        sound = file.read_bytes()
        for length in range(len(sound)):
            with pytest.raises(BackupInvalid):
                read(bytearray(sound[:length]))
        with pytest.raises(BackupInvalid, match="behind its footer"):
            read(bytearray(sound + b"\0"))
    note("a backup cut short", "after every byte", sum(file.stat().st_size for file in files))


@pytest.mark.parametrize("where", [0, 7, 9, 60, -1, -60, 0.3, 0.6])
@pytest.mark.parametrize("file", [0, 1])
def test_damaged_backup_is_refused_by_name_and_leaves_nothing(
    chain: tuple[Path, list[Path]], file: int, where: float
) -> None:
    place, files = chain
    damaged = bytearray(files[file].read_bytes())
    damaged[int(where if abs(where) >= 1 or not where else where * len(damaged))] ^= 64
    files[file].write_bytes(bytes(damaged))
    with pytest.raises(BackupInvalid) as caught:
        restore_store(place / "restored", files)
    assert caught.value.file == str(files[file])
    assert "at byte" in caught.value.place
    assert untouched(place, place / "restored")


def test_chain_with_a_gap_is_refused(chain: tuple[Path, list[Path]]) -> None:
    place, (full, more) = chain
    with opened(place / "source") as log:
        log.append(event("d"))
        log.backup(place / "last", since=more)
    for files in ([more], [full, place / "last"], [full, more, more], [full, full], [more, full], [full, more, full]):
        with pytest.raises(BackupInvalid):
            restore_store(place / "restored", files)
        assert untouched(place, place / "restored")
    restore_store(place / "restored", [full, more, place / "last"])


def test_backup_of_another_store_is_refused(place: Path) -> None:
    one = filled(place / "one")
    with one.log as log:
        log.backup(place / "full")
    with Audit.open_sync(place / "two", create=True) as log:
        log.append_many([event("a")] * one.calls[-1][2][-1].index + [event("a")])
        with pytest.raises(InvalidParameter, match="is a backup of store"):
            log.backup(place / "more", since=place / "full")
        log.backup(place / "more", since=log.info().size)
    with pytest.raises(BackupInvalid, match="is of store"):
        restore_store(place / "restored", [place / "full", place / "more"])
    assert untouched(place, place / "restored")


def test_increment_of_a_copy_that_went_its_own_way_is_refused(place: Path) -> None:
    source = filled(place / "source")
    with source.log as log:
        log.backup(place / "full")
        restore_store(place / "copy", [place / "full"])
        source.append([event("mine")])
        log.backup(place / "mine", since=place / "full")
    with opened(place / "copy") as log:
        log.append(event("theirs"))
        with pytest.raises(InvalidParameter, match="another event"):
            log.backup(place / "theirs", since=place / "mine")
    assert not (place / "theirs").exists()


def test_nothing_is_overwritten(chain: tuple[Path, list[Path]]) -> None:
    place, files = chain
    with opened(place / "source") as log, pytest.raises(InvalidParameter, match="is there already"):
        log.backup(files[0])
    with pytest.raises(StoreExists):
        restore_store(place / "source", files)
    (place / "empty").mkdir()
    restore_store(place / "empty", files)
    assert check_store(place / "empty").findings == []


@pytest.mark.parametrize("since", [-1, 1_000, True, 1.5, "nowhere"])
def test_bad_beginning_is_refused(chain: tuple[Path, list[Path]], since: Any) -> None:
    place, _ = chain
    with opened(place / "source") as log, pytest.raises(InvalidParameter, match="since"):
        log.backup(place / "new", since=since)
    assert not (place / "new").exists()


def test_backup_that_can_not_be_written_leaves_nothing(chain: tuple[Path, list[Path]]) -> None:
    place, _ = chain
    with opened(place / "source") as log:
        with pytest.raises(Unavailable):
            log.backup(place / "nowhere" / "new")

        def stop(done: int, total: int | None) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            log.backup(place / "new", on_progress=stop)
    assert untouched(place, place / "new")


def test_every_number_of_events_is_a_place_to_go_on_from(place: Path) -> None:
    source = filled(place / "source")
    with source.log as log:
        stored, _ = everything(log)
        for size in range(len(stored) + 1):
            log.backup(place / "part", since=size)
            data = bytearray((place / "part").read_bytes())
            (place / "part").unlink()
            assert read(data) == len(stored) - size


def test_backup_beside_appends_holds_the_log_as_it_was_at_the_start(place: Path) -> None:
    source = Source(place / "source")
    stop = threading.Event()
    writes = itertools.count()

    def write() -> None:
        while not stop.is_set():
            source.append([event("a", str(next(writes) % 3))] * 3, f"call {next(writes)}")

    with source.log as log:
        writer = threading.Thread(target=write)
        writer.start()
        try:
            files: list[Path] = []
            while len(files) < 20:
                files.append(place / f"backup {len(files)}")
                info = log.backup(files[-1], since=files[-2] if files[1:] else None)
                assert info.size <= log.info().size
        finally:
            stop.set()
            writer.join()
        files.append(place / "last")
        log.backup(files[-1], since=files[-2])
        restore_store(place / "restored", files)
        check_same(source, place / "restored")


def test_backup_goes_on_after_a_failed_write(place: Path) -> None:
    opener = leveldb_opener(place / "source", LAYOUTS["tiny"])
    faults = Faults(opener)
    with Log(LogCore(faults.open, FakeClock(), Room(), OPTIONS)) as log:
        log.append_many([event("a")] * 10)
        faults.fail_append(1, persisted=False)
        with pytest.raises(Exception, match="test wants it"):
            log.append_many([event("lost")] * 3)
        info = log.backup(place / "full")
        assert info.size == 10
    assert restore_store(place / "restored", [place / "full"]).size == 10


def test_key_of_a_call_that_is_used_again_after_its_week_is_restored_with_its_last_meaning(place: Path) -> None:
    source = Source(place / "source")
    with source.log as log:
        source.append([event("first")] * 9, "again")
        source.clock.advance(8 * 24 * 3_600_000)
        log.append_many([event("between")] * 30)
        log.append_many([event("between")] * 30)
        source.calls.clear()
        source.append([event("second")] * 9, "again")
        log.append_many([event("after")] * 9)
        log.backup(place / "full")
        restore_store(place / "restored", [place / "full"])
        check_same(source, place / "restored")


async def test_asynchronous_verb_does_the_same(place: Path) -> None:
    async with Audit.open(place / "source", create=True) as log:
        await log.append_many([event("a")] * 3)
        seen: list[tuple[int, int | None]] = []
        info = await log.backup(place / "full", on_progress=lambda done, total: seen.append((done, total)))
        assert (info.events, seen[-1]) == (3, (3, 3))
    assert restore_store(place / "restored", [place / "full"]).size == 3


def test_increments_by_number_leave_no_gap(chain: tuple[Path, list[Path]]) -> None:
    place, (full, more) = chain
    with opened(place / "source") as log:
        size = log.info().size
        log.append_many([event("d")] * 3)
        log.backup(place / "gap", since=size + 1)
        log.backup(place / "overlap", since=size - 1)
        log.backup(place / "next", since=size)
    for name in ("gap", "overlap"):
        with pytest.raises(BackupInvalid, match="the one before ends after"):
            restore_store(place / "restored", [full, more, place / name])
        assert untouched(place, place / "restored")
    assert restore_store(place / "restored", [full, more, place / "next"]).size == size + 3


def test_increment_goes_with_the_very_backup_that_it_was_made_from(place: Path) -> None:
    source = filled(place / "source")
    with source.log as log:
        log.backup(place / "one")
        source.clock.advance(1_000)
        log.backup(place / "two")
        log.append(event("d"))
        log.backup(place / "more", since=place / "one")
    with pytest.raises(BackupInvalid, match="goes on from backup"):
        restore_store(place / "restored", [place / "two", place / "more"])
    restore_store(place / "restored", [place / "one", place / "more"])
