"""A log says whether an append would be taken, without one."""

import pytest

from audit import ClockSuspect, DiskFull, OutcomeUnknown, StoreClosed, Unavailable
from audit.log.room import Room
from audit.testing.clock import FakeClock
from audit.testing.faults import Faults
from audit.testing.logs import log_on, memory_log
from tests.stores import event, memory_opener


class Full(Room):
    def check(self) -> None:
        raise DiskFull("no room")


def test_an_open_log_is_ready() -> None:
    with memory_log() as log:
        log._core.sequencer.check_ready()


def test_a_closed_log_is_not() -> None:
    with memory_log() as log:
        pass
    with pytest.raises(StoreClosed):
        log._core.sequencer.check_ready()


def test_nor_one_on_a_full_disk() -> None:
    with memory_log(room=Full()) as log, pytest.raises(DiskFull):
        log._core.sequencer.check_ready()


def test_nor_one_whose_clock_jumped_until_that_is_accepted() -> None:
    clock = FakeClock()
    with memory_log(clock=clock) as log:
        clock.step(-7_200_000)
        with pytest.raises(ClockSuspect):
            log._core.sequencer.check_ready()
        with pytest.raises(ClockSuspect):
            log.append(event("a"))
        log.accept_clock()
        log._core.sequencer.check_ready()


def test_nor_one_that_is_fenced_until_it_is_back() -> None:
    faults = Faults(memory_opener())
    with log_on(faults.open) as log:
        faults.refuse_opens(1_000)
        faults.fail_append(1, persisted=False)
        with pytest.raises(OutcomeUnknown):
            log.append(event("a"))
        faults.await_refusals(1)
        with pytest.raises(Unavailable):
            log._core.sequencer.check_ready()
        faults.refuse_opens(0)
        log.append(event("b"))
        log._core.sequencer.check_ready()
