"""The server over real sockets, by a client that knows only the wire: calls, tails, credit, the end."""

import asyncio
import gc
import logging
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvloop
from websockets.exceptions import ConnectionClosed, InvalidStatus

from audit import Audit, InvalidParameter, NewEvent, Unavailable
from audit.protocol.limits import Limits
from audit.server.listening import SEND_BUFFER_BYTES, bind, parse_address
from audit.server.options import ServeOptions
from audit.server.serving import Serving
from audit.testing import memory_audit
from tests.bare import Bare, BareError, bare, until
from tests.swarm import UPGRADE


def event(topic: str = "a/b", action: str = "x", **data: Any) -> dict[str, Any]:
    return {"topics": [topic.split("/")], "action": action, "data": data}


def new(topic: str = "a/b", **data: Any) -> NewEvent:
    return NewEvent(topics=[tuple(topic.split("/"))], data=data)


@asynccontextmanager
async def served(**options: Any) -> AsyncIterator[tuple[Audit, Serving]]:
    async with memory_audit() as log, log.serve("127.0.0.1:0", options=ServeOptions(**options)) as server:
        yield log, server


@asynccontextmanager
async def connected(**options: Any) -> AsyncIterator[tuple[Audit, Serving, Bare]]:
    async with served(**options) as (log, server), bare(server.urls[0]) as client:
        yield log, server, client


async def test_what_is_appended_is_found_by_every_verb() -> None:
    async with connected() as (log, _, client):
        (receipt,) = (await client.call("events.append", events=[event(n=1)]))["receipts"]
        found = await client.call("events.get", id=receipt["id"])
        assert (found["id"], found["index"], found["data"]) == (receipt["id"], 0, {"n": 1})
        page = await client.call("events.list", topic=["a"])
        assert (page["events"], page["has_more"]) == ([found], False)
        topics = await client.call("topics.list")
        assert topics["topics"] == [{"topic": ["a"], "events": 1, "first_id": found["id"], "last_id": found["id"]}]
        info = await client.call("server.info")
        ends = {"first_id": found["id"], "last_id": found["id"]}
        store_id = log.info().store_id
        assert info["store"] == {"id": store_id, "size": 1, **ends, "origin": f"audit/{store_id}", "key": None}


async def test_stored_bytes_are_sent_unchanged() -> None:
    async with connected() as (log, _, client):
        receipt = await log.append(new(text="\u2028 é 1.0", number=1.0))
        await client.send("events.list")
        message = await client.socket.recv()
        assert isinstance(message, str)
        assert (await log.get_raw(receipt.id)).decode() in message


async def test_calls_are_multiplexed() -> None:
    async with connected() as (_, _, client):
        requests = [await client.send("events.append", events=[event(n=n)]) for n in range(200)]
        answers: dict[int, int] = {}
        while len(answers) < len(requests):
            message = await client.receive()
            answers[message["id"]] = message["result"]["receipts"][0]["index"]
        assert sorted(answers.values()) == list(range(200))


async def test_tail_goes_from_history_to_live_and_answers_come_first() -> None:
    async with connected() as (log, _, client):
        await log.append_many([new(n=n) for n in range(3)])
        request = await client.send("events.subscribe", topic=["a"])
        assert (await client.receive()) == {"jsonrpc": "2.0", "id": request, "result": {"subscription": "1"}}
        batch = await client.note()
        assert [one["data"]["n"] for one in batch["params"]["events"]] == [0, 1, 2]
        assert (await client.note())["method"] == "events.caught_up"
        await log.append(new(n=3))
        live = await client.note()
        assert [one["data"]["n"] for one in live["params"]["events"]] == [3]
        # A cursor of a notification resumes right after it, on another connection too.
        async with bare(_url(client)) as other:
            await other.call("events.subscribe", topic=["a"], cursor=batch["params"]["cursor"])
            assert [one["data"]["n"] for one in await other.events(1)] == [3]


def _url(client: Bare) -> str:
    host, port = client.socket.remote_address[:2]
    return f"ws://{host}:{port}/rpc"


async def test_nothing_follows_the_answer_to_a_cancel() -> None:
    async with connected() as (log, _, client):
        await client.call("events.subscribe", topic=["a"])
        for n in range(20):
            await log.append(new(n=n))
        await client.call("subscription.cancel", subscription="1")
        client.notes.clear()
        await log.append(new(n=99))
        await client.call("server.info")
        assert not client.notes
        with pytest.raises(BareError) as caught:
            await client.call("subscription.cancel", subscription="1")
        assert caught.value.data["code"] == "not_found"


