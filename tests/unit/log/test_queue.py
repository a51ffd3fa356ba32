"""The queue's hand-over: whoever takes is woken by each way in, never too late and never twice."""

import threading
from concurrent.futures import Future

import pytest

from audit import NewEvent, StoreClosed
from audit.log.prepare import prepare_call
from audit.log.queue import AppendQueue, Pending

CALL = prepare_call((NewEvent(topics=[("a",)]),), None, many=False)


def pending() -> Pending:
    return Pending(CALL, Future(), None)


def test_taking_ends_with_the_time_and_the_next_call_is_taken_all_the_same() -> None:
    queue = AppendQueue(10, 10_000)
    assert queue.take(0.0) == []
    assert queue.take(0.001) == []
    one = pending()
    queue.put(one, wait=True)
    assert queue.take() == [one]
    assert queue.take(0.0) == []


def test_every_call_is_taken_once_though_the_time_is_over_again_and_again() -> None:
    queue = AppendQueue(2_000, 1 << 20)
    calls = [pending() for _ in range(2_000)]
    taken: list[Pending] = []

    def take() -> None:
        while len(taken) < len(calls):
            taken.extend(queue.take(0.000_01))

    thread = threading.Thread(target=take)
    thread.start()
    for call in calls:
        queue.put(call, wait=True)
    thread.join()
    assert taken == calls


def test_who_waits_without_end_is_woken_by_a_call_and_by_the_end() -> None:
    queue = AppendQueue(10, 10_000)
    taken: list[list[Pending]] = []

    def take() -> None:
        while not queue.closed:
            taken.append(queue.take())

    thread = threading.Thread(target=take)
    thread.start()
    one = pending()
    queue.put(one, wait=True)
    queue.refuse(StoreClosed("over"))
    thread.join()
    assert [call for calls in taken for call in calls] == [one]
    with pytest.raises(StoreClosed):
        queue.put(pending(), wait=True)
