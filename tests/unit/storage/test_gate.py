"""The gate: closing waits for everybody inside, and lets nobody in."""

import threading

import pytest

from audit import StoreClosed, StoreForked
from audit.storage.gate import Gate


def test_shutting_waits_for_those_inside_and_refuses_the_next() -> None:
    gate = Gate()
    order: list[str] = []
    refused = threading.Event()

    def shut() -> None:
        assert gate.shut()
        order.append("shut")

    with gate:
        closer = threading.Thread(target=shut)
        closer.start()
        while not refused.is_set():
            try:
                with gate:
                    pass
            except StoreClosed:
                refused.set()
        order.append("left")
    closer.join()
    assert order == ["left", "shut"]
    assert not gate.shut()
    with pytest.raises(StoreClosed), gate:
        pass


def test_leaving_by_an_exception_leaves() -> None:
    gate = Gate()
    with pytest.raises(KeyError), gate:
        raise KeyError
    assert gate.shut()


def test_an_abandoned_gate_refuses_and_waits_for_nobody() -> None:
    gate = Gate()
    with gate:
        gate.abandon(StoreForked("forked"))
        with pytest.raises(StoreForked), gate:
            pass
        assert not gate.shut()
