"""The single writer. Owns the last id and the head; an event is visible only after its commit is on disk.

One thread takes calls from the queue, decides a commit, writes it in one synchronous batch, publishes it, and answers
all its callers with one call into each event loop. Any exception from a write fences the store: see `_fence`.
"""

from __future__ import annotations

import logging
import os
import random
import threading
from collections.abc import Sequence
from concurrent.futures import Future as ThreadFuture
from time import perf_counter
from typing import Final

from audit.codec.commits import Commit
from audit.codec.cursors import Position
from audit.codec.events import event_value
from audit.log.answers import Answer, answer_all, outcome_unknown, unavailable
from audit.log.checkpoints import Checkpoints
from audit.log.claims import Filling, Slots, digests_of
from audit.log.clock import Clock
from audit.log.dating import Dating
from audit.log.deciding import apply_commit, number_events
from audit.log.erasing import Erasing, Purging, erase_in_memory
from audit.log.growing import Growing
from audit.log.handle import Handle
from audit.log.held import Held
from audit.log.keeps import Keeps
from audit.log.meters import Meters
from audit.log.queue import AppendQueue, Pending, Receipts
from audit.log.receipts import old_receipts, receipts_at
from audit.log.recent import Snapshot, newest
from audit.log.recovery import check_kept, check_same_tree, first_id_of, gained_terms
from audit.log.room import Room
from audit.log.tree import load_tree
from audit.log.wakeups import Wakeups
from audit.model.errors import AuditError, OutcomeUnknown, StoreClosed
from audit.storage.options import StoreOptions
from audit.storage.port import Batch, Erasure, MetricWrite, Storage

__all__ = ["Sequencer"]

_RETRY_S: Final = (0.0, 0.05, 0.1, 0.25, 0.5, 1.0)
_log = logging.getLogger("audit")