async def test_server_never_sends_more_than_it_was_granted() -> None:
    async with connected() as (log, _, client):
        await log.append_many([new(n=n) for n in range(100)])
        await client.call("events.subscribe", credit=0)
        await client.call("server.info")
        assert not client.notes
        sent = 0
        for grant in (1, 7, 30):
            await client.notify("subscription.credit", subscription="1", events=grant)
            found = await client.events(grant)
            assert [one["index"] for one in found] == list(range(sent, sent + grant))
            sent += grant
            await client.call("server.info")
            assert not client.notes
        await client.notify("subscription.credit", subscription="1", events=1000)
        assert [one["index"] for one in await client.events(62)] == list(range(38, 100))


async def test_stalled_subscription_blocks_no_other() -> None:
    async with connected() as (log, _, client):
        await client.call("events.subscribe", credit=0)
        await client.call("events.subscribe", credit=1000)
        await log.append_many([new(n=n) for n in range(10)])
        found = await client.events(10)
        assert len(found) == 10


async def test_subscription_ends_at_its_limit_and_at_its_end() -> None:
    async with connected() as (log, _, client):
        receipts = await log.append_many([new(n=n) for n in range(5)])
        await client.call("events.subscribe", limit=2)
        await client.events(2)
        end = (await client.note())["params"]
        assert (end["subscription"], end["reason"]) == ("1", "limit")
        await client.call("events.subscribe", seek_end=receipts[3].id)
        await client.events(3)
        assert (await client.note())["params"]["reason"] == "seek_end"
        await client.call("events.subscribe", cursor=end["cursor"])
        assert [one["index"] for one in await client.events(3)] == [2, 3, 4]


async def test_cursor_of_another_query_is_refused_in_the_answer() -> None:
    async with connected() as (log, _, client):
        await log.append_many([new(n=n) for n in range(5)])
        page = await client.call("events.list", topic=["a"], limit=2)
        for method, params in (("events.subscribe", {"topic": ["b"]}), ("events.list", {"topic": ["a", "b"]})):
            with pytest.raises(BareError) as caught:
                await client.call(method, cursor=page["cursor"], **params)
            assert (caught.value.code, caught.value.data["parameter"]) == (-32004, "cursor")


async def test_quiet_topic_on_a_busy_log_keeps_moving_its_cursor() -> None:
    async with connected(progress_s=0.02) as (log, _, client):
        await client.call("events.subscribe", topic=["quiet"])
        assert (await client.note())["method"] == "events.caught_up"
        seen = []
        for n in range(3):
            await log.append_many([new("busy", n=n) for _ in range(10)])
            note = await client.note()
            assert note["method"] == "events.progress"
            seen.append(note["params"]["cursor"])
        assert len(set(seen)) == 3
        # It is a cursor like any other: nothing before it is read again.
        await log.append(new("quiet"))
        async with bare(_url(client)) as other:
            await other.call("events.subscribe", topic=["quiet"], cursor=seen[-1])
            assert [one["index"] for one in await other.events(1)] == [30]


async def test_idle_tail_outlives_every_timeout() -> None:
    shortened = {
        "progress_s": 0.01,
        "ping_interval_s": 0.02,
        "ping_timeout_s": 5.0,
        "send_timeout_s": 0.05,
        "handshake_timeout_s": 0.05,
    }
    async with connected(**shortened) as (log, _, client):
        await client.call("events.subscribe")
        assert (await client.note())["method"] == "events.caught_up"
        # Many times over each of them; pings are answered below `recv`.
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.note(), 0.5)
        await log.append(new(n=1))
        assert [one["data"]["n"] for one in await client.events(1)] == [1]


