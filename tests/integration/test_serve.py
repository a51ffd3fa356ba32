"""`audit serve` as a process: what it prints, where it listens, how it ends."""

import asyncio
import json
import signal
import socket
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.bare import bare
from tests.integration.program import AUDIT, Program
from tests.web import JSON, fetch, stream

_SIGNALS: Final = [signal.SIGTERM, signal.SIGINT]


@pytest.fixture
def audit(tmp_path: Path) -> Program:
    return Program(tmp_path / "data")


class Server:
    """A running `audit serve`, whose addresses are known."""

    def __init__(self, process: asyncio.subprocess.Process, addresses: list[str]) -> None:
        self.process = process
        self.addresses = addresses
        self.log = b""

    async def end(self, number: signal.Signals | None = signal.SIGTERM) -> int:
        """Send a signal, and return the exit code once it is there."""
        if number is not None:
            self.process.send_signal(number)
        _, self.log = await self.process.communicate()
        assert b"Traceback" not in self.log, self.log.decode()
        assert self.process.returncode is not None
        return self.process.returncode

    async def said(self, text: bytes) -> None:
        """Wait until the server's log has a line with this in it."""
        assert self.process.stderr is not None
        while text not in (line := await self.process.stderr.readline()):
            assert line, f"it ended without saying {text!r}"


