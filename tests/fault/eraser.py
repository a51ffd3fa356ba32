"""Appends and erases until it is killed: `eraser.py STORE [CONTROL NTH MODE]`, on a disk that fails if it is told how.

Each pair of events has a mark of its own. Tells each mark before its pair is erased, and once more when it is gone.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from pathlib import Path
from typing import Final

from audit import Actor, Audit, AuditError, NewEvent, StoreOptions, SyncAudit
from audit.model.ids import EventId
from tests.fault.faildisk import MODES, Control

__all__ = ["OPTIONS", "PAIRS", "mark_of"]

OPTIONS: Final = StoreOptions(write_buffer_bytes=1 << 16, recent_bytes=1 << 14, min_free_bytes=0, reserve_bytes=1 << 16)
PAIRS: Final = 12
_TRIES: Final = 30


def mark_of(number: int) -> str:
    """Return the mark of a pair: letters that lz4 finds nowhere else."""
    return f"MARK{random.Random(number).randbytes(8).hex()}"


def say(**line: object) -> None:
    """Say a line, whole or not at all."""
    os.write(1, f"{json.dumps(line)}\n".encode())


def fill(log: SyncAudit) -> list[list[EventId]]:
    """Append the pairs, some of them sealed and some not; return their ids."""
    pairs = []
    for number in range(PAIRS):
        mark = mark_of(number)
        pair = [NewEvent(topics=[("a",)], action=mark, actor=Actor(type="user", id=mark), data=mark) for _ in range(2)]
        noise = [
            NewEvent(topics=[("b",)], action="n", data=f"{random.Random(n).getrandbits(400):x}") for n in range(40)
        ]
        receipts = log.append_many([pair[0], *noise, pair[1]], idempotency_key=mark)
        pairs.append([receipts[0].id, receipts[-1].id])
    return pairs


def erase(log: SyncAudit, number: int, ids: list[EventId], control: Control | None) -> None:
    """Erase a pair, and try again until that is known to be done; who is told of a failing disk has it mended."""
    say(erasing=number)
    for _ in range(_TRIES):
        try:
            log.erase(ids, reason=f"{number}")
        except AuditError as error:
            say(error=error.code)
            if control is not None:
                control.clear()
            continue
        say(erased=number)
        return


def main(store: Path, control: Control | None, nth: int, mode: str) -> None:
    """Fill a store, then erase pair after pair, and end as a killed process does."""
    log = Audit.open_sync(store, create=True, options=OPTIONS)
    pairs = fill(log)
    if control is not None:
        control.arm(nth, MODES[mode])
    for number, ids in enumerate(pairs):
        erase(log, number, ids, control)
        if control is not None and control["failed"]:
            control.clear()
        log.append(NewEvent(topics=[("c",)], action=f"{number}"))
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    given = sys.argv[2:]
    main(
        Path(sys.argv[1]),
        Control(Path(given[0])) if given else None,
        *((int(given[1]), given[2]) if given else (0, "")),
    )
