"""Server-Sent Events, read as a browser would: one message an event, resumed by the id of the last one."""

import asyncio
import json
from typing import Any

import pytest

from audit import NewEvent, Unavailable
from audit.log.tail import TailCore
from audit.testing.logs import memory_audit
from tests.bare import until
from tests.integration.test_http import EVIL, OK, served
from tests.stores import event
from tests.web import Message, fetch, raw, stream

PATH = "/v1/events/stream"


def indexes(messages: list[Message]) -> list[int]:
    return [message.json["index"] for message in messages if message.kind == "message"]


async def test_history_then_caught_up_then_live() -> None:
    async with served() as (log, base, _):
        await log.append_many([event("a", data={"n": 1.0}), event("b"), event("a")])
        async with stream(base, PATH + "?topic=a") as sse:
            assert (sse.status, sse.headers["content-type"]) == (200, "text/event-stream")
            assert sse.headers["cache-control"] == "no-store"
            told = await sse.until("caught_up")
            assert sse.retry == "1000"
            assert indexes(told) == [0, 2]
            # As it is stored, byte for byte.
            assert [one.data.encode() for one in told[:2]] == (await log.list(("a",))).slices
            assert told[-1].json == {"cursor": told[-1].id}
            await log.append_many([event("b"), event("a")])
            assert indexes(await sse.events(1)) == [4]


async def test_every_message_resumes_exactly_after_itself() -> None:
    async with served() as (log, base, _):
        await log.append_many([event("a")] * 7)
        async with stream(base) as sse:
            told = await sse.until("caught_up")
        for number, message in enumerate(told):
            async with stream(base, PATH + "?seek=now", {"last-event-id": message.id}) as again:
                rest = indexes(await again.until("caught_up"))
            assert rest == list(range(min(number, 6) + 1, 7))


async def test_the_last_event_id_goes_before_the_cursor_of_the_url() -> None:
    async with served() as (log, base, _):
        await log.append_many([event("a")] * 5)
        async with stream(base) as sse:
            ids = [message.id for message in await sse.events(5)]
        async with stream(base, f"{PATH}?cursor={ids[0]}") as sse:
            assert indexes(await sse.until("caught_up")) == [1, 2, 3, 4]
        async with stream(base, f"{PATH}?cursor={ids[0]}", {"Last-Event-ID": ids[3]}) as sse:
            assert indexes(await sse.until("caught_up")) == [4]


async def test_a_cursor_of_a_page_begins_a_stream() -> None:
    async with served() as (log, base, _):
        await log.append_many([event("a")] * 5)
        page = await fetch(base, "/v1/events?topic=a&limit=2")
        async with stream(base, f"{PATH}?topic=a&cursor={page.json['cursor']}") as sse:
            assert indexes(await sse.until("caught_up")) == [2, 3, 4]


async def test_a_stream_from_now_has_no_history() -> None:
    async with served() as (log, base, _):
        await log.append_many([event("a")] * 3)
        async with stream(base, PATH + "?seek=now") as sse:
            assert indexes(await sse.until("caught_up")) == []
            await log.append(event("a"))
            assert indexes(await sse.events(1)) == [3]


async def test_a_stream_ends_at_its_limit_and_at_its_bound() -> None:
    async with served() as (log, base, _):
        receipts = await log.append_many([event("a")] * 5)
        async with stream(base, PATH + "?limit=2") as sse:
            told = await sse.until("end")
            assert indexes(told) == [0, 1]
            assert told[-1].json == {"cursor": told[-1].id, "reason": "limit"}
            assert await sse.message() is None
        async with stream(base, f"{PATH}?seek_end={receipts[3].id}&inclusive=both") as sse:
            told = await sse.until("end")
            assert (indexes(told), told[-1].json["reason"]) == ([0, 1, 2, 3], "seek_end")


async def test_a_browser_that_comes_again_after_the_end_is_told_to_stay_away() -> None:
    async with served() as (log, base, _):
        receipts = await log.append_many([event("a")] * 5)
        path = f"{PATH}?seek_end={receipts[2].id}"
        async with stream(base, path) as sse:
            told = await sse.until("end")
        over = await fetch(base, path, headers={"Last-Event-ID": told[-1].id})
        assert (over.status, over.body) == (204, b"")
        async with stream(base, path, {"Last-Event-ID": told[0].id}) as sse:
            assert indexes(await sse.until("end")) == [1]


