"""Appends from eight tasks until it is killed, and says each receipt it has: `appender.py STORE ROUND [unsynced]`.

`unsynced`: as if the store never asked the disk to keep anything, to see that a power cut is noticed.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from audit import Audit, NewEvent, Receipt, Signing, SigningKey, StoreOptions
from audit.storage.driver import plyvel

TASKS = 8
# Buffers so small that tables are written, and compacted, all the time.
OPTIONS = StoreOptions(write_buffer_bytes=1 << 16, recent_bytes=1 << 16, min_free_bytes=0, reserve_bytes=1 << 16)


def signing_beside(path: Path) -> Signing:
    """Return how the store at a path signs: all the time, and with a file beside it."""
    key = SigningKey.new("audit.example/killed", bytes(32))
    return Signing(keys=(key,), checkpoint_file=path.with_name("checkpoint"), interval_s=0.01)


def acknowledge(name: str, receipts: list[Receipt]) -> None:
    """Say that a call was committed: in one write, so that a line is out whole or not at all."""
    at_ns = time.monotonic_ns()
    line = json.dumps({"call": name, "at_ns": at_ns, "receipts": [(receipt.id, receipt.index) for receipt in receipts]})
    os.write(1, f"{line}\n".encode())


async def append_calls(log: Audit, round_: int, task: int) -> None:
    """Append calls one after the other: single events, batches, and each of them keyed or not."""
    chance = random.Random(round_ * TASKS + task)
    number = 0
    while True:
        name = f"{round_}.{task}.{number}"
        size = chance.choice((1, 1, 1, 2, 7, 40))
        texts = [f"{chance.getrandbits(8 * length):x}" for length in chance.choices((20, 200, 1500), (6, 3, 1), k=size)]
        keyed = None if chance.random() < 0.5 else "event" if task % 2 or size == 1 else "call"
        events = [
            NewEvent(
                topics=[("task", str(task)), ("round", str(round_))],
                action=name,
                idempotency_key=f"{name}.{place}" if keyed == "event" else None,
                data={"call": name, "place": place, "of": size, "keyed": keyed, "text": text},
            )
            for place, text in enumerate(texts)
        ]
        if size == 1:
            acknowledge(name, [await log.append(events[0])])
        else:
            acknowledge(name, await log.append_many(events, idempotency_key=name if keyed == "call" else None))
        number += 1


async def main(path: Path, round_: int) -> None:
    """Append from all tasks."""
    opening = Audit.open(path, create=True, options=OPTIONS, signing=signing_beside(path))
    async with opening as log, asyncio.TaskGroup() as group:
        for task in range(TASKS):
            group.create_task(append_calls(log, round_, task))


class Unsynced:
    """A database that is written to as if it were asked for no more than speed."""

    def __init__(self, *arguments: Any, opener: Callable[..., Any] = plyvel.DB, **options: Any) -> None:
        self._database = opener(*arguments, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    def write_batch(self, *, sync: bool) -> Any:
        return self._database.write_batch(sync=False)


if __name__ == "__main__":
    if "unsynced" in sys.argv[3:]:
        plyvel.DB = Unsynced
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
