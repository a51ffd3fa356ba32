"""Stores for tests: LevelDB with small buffers, memory, layouts small enough to seal all the time, and plain events."""

import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from audit import NewEvent, StoreOptions
from audit.codec.commits import Commit
from audit.codec.segments import Layout, Segment
from audit.log.claims import Filling
from audit.log.deciding import apply_commit, number_events
from audit.log.prepare import Prepared, prepare_call
from audit.proof.frontier import Frontier
from audit.storage.memory import Disk, MemoryStorage
from audit.storage.opening import create_store, open_store
from audit.storage.port import Storage
from audit.testing.clock import START_MS
from audit.testing.logs import STORE_ID

__all__ = [
    "LAYOUTS",
    "OPTIONS",
    "TINY",
    "Writer",
    "copy_store",
    "event",
    "holding",
    "leveldb_opener",
    "memory_opener",
    "prepared",
]

OPTIONS: Final = StoreOptions(
    write_buffer_bytes=1 << 20,
    driver_cache_bytes=1 << 20,
    block_cache_bytes=1 << 16,
    recent_bytes=2_000,
    min_free_bytes=0,
    reserve_bytes=0,
)
TINY: Final = Layout(segment_events=4, segment_bytes=600, chunk_blocks=2, block_events=2)
LAYOUTS: Final = {
    "tiny": TINY,
    "one event a block": Layout(segment_events=5, segment_bytes=1 << 20, chunk_blocks=1, block_events=1),
    "default": Layout(),
}


def leveldb_opener(path: Path, layout: Layout = TINY, options: StoreOptions = OPTIONS) -> Callable[[], Storage]:
    """Create a store and return its opener."""
    create_store(path, STORE_ID, layout)
    return lambda: open_store(path, options)


def memory_opener(layout: Layout = TINY) -> Callable[[], Storage]:
    """Return the opener of a new store in memory."""
    disk = Disk(STORE_ID, layout)
    return lambda: MemoryStorage(disk)


def copy_store(source: Path, target: Path) -> Path:
    """Copy a store's bytes while it is open: what a killed process leaves behind.

    LevelDB's compaction may change files meanwhile, which is no state that a kill leaves: then all is copied again.
    """
    while True:
        before = _files(source)
        try:
            shutil.copytree(source, target, copy_function=shutil.copyfile)
        except (shutil.Error, FileNotFoundError):
            shutil.rmtree(target, ignore_errors=True)
            continue
        if _files(source) == before:
            return target
        shutil.rmtree(target)


def holding(path: Path, mark: str) -> list[str]:
    """Return the names of a store's files that hold a mark."""
    while True:
        try:
            return [file.name for file in path.rglob("*") if file.is_file() and mark.encode() in file.read_bytes()]
        except FileNotFoundError:
            # LevelDB has put it into another one meanwhile: where, only another look tells.
            continue


def _files(path: Path) -> list[tuple[str, int, int]]:
    """Return name, size and time of every file of a store; fewer where one vanishes under the look."""
    found = []
    for file in sorted(path.rglob("*")):
        try:
            told = file.stat()
        except FileNotFoundError:
            continue
        found.append((file.name, told.st_size, told.st_mtime_ns))
    return found


def event(*topic: str, **members: Any) -> NewEvent:
    """Return an event with one topic."""
    return NewEvent(topics=[topic or ("a",)], **members)


def prepared(events: Sequence[NewEvent]) -> list[Prepared]:
    """Return checked and encoded events."""
    return prepare_call(events).events


class Writer:
    """Appends to a new, empty storage as the sequencer does: the head, and what each commit seals."""

    def __init__(self, storage: Storage, seed: int = 0) -> None:
        self.storage = storage
        self.stored: list[bytes] = []
        self.commits: list[Commit] = []
        self._bits = random.Random(seed).getrandbits
        self._last_id = -1
        self._head = Segment(0)
        self.tree = Frontier()

    def append(self, events: Sequence[NewEvent], *, ms: int = START_MS, key: str | None = None) -> Commit:
        """Commit some events, sealing as the layout demands."""
        filling = Filling({}, ms, lambda _: [])
        filling.add(prepare_call(events, key))
        index = len(self.stored)
        numbered = number_events(filling.events, index, self._last_id, ms, self._bits)
        commit = Commit(index, numbered.events, [one.terms for one in filling.events], filling.claims)
        applied = apply_commit(self._head, self.tree, commit, numbered.leaves, self.storage.meta.layout)
        self.storage.append(applied.batch)
        self._head, self.tree, self._last_id = applied.head, applied.tree, numbered.last_id
        self.stored += numbered.events
        self.commits.append(commit)
        return commit

    @property
    def sealed(self) -> list[bytes]:
        """The events of sealed segments."""
        return self.stored[: self._head.first_index]

    @property
    def head_keys(self) -> list[bytes]:
        """Keys of the commits that are not sealed."""
        return list(self._head.commits)