async def test_a_quiet_stream_is_kept_alive_and_its_cursor_moves() -> None:
    async with served(progress_s=0.02) as (log, base, _):
        async with stream(base, PATH + "?topic=quiet") as sse:
            first = (await sse.until("caught_up"))[-1]
            await sse.until(":")
            await log.append_many([event("busy")] * 10)
            progress = (await sse.until("progress"))[-1]
            assert progress.id != first.id
            assert progress.json == {"cursor": progress.id}
        async with stream(base, f"{PATH}?topic=quiet&cursor={progress.id}") as sse:
            assert indexes(await sse.until("caught_up")) == []


async def test_a_head_request_opens_no_stream() -> None:
    async with served() as (log, base, server):
        await log.append(event("a"))
        async with stream(base, method="HEAD") as sse:
            assert sse.status == 200
            assert await sse.rest() == b""
        await until(lambda: server.traffic.streams == 0)


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"accept": "application/json"}, 406, "not_acceptable"),
        ({"last-event-id": "nonsense"}, 400, "cursor_invalid"),
    ],
)
async def test_what_is_wrong_is_told_before_the_stream_begins(headers: dict[str, str], status: int, code: str) -> None:
    async with served() as (_, base, _):
        answer = await fetch(base, PATH, headers=headers)
        assert (answer.status, answer.json["code"]) == (status, code)


async def test_a_cursor_of_another_query_or_store_is_refused() -> None:
    async with served() as (log, base, _):
        await log.append_many([event("a")] * 3)
        cursor = (await log.list(("a",))).cursor
        assert (await fetch(base, f"{PATH}?topic=b&cursor={cursor}")).json["code"] == "cursor_invalid"
        async with served(memory_audit()) as (_, other, _):
            # The same store's id, with fewer events: a copy that was restored.
            assert (await fetch(other, f"{PATH}?topic=a&cursor={cursor}")).json["code"] == "cursor_invalid"


async def test_a_server_that_stops_ends_its_streams_with_a_cursor_to_go_on_from() -> None:
    async with memory_audit() as log:
        await log.append_many([event("a")] * 3)
        async with served(log_of(log)) as (_, base, server), stream(base, PATH) as live, stream(base, PATH) as other:
            for sse in (live, other):
                await sse.until("caught_up")
            closing = asyncio.create_task(server.close())
            ends = [(await sse.until("end"))[-1] for sse in (live, other)]
            assert [end.json["reason"] for end in ends] == ["shutdown"] * 2
            assert [await sse.message() for sse in (live, other)] == [None, None]
            await closing
        await log.append(event("a"))
        async with served(log_of(log)) as (_, base, _), stream(base, PATH, {"last-event-id": ends[0].id}) as sse:
            assert indexes(await sse.events(1)) == [3]


def log_of(log: Any) -> Any:
    """Return the log for `served`, which must not close it."""

    class Kept:
        async def __aenter__(self) -> Any:
            return log

        async def __aexit__(self, *_: object) -> None:
            pass

    return Kept()


async def test_a_peer_that_leaves_frees_its_stream_at_once() -> None:
    async with served() as (log, base, server):
        traffic = server.traffic
        async with stream(base) as sse:
            await sse.until("caught_up")
            assert traffic.streams == 1
            assert log._core.open_tails.lag().tails == 1
        await until(lambda: traffic.streams == 0)
        assert log._core.open_tails.lag().tails == 0
        assert len(log._core.wakeups) == 0


