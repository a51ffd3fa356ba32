"""The buffer beside a log that answers when, and what, the test says."""

import json
import logging
import threading
from concurrent.futures import Future

import pytest

from audit import Conflict, NewEvent, OutcomeUnknown, Overloaded, Receipt, StoreClosed, Unavailable
from audit.log.buffer import BUFFER_BYTES, Buffer, Names, Share
from audit.log.prepare import PreparedCall, prepare_call
from audit.testing import FakeClock

PATIENCE_S = 30.0
FOREVER_S = 3_600.0


class Log:
    """Takes calls; the test answers them, in order."""

    def __init__(self) -> None:
        self.calls: list[PreparedCall] = []
        self.futures: list[Future[list[Receipt]]] = []
        self.refuses: Exception | None = None
        self._came = threading.Condition()

    def put(self, call: PreparedCall, *, wait: bool) -> Future[list[Receipt]]:
        assert wait
        if self.refuses is not None:
            raise self.refuses
        with self._came:
            self.calls.append(call)
            self.futures.append(Future())
            self._came.notify_all()
            return self.futures[-1]

    def answer(self, error: Exception | None = None) -> None:
        """Answer the last call."""
        if error is None:
            self.futures[-1].set_result([])
        else:
            self.futures[-1].set_exception(error)

    def await_calls(self, count: int) -> None:
        with self._came:
            assert self._came.wait_for(lambda: len(self.calls) >= count, PATIENCE_S), self.calls

    @property
    def last(self) -> list[str]:
        """What the last call holds, by the last segment of each event's topic."""
        return [json.loads(b"{" + one.body)["topics"][0][-1] for one in self.calls[-1].events]


def call(name: str, size_bytes: int | None = None) -> PreparedCall:
    """Return an event, of any size we say."""
    prepared = prepare_call((NewEvent(topics=[(name,)], idempotency_key=name),), many=False)
    return prepared if size_bytes is None else prepared._replace(size_bytes=size_bytes)


def share(max_events: int = 10) -> Share:
    return Share(Names("Node", "Opened"), max_events)


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def buffer(log: Log) -> Buffer:
    return Buffer(log.put, FakeClock())


def lost(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelno == logging.ERROR]


def test_one_call_is_on_its_way_at_a_time_and_the_next_holds_all_that_came_meanwhile(log: Log, buffer: Buffer) -> None:
    mine = share()
    for name in "abcd":
        buffer.add(mine, call(name))
    assert [log.last, len(log.calls), len(buffer)] == [["a"], 1, 4]
    log.answer()
    assert [log.last, len(buffer)] == [["b", "c", "d"], 3]
    log.answer()
    assert [len(log.calls), len(buffer), mine.events] == [2, 0, 0]


def test_a_call_holds_no_more_than_one_commit_does(log: Log, buffer: Buffer) -> None:
    mine = share(5_000)
    buffer.add(mine, call("first"))
    for n in range(1_500):
        buffer.add(mine, call(str(n)))
    log.answer()
    assert log.last == [str(n) for n in range(1_000)]
    log.answer()
    assert log.last == [str(n) for n in range(1_000, 1_500)]
    for name in "abc":
        buffer.add(mine, call(name, 500_000))
    log.answer()
    assert log.last == ["a"]


@pytest.mark.parametrize("error", [OutcomeUnknown("?"), Unavailable("!"), Overloaded("full")])
def test_a_call_that_failed_for_now_is_sent_again_as_it_was(log: Log, buffer: Buffer, error: Exception) -> None:
    mine = share()
    for name in "ab":
        buffer.add(mine, call(name))
    for attempt in range(1, 4):
        log.answer(error)
        log.await_calls(attempt + 1)
        assert log.calls[-1] == log.calls[0]
    log.answer()
    assert log.last == ["b"]


def test_events_accepted_after_a_gap_come_after_its_record(log: Log, buffer: Buffer) -> None:
    mine = share(3)
    for name in ("a", "b", "c", "x", "x"):
        buffer.add(mine, call(name, 800_000))
    log.answer()
    assert log.last == ["b"]
    for name in ("d", "x"):
        buffer.add(mine, call(name, 800_000))
    order = []
    while len(buffer):
        order += log.last
        log.answer()
    assert order == ["b", "c", "dropped", "d", "dropped"]


