"""Opens a log, forks, and has parent and child say what each verb does: `forker.py STORE`.

The child's interpreter ends in the usual way, with all that an open log has registered for that.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from audit import Audit, AuditError, EventSource, NewEvent, StoreOptions, SyncAudit
from audit.app.fsck import check_store

OPTIONS = StoreOptions(recent_bytes=1_000, min_free_bytes=0, reserve_bytes=0)
EVENT = NewEvent(topics=[("a",)], action="of a child")


def answer(call: Callable[[], object]) -> str:
    """Return the code of the error that a call raises, or what it returns."""
    try:
        return repr(call())
    except AuditError as error:
        return error.code
    except Exception as error:  # noqa: BLE001 - said, and found to be wrong by whoever reads it
        return f"not one of ours: {type(error).__name__}: {error}"


def awaited(verb: Callable[[], Coroutine[Any, Any, object]]) -> object:
    """Await a verb in an event loop of its own."""
    return asyncio.run(verb())


def verbs(log: SyncAudit, path: Path, first_id: str, tail: Any) -> dict[str, Callable[[], object]]:
    """Return a call of each verb, of the kind that can't be answered from memory."""
    waiting = Audit(log._core)
    source = EventSource()

    async def nowait() -> object:
        return await waiting.append_nowait(EVENT)

    return {
        "append": lambda: log.append(EVENT),
        "append_many": lambda: log.append_many([EVENT] * 3, idempotency_key="k"),
        "append_nowait": lambda: log.append_nowait(EVENT).result(),
        "get": lambda: log.get(first_id),
        "get_raw": lambda: log.get_raw(first_id),
        "list": log.list,
        "subscribe": lambda: log.subscribe().read(),
        "a tail from before": tail.read,
        "topics": log.topics,
        "await append": lambda: awaited(lambda: waiting.append(EVENT)),
        "await append_many": lambda: awaited(lambda: waiting.append_many([EVENT])),
        "await append_nowait": lambda: awaited(nowait),
        "await list": lambda: awaited(waiting.list),
        "await get": lambda: awaited(lambda: waiting.get(first_id)),
        "await topics": lambda: awaited(waiting.topics),
        "await a tail": lambda: awaited(lambda: waiting.subscribe().read()),
        "await dispatch": lambda: dispatched(log, source),
        "close": log.close,
        "await close": lambda: awaited(waiting.close),
        "open": lambda: Audit.open_sync(path, options=OPTIONS),
        "fsck": lambda: check_store(path),
    }


class Happened:
    """A domain event."""


def dispatched(log: SyncAudit, source: EventSource) -> object:
    """Record a source and have it dispatch."""
    log.record(source, Happened, lambda happened: EVENT)
    source.dispatch(Happened()).result()
    return "recorded"


def main(path: Path) -> None:
    """Fork in the middle of the work."""
    log = Audit.open_sync(path, create=True, options=OPTIONS)
    first = log.append_many([NewEvent(topics=[("a",)], action=f"{number}") for number in range(600)])[0]
    tail = log.subscribe()
    tail.read(max_events=10)
    pid = os.fork()
    if not pid:
        said = {name: answer(verb) for name, verb in verbs(log, path, first.id, tail).items()}
        os.write(1, f"{json.dumps(said)}\n".encode())
        return
    _, status = os.waitpid(pid, 0)
    said = {
        "child ended with": repr(status),
        "append": answer(lambda: log.append(EVENT).index),
        "get": answer(lambda: log.get(first.id).index),
        "list": answer(lambda: len(log.list(limit=1_000))),
        "tail": answer(lambda: len(getattr(tail.read(), "events", []))),
        "close": answer(log.close),
    }
    os.write(1, f"{json.dumps(said)}\n".encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
