"""What a server may answer, and what the client makes of it: try again, or say so at once."""

import asyncio
import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from audit import AuditError, CaughtUp, End, InvalidParameter, NewEvent, OutcomeUnknown, Overloaded, Unavailable
from audit.client import Backoff, News, connect
from audit.model.errors import CursorExpired, Forbidden, ProtocolViolation, Unauthorized
from audit.protocol.errors import to_wire
from audit.protocol.frames import encode
from audit.protocol.limits import Limits
from audit.protocol.messages import InfoResult, StoreResult
from tests.integration.relay import AT_ONCE, scripted

Answer = Callable[[dict[str, Any]], Any]
INFO = InfoResult(
    name="fake",
    version="1",
    protocol="audit.v1.json",
    store=StoreResult(id="01JD8Z5K3V9Q0T7W2X4Y6Z8A1B", size=0, first_id=None, last_id=None),
    limits=Limits(),
    auth="off",
)
RECEIPT = {"receipts": [{"id": "01JD8Z5K3V9Q0T7W2X4Y6Z8A1B", "index": 0}]}
EVENT = NewEvent(topics=[("a",)])


class Close(Exception):
    """Close the connection with this code."""


class Fake:
    """A server that answers each request as told; None is no answer, an error is that error, and it greets."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.requests: list[dict[str, Any]] = []
        self.connections = 0
        self.arrived = asyncio.Event()

    async def __call__(self, socket: ServerConnection) -> None:
        self.connections += 1
        try:
            async for frame in socket:
                await self._take(socket, json.loads(frame))
        except ConnectionClosed:
            return

    async def _take(self, socket: ServerConnection, request: dict[str, Any]) -> None:
        if request["method"] == "server.info":
            await self.say(socket, request, encode(INFO))
            return
        self.requests.append(request)
        self.arrived.set()
        answer = self._answer(request)
        if isinstance(answer, Close):
            code = answer.args[0]
            if code is None:
                socket.transport.abort()
            else:
                await socket.close(code)
        elif isinstance(answer, AuditError):
            failure = encode({"jsonrpc": "2.0", "id": request["id"], "error": to_wire(answer)})
            await socket.send(failure, text=True)
        elif isinstance(answer, list):
            await self.say(socket, request, encode(answer[0]))
            for method, params in answer[1:]:
                await socket.send(encode({"jsonrpc": "2.0", "method": method, "params": params}), text=True)
        elif answer is not None:
            await self.say(socket, request, encode(answer))

    async def say(self, socket: ServerConnection, request: dict[str, Any], result: bytes) -> None:
        await socket.send(b'{"jsonrpc":"2.0","id":%d,"result":%s}' % (request["id"], result), text=True)


def answers(*several: Any) -> Answer:
    """Answer so, one after the other; the last one again and again."""
    left = list(several)
    return lambda request: left.pop(0) if len(left) > 1 else left[0]


async def test_call_is_tried_again_after_what_may_heal() -> None:
    fake = Fake(answers(Overloaded("full"), Unavailable("fenced"), OutcomeUnknown("failed"), Close(None), RECEIPT))
    async with scripted(fake) as url, connect(url, backoff=AT_ONCE) as log:
        assert (await log.append(EVENT)).index == 0
    keys = {request["params"]["idempotency_key"] for request in fake.requests}
    assert len(fake.requests) == 5
    assert len(keys) == 1
    assert all(len(key) == 32 for key in keys)


async def test_key_of_the_caller_is_sent_as_it_is() -> None:
    fake = Fake(answers(RECEIPT))
    event = NewEvent(topics=[("a",)], idempotency_key="mine")
    async with scripted(fake) as url, connect(url, backoff=AT_ONCE) as log:
        await log.append(event)
        await log.append_many([event])
        await log.append_many([EVENT], idempotency_key="call")
    sent = [request["params"] for request in fake.requests]
    assert [params.get("idempotency_key") for params in sent] == [None, None, "call"]
    assert [params["events"][0].get("idempotency_key") for params in sent] == ["mine", "mine", None]


async def test_read_that_never_succeeds_is_unavailable_after_its_time() -> None:
    fake = Fake(answers(Overloaded("full")))
    async with scripted(fake) as url, connect(url, call_timeout_s=0.05, backoff=AT_ONCE) as log:
        with pytest.raises(Unavailable, match=r"no answer within 0\.05 s: full"):
            await log.list()


async def test_append_that_is_always_refused_was_not_written() -> None:
    fake = Fake(answers(Overloaded("full")))
    async with (
        scripted(fake) as url,
        connect(url, call_timeout_s=0.05, backoff=Backoff(first_s=9, draw=lambda: 1)) as log,
    ):
        with pytest.raises(Unavailable) as failed:
            await log.append(EVENT)
        assert not isinstance(failed.value, OutcomeUnknown)


@pytest.mark.parametrize("last", [None, Overloaded("full"), OutcomeUnknown("failed"), Forbidden("no more")])
async def test_append_that_was_once_in_doubt_stays_so(last: Any) -> None:
    fake = Fake(answers(Close(None), last))
    async with scripted(fake) as url, connect(url, call_timeout_s=0.1, backoff=AT_ONCE) as log:
        with pytest.raises(OutcomeUnknown):
            await log.append(EVENT)


class Timed(Fake):
    """Also knows when each request came, in milliseconds."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer)
        self.came_ms: list[float] = []

    async def _take(self, socket: ServerConnection, request: dict[str, Any]) -> None:
        if request["method"] != "server.info":
            self.came_ms.append(asyncio.get_running_loop().time() * 1000)
        await super()._take(socket, request)

    @property
    def waited_ms(self) -> float:
        return self.came_ms[1] - self.came_ms[0]


