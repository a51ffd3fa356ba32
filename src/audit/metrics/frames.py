"""Which windows a plan has at a moment: half-open, in UTC, multiples of the hop since 1970, clipped to the span."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from audit.metrics.plan import Plan
from audit.model.errors import TooLarge
from audit.model.ids import RANDOM_BITS

__all__ = ["MAX_WINDOWS", "Frame", "Moment", "Slot", "frame_of", "moment_at"]

MAX_WINDOWS: Final = 10_000


class Moment(NamedTuple):
    """What an answer knows.

    Attributes:
        end_ms: Every event of the log was recorded before it, and no later one will be before the millisecond before.
        closed_ms: No later event will be recorded before it.
        last_index: Index of the log's last event; -1: there is none.
        last_id: Its id; 0 when there is none.
    """

    end_ms: int
    closed_ms: int
    last_index: int
    last_id: int


def moment_at(promised_ms: int, index: int, last_id: int) -> Moment:
    """Return the moment of a log of some size, of which no later event will be dated before a promised time.

    It depends on time and log alone, not on when exactly the promise was given: else the same `as_of` would have two
    answers.
    """
    last_ms = last_id >> RANDOM_BITS if index >= 0 else -1
    end = max(promised_ms, last_ms + 1)
    return Moment(end, end - 1 if last_ms == end - 1 else end, index, last_id if index >= 0 else 0)


class Slot(NamedTuple):
    """One window: its two ends, and the first pane in it."""

    start: int
    end: int
    pane: int


class Frame(NamedTuple):
    """The windows of a plan at a moment.

    Attributes:
        slots: Each window, in order.
        low: Where the first one begins: events before it count in none.
        end: Where time ends that divisors count.
        bounded: Whether a window over the whole span has an end of its own, after which it can be final.
    """

    slots: Sequence[Slot]
    low: int
    end: int
    bounded: bool


def frame_of(plan: Plan, moment: Moment, first_ms: int | None, known: Sequence[Slot] = ()) -> Frame:
    """Return the windows.

    Args:
        plan: What is asked.
        moment: What is known.
        first_ms: Time of the first event: where a span without a lower bound begins.
        known: Slots of the plan at another moment: they are taken where these would be the same.

    Raises:
        TooLarge: there are over 10,000.
    """
    now = moment.end_ms
    if plan.last_ms is not None:
        at = now - plan.last_ms
    elif plan.low_ms is not None:
        at = plan.low_ms
    else:
        at = now if first_ms is None else first_ms
    stop = now if plan.high_ms is None else plan.high_ms
    if plan.window_ms is None:
        return Frame([Slot(at, max(at, stop), 0)], at, stop, plan.high_ms is not None)
    length, hop = plan.window_ms, plan.hop_ms
    first = at // hop * hop
    if plan.low_ms is not None and stop <= at:
        return Frame([], at, stop, bounded=True)
    many = -((first - stop) // hop)
    if many > MAX_WINDOWS:
        raise TooLarge("window", f"makes {many} windows, at most {MAX_WINDOWS}: choose a longer one, or a shorter span")
    low = first if plan.low_ms is None else at
    high = plan.high_ms
    starts = range(first, stop, hop)
    if starts and len(known) == len(starts) and known[0].pane == starts[0]:
        return Frame(known, low, stop, bounded=True)
    slots = [
        Slot(max(start, low), start + length if high is None else min(start + length, high), start) for start in starts
    ]
    return Frame(slots, low, stop, bounded=True)