def test_what_is_dropped_while_a_gap_is_being_recorded_is_another_gap(log: Log, buffer: Buffer) -> None:
    mine, others = share(), share()
    buffer.add(others, call("huge", BUFFER_BYTES))
    buffer.add(mine, call("x"))
    log.answer()
    assert log.last == ["dropped"]
    buffer.add(others, call("large", BUFFER_BYTES - 1_000))
    buffer.add(mine, call("x", 2_000))
    log.answer()
    assert log.last == ["large"]
    log.answer()
    assert log.last == ["dropped"]
    log.answer()
    assert (len(buffer), mine.events, others.events, buffer._size_bytes) == (0, 0, 0, 0)


def test_one_recording_does_not_take_anothers_places(log: Log, buffer: Buffer) -> None:
    mine, others = share(2), share(2)
    for one in (mine, mine, mine, others, others):
        buffer.add(one, call("a"))
    log.answer()
    assert log.last == ["a", "dropped", "a", "a"]


def test_a_conflict_is_found_by_sending_one_by_one_and_takes_no_place_for_ever(log: Log, buffer: Buffer) -> None:
    mine = share()
    for name in "abcd":
        buffer.add(mine, call(name))
    log.answer()
    conflict = Conflict("events[1].idempotency_key", "was used before")
    log.answer(conflict)
    sent = []
    while len(buffer):
        sent.append(log.last)
        log.answer(conflict if log.last == ["c"] else None)
    assert sent == [["b"], ["c"], ["rejected"], ["d"]]
    assert (mine.events, buffer._size_bytes) == (0, 0)


def close(buffer: Buffer) -> threading.Thread:
    """Begin closing, and return once it has begun."""
    thread = threading.Thread(target=buffer.close, args=(FOREVER_S,), daemon=True)
    thread.start()
    while not buffer._closing:
        thread.join(0.001)
    return thread


def test_closing_waits_for_what_is_on_its_way_and_takes_nothing_new(
    log: Log, buffer: Buffer, caplog: pytest.LogCaptureFixture
) -> None:
    mine = share()
    for name in "ab":
        buffer.add(mine, call(name))
    closing = close(buffer)
    buffer.add(mine, call("late"))
    buffer.add(mine, call("later"))
    log.answer()
    assert closing.is_alive()
    assert log.last == ["b"]
    log.answer()
    closing.join(PATIENCE_S)
    assert not closing.is_alive()
    assert len(lost(caplog)) == 1


def test_closing_tries_again_after_an_unknown_outcome_and_gives_up_where_the_log_is_unavailable(
    log: Log, buffer: Buffer, caplog: pytest.LogCaptureFixture
) -> None:
    for name in "abc":
        buffer.add(share(), call(name))
    closing = close(buffer)
    log.answer(OutcomeUnknown("?"))
    log.await_calls(2)
    assert log.last == ["a"]
    log.answer(Unavailable("the disk is full"))
    closing.join(PATIENCE_S)
    assert not closing.is_alive()
    assert len(buffer) == 0
    assert len(lost(caplog)) == 2  # what waited, and what was on its way


def test_closing_sends_at_once_what_waits_to_be_sent_again(log: Log, buffer: Buffer) -> None:
    buffer.add(share(), call("a"))
    for attempt in range(1, 5):
        log.answer(Unavailable("!"))
        log.await_calls(attempt + 1)
    log.answer(Unavailable("!"))  # the next attempt is due in a second
    closing = close(buffer)
    log.await_calls(6)
    log.answer()
    closing.join(PATIENCE_S)
    assert not closing.is_alive()


@pytest.mark.parametrize("answered", [True, False])
def test_a_log_that_is_closed_first_loses_what_waits_and_says_so(
    log: Log, buffer: Buffer, caplog: pytest.LogCaptureFixture, answered: bool
) -> None:
    mine = share()
    for name in "abc":
        buffer.add(mine, call(name))
    if answered:
        log.answer(StoreClosed("closed"))
    else:
        log.refuses = StoreClosed("closed")
        log.answer()
    assert len(buffer) == 0
    assert sum(int(message.split(": ")[1].split()[0]) for message in lost(caplog)) == (3 if answered else 2)
    buffer.close(FOREVER_S)


@pytest.mark.parametrize("error", [None, StoreClosed("closed")])
def test_an_answer_after_closing_gave_up_waiting_is_still_heard(
    log: Log, buffer: Buffer, caplog: pytest.LogCaptureFixture, error: Exception | None
) -> None:
    mine = share()
    for name in "ab":
        buffer.add(mine, call(name))
    buffer.close(0.0)
    assert len(lost(caplog)) == 1  # the one that was not on its way
    log.answer(error)
    assert len(lost(caplog)) == (1 if error is None else 2)
    assert len(log.calls) == 1
    assert len(buffer) == 0
