"""Uses up its file descriptors with a log open, asks everything of it, frees them, asks again: `exhausted.py STORE`.

The store has many tables, none of them read yet: each read must open one.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import random
import resource
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from audit import Audit, AuditError, Batch, NewEvent, StoreOptions, SyncAudit
from audit.log import handle, sequencer
from audit.storage import opening

OPTIONS: Final = StoreOptions(write_buffer_bytes=1 << 16, recent_bytes=1 << 13, min_free_bytes=0, reserve_bytes=1 << 16)
DESCRIPTORS: Final = 64
EVENTS: Final = 8_000
"""What the store holds beforehand, numbered in `action`."""
TABLE_BYTES: Final = 1 << 20
"""The smallest tables that LevelDB makes."""
APPENDS: Final = 400
"""More than a write buffer: LevelDB needs a file to go on."""


@contextmanager
def exhausted() -> Iterator[int]:
    """Have no descriptor free; give how many were taken for that."""
    taken: list[int] = []
    try:
        while True:
            taken.append(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        assert error.errno == errno.EMFILE  # noqa: PT017 - the error is what ends the loop
    try:
        yield len(taken)
    finally:
        for one in taken:
            os.close(one)


def told(actions: list[str]) -> list[int]:
    """Return what tells a list of actions from every other."""
    return [len(actions), zlib.crc32(" ".join(actions).encode())]


def pages(log: SyncAudit, **query: Any) -> list[int]:
    """Return the actions of all events of a query."""
    page = log.list(limit=300, **query)
    found = [str(event.action) for event in page.events]
    while page.has_more:
        page = log.list(limit=300, cursor=page.cursor, **query)
        found += [str(event.action) for event in page.events]
    return told(found)


def tailed(log: SyncAudit) -> list[int]:
    """Return the actions of all that a tail tells from the beginning until it has caught up."""
    found: list[str] = []
    with log.subscribe() as tail:
        while isinstance(notice := tail.read(timeout_s=0), Batch):
            found += [str(event.action) for event in notice.events]
    return told(found)


def questions(log: SyncAudit, ids: Sequence[str]) -> dict[str, Callable[[], object]]:
    """Return what is asked, each with an answer that depends on every table, or on an old one."""
    return {
        "list": lambda: pages(log),
        "list, newest first": lambda: pages(log, order="desc"),
        "list by topic": lambda: pages(log, topic=("half", "1")),
        "list by action": lambda: pages(log, filter={"action": "7"}),
        "tail": lambda: tailed(log),
        "get": lambda: [log.get(ids[3]).action, log.get(ids[-1]).action],
        "topics": lambda: [(list(one.topic), one.events) for one in log.topics(("half",)).topics],
    }


def answers(log: SyncAudit, ids: Sequence[str]) -> dict[str, Any]:
    """Return each answer, or the code of the error that came instead."""
    said: dict[str, Any] = {}
    for name, question in questions(log, ids).items():
        try:
            said[name] = question()
        except AuditError as error:
            said[name] = error.code
        except Exception as error:  # noqa: BLE001 - said, and found to be wrong by whoever reads it
            said[name] = f"not one of ours: {error!r}"
    return said


def append(log: SyncAudit, numbers: Iterator[int], count: int) -> tuple[list[Any], list[str]]:
    """Append one after the other; return what was acknowledged, and the errors of the rest."""
    receipts, codes = [], []
    for number in itertools.islice(numbers, count):
        try:
            receipt = log.append(numbered(number))
        except AuditError as error:
            codes.append(error.code)
            if error.code == "unavailable" and codes.count("unavailable") > 1:
                break
        else:
            receipts.append((number, receipt.id, receipt.index))
    return receipts, codes


def numbered(number: int) -> NewEvent:
    return NewEvent(
        topics=[("half", str(number % 2))],
        action=f"{number}",
        data={"text": f"{random.Random(number).getrandbits(4_000):x}"},
    )


def open_answer(path: Path) -> str:
    """Return how opening goes."""
    try:
        Audit.open_sync(path, options=OPTIONS).close()
    except AuditError as error:
        return error.code
    return "opened"


def main(path: Path) -> None:
    """Say each part in a line."""

    def say(said: object) -> None:
        sys.stdout.write(f"{json.dumps(said)}\n")
        sys.stdout.flush()

    numbers = itertools.count(EVENTS)
    # Waits of 5 s for a store that can't come back are tested elsewhere.
    for module in (handle, sequencer):
        vars(module)["WAIT_S"] = 0.5
    opening._TABLE_BYTES = TABLE_BYTES  # type: ignore[misc]
    with Audit.open_sync(path, create=True, options=OPTIONS) as log:
        ids = [
            receipt.id
            for start in range(0, EVENTS, 500)
            for receipt in log.append_many([numbered(number) for number in range(start, start + 500)])
        ]
    say(sum(name.suffix == ".ldb" for name in (path / "log").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    with exhausted():
        answer = open_answer(path)
    say(answer)
    # Read, then read again by a log that has no table open when the descriptors are gone.
    with Audit.open_sync(path, options=OPTIONS) as log:
        say(answers(log, ids))
    with Audit.open_sync(path, options=OPTIONS) as log:
        with exhausted() as taken:
            without = answers(log, ids)
            appended = append(log, numbers, APPENDS)
            fenced = answers(log, ids)
        say(taken)
        say(without)
        say(appended)
        say(fenced)
        say(append(log, numbers, APPENDS))
        say(answers(log, ids))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
