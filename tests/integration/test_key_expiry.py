"""Keys of calls are kept for 7 days and thrown out; keys of events stay."""

from __future__ import annotations

from pathlib import Path

from audit import Audit, NewEvent, SyncAudit
from audit.app.fsck import check_store
from audit.codec.keys import RECEIPT
from audit.testing import FakeClock

DAY_MS = 24 * 3_600_000


def receipts_in(path: Path) -> int:
    """Return how many receipts of idempotency keys the closed store holds."""
    with Audit.open_sync(path) as log:
        database = log._core.handle.writable._database  # type: ignore[attr-defined]
        return sum(1 for _ in database.iterator(prefix=RECEIPT))


def append_calls(log: SyncAudit, first: int, count: int) -> None:
    """Append calls that each fill a segment, so that their keys reach the disk."""
    for number in range(first, first + count):
        events = [NewEvent(topics=[("a",)])] * 256
        log.append_many(events, idempotency_key=f"call {number}")


def test_a_call_key_answers_for_seven_days_and_then_appends_again(tmp_path: Path) -> None:
    clock = FakeClock()
    with Audit.open_sync(tmp_path, create=True, clock=clock) as log:
        first = log.append_many([NewEvent(topics=[("a",)])], idempotency_key="once")
        clock.advance(7 * DAY_MS - 1)
        assert log.append_many([NewEvent(topics=[("a",)])], idempotency_key="once") == first
        clock.advance(1)
        assert log.append_many([NewEvent(topics=[("a",)])], idempotency_key="once") != first
        assert log.info().size == 2


def test_receipts_of_expired_call_keys_leave_the_disk_while_those_of_events_stay(tmp_path: Path) -> None:
    clock = FakeClock()
    with Audit.open_sync(tmp_path, create=True, clock=clock) as log:
        append_calls(log, 0, 20)
        kept = log.append(NewEvent(topics=[("a",)], idempotency_key="for ever"))
        log.append_many([NewEvent(topics=[("a",)])] * 255)
        clock.advance(8 * DAY_MS)
        append_calls(log, 20, 3)
    # Four segments with each one sealed: twelve of the first twenty are gone.
    assert receipts_in(tmp_path) == 20 + 1 + 3 - 12
    assert check_store(tmp_path).findings == []
    with Audit.open_sync(tmp_path, clock=clock) as log:
        append_calls(log, 23, 3)
        append_calls(log, 0, 1)
        again = log.append(NewEvent(topics=[("a",)], idempotency_key="for ever"))
        assert again == kept
    assert receipts_in(tmp_path) == 1 + 3 + 3 + 1
    assert check_store(tmp_path).findings == []
