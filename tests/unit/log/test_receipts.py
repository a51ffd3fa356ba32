"""Receipts of calls: of new events, and of those that an earlier call with the same key committed."""

from pathlib import Path

from audit import Audit, NewEvent
from audit.codec.segments import Layout
from audit.log.receipts import receipts_at
from audit.model.event import Receipt
from audit.model.ids import EventId
from audit.testing import memory_log

_NEW = [Receipt(EventId(f"new-{number}"), number) for number in range(5)]
_OLD = Receipt(EventId("old"), 0)


def test_slots_are_runs_of_new_events_or_new_and_old_ones() -> None:
    assert receipts_at(range(1, 3), _NEW) == _NEW[1:3]
    assert receipts_at([_OLD, 3, _OLD, 0], _NEW) == [_OLD, _NEW[3], _OLD, _NEW[0]]
    assert receipts_at([_OLD], []) == [_OLD]


def test_a_call_sent_again_has_its_receipts_wherever_its_events_have_gone() -> None:
    events = [NewEvent(topics=[("a",)], data=number) for number in range(10)]
    # Some of its events are sealed, some in memory, and later all of them sealed.
    with memory_log(layout=Layout(segment_events=4)) as log:
        first = log.append_many(events, idempotency_key="key")
        for _ in range(12):
            assert log.append_many(events, idempotency_key="key") == first
            log.append(events[0])
        assert log.info().size == 22


def test_a_call_sent_again_after_a_restart_has_its_receipts(tmp_path: Path) -> None:
    events = [NewEvent(topics=[("a",)], data=number) for number in range(300)]
    with Audit.open_sync(tmp_path / "store", create=True) as log:
        first = log.append_many(events, idempotency_key="key")
    with Audit.open_sync(tmp_path / "store") as log:
        assert log.append_many(events, idempotency_key="key") == first
        assert log.info().size == 300