class Sequencer:
    """The writer's thread and its state."""

    def __init__(
        self,
        handle: Handle,
        wakeups: Wakeups,
        clock: Clock,
        room: Room,
        options: StoreOptions,
        *,
        checkpoints: Checkpoints,
        accept_clock: bool = False,
        seed: int | None = None,
    ) -> None:
        """Load the head; `start` begins writing.

        Raises:
            StoreCorrupt: a commit of the head is damaged.
            TamperDetected: the store is not what a checkpoint says.
        """
        self._handle = handle
        self._wakeups = wakeups
        self._clock = clock
        self._room = room
        self._recent_bytes = options.recent_bytes
        self.meters = Meters()
        self._queue = AppendQueue(options.queue_events, options.queue_bytes)
        # Ids need not be unpredictable, only different; a seed makes a test's run repeatable.
        self._random = random.Random(int.from_bytes(os.urandom(16), "big") if seed is None else seed)  # noqa: S311
        storage = handle.writable
        self._layout = storage.meta.layout
        self._growing = Growing()
        found = storage.load()
        self.snapshot = self._growing.load(found, load_tree(found, storage), 0)
        self.unpurged = found.unpurged
        """Whether files may still hold what was erased, by a process that ended too early."""
        checkpoints.adopt(self.snapshot.tree, storage, found.checkpoint)
        self._checkpoints = checkpoints
        self.first_id = first_id_of(storage)
        """Id of the oldest event; None while there is none."""
        self._held = Held()
        self._untold: list[Answer] = []
        self.keeps = Keeps()
        self._fenced_by: Exception | None = None
        self._attempts = 0
        self._dating = Dating(clock, self.snapshot.last_id, accepted=accept_clock)
        self._thread = threading.Thread(target=self._run, name="audit-writer", daemon=True)
        self._stopping = threading.Event()

    def start(self) -> None:
        """Begin writing."""
        self._thread.start()

    def put(self, pending: Pending, *, wait: bool) -> None:
        """Queue a call; see `AppendQueue.put`."""
        self._queue.put(pending, wait=wait)

    def __len__(self) -> int:
        return len(self._queue)

    def check_ready(self) -> None:
        """Return if an append would be taken now; raise what it would meet. Asks for disk space, as a commit does.

        Raises:
            StoreClosed, StoreForked: closed for good.
            Unavailable: fenced after a failed write.
            ClockSuspect: the clock jumped.
            DiskFull: free space is below the watermark.
        """
        self._handle.check()
        if self._stopping.is_set():
            raise StoreClosed("the log is being closed")
        if self._fenced_by is not None:
            raise unavailable(self._fenced_by)
        self._dating.check()
        self._room.check()

    def accept_clock(self) -> None:
        """Go on with the clock as it is."""
        self._dating.accept()

    def watermark(self) -> int:
        """Return an id below which no event will be published any more."""
        return self._dating.watermark(self.snapshot.last_id)

    def keep(self, writes: Sequence[MetricWrite]) -> ThreadFuture[None]:
        """Have something of metrics written after the commit under way; see `Keeps.put`."""
        future = self.keeps.put(writes)
        self._queue.nudge()
        return future

    def close(self) -> None:
        """Commit or fail every waiting call, and end the thread. Blocks."""
        self._queue.refuse(StoreClosed("the log is closed"))
        self._stopping.set()
        if self._thread.ident is not None and threading.current_thread() is not self._thread:
            self._thread.join()

    # -- the writer's thread ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            if self._fenced_by is not None:
                self._recover(self._fenced_by)
                continue
            # What waited through a fence comes first, one call at a time, in its old order.
            due_in_s = self._checkpoints.due_in_s(self.snapshot.size)
            taken = self._held.next() if self._held else self._queue.take(due_in_s)
            taken = [pending for pending in taken if not pending.future.cancelled()]
            if taken and isinstance(errand := taken[0].call.errand, Purging):
                self._end_purge(taken[0], errand.keys)
            elif taken:
                self._commit(taken)
            if self.keeps and self._fenced_by is None:
                self._keep()
            if not self._queue.waiting:
                self._tell()
            over = not taken and self._queue.closed and not self._held
            due_in_s = self._checkpoints.due_in_s(self.snapshot.size)
            if due_in_s is not None and (over or not due_in_s) and not self._handle.fenced:
                self._store_checkpoint()
            if over:
                self.keeps.close()
                return

    def _store_checkpoint(self) -> None:
        """Have the store keep a checkpoint of all that it holds."""
        self._tell()
        checkpoint = self._checkpoints.due(self.snapshot.tree)
        try:
            self._handle.writable.append(Batch([], None, [], checkpoint=checkpoint))
        except Exception as error:  # noqa: BLE001 - as of a commit
            self._fence(error)
        else:
            self._checkpoints.stored(checkpoint)

    def _commit(self, taken: list[Pending]) -> None:
        """Decide and write one commit, publish it, answer its callers."""
        answers: list[Answer] = []
        began = perf_counter()
        try:
            filling, slots = self._fill(taken, answers)
        except Exception as error:  # noqa: BLE001 - nothing was written, and the writer must outlive whatever it was
            told = error if isinstance(error, AuditError) else unavailable(error)
            self._tell()
            answer_all([(pending, told) for pending in taken])
            return
        numbered: Receipts = []
        if filling.events:
            first_index, last_id = self.snapshot.size, self.snapshot.last_id
            now_ms = self._dating.begin(last_id)
            try:
                done = number_events(filling.events, first_index, last_id, now_ms, self._random.getrandbits)
                commit = Commit(first_index, done.events, [one.terms for one in filling.events], filling.claims)
                errand = taken[0].call.errand
                erased = errand.places if isinstance(errand, Erasing) else ()
                self._write(commit, done.leaves, done.last_id, erased)
            except Exception as error:  # noqa: BLE001 - whatever it was, the write may have happened: fence
                unknown = error if isinstance(error, OutcomeUnknown) else outcome_unknown(error)
                for pending, places in slots:
                    # Only what has new events is in doubt; old receipts stay true.
                    new = isinstance(places, range) or any(isinstance(place, int) for place in places)
                    answers.append((pending, unknown if new else receipts_at(places, [])))
                self._tell()
                answer_all(answers)
                self._fence(unknown)
                return
            self._dating.end()
            numbered = done.receipts
            self.meters.committed(done.events, perf_counter() - began)
        for pending, places in slots:
            answers.append((pending, receipts_at(places, numbered)))
        self._tell()
        self._untold = answers

    def _keep(self) -> None:
        """Write what is kept of metrics; a failed write is a failed write."""
        self._tell()
        try:
            self.keeps.write(self._handle.writable)
        except Exception as error:  # noqa: BLE001 - whatever it was, the write may have happened: fence
            self._fence(error)

    def _tell(self) -> None:
        """Answer the callers of the last commit, if that is still to be done.

        While calls wait it is done when the next commit is about to be written: callers then go on while the disk
        works. Told any earlier they would contend with the writer for the interpreter, and wait for the disk after.
        """
        answers, self._untold = self._untold, []
        answer_all(answers)

    def _fill(self, taken: list[Pending], answers: list[Answer]) -> tuple[Filling, list[tuple[Pending, Slots]]]:
        """Return the new events of some calls; calls that fail on their own are answered."""
        now_ms = self._dating.read()
        self._room.check()
        digests = digests_of([pending.call for pending in taken])
        known = self._growing.known(digests, self._handle.writable) if digests else {}
        filling = Filling(known, now_ms, lambda claim: old_receipts(claim, self.snapshot, self._handle.writable))
        slots: list[tuple[Pending, Slots]] = []
        for pending in taken:
            try:
                call = pending.call
                if isinstance(call.errand, Erasing):
                    call = call.errand.resolved(self._stored)
                slots.append((pending, filling.add(call)))
            except AuditError as error:
                answers.append((pending, error))
        return filling, slots

    def _stored(self, event_id: int) -> bytes | None:
        """Return the stored event with an id, or None."""
        return self.snapshot.event_with(event_id) or self._handle.writable.get(event_id)

    def _write(self, commit: Commit, leaves: list[bytes], last_id: int, erased: Sequence[Position] = ()) -> None:
        """Make a commit durable, with what it erases of earlier events, then visible."""
        before = self.snapshot
        segments, head = before.segments, self._growing.segment
        erasure = None
        if erased:
            # The head is that of the snapshot: nothing is being written but this.
            segments, commits = erase_in_memory(segments, erased)
            head = segments[-1]
            erasure = Erasure(event_value(commit.events[0]), erased, commits)
        applied = apply_commit(head, before.tree, commit, leaves, self._layout)
        if erasure is not None and applied.batch.sealed:
            erasure = erasure._replace(commits=[])
        began = perf_counter()

        def ready() -> None:
            nonlocal began
            self._tell()
            # What telling took is not the disk's.
            began = perf_counter()

        self._handle.writable.append(applied.batch._replace(ready=ready, erasure=erasure))
        self.meters.write_s.observe(perf_counter() - began)
        if applied.batch.sealed or erasure is not None:
            self._growing.replace(applied.head)
        else:
            self._growing.grow(applied.head, commit)
        if applied.batch.sealed:
            segments = newest((*segments[:-1], *applied.batch.sealed, applied.head), self._recent_bytes)
        if self.first_id is None:
            self.first_id = event_value(commit.events[0])
        erasures = before.erasures + (erasure is not None)
        size = commit.first_index + len(commit.events)
        after = Snapshot(size, last_id, segments, applied.tree, erasures)
        self._publish(before.end, after, commit.terms)

    def _end_purge(self, pending: Pending, keys: list[bytes]) -> None:
        """Open the store anew, so that nothing is left of what was erased, and then forget that there was."""
        self._tell()
        try:
            self._handle.fence()
            storage = self._handle.reopen()
            try:
                check_kept(self.snapshot, storage.load(), storage)
            except BaseException:
                storage.close()
                raise
            self._handle.restore(storage)
            storage.append(Batch((), None, (), purged=keys))
        except Exception as error:  # noqa: BLE001 - whatever it was, the store is opened again before anything is written
            answer_all([(pending, outcome_unknown(error))])
            self._fence(error)
            return
        answer_all([(pending, [])])

    def _publish(self, before: Position, after: Snapshot, terms: list[tuple[bytes, ...]]) -> None:
        def show() -> None:
            self.snapshot = after

        # Publish after the batch is on disk: a tail woken earlier would seek past an event it cannot read yet.
        self._wakeups.publish(show, before, terms)

    # -- opening and recovering ------------------------------------------------------------------------------------

    def _fence(self, cause: Exception) -> None:
        """Close the store after a failed write; `_recover` opens it again.

        LevelDB goes on after an error as if nothing had been, and loses later acknowledged writes; so no handle is
        written to twice after one.
        """
        _log.error("a write failed, the store is fenced: %s", cause)
        self.meters.failed += 1
        self._fenced_by = cause
        self._attempts = 0
        self._handle.fence()
        self._room.release_reserve()

    def _recover(self, cause: Exception) -> None:
        """Try once to reopen the fenced store, check what was acknowledged, and go on.

        Calls that wait are held for 5 s, then fail as unavailable.
        """
        try:
            self._reopen()
        except Exception as error:  # noqa: BLE001 - whatever it is, the store stays fenced and is tried again
            _log.warning("the fenced store can't be reopened yet: %s", error)
            cause = error
        else:
            self._fenced_by = None
            self._dating.end()
            self._room.restore_reserve()
            _log.warning("the store was reopened with %d events and goes on", self.snapshot.size)
            return
        self._held.add(self._queue.take_all())
        if self._stopping.is_set():
            self._held.fail(unavailable(cause))
            # Nobody is left to go on for.
            self._fenced_by = None
            return
        self._held.fail_stale(unavailable(cause), self._clock.monotonic_ms())
        self._stopping.wait(_RETRY_S[min(self._attempts, len(_RETRY_S) - 1)])
        self._attempts += 1

    def _reopen(self) -> None:
        """Open the storage anew and go on with it, or close it and say why not."""
        storage = self._handle.reopen()
        try:
            self._resume(storage)
        except BaseException:
            self._handle.fence()
            storage.close()
            raise

    def _resume(self, storage: Storage) -> None:
        """Take over a reopened store, after checking that nothing acknowledged is missing."""
        head = storage.load()
        before = self.snapshot
        check_kept(before, head, storage)
        # What others keep of before may hold what a write with an unknown outcome has erased.
        found = self._growing.load(head, load_tree(head, storage), before.erasures + 1)
        check_same_tree(before.tree, found.tree, storage)
        if self.first_id is None and found.size:
            self.first_id = first_id_of(storage)
        if found.size == before.size:
            # What is in memory is as good as before, but for the head, which a failed commit may have grown.
            self._publish(before.end, found, [])
        else:
            # The failed write did happen: whoever waits for its terms must see it.
            self._handle.restore(storage)
            self._publish(before.end, found, gained_terms(before, head, storage))
        self._handle.restore(storage)