async def test_a_peer_that_does_not_read_is_aborted_and_holds_up_nobody() -> None:
    async with served(send_timeout_s=0.2) as (log, base, server):
        await log.append_many([NewEvent(topics=[("a",)], data="x" * 60_000)] * 30)
        async with raw(base, receive_buffer=4_096) as (_, writer), stream(base) as sse:
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(b"GET /v1/events/stream HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert len(await sse.events(30)) == 30
            await until(lambda: server.traffic.aborted == 1)
            await until(lambda: server.traffic.streams == 1)
            # What it did not take was not delivered.
            assert server.traffic.deliveries < 60
            await log.append(event("a"))
            assert len(await sse.events(1)) == 1


async def test_a_slow_peer_gets_everything_however_long_it_takes() -> None:
    async with served(send_timeout_s=0.5) as (log, base, server):
        await log.append_many([NewEvent(topics=[("a",)], data="x" * 60_000)] * 15)
        async with raw(base, receive_buffer=4_096) as (reader, writer):
            writer.write(b"GET /v1/events HTTP/1.0\r\nhost: localhost\r\n\r\n")
            got = 0
            # Something in every stretch of the deadline, and all of it only after several. A tenth of one, since a busy
            # machine may take the rest.
            while piece := await reader.read(20_000):
                got += len(piece)
                await asyncio.sleep(0.05)
            assert got > 15 * 60_000
        assert server.traffic.aborted == 0


async def test_a_stream_that_can_not_go_on_says_why_and_where(monkeypatch: pytest.MonkeyPatch) -> None:
    def fenced(*_: object) -> None:
        raise Unavailable("the store is fenced")

    async with served() as (log, base, _):
        async with stream(base) as sse:
            cursor = (await sse.until("caught_up"))[-1].id
            await until(lambda: len(log._core.wakeups))
            with monkeypatch.context() as patch:
                patch.setattr(TailCore, "step", fenced)
                await log.append(event("a"))
                end = (await sse.until("end"))[-1]
            assert await sse.message() is None
        assert (end.json["reason"], end.json["error"]["data"]["code"]) == ("error", "unavailable")
        for resumed in (cursor, end.id):
            async with stream(base, PATH, {"last-event-id": resumed}) as sse:
                assert indexes(await sse.until("caught_up")) == [0]


async def test_a_server_that_stops_begins_no_stream() -> None:
    async with served() as (_, base, server):
        server._context.stopping.set()
        refused = await fetch(base, PATH)
        assert (refused.status, refused.json["code"]) == (503, "unavailable")


async def test_streams_are_counted_as_connections_and_capped() -> None:
    async with served(connections=4) as (_, base, server):
        # uvicorn counts the connection that asks, too; ours is the cap on those that stay.
        server._server.config.limit_concurrency = None  # type: ignore[union-attr]
        async with stream(base) as one, stream(base) as two, stream(base) as three, stream(base) as four:
            for sse in (one, two, three, four):
                await sse.until("caught_up")
            refused = await fetch(base, PATH)
            assert (refused.status, refused.json["code"]) == (503, "overloaded")
            assert refused.headers["retry-after"]


async def test_a_page_of_an_allowed_origin_may_follow_and_no_other() -> None:
    async with served() as (_, base, _):
        async with stream(base, PATH, {"origin": OK}) as sse:
            assert sse.headers["access-control-allow-origin"] == OK
        async with stream(base, PATH, {"origin": EVIL}) as sse:
            assert "access-control-allow-origin" not in sse.headers


async def test_a_hundred_streams_each_have_every_event_once_and_in_order() -> None:
    async with served() as (log, base, server):

        async def follow() -> list[int]:
            async with stream(base) as sse:
                return indexes(await sse.events(300))

        following = [asyncio.create_task(follow()) for _ in range(100)]
        await until(lambda: server.traffic.streams == 100)
        for number in range(30):
            await log.append_many([event("a", data=number)] * 10)
        for one in await asyncio.gather(*following):
            assert one == list(range(300))
        await until(lambda: server.traffic.deliveries == 30_000)


async def test_the_body_is_what_a_parser_of_the_standard_takes() -> None:
    async with served() as (log, base, _):
        await log.append(event("a", data="line\nfeed\r\u2028 and: colon"))
        async with stream(base, PATH + "?limit=1") as sse:
            blocks = (await sse.rest()).decode().split("\n\n")
        assert blocks[0] == "retry: 1000"
        fields = [line.partition(": ") for line in blocks[1].split("\n")]
        assert [name for name, _, _ in fields] == ["id", "data"]
        assert json.loads(fields[1][2])["data"] == "line\nfeed\r\u2028 and: colon"
        assert blocks[-1] == ""
