"""Calls that wait through a fence: in their order, one at a time, and no longer than they may."""

from concurrent.futures import Future

from audit import NewEvent
from audit.log.handle import WAIT_S
from audit.log.held import Held
from audit.log.prepare import prepare_call
from audit.log.queue import Pending
from audit.model.errors import Unavailable

_CALL = prepare_call((NewEvent(topics=[("a",)]),), None, many=False)
_WAIT_MS = int(WAIT_S * 1000)


def _pending() -> Pending:
    return Pending(_CALL, Future(), None)


def _error(pending: Pending) -> BaseException | None:
    assert isinstance(pending.future, Future)
    return pending.future.exception(0) if pending.future.done() else None


def test_calls_come_out_one_at_a_time_in_their_order() -> None:
    held = Held()
    assert not held
    calls = [_pending() for _ in range(3)]
    held.add(calls[:2])
    held.add(calls[2:])
    assert [held.next() for _ in calls] == [[call] for call in calls]
    assert not held


def test_a_call_fails_once_it_has_waited_its_time_and_no_other_does() -> None:
    held = Held()
    early, late = _pending(), _pending()
    held.add([early])
    held.fail_stale(Unavailable("nothing was written"), 1_000)
    held.add([late])
    held.fail_stale(Unavailable("nothing was written"), 1_000 + _WAIT_MS - 1)
    assert (_error(early), _error(late)) == (None, None)
    held.fail_stale(Unavailable("nothing was written"), 1_000 + _WAIT_MS)
    assert isinstance(_error(early), Unavailable)
    assert _error(late) is None
    assert held.next() == [late]


def test_at_the_end_all_are_told() -> None:
    held = Held()
    calls = [_pending() for _ in range(2)]
    held.add(calls)
    held.fail(Unavailable("nothing was written"))
    errors = [_error(call) for call in calls]
    assert all(isinstance(error, Unavailable) for error in errors)
    # Each its own: a raise adds to the traceback.
    assert errors[0] is not errors[1]
    assert not held
