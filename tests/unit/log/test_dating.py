"""Dating commits: no event is dated before what readers were promised."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.log.dating import Dating
from audit.model.errors import ClockSuspect
from audit.model.ids import RANDOM_BITS
from audit.testing.clock import START_MS, FakeClock

_HOUR_MS = 3_600_000


def test_a_commit_is_dated_no_earlier_than_a_promise_made_while_it_was_filled() -> None:
    clock = FakeClock()
    dating = Dating(clock, -1, accepted=False)
    assert dating.read() == START_MS
    clock.advance(5)
    promised = dating.watermark(-1)
    assert promised == START_MS + 5 << RANDOM_BITS
    assert dating.begin(-1) << RANDOM_BITS >= promised


def test_while_a_commit_is_under_way_nothing_later_than_it_is_promised() -> None:
    clock = FakeClock()
    dating = Dating(clock, -1, accepted=False)
    dating.read()
    began_ms = dating.begin(-1)
    clock.advance(1_000)
    assert dating.watermark(-1) == began_ms << RANDOM_BITS
    dating.end()
    assert dating.watermark(-1) == START_MS + 1_000 << RANDOM_BITS


def test_a_clock_that_jumps_promises_nothing_new_until_it_is_accepted() -> None:
    clock = FakeClock()
    dating = Dating(clock, 7, accepted=True)
    before = dating.watermark(7)
    clock.step(2 * _HOUR_MS)
    for ask in (dating.check, dating.read):
        with pytest.raises(ClockSuspect):
            ask()
    assert dating.watermark(7) == before
    dating.accept()
    dating.check()
    assert dating.read() == START_MS + 2 * _HOUR_MS


@given(st.lists(st.tuples(st.sampled_from(["ask", "read", "begin", "end"]), st.integers(-500, 500)), max_size=30))
def test_a_watermark_never_falls_and_no_commit_comes_below_it(steps: list[tuple[str, int]]) -> None:
    clock = FakeClock()
    dating = Dating(clock, -1, accepted=True)
    last_id, told, begun = -1, -1, None
    dating.read()
    for what, ms in steps:
        clock.step(ms)
        clock.advance(1)
        if what == "ask":
            asked = dating.watermark(last_id)
            assert asked >= told
            told = asked
        elif what == "read" and begun is None:
            dating.read()
        elif what == "begin" and begun is None:
            begun = max(last_id + 1, dating.begin(last_id) << RANDOM_BITS)
            assert begun >= told
        elif what == "end" and begun is not None:
            last_id, begun = begun, None
            dating.end()
