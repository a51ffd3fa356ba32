"""Exporting an open log as a backup, up to the size it has at the start; appends and readers go on meanwhile.

What is sealed is read from the storage a segment at a time, what is not from the published snapshot. The writer waits
for nothing, and no more than one block is in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

from audit.codec.backups import BACKUP_FORMAT, BackupHeader, Continued, Encoder
from audit.codec.commits import Commit
from audit.codec.events import event_index, event_value
from audit.codec.texts import instant
from audit.log.by_index import id_at
from audit.log.recent import Snapshot
from audit.model.errors import InvalidParameter, StoreCorrupt
from audit.model.ids import format_id, parse_id
from audit.storage.port import Run

if TYPE_CHECKING:
    from audit.log.core import LogCore

__all__ = ["Backup", "Since"]

_BLOCK_EVENTS: Final = 1_000
_BLOCK_BYTES: Final = 1024 * 1024
_TRIES: Final = 10


class Since(NamedTuple):
    """What an increment goes on from.

    Attributes:
        size: Events that are backed up already.
        last_id: Id of the last of them; None: whichever it is.
        hash: Of the backup that holds it, in hexadecimal; None: of any.
    """

    size: int
    last_id: str | None = None
    hash: str | None = None


class Backup:
    """One backup of an open log: iterate over its bytes, once. Blocks on the disk.

    Attributes:
        header: What it says of itself.
        done: Events handed out so far.
    """

    def __init__(self, core: LogCore, since: Since | None = None) -> None:
        """Note down how far the log goes, and find where to begin.

        Raises:
            InvalidParameter: the log does not go so far, or has another event there.
            StoreClosed: it is closed.
        """
        core.handle.check()
        snapshot = core.sequencer.snapshot
        self._core = core
        continues = None if since is None else _continued(core, snapshot, since)
        now = datetime.fromtimestamp(core.clock.wall_ms() / 1000, UTC)
        self.header = BackupHeader(
            format=BACKUP_FORMAT,
            store_id=core.meta.store_id,
            store_format=core.meta.format,
            layout=core.meta.layout,
            created=instant(now),
            size=snapshot.size,
            last_id=format_id(snapshot.last_id) if snapshot.size else None,
            continues=continues,
        )
        self.done = 0
        self._encoder = Encoder(self.header)

    @property
    def events(self) -> int:
        """Events that it holds."""
        return self.header.size - self.header.first_index

    @property
    def hash(self) -> str:
        """The whole backup's, in hexadecimal, once all of it was handed out."""
        return self._encoder.hash

    def __iter__(self) -> Iterator[bytes]:
        """Yield the backup's bytes, about a MiB of events at a time.

        Raises:
            StoreCorrupt: a record is damaged or missing.
            Unavailable: the disk can't be read.
            StoreClosed: the log was closed meanwhile.
        """
        yield self._encoder.header()
        for commit in self._commits():
            self.done += len(commit.events)
            yield self._encoder.block(commit)
        yield self._encoder.footer()

    def _commits(self) -> Iterator[Commit]:
        """Yield the runs of events, small ones put together."""
        commit: Commit | None = None
        size = 0
        for run in self._runs():
            room = sum(map(len, run.events))
            if commit is not None:
                fits = len(commit.events) + len(run.events) <= _BLOCK_EVENTS and size + room <= _BLOCK_BYTES
                if not fits:
                    yield commit
                    commit, size = None, 0
            if commit is None:
                commit = Commit(run.first_index, [], [], [])
            commit.claims.extend([claim.moved(len(commit.events)) for claim in run.claims])
            commit.events.extend(run.events)
            size += room
        if commit is not None:
            yield commit

    def _runs(self) -> Iterator[Run]:
        header = self.header
        index = header.first_index
        last_id = header.continued_id
        while index < header.size:
            run = _next_run(self._core, index, last_id)
            if run.first_index != index:
                raise StoreCorrupt(f"the event at index {index}", f"is missing, the next is at {run.first_index}")
            run = run.before(header.size - index)
            yield run
            index += len(run.events)
            last_id = event_value(run.events[-1])


def _next_run(core: LogCore, index: int, last_id: int) -> Run:
    """Return some of the events from an index on, which are committed."""
    for _ in range(_TRIES):
        run = core.handle.read(lambda storage: storage.run_after(last_id))
        # What is not sealed is in memory, unless it was sealed and has left memory in between.
        run = run or _run_in_memory(core.sequencer.snapshot, index)
        if run is not None:
            return run
    raise StoreCorrupt(f"the event at index {index}", "is missing")


def _run_in_memory(snapshot: Snapshot, index: int) -> Run | None:
    for segment in snapshot.segments:
        start, stop = index - segment.first_index, snapshot.visible(segment)
        if 0 <= start < stop:
            # Claims first come with their events, and the events of a commit that failed lie beyond `stop`.
            return Run(segment.first_index, segment.events[:stop], list(segment.claims)).before(stop).after(start)
    return None


def _continued(core: LogCore, snapshot: Snapshot, since: Since) -> Continued | None:
    if not 0 <= since.size <= snapshot.size:
        raise InvalidParameter("since", f"the log has {snapshot.size} events, fewer than {since.size}")
    if not since.size:
        return None if since.hash is None else Continued(index=0, last_id=None, hash=since.hash)
    if since.last_id is None:
        found = format_id(id_at(core.handle, snapshot, since.size - 1))
    else:
        found = format_id(parse_id(since.last_id, "since"))
        value = parse_id(found)
        event = snapshot.event_with(value) or core.handle.read(lambda storage: storage.get(value))
        if event is None or event_index(event) != since.size - 1:
            problem = f"the log has another event than {found} at index {since.size - 1}: it is not the one backed up"
            raise InvalidParameter("since", problem)
    return Continued(index=since.size, last_id=found, hash=since.hash)