@asynccontextmanager
async def serving(
    audit: Program, *arguments: str, listen: int = 1, env: dict[str, str] | None = None
) -> AsyncIterator[Server]:
    """Run a server, and end it if the test did not."""
    process = await asyncio.create_subprocess_exec(
        *(*AUDIT, "serve", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=audit.env | (env or {}),
    )
    try:
        assert process.stdout is not None
        addresses = [(await process.stdout.readline()).decode().strip() for _ in range(listen)]
        if not addresses[0]:
            raise AssertionError((await process.communicate())[1].decode())
        yield Server(process, addresses)
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


ANY: Final = ("--create", "--listen", "127.0.0.1:0")


async def test_it_prints_where_it_listens_and_serves_there(audit: Program) -> None:
    async with serving(audit, *ANY) as server:
        (base,) = server.addresses
        assert base.startswith("http://127.0.0.1:")
        answer = await fetch(base, "/v1/events", method="POST", headers=JSON, body=b'{"topics":[["a"]]}')
        async with bare(base.replace("http", "ws") + "/rpc") as client:
            page = await client.call("events.list")
        assert [one["id"] for one in page["events"]] == [answer.json["receipts"][0]["id"]]
        assert (await fetch(base, "/readyz")).json == {"ready": True}
        assert await server.end() == 0
    # The store is closed, and holds what was acknowledged.
    assert [one["topics"] for one in audit.stored()] == [[["a"]]]


@pytest.mark.parametrize("number", _SIGNALS)
async def test_it_stops_in_order_and_says_so(audit: Program, number: signal.Signals) -> None:
    async with serving(audit, *ANY) as server, stream(server.addresses[0]) as sse:
        await sse.until("caught_up")
        server.process.send_signal(number)
        assert (await sse.until("end"))[-1].json["reason"] == "shutdown"
        assert await sse.message() is None
        assert await server.end(None) == 0
        assert number.name.encode() in server.log
        assert b"stopped" in server.log
    audit("fsck")


@pytest.mark.parametrize("number", _SIGNALS)
async def test_a_second_signal_ends_it_at_once(audit: Program, number: signal.Signals) -> None:
    async with serving(audit, *ANY) as server:
        place = server.addresses[0].removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(place[0], int(place[1]))
        # An append whose body does not come holds up the orderly end.
        writer.write(
            b"POST /v1/events HTTP/1.1\r\nhost: [::]\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n["
        )
        await writer.drain()
        await fetch(server.addresses[0], "/healthz")
        server.process.send_signal(number)
        await server.said(b"stopping in order")
        assert await server.end(number) == -number
        writer.close()
    audit("fsck")


async def test_what_is_in_flight_is_answered_before_it_ends(audit: Program) -> None:
    async with serving(audit, *ANY) as server:
        base = server.addresses[0]
        body = json.dumps([{"topics": [["a"]], "data": "x" * 3_000}] * 1_000).encode()
        appending = [
            asyncio.create_task(fetch(base, "/v1/events", method="POST", headers=JSON, body=body)) for _ in range(4)
        ]
        first, _ = await asyncio.wait(appending, return_when=asyncio.FIRST_COMPLETED)
        assert first
        assert await server.end() == 0
        answers = await asyncio.gather(*appending, return_exceptions=True)
    receipts = [
        one
        for answer in answers
        if not isinstance(answer, BaseException) and answer.status == 201
        for one in answer.json["receipts"]
    ]
    assert {one["id"] for one in receipts} <= {one["id"] for one in audit.stored()}


async def test_a_killed_server_keeps_what_it_acknowledged(audit: Program) -> None:
    async with serving(audit, *ANY) as server:
        answer = await fetch(server.addresses[0], "/v1/events", method="POST", headers=JSON, body=b'{"topics":[["a"]]}')
        server.process.kill()
        await server.process.wait()
    assert [one["id"] for one in audit.stored()] == [answer.json["receipts"][0]["id"]]


async def test_it_listens_in_several_places(audit: Program, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    arguments = ("--create", "--listen", "127.0.0.1:0", "--listen", f"unix:{path}", "--listen", "127.0.0.1:0")
    async with serving(audit, *arguments, listen=3) as server:
        assert server.addresses[1] == f"unix:{path}"
        for base in (server.addresses[0], server.addresses[2]):
            assert (await fetch(base, "/healthz")).status == 200
        async with bare(f"unix:{path}") as client:
            assert (await client.call("server.info"))["store"]["size"] == 0
        assert path.stat().st_mode & 0o777 == 0o600
        assert await server.end() == 0
    assert not path.exists()


async def test_it_speaks_tls(audit: Program, tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    making = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    await asyncio.to_thread(subprocess.run, [*making, *names], check=True, capture_output=True)
    async with serving(audit, *ANY, "--tls-cert", str(cert), "--tls-key", str(key)) as server:
        (base,) = server.addresses
        assert base.startswith("https://")
        trusted = ssl.create_default_context(cafile=str(cert))

        def get() -> bytes:
            with urllib.request.urlopen(base + "/healthz", context=trusted) as answer:  # noqa: S310 - our own server
                return bytes(answer.read())

        assert await asyncio.to_thread(get) == b"ok\n"
        async with bare(base.replace("https", "wss") + "/rpc", ssl=trusted) as client:
            assert (await client.call("server.info"))["store"]["size"] == 0
        assert await server.end() == 0


async def test_settings_come_from_the_environment_and_a_file(audit: Program, tmp_path: Path) -> None:
    file = tmp_path / "audit.toml"
    file.write_text(f'listen = "127.0.0.1:0"\ncreate = true\nlog_format = "console"\ndata = "{tmp_path}/other"\n')
    audit.env.pop("AUDIT_DATA")
    async with serving(audit, env={"AUDIT_CONFIG": str(file), "AUDIT_LOG_FORMAT": "json"}) as server:
        assert (await fetch(server.addresses[0], "/healthz")).status == 200
        assert await server.end() == 0
        lines = [json.loads(line) for line in server.log.splitlines()]
    assert lines[0]["event"] == "serving"
    assert lines[0]["urls"] == [server.addresses[0].replace("http", "ws") + "/rpc"]
    assert all(line["level"] == "info" and line["timestamp"].endswith("Z") for line in lines)
    assert (tmp_path / "other" / "log").is_dir()


async def test_the_log_is_for_people_or_for_programs(audit: Program) -> None:
    async with serving(audit, *ANY, "--log-format", "json", "--log-level", "debug", env={"AUDIT_LISTN": "x"}) as server:
        place = server.addresses[0].removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(place[0], int(place[1]))
        writer.write(b"nonsense\r\n\r\n")
        await writer.drain()
        await fetch(server.addresses[0], "/healthz")
        writer.close()
        assert await server.end() == 0
        lines = [json.loads(line) for line in server.log.splitlines()]
        assert {"audit.serve", "uvicorn.error"} <= {line["logger"] for line in lines}
        assert any("AUDIT_LISTN" in line["event"] and line["level"] == "warning" for line in lines)
        assert any("Invalid HTTP request" in line["event"] for line in lines)
    async with serving(audit, *ANY, "--log-level", "warning") as server:
        assert await server.end() == 0
        assert server.log == b""


async def test_beyond_loopback_everybody_must_say_who_they_are(audit: Program) -> None:
    async with serving(audit, "--create", "--listen", "0.0.0.0:0") as server:
        place = server.addresses[0].replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - what was listened on
        assert (await fetch(place, "/v1/events")).status == 401
        assert await server.end() == 0
        assert b"everything passes in clear text" in server.log
        assert b"nobody is known" in server.log
    with pytest.raises(AssertionError, match="off is for"):
        async with serving(audit, "--listen", "0.0.0.0:0", "--auth", "off"):
            pass
    async with serving(audit, "--listen", "localhost:0", "--listen", "127.0.0.2:0", listen=2) as server:
        assert await server.end() == 0
        assert b"warning" not in server.log


def busy_port(_: Path) -> tuple[str, ...]:
    """Return an address that somebody listens on, for as long as this process lives."""
    taken = socket.create_server(("127.0.0.1", 0))
    _KEPT.append(taken)
    return "--create", "--listen", f"127.0.0.1:{taken.getsockname()[1]}"


_KEPT: Final[list[socket.socket]] = []


@pytest.fixture(autouse=True)
def _free_ports() -> Any:
    yield
    while _KEPT:
        _KEPT.pop().close()


def configured(text: str) -> Callable[[Path], tuple[str, ...]]:
    def arguments(path: Path) -> tuple[str, ...]:
        (path / "more.toml").write_text(text)
        return ("--create", "--listen", "127.0.0.1:0", "--config", str(path / "more.toml"))

    return arguments


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (lambda _: (), 4, b"holds no store"),
        (lambda _: ("--create", "--listen", "nonsense"), 2, b"--listen: must be HOST:PORT"),
        (lambda _: ("--create", "--listen", "127.0.0.1:99999"), 2, b"--listen: "),
        (lambda _: ("--create", "--listen", "nowhere.invalid:0"), 5, b"can't listen on nowhere.invalid:0"),
        (busy_port, 5, b"Address already in use"),
        (lambda _: ("--create", "--listen", "unix:/nowhere/socket"), 5, b"can't listen on unix:/nowhere/socket"),
        (lambda path: ("--create", "--listen", f"unix:{path / 'file'}"), 5, b"no socket"),
        (lambda _: ("--create", "--allow-origin", "*"), 2, b"--allow-origin: must be an origin"),
        (lambda _: ("--create", "--log-format", "xml"), 2, b"--log-format: must be one of console, json"),
        (lambda _: ("--create", "--tls-cert", "/nowhere"), 2, b"--tls-cert: there is no file /nowhere"),
        (lambda path: ("--create", "--listen", "127.0.0.1:0", "--tls-cert", str(path / "file")), 5, b"certificate"),
        (lambda _: ("--create", "--config", "/nowhere"), 2, b"--config: can't read /nowhere"),
        (lambda path: ("--create", "--config", str(path / "file")), 2, b"nonsense: is unknown"),
        (configured('[tenants.A_B]\nkey=["x"]'), 2, b"tenants.A_B: no tenant is called 'A_B'"),
        (configured('[tenants.acme]\nkey=["/nowhere"]'), 2, b"tenants.acme.key: "),
        (configured('[cedar]\npolicies="/nowhere"'), 2, b"/nowhere: can't be read"),
        (configured('[roles.x]\nverbs=["read"]\nevents_per_second=0'), 2, b"roles.x: a rate must be above 0"),
        (lambda _: ("--nonsense",), 2, b"--nonsense"),
        (lambda _: ("--create", "surplus"), 2, b"surplus"),
    ],
)
def test_what_can_not_be_served_is_one_line_and_a_code(
    audit: Program, tmp_path: Path, arguments: Callable[[Path], tuple[str, ...]], code: int, said: bytes
) -> None:
    (tmp_path / "file").write_text('nonsense = "x"\n')
    done = audit("serve", *arguments(tmp_path), code=code)
    # Before it there may be the warning of an address that others reach.
    assert done.stderr.splitlines()[-1].startswith(b"error: ")
    assert said in done.stderr.splitlines()[-1]
    assert done.stdout == b""


def test_a_bad_variable_is_called_by_its_name(audit: Program) -> None:
    audit.env["AUDIT_LOG_LEVEL"] = "loud"
    assert audit("serve", "--create", code=2).stderr.startswith(b"error: AUDIT_LOG_LEVEL: must be one of debug")
    audit.env["AUDIT_LOG_LEVEL"] = ""
    audit.env["AUDIT_LISTEN"] = "127.0.0.1:0 nonsense"
    assert audit("serve", "--create", code=2).stderr.startswith(b"error: AUDIT_LISTEN: must be HOST:PORT")


def test_nothing_is_created_unless_asked_for(audit: Program) -> None:
    audit("serve", code=4)
    assert not audit.path.exists()
    audit("serve", "--create", "--listen", "nonsense", code=2)
    assert not audit.path.exists()


async def test_another_process_is_told_who_serves_the_store(audit: Program) -> None:
    async with serving(audit, *ANY) as server:
        held = await asyncio.to_thread(audit, "list", code=4)
        assert str(server.process.pid).encode() in held.stderr
        assert b"serve" in held.stderr
        assert await server.end() == 0


def test_without_the_extra_it_says_what_to_install(audit: Program) -> None:
    hide = "import sys; sys.modules.update({'uvicorn': None, 'starlette': None, 'structlog': None})\n"
    start = "sys.argv[1:] = ['serve', '--create']; from audit.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", hide + start], env=audit.env, capture_output=True, check=False)
    assert done.returncode == 5
    assert done.stderr.startswith(b"error: serving needs more packages: pip install 'audit-store[server]'")
    assert done.stderr.count(b"\n") == 1
    assert not audit.path.exists()
