"""Dispatching: who is called, in what order, and what becomes of what they return."""

import asyncio
import contextlib
import copy
import gc
import logging
import pickle
import threading
import weakref
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.log.source import Attachment, EventSource, attach


class Opened:
    pass


class OpenedTwice(Opened):
    pass


class Closed:
    pass


class Door(EventSource):
    pass


class FrontDoor(Door):
    pass


@dataclass
class Window(EventSource):
    name: str = "kitchen"


@dataclass(frozen=True)
class Gate(EventSource):
    name: str = "garden"


class Calls(list[str]):
    """Notes down which handlers were called."""

    def of(self, name: str) -> Any:
        return lambda _: self.append(name)


class BrokenError(Exception):
    pass


def failing(_: object) -> None:
    raise BrokenError("the handler is broken")


def test_an_event_reaches_handlers_of_its_own_type_and_of_its_bases() -> None:
    door, calls = Door(), Calls()
    attach(door, Opened, calls.of("opened"))
    attach(door, Closed, calls.of("closed"))
    attach(door, object, calls.of("anything"))
    door.dispatch(OpenedTwice())
    assert calls == ["opened", "anything"]


def test_a_handler_of_a_class_hears_all_its_instances_and_no_others() -> None:
    calls = Calls()
    attached = [attach(Door, Opened, calls.of("door")), attach(FrontDoor, Opened, calls.of("front"))]
    Door().dispatch(Opened())
    FrontDoor().dispatch(Opened())
    Window().dispatch(Opened())
    assert calls == ["door", "door", "front"]
    for one in attached:
        one.detach()


def test_a_handler_of_one_instance_hears_no_other() -> None:
    door, calls = Door(), Calls()
    attach(door, Opened, calls.of("mine"))
    Door().dispatch(Opened())
    assert calls == []


@pytest.mark.parametrize("source", [Window(), Gate()])
def test_a_dataclass_is_a_source_even_when_frozen(source: EventSource) -> None:
    calls = Calls()
    attached = attach(source, Opened, calls.of("heard"))
    source.dispatch(Opened())
    attached.detach()
    source.dispatch(Opened())
    assert calls == ["heard"]


def test_copies_of_a_source_have_no_handlers_and_it_can_still_be_pickled() -> None:
    window, calls = Window("hall"), Calls()
    attach(window, Opened, calls.of("heard"))
    for other in (
        copy.copy(window),
        copy.deepcopy(window),
        replace(window),
        pickle.loads(pickle.dumps(window)),  # noqa: S301 - our own bytes
    ):
        assert other == window
        other.dispatch(Opened())
    assert calls == []
    attach(copied := copy.copy(window), Opened, calls.of("copy"))
    copied.dispatch(Opened())
    window.dispatch(Opened())
    assert calls == ["copy", "heard"]


def test_a_source_without_handlers_has_no_state_of_ours() -> None:
    door = Door()
    attached = [attach(door, Opened, failing), attach(door, Opened, failing)]
    for one in attached:
        one.detach()
        one.detach()
    assert vars(door) == {}
    before = set(vars(Gate))
    attach(Gate, Opened, failing).detach()
    assert set(vars(Gate)) == before


SOURCES = ("instance", "class", "base")


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("attach"), st.sampled_from(SOURCES)), st.tuples(st.just("detach"), st.integers(0, 9))
        )
    )
)
def test_handlers_are_called_in_the_order_in_which_they_were_attached(steps: list[tuple[str, Any]]) -> None:
    class Base(EventSource):
        pass

    class Derived(Base):
        pass

    derived = Derived()
    sources: dict[str, object] = {"instance": derived, "class": Derived, "base": Base}
    calls = Calls()
    expected: dict[str, Attachment] = {}
    for number, (step, of) in enumerate(steps):
        if step == "attach":
            expected[str(number)] = attach(sources[of], Opened, calls.of(str(number)))
        elif of < len(expected):
            expected.pop(list(expected)[of]).detach()
    derived.dispatch(Opened())
    assert calls == list(expected)


def test_a_handler_may_stop_itself_while_it_is_called() -> None:
    door, calls = Door(), Calls()

    def once(_: object) -> None:
        calls.append("once")
        attached.detach()

    attached = attach(door, Opened, once)
    attach(door, Opened, calls.of("next"))
    door.dispatch(Opened())
    door.dispatch(Opened())
    assert calls == ["once", "next", "next"]


def test_a_source_is_not_kept_by_a_handler_that_refers_to_it() -> None:
    class Self(EventSource):
        def heard(self, _: object) -> None: ...

    source = Self()
    attach(source, Opened, source.heard)
    gone = weakref.ref(source)
    del source
    gc.collect()
    assert gone() is None


def test_a_handler_is_freed_at_once_when_its_source_is_gone() -> None:
    door = Door()
    heard = Calls().of("heard")
    gone = weakref.ref(heard)
    attached = attach(door, Opened, heard)
    del heard
    del door
    assert gone() is None
    attached.detach()


# -- waiting -----------------------------------------------------------------------------------------------------------


def future_of(door: EventSource) -> Future[None]:
    """Attach a handler that asks to be waited for."""
    future: Future[None] = Future()
    attach(door, Opened, lambda _: future)
    return future


