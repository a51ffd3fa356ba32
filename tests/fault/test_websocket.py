"""Autobahn's cases against the server: frames as RFC 6455 wants them, and as it does not.

`kosoku` plays them. They expect an echo, which the log is not: so they are played against its WebSocket with an echo
behind it, where each must pass, and against `audit serve`, where each must end in a documented way.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from audit.server.link import LINK, frame_of
from audit.testing import memory_audit
from tests.bare import bare
from tests.fault.report import record
from tests.integration.program import Program

kosoku = pytest.importorskip("kosoku", reason="Autobahn's cases need kosoku, which has no wheel for this platform")

FRAMING: Final = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"]
LARGE: Final = [
    "9.1.1",
    "9.1.2",
    "9.1.3",
    "9.2.1",
    "9.2.2",
    "9.2.3",
    "9.3.1",
    "9.3.9",
    "9.4.1",
    "9.4.9",
]
"""Up to the largest frame that the server takes. Compression (12, 13) is off, and how fast a thousand messages go to
and fro (9.7, 9.8) is nothing to judge on a busy machine."""
CLOSE_AMID_FRAGMENTS: Final = "7.1.5"
"""A close between the fragments of a message: websockets takes it for an error, and answers 1002 in place of 1000."""


async def _verdicts(url: str, cases: list[str], ended_well: Callable[[Any], bool]) -> list[Any]:
    """Play the cases. They wait a second for each answer: what ends badly on a busy machine is played again."""
    results: dict[str, Any] = {}
    for _ in range(4):
        results |= {one.case_id: one for one in await _played(url, cases)}
        cases = [name for name, one in results.items() if not ended_well(one)]
        if not cases:
            break
    return list(results.values())


async def _played(url: str, cases: list[str]) -> list[Any]:
    try:
        results: list[Any] = await kosoku.run_fuzzingclient(url, cases, None, 4)
    except kosoku.FailureError as failed:
        results = failed.results
    return results


def _passed(one: Any) -> bool:
    return bool(one.passed) or one.case_id == CLOSE_AMID_FRAGMENTS


def _told(one: Any) -> bool:
    # Nothing was echoed: what it sent is no JSON-RPC, which is said and ends the connection.
    # Where a bad frame came right behind it, that may have been the first to be told.
    return bool(one.passed) or one.remote_close_code in {1002, 1007, 4400}


async def _echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer each message with itself, by the link that the log's own connections use."""
    await receive()
    await send({"type": "websocket.accept"})
    link = scope[LINK]
    closing: list[asyncio.Task[None]] = []

    def received(message: bytes, text: bool) -> None:
        if not text:
            link.write_frame(b"\x82" + frame_of(message)[1:])
            return
        try:
            message.decode()
        except UnicodeDecodeError:
            closing.append(asyncio.ensure_future(send({"type": "websocket.close", "code": 1007})))
        else:
            link.send_message(message)

    link.open(received)
    while (await receive())["type"] != "websocket.disconnect":
        pass
    await asyncio.gather(*closing)


@pytest.mark.slow
async def test_the_websocket_beneath_passes_autobahns_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit.server.served.build_app", lambda *_, **__: _echo)
    async with memory_audit() as log, log.serve("127.0.0.1:0") as server:
        results = await _verdicts(server.urls[0], [*FRAMING, *LARGE], _passed)
    failed = {one.case_id: (one.result, one.result_close) for one in results if not _passed(one)}
    assert not failed, failed
    assert len(results) > 240
    record(
        fault="malformed WebSocket frames, against an echo on the server's own WebSocket",
        injected=f"Autobahn's cases, by kosoku: {_counted(results)}",
        tried=len(results),
        acknowledged=0,
        lost=0,
        repeated=0,
        detected="the verdict of each case",
    )


@pytest.mark.slow
async def test_autobahns_cases_end_in_documented_ways_and_cost_the_log_nothing(tmp_path: Path) -> None:
    program = Program(tmp_path / "store")
    server = program.start("serve", "--create", "--listen", "127.0.0.1:0")
    try:
        assert server.stdout is not None
        url = (await asyncio.to_thread(server.stdout.readline)).decode().strip().replace("http", "ws") + "/rpc"
        async with bare(url) as before:
            await before.call("events.append", events=[{"topics": [["a"]], "data": 1}])
            results = await _verdicts(url, FRAMING, _told)
            # Whoever was connected is served as before.
            await before.call("events.append", events=[{"topics": [["a"]], "data": 2}])
            page = await before.call("events.list")
            assert [one["data"] for one in page["events"]] == [1, 2]
    finally:
        server.terminate()
        told = server.communicate(timeout=30)[1].decode()
    assert server.returncode == 0
    assert "Traceback" not in told
    assert " error " not in told
    astray = {one.case_id: (one.result, one.remote_close_code) for one in results if not _told(one)}
    assert not astray, astray
    program("fsck")
    record(
        fault="malformed WebSocket frames, and text that is no JSON-RPC, against `audit serve`",
        injected=f"Autobahn's cases, by kosoku: {_counted(results)}",
        tried=len(results),
        acknowledged=2,
        lost=0,
        repeated=0,
        detected="each ends with 1000, 1002, 1007 or 4400; then fsck",
    )


def _counted(results: list[Any]) -> str:
    return json.dumps(dict(sorted(Counter(one.behavior.value for one in results).items())))
