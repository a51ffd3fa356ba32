import asyncio

from audit.log.open_tails import Lag
from audit.log.tail import Batch, CaughtUp
from audit.testing.logs import memory_audit, memory_log
from tests.bare import until
from tests.stores import event


def test_a_tail_is_behind_by_what_it_has_not_looked_at() -> None:
    with memory_log() as log:
        log.append_many([event("a")] * 5)
        tails = log._core.open_tails
        with log.subscribe() as slow, log.subscribe(seek="now") as live:
            assert tails.lag() == Lag(2, 5, 5)
            assert isinstance(slow.read(max_events=2), Batch)
            assert isinstance(live.read(), CaughtUp)
            assert tails.lag() == Lag(2, 3, 3)
            log.append(event("a"))
            assert tails.lag() == Lag(2, 4, 5)
        assert tails.lag() == Lag(0, 0, 0)


async def test_a_tail_asleep_is_not_behind_on_what_does_not_concern_it() -> None:
    async with memory_audit() as log, log.subscribe(("rare",)) as tail:
        assert isinstance(await tail.read(), CaughtUp)
        reading = asyncio.create_task(tail.read())
        await until(lambda: len(log._core.wakeups))
        await log.append_many([event("busy")] * 100)
        assert log._core.open_tails.lag() == Lag(1, 0, 0)
        await log.append(event("rare"))
        assert isinstance(await reading, Batch)
        assert log._core.open_tails.lag() == Lag(1, 0, 0)


def test_a_dropped_tail_is_not_counted() -> None:
    with memory_log() as log:
        log.append(event("a"))
        log.subscribe()
        assert log._core.open_tails.lag() == Lag(0, 0, 0)
