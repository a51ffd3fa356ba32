"""What is asked of a store that may be damaged, and the program that asks: a crash of it is a crash of nobody else.

`damaged.py SAMPLES` reads the paths of stores, one a line, and says for each what it found.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from audit import Actor, Audit, AuditError, Batch, NewEvent, Receipt, StoreOptions, SyncAudit
from audit.app.fsck import check_store
from audit.metrics.query import Metric
from audit.model.topic import Topic
from audit.testing import FakeClock

__all__ = ["KEPT", "OPTIONS", "QUERIES", "digest", "made_event"]

OPTIONS: Final = StoreOptions(
    write_buffer_bytes=1 << 16, recent_bytes=1 << 14, block_cache_bytes=1 << 18, min_free_bytes=0, reserve_bytes=0
)

KEPT: Final = Metric(name="actors", measure="distinct", field="actor.id", pane="1m")
"""A metric that is kept in the store."""

QUERIES: Final[dict[str, dict[str, Any]]] = {
    "everything": {},
    "everything, newest first": {"order": "desc"},
    "half of it": {"topic": ("half",)},
    "a rare topic, newest first": {"topic": ("deep", "rare"), "order": "desc"},
    "two topics": {"topics": [("deep", "rare"), ("third",)]},
    "an actor": {"filter": {"actor": "actor 3"}},
    "a topic and an action": {"topic": ("half",), "filter": {"action": "action 1"}},
}
"""Arguments of `list`."""


def made_event(number: int) -> NewEvent:
    """Return the event that stands at an index; each third has an idempotency key."""
    chance = random.Random(number)
    topics: list[Topic] = [("all", str(number % 7))]
    if number % 2:
        topics.append(("half", "of", "it"))
    if number % 3 == 0:
        topics.append(("third",))
    if number % 97 == 0:
        topics.append(("deep", "rare", str(number % 5)))
    return NewEvent(
        topics=topics,
        action=f"action {number % 4}",
        actor=Actor(type="user", id=f"actor {number % 11}"),
        idempotency_key=f"key {number}" if number % 3 == 0 else None,
        data={"text": chance.randbytes(chance.choice((10, 50, 100, 200, 1_500))).hex()},
    )


def digest(slices: Iterable[bytes]) -> str:
    """Return one hash of stored events, in their order."""
    return hashlib.sha256(b"\n".join(slices)).hexdigest()


def asked(question: Callable[[], object], said: list[str] | None = None) -> str | None:
    """Ask something; return the code of the error, and for what must never happen more than that."""
    try:
        question()
    except AuditError as error:
        if said is not None:
            said.append(str(error))
        return error.code
    except Exception as error:  # noqa: BLE001 - said, and found to be wrong by whoever reads it
        return f"not one of ours: {type(error).__name__}: {error}"
    return None


def listed(log: SyncAudit, arguments: dict[str, Any]) -> dict[str, Any]:
    """Page through a query."""
    found: list[bytes] = []

    def ask() -> None:
        page = log.list(**arguments, limit=300)
        found.extend(page.slices)
        while page.has_more:
            page = log.list(**arguments, limit=300, cursor=page.cursor)
            found.extend(page.slices)

    error = asked(ask)
    return {"error": error, "count": len(found), "digest": digest(found)}


def tailed(log: SyncAudit) -> dict[str, Any]:
    """Read a tail from the first event until it has caught up."""
    found: list[bytes] = []

    def ask() -> None:
        with log.subscribe() as tail:
            while isinstance(notice := tail.read(timeout_s=0), Batch):
                found.extend(notice.slices)

    error = asked(ask)
    return {"error": error, "count": len(found), "digest": digest(found)}


def fetched(log: SyncAudit, event_id: str) -> dict[str, Any]:
    """Get one event."""
    found: list[bytes] = []
    error = asked(lambda: found.append(log.get_raw(event_id)))
    return {"error": error, "digest": digest(found)}


def repeated(log: SyncAudit, number: int) -> dict[str, Any]:
    """Append an event again that has an idempotency key."""
    found: list[Receipt] = []
    error = asked(lambda: found.append(log.append(made_event(number))))
    return {"error": error, "receipt": [(one.id, one.index) for one in found]}


def counted(log: SyncAudit) -> dict[str, Any]:
    """List the topics at the root, with their counts."""
    found: list[Any] = []
    error = asked(lambda: found.extend(log.topics().topics))
    return {"error": error, "rows": [list(row) for row in found]}


def counted_over_time(log: SyncAudit) -> dict[str, Any]:
    """Count some topics' events by minute, hour and day."""

    def counts(topic: Topic, window: str) -> dict[str, Any]:
        found: list[Any] = []
        error = asked(lambda: found.extend(log.metrics.get(measure="count", topic=topic, window=window).windows))
        return {"error": error, "windows": [[str(one.start), one.value] for one in found]}

    def registered() -> dict[str, Any]:
        found: list[Any] = []
        error = asked(lambda: found.extend(log.metrics.get(metric=KEPT.name, window="1h").windows))
        return {"error": error, "windows": [[str(one.start), one.value] for one in found]}

    asked_for: list[tuple[Topic, str]] = [((), "1d"), (("half",), "1h"), (("deep", "rare"), "1m")]
    return {f"{topic} by {window}": counts(topic, window) for topic, window in asked_for} | {KEPT.name: registered()}


def proved(log: SyncAudit, event_id: str) -> dict[str, Any]:
    """Prove that an event is in the log."""
    found: list[Any] = []
    error = asked(lambda: found.append(log.inclusion(event_id)))
    return {
        "error": error,
        "proof": [[one.index, [part.hex() for part in one.hashes], one.checkpoint] for one in found],
    }


def examined(path: Path, samples: dict[str, Any]) -> dict[str, Any]:
    """Open a store and ask it everything."""
    answers: dict[str, Any] = {}
    findings: list[str] = []
    said: list[str] = []
    answers["fsck"] = asked(lambda: findings.extend(map(str, check_store(path).findings)), said)
    answers["findings"] = findings[:5]

    def ask() -> None:
        # What is already there is read; the clock stands where it did.
        with Audit.open_sync(path, options=OPTIONS, clock=FakeClock()) as log:
            answers["size"] = log.info().size
            answers["queries"] = {name: listed(log, arguments) for name, arguments in QUERIES.items()}
            answers["queries"]["a tail"] = tailed(log)
            answers["events"] = {event_id: fetched(log, event_id) for event_id in samples["ids"]}
            answers["topics"] = counted(log)
            answers["counts"] = counted_over_time(log)
            answers["proofs"] = {event_id: proved(log, event_id) for event_id in samples["ids"]}
            # Last, since it appends when the key is not known.
            answers["receipts"] = {str(number): repeated(log, number) for number in samples["numbers"]}

    answers["opened"] = asked(ask, said)
    answers["said"] = said
    return answers


if __name__ == "__main__":
    asked_for = json.loads(Path(sys.argv[1]).read_text())
    for line in sys.stdin:
        os.write(1, json.dumps(examined(Path(line.rstrip("\n")), asked_for)).encode() + b"\n")
