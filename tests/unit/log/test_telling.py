"""When callers are told: while calls wait, as the next commit is written; with none waiting, at once."""

from concurrent.futures import Future

import pytest

from audit import NewEvent, OutcomeUnknown, Receipt
from audit.testing import memory_log
from audit.testing.faults import Faults
from audit.testing.logs import log_on
from tests.stores import event, memory_opener

PATIENCE_S = 30.0


def keyed(key: str) -> NewEvent:
    return event("a", idempotency_key=key)


def index_of(future: Future[Receipt]) -> int:
    return future.result(PATIENCE_S).index


def test_a_lone_caller_is_told_at_once() -> None:
    with memory_log() as log:
        assert [index_of(log.append_nowait(event("a"))) for _ in range(3)] == [0, 1, 2]


def test_callers_are_told_before_the_next_write_has_ended() -> None:
    faults = Faults(memory_opener())
    first = faults.pause_append(1)
    second = faults.pause_append(2)
    with log_on(faults.open) as log:
        one = log.append_nowait(event("a"))
        first.reached()
        other = log.append_nowait(event("a"))
        first.resume()
        second.reached()
        assert index_of(one) == 0
        assert not other.done()
        second.resume()
        assert index_of(other) == 1


@pytest.mark.parametrize("persisted", [False, True])
def test_callers_are_told_of_their_own_commit_when_the_next_one_fails(persisted: bool) -> None:
    faults = Faults(memory_opener())
    first = faults.pause_append(1)
    faults.fail_append(2, persisted=persisted)
    with log_on(faults.open) as log:
        one = log.append_nowait(event("a"))
        first.reached()
        other = log.append_nowait(event("a"))
        first.resume()
        assert index_of(one) == 0
        with pytest.raises(OutcomeUnknown):
            other.result(PATIENCE_S)


def test_callers_are_told_though_what_comes_next_writes_nothing() -> None:
    faults = Faults(memory_opener())
    first = faults.pause_append(1)
    with log_on(faults.open) as log:
        one = log.append_nowait(keyed("k"))
        first.reached()
        again = log.append_nowait(keyed("k"))
        first.resume()
        assert [index_of(one), index_of(again)] == [0, 0]
        assert faults.appends == 1
