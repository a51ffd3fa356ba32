"""What metrics of another audit log got wrong: each fault of it, and what is so here."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from audit import NewEvent, SyncAudit
from audit.codec.segments import Layout
from audit.storage.memory import Disk
from audit.testing import memory_log
from audit.testing.clock import START_MS, FakeClock
from audit.testing.logs import STORE_ID

MINUTE_MS = 60_000


def new(number: int = 0) -> NewEvent:
    return NewEvent(topics=[("a",)], data={"n": number})


@pytest.mark.parametrize("measure", ["rate", "avg", "sum", "min", "max", "count", "quantiles"])
def test_events_of_one_millisecond_have_a_value_and_no_infinity(measure: str) -> None:
    clock = FakeClock()
    with memory_log(clock=clock) as log:
        log.append_many([new(n) for n in range(10)])
        field: dict[str, Any] = {} if measure in ("rate", "count") else {"field": "data.n"}
        spans: list[dict[str, Any]] = [{}, {"seek": START_MS, "seek_end": START_MS + 1}, {"last": "1ms"}]
        for span in spans:
            result = log.metrics.get(measure=measure, **field, **span)
            text = json.dumps(result.windows[0].value, allow_nan=False)
            assert text != "null"
        if measure == "rate":
            # Ten in the one millisecond that was asked about.
            assert log.metrics.get(measure="rate", seek=START_MS, seek_end=START_MS + 1).total == 10_000


def test_an_empty_range_has_no_average_and_no_rate_and_counts_nothing() -> None:
    with memory_log() as log:
        log.append(new())
        nothing: dict[str, Any] = {"seek": START_MS - MINUTE_MS, "seek_end": START_MS - MINUTE_MS}
        some: dict[str, Any] = {"seek": START_MS - MINUTE_MS, "seek_end": START_MS}
        for span in (nothing, some):
            assert log.metrics.get(measure="count", **span).total == 0
            assert log.metrics.get(measure="sum", field="data.n", **span).total == 0
            for measure in ("avg", "min", "max"):
                assert log.metrics.get(measure=measure, field="data.n", **span).total is None
        assert log.metrics.get(measure="rate", **nothing).total is None
        assert log.metrics.get(measure="rate", **some).total == 0


def test_a_rate_is_over_the_span_asked_for_and_not_that_of_the_events() -> None:
    clock = FakeClock()
    with memory_log(clock=clock) as log:
        # All within a second of an hour.
        for _ in range(6):
            log.append(new())
            clock.advance(200)
        clock.advance(2 * 60 * MINUTE_MS)
        log.append(new())
        hour: dict[str, Any] = {"seek": START_MS, "seek_end": START_MS + 60 * MINUTE_MS}
        assert log.metrics.get(measure="rate", per="hour", **hour).total == 6
        assert log.metrics.get(measure="rate", per="minute", **hour).total == pytest.approx(0.1)
        # One that is not over yet is clipped to what is known, and no event makes it shorter.
        log.append(new())
        assert log.metrics.get(measure="rate", per="hour", **hour).total == 6


def test_a_count_does_not_look_at_events_again_at_each_call() -> None:
    """The other one scanned the log at every call: 33 s for 75,500 events."""
    layout = Layout(segment_events=256, chunk_blocks=2, block_events=16)
    clock = FakeClock()
    with memory_log(Disk(STORE_ID, layout), clock=clock) as log:
        for _ in range(40):
            clock.advance(MINUTE_MS)
            log.append_many([new(n) for n in range(512)])
        assert log.metrics.get(measure="count", window="1h").total == 40 * 512
        few, many = looked_at(log, 2), looked_at(log, 40)
        # What is looked at does not grow with the span: the unsealed end at most.
        assert many <= few + 512


def looked_at(log: SyncAudit, minutes: int) -> int:
    """Return how many events a count over the last minutes reads."""
    measuring = log._core.measuring
    read = itertools.count()
    window = measuring._reader.window

    def counted(*arguments: object, **options: object) -> object:
        found = window(*arguments, **options)  # type: ignore[arg-type]
        for _ in found.events if found is not None else ():
            next(read)
        return found

    measuring._reader.window = counted  # type: ignore[method-assign, assignment]
    try:
        result = log.metrics.get(measure="count", topic=("a",), last=f"{minutes}m", window="1m")
    finally:
        measuring._reader.window = window  # type: ignore[method-assign]
    assert result.total is not None
    return next(read)