async def test_awaiting_waits_for_every_handler_that_asked_for_it() -> None:
    door = Door()
    first, second = future_of(door), future_of(door)
    attach(door, Opened, lambda _: None)
    waiting = asyncio.ensure_future(door.dispatch(Opened()))
    for future in (first, second):
        await asyncio.sleep(0)
        assert not waiting.done()
        threading.Thread(target=future.set_result, args=(None,)).start()
    await waiting


async def test_awaiting_what_nobody_waits_for_returns_at_once() -> None:
    door = Door()
    attach(door, Opened, lambda _: None)
    coroutine = door.dispatch(Opened()).__await__()
    with pytest.raises(StopIteration):
        next(coroutine)


async def test_the_first_failure_is_raised_as_often_as_it_is_awaited_and_the_others_are_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    door = Door()
    first, second = future_of(door), future_of(door)
    dispatched = door.dispatch(Opened())
    second.set_exception(ValueError("the second"))
    first.set_exception(BrokenError("the first"))
    for _ in range(2):
        with pytest.raises(BrokenError, match="the first"):
            await dispatched
    del dispatched
    assert [record.exc_info[1] for record in caplog.records if record.exc_info] == [second.exception()]


async def test_what_a_handler_raises_reaches_only_whoever_awaits() -> None:
    door, calls = Door(), Calls()
    attach(door, Opened, failing)
    attach(door, Opened, calls.of("next"))
    dispatched = door.dispatch(Opened())
    assert calls == ["next"]
    with pytest.raises(BrokenError):
        await dispatched


def test_a_failure_nobody_awaited_is_logged_once_whenever_it_comes(caplog: pytest.LogCaptureFixture) -> None:
    door = Door()
    late = future_of(door)
    attach(door, Opened, failing)
    door.dispatch(Opened())
    assert [record.name for record in caplog.records] == ["audit"]
    late.set_exception(BrokenError("it came late"))
    assert len(caplog.records) == 2
    assert "it came late" in caplog.text
    assert {record.levelno for record in caplog.records} == {logging.ERROR}


def test_a_success_nobody_awaited_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    door = Door()
    future = future_of(door)
    door.dispatch(Opened())
    future.set_result(None)
    assert caplog.records == []


async def test_cancelling_an_await_leaves_the_event_alone_and_its_failure_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    door = Door()
    future = future_of(door)

    async def wait() -> None:
        await door.dispatch(Opened())

    waiting = asyncio.ensure_future(wait())
    await asyncio.sleep(0)
    waiting.cancel()
    # Not with `raises`, which would keep the frames, and with them the dispatch.
    await asyncio.wait((waiting,))
    assert waiting.cancelled()
    assert not future.cancelled()
    del waiting
    gc.collect()
    future.set_exception(BrokenError("after all"))
    assert "after all" in caplog.text


def test_result_blocks_a_thread_until_all_are_done_and_raises_the_failure() -> None:
    door = Door()
    first, second = future_of(door), future_of(door)
    dispatched = door.dispatch(Opened())
    with pytest.raises(TimeoutError):
        dispatched.result(timeout_s=0)
    first.set_exception(BrokenError("the first"))
    with pytest.raises(TimeoutError):
        dispatched.result(timeout_s=0)
    threading.Thread(target=second.set_result, args=(None,)).start()
    with pytest.raises(BrokenError):
        dispatched.result()
    assert Door().dispatch(Opened()).result() is None  # type: ignore[func-returns-value]


async def test_result_refuses_to_block_an_event_loop() -> None:
    door = Door()
    future = future_of(door)
    dispatched = door.dispatch(Opened())
    with pytest.raises(RuntimeError, match="await"):
        dispatched.result()
    future.set_result(None)
    dispatched.result()


async def test_many_answers_at_once_wake_every_waiter_again_and_again() -> None:
    for _ in range(3):
        doors = [Door() for _ in range(500)]
        futures = [future_of(door) for door in doors]
        waiting = asyncio.gather(*(door.dispatch(Opened()) for door in doors))
        await asyncio.sleep(0)

        def answer(these: list[Future[None]]) -> None:
            for future in these:
                future.set_result(None)

        thread = threading.Thread(target=answer, args=(futures,))
        thread.start()
        await asyncio.wait_for(waiting, timeout=30)
        thread.join()


def test_a_failure_is_freed_with_its_dispatch_without_the_garbage_collector() -> None:
    errors: list[weakref.ref[Exception]] = []

    class NotedError(Exception):
        def __init__(self) -> None:
            errors.append(weakref.ref(self))

    def fail(_: object) -> None:
        raise NotedError

    door = Door()
    attach(door, Opened, fail)
    gc.disable()
    try:
        with contextlib.suppress(NotedError):
            door.dispatch(Opened()).result()
        assert errors[0]() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("closed_first", [True, False])
def test_an_answer_to_a_loop_that_is_closed_hurts_nobody_and_the_loop_is_freed(closed_first: bool) -> None:
    door = Door()
    future = future_of(door)
    loop = asyncio.new_event_loop()

    async def begin(source: EventSource) -> None:
        waiting.append(asyncio.ensure_future(source.dispatch(Opened())))
        await asyncio.sleep(0)

    waiting: list[asyncio.Future[None]] = []
    loop.run_until_complete(begin(door))
    waiting[0].cancel()
    loop.run_until_complete(asyncio.gather(*waiting, return_exceptions=True))
    if closed_first:
        loop.close()
    future.set_result(None)
    loop.close()
    gone = weakref.ref(loop)
    del loop, future, door
    waiting.clear()
    gc.collect()
    assert gone() is None
