"""The alarm: what rings, when, and that no thread is left behind."""

import threading
from queue import SimpleQueue

from audit.log.alarm import Alarm

PATIENCE_S = 30.0
NEVER_S = 3_600.0


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "audit-alarm"]


def test_what_is_due_first_rings_first() -> None:
    alarm, rung = Alarm(), SimpleQueue[str]()
    alarm.set(NEVER_S, lambda: rung.put("never"))
    alarm.set(0.02, lambda: rung.put("second"))
    alarm.set(0.0, lambda: rung.put("first"))
    assert [rung.get(timeout=PATIENCE_S), rung.get(timeout=PATIENCE_S)] == ["first", "second"]
    alarm.close()
    assert rung.empty()


def test_hastened_all_rings_now_in_its_order() -> None:
    alarm, rung = Alarm(), SimpleQueue[str]()
    alarm.set(2 * NEVER_S, lambda: rung.put("last"))
    alarm.set(NEVER_S, lambda: rung.put("first"))
    alarm.hasten()
    assert [rung.get(timeout=PATIENCE_S), rung.get(timeout=PATIENCE_S)] == ["first", "last"]


def test_a_thread_exists_only_while_something_is_set() -> None:
    alarm, rung = Alarm(), SimpleQueue[str]()
    assert threads() == []
    for _ in range(3):
        alarm.set(0.0, lambda: rung.put("rung"))
        rung.get(timeout=PATIENCE_S)
        for thread in threads():
            thread.join(PATIENCE_S)
        assert threads() == []


def test_closed_it_rings_no_more_and_its_thread_is_gone() -> None:
    alarm, rung = Alarm(), SimpleQueue[str]()
    alarm.set(NEVER_S, lambda: rung.put("never"))
    assert len(threads()) == 1
    alarm.close()
    assert threads() == []
    assert rung.empty()


def test_what_rings_may_set_it_again_or_close_it() -> None:
    alarm, rung = Alarm(), SimpleQueue[str]()

    def again() -> None:
        rung.put("first")
        alarm.set(0.0, last)

    def last() -> None:
        alarm.close()
        rung.put("last")

    alarm.set(0.0, again)
    assert [rung.get(timeout=PATIENCE_S), rung.get(timeout=PATIENCE_S)] == ["first", "last"]