async def test_shutdown_tells_cursors_and_answers_what_is_in_flight() -> None:
    async with memory_audit() as log:
        async with log.serve("127.0.0.1:0") as server, bare(server.urls[0]) as client:
            await client.call("events.subscribe", topic=["a"])
            await client.call("events.subscribe", topic=["b"], credit=0)
            requests = [await client.send("events.append", events=[event(n=n)]) for n in range(50)]
            first = [await client.receive() for _ in range(12)]
            closing = asyncio.create_task(server.close())
            messages, code, _ = await client.rest()
            await closing
            assert code == 1001
            messages = [*client.notes, *first, *messages]
            ends = {m["params"]["subscription"]: m["params"] for m in messages if m.get("method") == "events.end"}
            answers = {m["id"] for m in messages if "id" in m}
            assert {name: end["reason"] for name, end in ends.items()} == {"1": "shutdown", "2": "shutdown"}
            # What was accepted was answered, and the log outlives its server.
            assert answers <= set(requests)
            assert log.info().size >= len(answers)
        async with log.serve("127.0.0.1:0") as again, bare(again.urls[0]) as client:
            await client.call("events.subscribe", topic=["a"], cursor=ends["1"]["cursor"])
            await log.append(new(n="last"))
            found: list[dict[str, Any]] = []
            while not found or found[-1]["data"]["n"] != "last":
                note = await client.note()
                if note["method"] == "events.batch":
                    found += note["params"]["events"]
            assert found[-1]["index"] == log.info().size - 1


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
@pytest.mark.parametrize("turns", range(5))
def test_who_connects_as_the_server_stops_is_told_so_or_hung_up_on(
    turns: int, run: Callable[[Coroutine[Any, Any, None]], None], caplog: pytest.LogCaptureFixture
) -> None:
    run(_stop_as_peers_connect(turns))
    # asyncio would not close what it has accepted only just.
    gc.collect()
    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING] == []


async def _stop_as_peers_connect(turns: int) -> None:
    # Whoever is forgotten has longer than the server takes to end all the same, which it then says.
    async with served(handshake_timeout_s=60) as (_, server):
        parts = urlsplit(server.urls[0])
        asks = UPGRADE.format(path=parts.path, host=parts.netloc).encode()
        peers = [socket.create_connection((parts.hostname, parts.port)) for _ in range(8)]
        for peer in peers[::2]:
            peer.sendall(asks)
        answers = [asyncio.to_thread(_all_from, peer) for peer in peers]
        for _ in range(turns):
            await asyncio.sleep(0)
        closing = asyncio.create_task(server.close())
        for answer in await asyncio.gather(*answers):
            _assert_turned_away(answer)
        await closing


def _all_from(peer: socket.socket) -> bytes:
    """Read until the server hangs up, or says that it will, which it does when its peer has; then hang up."""
    peer.settimeout(30.0)
    found = b""
    with peer, suppress(ConnectionResetError):
        while not _frames(found) and (some := peer.recv(4_096)):
            found += some
    return found


def _frames(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2] if answer.startswith(b"HTTP/1.1 101") else b""


def _assert_turned_away(answer: bytes) -> None:
    if answer.startswith(b"HTTP/1.1 101"):
        close = _frames(answer)
        assert close[:4] == bytes((0x88, len(close) - 2)) + (1001).to_bytes(2, "big"), answer
    else:
        assert answer == b"" or answer.startswith(b"HTTP/1.1 503"), answer


async def test_a_log_that_closes_ends_subscriptions_and_refuses_calls() -> None:
    async with connected() as (log, _, client):
        await client.call("events.subscribe")
        await client.note()
        await log.close()
        assert (await client.note())["params"]["reason"] == "shutdown"
        for method, params in (("events.append", {"events": [event()]}), ("events.list", {}), ("server.info", {})):
            with pytest.raises(BareError) as caught:
                await client.call(method, **params)
            assert caught.value.data == {"code": "unavailable", "retryable": True}


async def test_everything_of_a_connection_is_freed_when_its_peer_vanishes() -> None:
    async with served() as (log, server):
        before = asyncio.all_tasks()
        async with bare(server.urls[0]) as client:
            for _ in range(20):
                await client.call("events.subscribe", topic=["a"])
                await client.note()
            # All of one query share a feed, and just that one sleeps.
            await until(lambda: len(log._core.wakeups) == 1)
            client.socket.transport.abort()
        await until(lambda: not (asyncio.all_tasks() - before or len(log._core.wakeups)))
        traffic = server.traffic
        assert (traffic.connections, traffic.subscriptions) == (0, 0)


