"""The clock guard: small corrections pass, a jump of more than an hour does not until it is accepted or undone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import ClockSuspect
from audit.log.clock import MAX_JUMP_MS, ClockGuard, SystemClock
from audit.model.ids import RANDOM_BITS
from audit.testing import FakeClock
from audit.testing.clock import START_MS

HOUR = 3_600_000


def test_the_fake_clock_turns_both_hands_or_one() -> None:
    clock = FakeClock()
    clock.advance(5)
    clock.step(-1_000)
    assert (clock.wall_ms(), clock.monotonic_ms()) == (START_MS - 995, 5)
    with pytest.raises(ValueError, match="step"):
        clock.advance(-1)


def test_the_system_clock_runs_on() -> None:
    clock = SystemClock()
    assert clock.monotonic_ms() <= clock.monotonic_ms()
    assert clock.wall_ms() > START_MS - 365 * 24 * HOUR


@given(st.lists(st.tuples(st.integers(0, 30 * 24 * HOUR), st.integers(-MAX_JUMP_MS, MAX_JUMP_MS)), max_size=9))
def test_time_that_passes_and_steps_up_to_an_hour_are_taken(moves: list[tuple[int, int]]) -> None:
    clock = FakeClock()
    guard = ClockGuard(clock, -1)
    for passed, step in moves:
        clock.advance(passed)
        clock.step(step)
        assert guard.now_ms() == clock.wall_ms()


@given(st.integers(MAX_JUMP_MS + 1, 10 * 365 * 24 * HOUR), st.booleans(), st.integers(0, HOUR))
def test_a_jump_beyond_an_hour_is_suspect_until_it_is_undone(jump: int, back: bool, passed: int) -> None:
    clock = FakeClock()
    guard = ClockGuard(clock, -1)
    clock.step(-jump if back else jump)
    for _ in range(2):
        with pytest.raises(ClockSuspect, match=rf"jumped .* {'back' if back else 'ahead'}.*--accept-clock"):
            guard.now_ms()
        clock.advance(passed)
    clock.step(jump if back else -jump)
    assert guard.now_ms() == clock.wall_ms()


def test_an_accepted_jump_is_the_new_time() -> None:
    clock = FakeClock()
    guard = ClockGuard(clock, -1)
    clock.step(9 * HOUR)
    with pytest.raises(ClockSuspect):
        guard.now_ms()
    guard.accept()
    assert guard.now_ms() == START_MS + 9 * HOUR
    clock.step(-9 * HOUR)
    with pytest.raises(ClockSuspect):
        guard.now_ms()


@pytest.mark.parametrize("ahead_ms", [MAX_JUMP_MS + 1, 49 * HOUR])
def test_a_newest_event_an_hour_ahead_is_suspect_until_time_catches_up(ahead_ms: int) -> None:
    clock = FakeClock()
    guard = ClockGuard(clock, (START_MS + ahead_ms) << RANDOM_BITS)
    with pytest.raises(ClockSuspect, match=r"is .* ahead of the clock.*accept_clock=True \(--accept-clock\)"):
        guard.now_ms()
    clock.advance(ahead_ms - MAX_JUMP_MS)
    assert guard.now_ms() == clock.wall_ms()


def test_a_newest_event_up_to_an_hour_ahead_or_accepted_is_taken() -> None:
    clock = FakeClock()
    assert ClockGuard(clock, (START_MS + MAX_JUMP_MS) << RANDOM_BITS).now_ms() == START_MS
    assert ClockGuard(clock, (START_MS + 9 * HOUR) << RANDOM_BITS, accepted=True).now_ms() == START_MS