async def test_call_is_not_tried_again_before_the_server_said() -> None:
    fake = Timed(answers(Overloaded("too often", retry_after_ms=80), RECEIPT))
    async with scripted(fake) as url, connect(url, backoff=AT_ONCE) as log:
        assert (await log.append(EVENT)).index == 0
    assert fake.waited_ms >= 79


async def test_tail_is_not_asked_for_again_before_the_server_said() -> None:
    caught_up = ("events.caught_up", {"subscription": "1", "cursor": "there"})
    fake = Timed(answers(Overloaded("too often", retry_after_ms=80), [{"subscription": "1"}, caught_up]))
    async with scripted(fake) as url, connect(url, backoff=AT_ONCE) as log:
        assert await log.subscribe().read() == CaughtUp("there")
    assert fake.waited_ms >= 79


async def test_call_that_cannot_be_tried_again_in_time_fails_at_once() -> None:
    fake = Fake(answers(Overloaded("too often", retry_after_ms=2**31)))
    async with scripted(fake) as url, connect(url) as log:
        with pytest.raises(Overloaded, match="too often") as failed:
            await asyncio.wait_for(log.append(EVENT), 10)
        assert failed.value.retry_after_ms == 2**31
    assert len(fake.requests) == 1


async def test_error_that_cannot_heal_is_raised_at_once() -> None:
    fake = Fake(answers(Forbidden("not for you")))
    async with scripted(fake) as url, connect(url) as log:
        with pytest.raises(Forbidden, match="not for you"):
            await log.append(EVENT)
    assert len(fake.requests) == 1


@pytest.mark.parametrize(
    ("code", "kind"), [(4401, Unauthorized), (4403, Forbidden), (4400, ProtocolViolation), (1007, ProtocolViolation)]
)
async def test_close_that_cannot_heal_ends_the_client(code: int, kind: type[AuditError]) -> None:
    fake = Fake(answers(Close(code)))
    async with scripted(fake) as url, connect(url, backoff=AT_ONCE) as log:
        tail = log.subscribe()
        with pytest.raises(kind):
            await log.list()
        with pytest.raises(kind):
            await tail.read()
        with pytest.raises(kind):
            await log.info()
        with pytest.raises(kind):
            log.subscribe()
    assert fake.connections == 1


@pytest.mark.parametrize("code", [1001, 1011, 1012, 4408, 4429, None])
async def test_close_that_may_heal_is_followed_by_another_connection(code: int | None) -> None:
    fake = Fake(answers(Close(code), {"cursor": "", "has_more": False, "events": []}))
    async with scripted(fake) as url, connect(url, backoff=AT_ONCE) as log:
        assert len(await log.list()) == 0
    assert fake.connections == 2


