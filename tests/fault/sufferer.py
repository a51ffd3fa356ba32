"""Lives on a disk that fails: `sufferer.py CONTROL`, and a line of JSON for each life: which store, which call, how.

Each life is a process of its own, forked before anything is open. It appends, reads, and retries as a careful caller
would; tells, in one line, what it was told; and kills itself with the log open.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from msgspec import structs

from audit import Audit, AuditError, NewEvent, OutcomeUnknown, Receipt, StoreOptions, SyncAudit, Unavailable
from audit.log.sequencer import Sequencer
from tests.bare import until
from tests.fault.faildisk import Control, Mode

# The smallest write buffer that LevelDB has: memory tables are flushed, and tables compacted, within a short life.
OPTIONS: Final = StoreOptions(write_buffer_bytes=1 << 16, recent_bytes=1 << 14, min_free_bytes=0, reserve_bytes=1 << 16)
ROUNDS: Final = 22
SINGLE: Final = 6
TOGETHER: Final = 30
TRIES: Final = 20


class Life:
    """What happened to one log, as its caller saw it."""

    def __init__(self, store: Path, control: Control, mode: Mode, *, options: StoreOptions, fencing: bool) -> None:
        self._store = store
        self._options = options
        self._fencing = fencing
        self._control = control
        self._mode = mode
        self._chance = random.Random(1)
        self._next = 0
        self._threads = ThreadPoolExecutor(1)
        self.acknowledged: dict[int, tuple[str, int]] = {}
        self.told: list[str] = []
        """Codes of errors, in the order they came."""
        self.fenced = 0
        self.log = self._open()

    def _open(self) -> SyncAudit:
        for _ in range(TRIES):
            try:
                return Audit.open_sync(self._store, options=self._options)
            except AuditError as error:
                self._note(error, "opening")
        raise AssertionError(f"the store does not open: {self.told}")

    def _note(self, error: BaseException, where: str) -> None:
        """Note what was told; a disk that fails until told otherwise is told now."""
        if not isinstance(error, AuditError):
            raise error
        self.told.append(f"{where}: {error.code}")
        if type(error) not in {OutcomeUnknown, Unavailable}:
            raise error
        if self._mode.until_told and self._control["fail_at"]:
            if isinstance(error, OutcomeUnknown) and self._fencing:
                # The disk still fails: nothing but a fence can be, and it must answer from memory.
                asyncio.run(until(lambda: self.log._core.handle.fenced))
                self.fenced += 1
                # So little is kept in memory that right after sealing it is nothing: an error of ours then.
                with contextlib.suppress(Unavailable):
                    last = self.log.list(order="desc", limit=1).events
                    assert [event.index for event in last] == [self.log.info().size - 1][: self.log.info().size]
            self._control.clear()

    def _event(self, *, keyed: bool = False) -> tuple[int, NewEvent]:
        number = self._next
        self._next += 1
        return number, NewEvent(
            topics=[("number", str(number % 5))],
            action=str(number),
            idempotency_key=f"k{number}" if keyed or number % 2 else None,
            data={"text": f"{self._chance.getrandbits(1_200):x}"},
        )

    def _settle(self, events: dict[int, NewEvent], answer: Callable[[], list[Receipt]]) -> None:
        """Note receipts; retry what was not written, and what can be told apart by its keys."""
        keyed = all(event.idempotency_key for event in events.values())
        for _ in range(TRIES):
            try:
                receipts = answer()
            except AuditError as error:
                self._note(error, "append")
                if isinstance(error, OutcomeUnknown) and not keyed:
                    return
            else:
                for number, receipt in zip(events, receipts, strict=True):
                    self.acknowledged[number] = (receipt.id, receipt.index)
                return
            answer = lambda: self.log.append_many(list(events.values()))  # noqa: E731
        raise AssertionError(f"the log does not go on: {self.told}")

    def append(self) -> None:
        """Have several calls in flight at once, and await all of them."""
        singles = []
        for _ in range(SINGLE):
            number, event = self._event()
            singles.append((number, event, self.log.append_nowait(event)))
        batch = dict(self._event(keyed=True) for _ in range(TOGETHER))
        together = self._threads.submit(self.log.append_many, list(batch.values()))
        # In the order they were made: a call behind one that failed waits for 5 s for what this thread is to clear.
        for number, event, single in singles:
            self._settle({number: event}, lambda single=single: [single.result()])  # type: ignore[misc]
        self._settle(batch, together.result)

    def read(self) -> None:
        """Read everything: all of it, in its order, or an error of ours."""
        size, found, cursor = self.log.info().size, [], None
        while True:
            try:
                page = self.log.list(limit=1_000, cursor=cursor)
            except AuditError as error:
                self._note(error, "read")
                continue
            found += page.events
            if not page.has_more:
                break
            cursor = page.cursor
        assert len(found) >= size, f"{len(found)} events read of {size}"
        assert [event.index for event in found] == list(range(len(found)))
        for number, (id_, index) in self.acknowledged.items():
            assert (found[index].id, found[index].action) == (id_, str(number))


def suffer(plan: dict[str, Any], control: Control) -> dict[str, Any]:
    """Live once."""
    store, mode = Path(plan["store"]), Mode(*plan["mode"])
    if not plan["fencing"]:
        Sequencer._fence = lambda self, cause: None  # type: ignore[method-assign]
    told = ""
    if plan["creating"]:
        control.arm(plan["nth"], mode)
        try:
            Audit.init(store)
        except Unavailable as error:
            told = error.code
        if not control["failed"]:
            return {"given": 1, "told": [], "first": None}
        control.clear()
        Audit.open_sync(store, create=True, options=OPTIONS).close()
        return {"given": 1, "told": [told], "first": control.first_failed}
    Audit.init(store)
    if not plan["closing"]:
        control.arm(plan["nth"], mode)
    options = structs.replace(OPTIONS, write_buffer_bytes=plan["buffer_bytes"])
    life = Life(store, control, mode, options=options, fencing=plan["fencing"])
    if plan["closing"]:
        life.append()
        control.arm(plan["nth"], mode)
        life.log.close()
        control.clear()
        return {
            "first": control.first_failed if control["failed"] else None,
            "given": life._next,
            "acknowledged": [[number, *place] for number, place in life.acknowledged.items()],
        }
    for round_ in range(ROUNDS):
        life.append()
        if round_ % 6 == 5 and plan["fencing"]:
            life.read()
    # What failed in the background, unnoticed so far, is told by an append of a disk that does not fail any more.
    late = not life.told
    control.clear()
    before = len(life.acknowledged)
    while len(life.acknowledged) < before + plan["afterwards"]:
        life.append()
    if plan["fencing"]:
        life.read()
    return {
        "failed": control["failed"],
        "first": control.first_failed if control["failed"] else None,
        "after": control["after"],
        "calls": control["calls"],
        "given": life._next,
        "acknowledged": [[number, *place] for number, place in life.acknowledged.items()],
        "told": life.told,
        "late": late,
        "fenced": life.fenced,
        "writes failed": life.log._core.sequencer.meters.failed,
    }


def main(control: Control) -> None:
    """Fork for each line."""
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            said = json.dumps(suffer(json.loads(line), control))
            sys.stdout.write(f"{said}\n")
            sys.stdout.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"{json.dumps({'ended': os.waitstatus_to_exitcode(status)})}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Control(Path(sys.argv[1])))
