import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import OutcomeUnknown
from audit.log.meters import COMMIT_EVENTS, DURATIONS_S, Histogram, Meters
from audit.model.event import MAX_CALL_EVENTS
from audit.testing.faults import Faults
from audit.testing.logs import log_on, memory_log
from tests.stores import event, memory_opener


@given(st.lists(st.floats(0, 10)))
def test_each_bucket_counts_what_is_not_above_its_bound(values: list[float]) -> None:
    histogram = Histogram(DURATIONS_S)
    for value in values:
        histogram.observe(value)
    expected = [sum(value <= bound for value in values) for bound in DURATIONS_S]
    assert histogram.cumulative() == [*expected, len(values)]
    assert histogram.total == pytest.approx(sum(values))


def test_a_commit_is_counted_by_its_events_bytes_and_time() -> None:
    meters = Meters()
    meters.committed([b"12345", b"678"], 0.003)
    assert meters.events == 2
    assert (meters.commit_events.total, meters.commit_bytes.total, meters.commit_s.total) == (2, 8, 0.003)


def test_the_largest_commit_has_a_bucket_of_its_own() -> None:
    assert COMMIT_EVENTS[-1] == MAX_CALL_EVENTS
    assert all(list(bounds) == sorted(set(bounds)) for bounds in (COMMIT_EVENTS, DURATIONS_S))


def test_a_log_counts_its_commits_and_what_each_took() -> None:
    with memory_log() as log:
        log.append(event("a"))
        log.append_many([event("a"), event("b")])
        meters = log._core.sequencer.meters
        assert meters.events == 3
        assert meters.commit_events.cumulative()[:2] == [1, 2]
        stored = log.list().slices
        assert meters.commit_bytes.total == sum(map(len, stored))
        assert 0 < meters.write_s.total < meters.commit_s.total


def test_a_repeated_append_is_no_commit() -> None:
    with memory_log() as log:
        for _ in range(2):
            log.append(event("a", idempotency_key="k"))
        assert log._core.sequencer.meters.events == 1


def test_a_failed_write_is_counted_and_is_no_commit() -> None:
    faults = Faults(memory_opener())
    with log_on(faults.open) as log:
        faults.fail_append(1, persisted=False)
        with pytest.raises(OutcomeUnknown):
            log.append(event("a"))
        log.append(event("b"))
        meters = log._core.sequencer.meters
        assert (meters.failed, meters.events) == (1, 1)
