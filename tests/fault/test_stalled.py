"""A thousand subscribers, of which some stop reading: the others get everything, and nobody's memory pays for it."""

import asyncio
import json
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bare import bare, until
from tests.fault.children import Child, started
from tests.swarm import Subscriber, swarm

SUBSCRIBERS = 1_000
STALLED = 20
LIVE = 40
BULK = 400
EVENT_BYTES = 10_000
SEND_TIMEOUT_S = 1.0


@pytest.fixture(autouse=True)
def _files() -> Iterator[None]:
    """Let this process have a socket for each subscriber."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before[1] < SUBSCRIBERS + 200:
        pytest.skip(f"needs {SUBSCRIBERS + 200} open files, the hard limit is {before[1]}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.slow
async def test_stalled_subscribers_cost_the_others_and_the_server_nothing(tmp_path: Path) -> None:
    with started("server.py", tmp_path / "store", SEND_TIMEOUT_S) as server:
        url = (await asyncio.to_thread(server.line))["url"]
        received: dict[Subscriber, int] = {}

        def told(subscriber: Subscriber, message: bytes, _now: float) -> None:
            received[subscriber] = received.get(subscriber, 0) + message.count(b'"index":')

        # Those who will stall ask for everything, the others for little of it: one process has to read for all.
        stalled = await swarm(url, STALLED, {"topic": ["a"], "credit": 1_000_000}, told)
        reading = await swarm(url, SUBSCRIBERS - STALLED, {"topic": ["a", "live"], "credit": 1_000_000}, told)
        at_first = await _append(server, 1, "live")
        await until(lambda: all(received.get(one) == 1 for one in (*stalled, *reading)))
        for one in stalled:
            one.transport.pause_reading()

        # Far more than all that the kernel hides for a peer that does not read.
        await _append(server, BULK, "bulk")
        at_last = await _append(server, LIVE, "live")
        await until(lambda: all(received[one] == LIVE + 1 for one in reading), timeout_s=120)
        assert max(received[one] for one in stalled) == 1
        for _ in range(300):
            if at_last["aborted"] == STALLED:
                break
            await asyncio.sleep(SEND_TIMEOUT_S / 10)
            at_last = await _append(server, 0, "live")
        assert at_last["aborted"] == STALLED
        # A queue for each of those who take nothing would be 88 MB.
        assert at_last["rss_anon_kib"] - at_first["rss_anon_kib"] < 40 * 1024

        # They find what the kernel had kept for them, then the end; and their last cursor resumes right there.
        for one in stalled:
            one.transport.resume_reading()
        await asyncio.gather(*[one.lost for one in stalled])
        for one in stalled[:3]:
            assert one.end is None
            assert received[one] < LIVE + BULK
            async with bare(url) as again:
                await again.call("events.subscribe", topic=["a"], cursor=one.cursor)
                found = await again.events(LIVE + BULK + 1 - received[one])
                assert [event["index"] for event in found] == list(range(received[one], LIVE + BULK + 1))
        for one in reading:
            one.transport.abort()


async def _append(server: Child, events: int, topic: str) -> dict[str, int]:
    server.tell(json.dumps({"events": events, "bytes": EVENT_BYTES, "topic": ["a", topic]}))
    answer: dict[str, int] = await asyncio.to_thread(server.line)
    return answer
