"""A closed log answers nothing any more, and a call whose events are all known is never in doubt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from audit import Audit, Conflict, NewEvent, StoreClosed, SyncAudit
from audit.metrics.query import Metric

EVENT = NewEvent(topics=[("a",)])
METRIC = Metric(name="all", measure="count")

VERBS: dict[str, Callable[[SyncAudit, str], object]] = {
    "append": lambda log, _: log.append(EVENT),
    "append_many": lambda log, _: log.append_many([EVENT]),
    "append_nowait": lambda log, _: log.append_nowait(EVENT),
    "get": lambda log, known: log.get(known),
    "get_raw": lambda log, known: log.get_raw(known),
    "list": lambda log, _: log.list(),
    "subscribe": lambda log, _: log.subscribe(),
    "topics": lambda log, _: log.topics(),
    "info": lambda log, _: log.info(),
    "observe": lambda log, _: log.observe(),
    "erase": lambda log, known: log.erase([known], reason="asked for"),
    "backup": lambda log, _: log.start_backup(),
    "checkpoint": lambda log, _: log.checkpoint(),
    "inclusion": lambda log, known: log.inclusion(known),
    "consistency": lambda log, _: log.consistency(0, 1),
    "metrics.get": lambda log, _: log.metrics.get(measure="count"),
    "metrics.register": lambda log, _: log.metrics.register(METRIC),
    "metrics.settle": lambda log, _: log.metrics.settle(),
    "metrics.rebuild": lambda log, _: log.metrics.rebuild(METRIC.name),
    "metrics.unregister": lambda log, _: log.metrics.unregister(METRIC.name),
    "metrics.subscribe": lambda log, _: log.metrics.subscribe(measure="count").snapshot(),
    "metrics.observe": lambda log, _: log.metrics.observe(measure="count"),
}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_of_a_closed_log_says_that_it_is_closed(tmp_path: Path, verb: str) -> None:
    log = Audit.open_sync(tmp_path, create=True)
    log.metrics.register(METRIC)
    known = log.append(EVENT).id
    log.close()
    with pytest.raises(StoreClosed):
        VERBS[verb](log, known)
    log.close()


async def test_a_conflict_names_the_event_as_its_verb_does(tmp_path: Path) -> None:
    async with Audit.open(tmp_path, create=True) as log:
        await log.append(NewEvent(topics=[("a",)], idempotency_key="k"))
        with pytest.raises(Conflict, match=r"^event\.idempotency_key: "):
            await log.append(NewEvent(topics=[("b",)], idempotency_key="k"))
        with pytest.raises(Conflict, match=r"^events\[1\]\.idempotency_key: "):
            await log.append_many([EVENT, NewEvent(topics=[("b",)], idempotency_key="k")])
        await log.append_many([EVENT], idempotency_key="c")
        with pytest.raises(Conflict, match=r"^idempotency_key: "):
            await log.append_many([EVENT, EVENT], idempotency_key="c")
