"""Appends of one turn of the event loop: one commit, in the order they came, and what is wrong with one is its own."""

import asyncio
from typing import Any

import pytest

from audit import Audit, NewEvent
from audit.log.queue import Receipts
from audit.model.errors import Conflict, InvalidParameter, StoreClosed, TooLarge
from audit.server.intake import Intake
from audit.testing import memory_audit


def _event(name: str, **members: Any) -> NewEvent:
    return NewEvent(topics=[(name,)], **members)


class _Told:
    """What became of some calls, in the order in which it was told."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._all = asyncio.Event()
        self._left = 0
        self.order: list[int] = []
        self.outcomes: dict[int, Receipts | Exception] = {}

    def put(self, events: list[NewEvent], key: str | None = None) -> int:
        number = len(self.outcomes) + self._left
        self._left += 1

        def settled(outcome: Receipts | Exception) -> None:
            self.order.append(number)
            self.outcomes[number] = outcome
            self._left -= 1
            if not self._left:
                self._all.set()

        self._intake.put(events, key, settled)
        return number

    async def wait(self) -> list[Receipts | Exception]:
        await asyncio.wait_for(self._all.wait(), 30)
        return [self.outcomes[number] for number in sorted(self.outcomes)]


async def test_appends_of_one_turn_are_one_commit_in_their_order() -> None:
    async with memory_audit() as log:
        told = _Told(Intake(log._core))
        for number in range(50):
            told.put([_event(f"t{number}"), _event("all")], f"key-{number}")
        outcomes = await told.wait()
        indexes = [receipt.index for receipts in outcomes if isinstance(receipts, list) for receipt in receipts]
        assert indexes == list(range(100))
        assert told.order == list(range(50))
        assert sum(log._core.sequencer.meters.commit_events.counts) == 1
        page = await log.list(limit=100)
        assert [event.topics[0][0] for event in page.events[::2]] == [f"t{number}" for number in range(50)]


async def test_what_is_wrong_with_one_call_is_told_to_it_alone() -> None:
    async with memory_audit() as log:
        told = _Told(Intake(log._core))
        told.put([_event("a")], "key")
        told.put([_event("b"), _event("")], "bad")
        told.put([])
        told.put([_event("c", data="x" * 70_000)])
        told.put([_event("d")], "")
        told.put([_event("e")], "key")
        told.put([_event("f")], "last")
        found = await told.wait()
    kinds = [list, InvalidParameter, InvalidParameter, TooLarge, InvalidParameter, Conflict, list]
    assert [type(one) for one in found] == kinds
    assert isinstance(found[1], InvalidParameter)
    assert found[1].parameter == "events[1].topics[0][0]"
    last = found[6]
    assert isinstance(last, list)
    assert last[0].index == 1


class _Unreadable(list[NewEvent]):
    """Events that fail in a way that nobody thinks of."""

    def __iter__(self) -> Any:
        raise RuntimeError("not to be read")


async def test_whatever_goes_wrong_nobody_waits_for_ever() -> None:
    async with memory_audit() as log:
        intake = Intake(log._core)
        told = _Told(intake)
        told.put([_event("a")])
        told.put(_Unreadable([_event("b")]))
        assert [type(one) for one in await told.wait()] == [RuntimeError, RuntimeError]
        # It goes on with the next turn.
        told = _Told(intake)
        told.put([_event("c")])
        assert [type(one) for one in await told.wait()] == [list]
        assert log.info().size == 1


async def test_the_same_call_twice_in_one_turn_is_one_append() -> None:
    async with memory_audit() as log:
        told = _Told(Intake(log._core))
        told.put([_event("a")], "key")
        told.put([_event("a")], "key")
        first, second = await told.wait()
        assert first == second
        assert log.info().size == 1


async def test_a_call_to_a_log_that_is_closed_is_refused() -> None:
    log: Audit = memory_audit()
    told = _Told(Intake(log._core))
    await log.close()
    told.put([_event("a")])
    (refused,) = await told.wait()
    assert isinstance(refused, StoreClosed)


@pytest.mark.parametrize("calls", [1, 3])
async def test_many_events_go_in_though_they_are_too_many_for_one_commit(calls: int) -> None:
    async with memory_audit() as log:
        told = _Told(Intake(log._core))
        for _ in range(calls):
            told.put([_event("a")] * 900)
        outcomes = await told.wait()
        assert [len(one) for one in outcomes if isinstance(one, list)] == [900] * calls
        assert log.info().size == 900 * calls