@pytest.mark.parametrize(
    "frame",
    [
        b"nonsense",
        b"[]",
        b'{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"m","data":{"code":"x","retryable":false}}}',
    ],
)
async def test_server_that_breaks_the_protocol_is_left(frame: bytes) -> None:
    async def script(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(frame, text=True)
        await socket.wait_closed()
        closed.append(socket.close_code)

    closed: list[int | None] = []
    async with scripted(script) as url:
        with pytest.raises(ProtocolViolation):
            await connect(url)
    assert closed == [4400]


async def test_result_of_another_type_is_the_servers_fault() -> None:
    async with scripted(Fake(answers({"nothing": 1}))) as url, connect(url) as log:
        with pytest.raises(ProtocolViolation):
            await log.list()


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, Unauthorized), (403, Forbidden), (404, ProtocolViolation), (503, Unavailable), (429, Overloaded)],
)
async def test_handshake_that_is_refused_says_how(status: int, kind: type[AuditError]) -> None:
    def refuse(socket: ServerConnection, request: Request) -> Response:
        return socket.respond(status, "no\n")

    async def nothing(socket: ServerConnection) -> None:
        await socket.wait_closed()

    async with serve(nothing, "127.0.0.1", 0, process_request=refuse) as server:
        with pytest.raises(kind, match=f"HTTP {status}"):
            await connect(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")


async def test_server_of_another_protocol_is_refused() -> None:
    async def nothing(socket: ServerConnection) -> None:
        await socket.wait_closed()

    async with serve(nothing, "127.0.0.1", 0) as server:
        with pytest.raises(ProtocolViolation, match="does not speak"):
            await connect(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")


async def test_what_is_no_web_server_is_refused() -> None:
    async def gibberish(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(gibberish, "127.0.0.1", 0) as server:
        with pytest.raises(ProtocolViolation, match="no WebSocket server"):
            await connect(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")


async def test_server_that_says_nothing_is_given_up_in_time() -> None:
    async def silent(socket: ServerConnection) -> None:
        await socket.wait_closed()

    async with scripted(silent) as url:
        with pytest.raises(Unavailable, match="does not answer"):
            await connect(url, open_timeout_s=0.05)


async def test_nobody_there_is_told_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"^can't connect to ws://127\.0\.0\.1:1/rpc: Connection refused$"):
        await connect("ws://127.0.0.1:1")
    with pytest.raises(Unavailable, match=r"socket: No such file or directory$"):
        await connect(f"unix:{tmp_path}/socket")


@pytest.mark.parametrize("proxy", ["nonsense", "gopher://h:1"])
async def test_bad_proxy_is_named(proxy: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        await connect("ws://127.0.0.1:1", proxy=proxy)
    assert refused.value.parameter == "proxy"


async def test_certificates_without_tls_are_named() -> None:
    with pytest.raises(InvalidParameter) as refused:
        await connect("ws://127.0.0.1:1", ssl=ssl.create_default_context())
    assert refused.value.parameter == "ssl"


async def test_connecting_that_is_cancelled_leaves_nothing() -> None:
    asked = asyncio.Event()

    async def silent(socket: ServerConnection) -> None:
        await socket.recv()
        asked.set()
        await socket.wait_closed()

    async with scripted(silent) as url:

        async def open_and_wait() -> None:
            await connect(url)

        connecting = asyncio.create_task(open_and_wait())
        await asked.wait()
        connecting.cancel()
        await asyncio.wait((connecting,))
        assert connecting.cancelled()
        assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("audit client")]


async def test_append_that_never_left_is_not_in_doubt() -> None:
    fake = Fake(answers(None))
    async with scripted(fake) as url, connect(url, call_timeout_s=0.1) as log:
        link = log._core.connection.link
        assert link is not None
        link.limit(Limits(requests=1))
        reading = asyncio.create_task(log.list())
        await fake.arrived.wait()
        with pytest.raises(Unavailable):
            await log.append(EVENT)
        with pytest.raises(Unavailable):
            await reading


async def test_client_gives_up_after_its_time_and_says_why() -> None:
    news: list[News] = []
    fake = Fake(answers(None))
    async with scripted(fake) as url:
        log = await connect(url, reconnect_timeout_s=0.0, on_event=news.append, backoff=AT_ONCE)
        tail = log.subscribe()
        await fake.arrived.wait()
        # The server is gone with the block.
    with pytest.raises(Unavailable, match=r"can't connect|closed the connection"):
        await tail.read()
    assert getattr(news[-1], "retry_in_s", 0) is None
    await log.close()


async def test_cancelled_call_is_forgotten_and_its_late_answer_dropped() -> None:
    fake = Fake(answers(None, {"cursor": "", "has_more": False, "events": []}))
    async with scripted(fake) as url, connect(url) as log:
        call = asyncio.create_task(log.list())
        await fake.arrived.wait()
        call.cancel()
        await asyncio.wait((call,))
        link = log._core.connection.link
        assert link is not None
        assert link._waiting == {}
        assert not link._session._waiting
        assert len(await log.list()) == 0


async def test_subscription_that_comes_late_is_cancelled_on_the_server() -> None:
    held: list[tuple[ServerConnection, dict[str, Any]]] = []
    cancelled = asyncio.Event()

    class Late(Fake):
        async def _take(self, socket: ServerConnection, request: dict[str, Any]) -> None:
            if request["method"] == "events.subscribe":
                held.append((socket, request))
                self.arrived.set()
                return
            if request["method"] == "subscription.cancel":
                assert request["params"] == {"subscription": "7"}
                cancelled.set()
            await super()._take(socket, request)

    fake = Late(answers({}))
    async with scripted(fake) as url, connect(url) as log:
        tail = log.subscribe()
        await fake.arrived.wait()
        tail.close()
        await fake.say(*held[0], b'{"subscription":"7"}')
        await asyncio.wait_for(cancelled.wait(), 10)


def note(reason: str, cursor: str, **more: Any) -> tuple[str, dict[str, Any]]:
    return "events.end", {"subscription": "1", "cursor": cursor, "reason": reason, **more}


SUBSCRIBED = {"subscription": "1"}


@pytest.mark.parametrize(
    "first",
    [
        Overloaded("too many"),
        Close(None),
        [SUBSCRIBED, note("shutdown", "here")],
        [SUBSCRIBED, note("slow", "here")],
        [SUBSCRIBED, note("error", "here", error=to_wire(Unavailable("the disk is away")))],
    ],
)
async def test_tail_goes_on_after_what_may_heal(first: Any) -> None:
    caught_up = ("events.caught_up", {"subscription": "1", "cursor": "there"})
    fake = Fake(answers(first, [SUBSCRIBED, caught_up]))
    async with scripted(fake) as url, connect(url, backoff=AT_ONCE) as log:
        tail = log.subscribe()
        assert await tail.read() == CaughtUp("there")
        assert tail.cursor == "there"
    resumed = fake.requests[1]["params"].get("cursor")
    assert resumed == ("here" if isinstance(first, list) else None)


@pytest.mark.parametrize(
    ("first", "kind"),
    [
        (Forbidden("not for you"), Forbidden),
        (InvalidParameter("credit", "is too high"), InvalidParameter),
        ([SUBSCRIBED, note("error", "here", error=to_wire(CursorExpired("cursor", "is too old")))], CursorExpired),
        ([SUBSCRIBED, note("error", "here")], AuditError),
    ],
)
async def test_tail_that_cannot_go_on_raises(first: Any, kind: type[AuditError]) -> None:
    fake = Fake(answers(first))
    async with scripted(fake) as url, connect(url, backoff=AT_ONCE) as log:
        tail = log.subscribe()
        with pytest.raises(kind):
            await tail.read()
        with pytest.raises(kind):
            await anext(log.subscribe(seek="now"))


async def test_tail_that_never_heals_is_given_up_in_time() -> None:
    fake = Fake(answers(Overloaded("too many")))
    async with scripted(fake) as url, connect(url, reconnect_timeout_s=0.0, backoff=AT_ONCE) as log:
        # Once is no matter; the time begins with it.
        with pytest.raises(Overloaded):
            await log.subscribe().read()


async def test_end_is_told_with_the_reason_of_the_server() -> None:
    fake = Fake(answers([SUBSCRIBED, note("seek_end", "here")]))
    async with scripted(fake) as url, connect(url) as log:
        assert await log.subscribe().read() == End("here", "seek_end")


async def test_tail_from_now_has_no_cursor_until_the_server_says_where_that_is() -> None:
    fake = Fake(answers(None))
    async with scripted(fake) as url, connect(url, call_timeout_s=0.05) as log:
        tail = log.subscribe(seek="now")
        with pytest.raises(Unavailable, match="log's end"):
            _ = tail.cursor
        with pytest.raises(Unavailable, match="log's end"):
            async with tail:
                pytest.fail("it is not known where it starts")


async def test_hook_that_fails_is_reported_and_harms_nothing() -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

    def hook(news: News) -> None:
        raise RuntimeError("a hook's own")

    async with scripted(Fake(answers(RECEIPT))) as url, connect(url, on_event=hook) as log:
        assert (await log.append(EVENT)).index == 0
    assert [str(context["exception"]) for context in reported] == ["a hook's own"]


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"credit": 0}, "credit"),
        ({"credit": 10**7}, "credit"),
        ({"open_timeout_s": -1}, "open_timeout_s"),
        ({"call_timeout_s": "1"}, "call_timeout_s"),
        ({"reconnect_timeout_s": float("nan")}, "reconnect_timeout_s"),
    ],
)
def test_bad_option_is_named(options: dict[str, Any], name: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        connect("ws://h", **options)
    assert refused.value.parameter == name