# --- What peers get wrong --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "code", "errors"),
    [
        (b"\x00binary", 4400, []),
        ("no JSON", 4400, [-32700]),
        ('{"a":' * 5_000, 4400, [-32700]),
        ("x" * (4 * 1024 * 1024 + 1), 1009, []),
        ('{"jsonrpc":"2.0","method":"subscription.credit","params":{"subscription":"1","events":-1}}', 4400, []),
        ('{"jsonrpc":"2.0","method":"subscription.credit","params":{"subscription":"1","events":9999999}}', 4400, []),
    ],
)
async def test_frame_that_is_no_message_closes_its_connection_only(
    frame: str | bytes, code: int, errors: list[int]
) -> None:
    async with served() as (_, server), bare(server.urls[0]) as bystander, bare(server.urls[0]) as client:
        await client.call("events.subscribe")
        await client.note()
        with suppress(ConnectionClosed):
            await client.socket.send(frame)
        seen, closed, _ = await client.rest()
        assert closed == code
        assert [message["error"]["code"] for message in seen] == errors
        await bystander.call("server.info")


async def test_ten_thousand_subscriptions_are_refused_beyond_the_limit() -> None:
    async with connected(limits=Limits(subscriptions=50)) as (log, _, client):
        await log.append(new())
        requests = [await client.send("events.subscribe", credit=0) for _ in range(10_000)]
        refused = 0
        for _ in requests:
            message = await client.receive()
            if "error" in message:
                assert message["error"]["data"] == {"code": "overloaded", "retryable": True}
                refused += 1
        assert refused == 9_950


async def test_more_requests_than_the_limit_are_refused() -> None:
    async with connected(limits=Limits(requests=4)) as (_, _, client):
        requests = [await client.send("topics.list") for _ in range(100)]
        codes = [(await client.receive()).get("error", {}).get("code") for _ in requests]
        assert set(codes) <= {None, -32006}
        await client.call("topics.list")


async def test_one_connection_too_many_is_closed_with_4429() -> None:
    async with served(connections=2) as (_, server), bare(server.urls[0]) as one:
        async with bare(server.urls[0]), bare(server.urls[0]) as third:
            assert (await third.rest())[1] == 4429
        await one.call("server.info")


async def test_other_subprotocols_are_refused() -> None:
    async with served() as (_, server):
        with pytest.raises(InvalidStatus) as caught:
            async with bare(server.urls[0], subprotocols=["audit.v2.json"]):
                pass
        assert caught.value.response.status_code == 400
        assert b"audit.v1.json" in caught.value.response.body
        async with bare(server.urls[0], subprotocols=None) as person:
            await person.call("server.info")
            assert person.socket.subprotocol is None


async def test_pages_of_other_origins_are_refused_before_the_upgrade() -> None:
    async with served(allow_origins=("https://status.example",)) as (_, server):
        own = server.addresses[0]
        for origin in (own, "https://status.example", None):
            async with bare(server.urls[0], origin=origin) as client:
                await client.call("server.info")
        for origin in ("https://evil.example", "null", own.replace("http", "https"), own + "0"):
            with pytest.raises(InvalidStatus) as caught:
                async with bare(server.urls[0], origin=origin):
                    pass
            assert caught.value.response.status_code == 403


async def test_a_peer_that_never_reads_is_aborted_and_harms_nobody() -> None:
    async with served(send_timeout_s=0.2) as (log, server), bare(server.urls[0]) as reading:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(server.addresses[0].rpartition(":")[2]))
        try:
            writer.write(_handshake(server))
            await reader.readuntil(b"\r\n\r\n")
            # The kernel of the side that does not read takes little, and this side's reader is stopped.
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(_masked('{"jsonrpc":"2.0","id":1,"method":"events.subscribe","params":{"credit":1000000}}'))
            await reading.call("events.subscribe", credit=1_000_000)
            total = 0
            while not server.traffic.aborted:
                await log.append_many([new(filler="x" * 8_000) for _ in range(100)])
                total += 100
                await reading.events(100)
            await until(lambda: server.traffic.connections == 1)
        finally:
            writer.transport.abort()
        await log.append(new(n="last"))
        assert (await reading.events(1))[0]["index"] == total


async def test_a_peer_that_answers_no_ping_is_dropped() -> None:
    async with served(ping_interval_s=0.05, ping_timeout_s=0.05) as (_, server):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(server.addresses[0].rpartition(":")[2]))
        writer.write(_handshake(server))
        # The first byte of a frame, and the rest never: nothing else can be answered between.
        writer.write(_masked("x" * 1000)[:3])
        async with asyncio.timeout(10):
            await _dropped(reader)
        writer.close()


async def test_a_connection_without_a_request_is_dropped() -> None:
    async with served(handshake_timeout_s=0.05) as (_, server):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(server.addresses[0].rpartition(":")[2]))
        writer.write(b"GET /rpc HTTP/1.1\r\nHost: ")
        async with asyncio.timeout(10):
            await _dropped(reader)
        writer.close()


async def _dropped(reader: asyncio.StreamReader) -> None:
    """Return once the other side is gone, in whatever way."""
    with suppress(ConnectionError):
        await reader.read()


def _handshake(server: Serving) -> bytes:
    return (
        f"GET /rpc HTTP/1.1\r\nHost: {server.addresses[0].removeprefix('http://')}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: audit.v1.json\r\n\r\n"
    ).encode()


def _masked(text: str) -> bytes:
    """Return a text frame of a client, with a mask of zeros."""
    size = len(text)
    length = bytes((0x80 | size,)) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return b"\x81" + length + bytes(4) + text.encode()


# --- Where it listens ------------------------------------------------------------------------------------------------


async def test_unix_socket_is_the_owners_and_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "audit.sock"
    async with memory_audit() as log:
        for _ in range(2):
            async with log.serve(f"unix:{path}") as server, bare(server.urls[0]) as client:
                assert server.urls == server.addresses == [f"unix:{path}"]
                assert path.stat().st_mode & 0o777 == 0o600
                await client.call("server.info")
            assert not path.exists()


async def test_stale_socket_is_taken_over_and_a_file_is_not(tmp_path: Path) -> None:
    path = tmp_path / "audit.sock"
    async with memory_audit() as log:
        async with log.serve(f"unix:{path}"):
            with pytest.raises(Unavailable, match="in use"):
                async with log.serve(f"unix:{path}"):
                    pass
        with socket.socket(socket.AF_UNIX) as left_behind:
            left_behind.bind(str(path))
        async with log.serve(f"unix:{path}") as server, bare(server.urls[0]) as client:
            await client.call("server.info")
        path.write_text("mine")
        with pytest.raises(Unavailable, match="no socket"):
            async with log.serve(f"unix:{path}"):
                pass
        assert path.read_text() == "mine"


async def test_connections_send_at_once_and_keep_little_in_the_kernel() -> None:
    with await bind(parse_address("127.0.0.1:0")) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 2 * SEND_BUFFER_BYTES


async def test_port_in_use_is_an_error_that_names_it() -> None:
    async with served() as (log, server):
        taken = server.addresses[0].removeprefix("http://")
        with pytest.raises(Unavailable, match=taken):
            async with log.serve(["127.0.0.1:0", taken]):
                pass


@pytest.mark.parametrize("listen", ["", "8440", "localhost", ":8440", "::1:8440", "h:99999", "h:x", "unix:", 8440, []])
async def test_malformed_address_is_refused(listen: Any) -> None:
    async with memory_audit() as log:
        with pytest.raises(InvalidParameter, match="listen"):
            log.serve(listen)


async def test_tls(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    files = ("-keyout", str(key), "-out", str(cert))
    names = ("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1")
    making = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *files, *names)
    await asyncio.to_thread(subprocess.run, making, check=True, capture_output=True)
    trust = ssl.create_default_context(cafile=str(cert))
    async with served(tls_cert=cert, tls_key=key) as (_, server):
        assert server.urls[0].startswith("wss://")
        async with bare(server.urls[0], ssl=trust) as client:
            await client.call("server.info")
    async with memory_audit() as log:
        with pytest.raises(Unavailable, match="nowhere"):
            async with log.serve("127.0.0.1:0", options=ServeOptions(tls_cert=tmp_path / "nowhere.pem")):
                pass


async def test_serve_awaited_runs_until_cancelled(tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with memory_audit() as log:
        serving = log.serve(f"unix:{path}")
        task = asyncio.ensure_future(_await(serving))
        await until(lambda: _accepts(path))
        async with bare(f"unix:{path}") as client:
            await client.call("server.info")
            task.cancel()
            assert (await client.rest())[1] == 1001
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not path.exists()


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


async def _await(serving: Serving) -> None:
    await serving
