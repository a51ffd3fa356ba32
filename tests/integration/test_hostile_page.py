"""A hostile page in a real browser, on a machine with an open server: it gets nothing and changes nothing."""

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from audit import NewEvent
from audit.server.options import ServeOptions
from audit.testing import memory_audit
from tests.doors import bearer, door
from tests.web import fetch

CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here (Debian's package chromium)")

PAGE: Final = """<!doctype html><title>x</title><script>
const server = SERVER, out = {};
const told = (name, work) => work.then(
  (value) => { out[name] = value }, (error) => { out[name] = `failed: ${error.name}` });
const socket = (protocols) => new Promise((resolve) => {
  const one = new WebSocket(`ws://${server}/rpc`, protocols);
  one.onopen = () => one.send('{"jsonrpc":"2.0","id":1,"method":"events.list"}');
  one.onmessage = (event) => { resolve(`got ${event.data.length}`); one.close() };
  one.onclose = (event) => resolve(`closed ${event.code}`);
});
const known = KNOWN;
const read = (path, options) =>
  fetch(`http://${server}${path}`, { ...known, ...options }).then((answer) => `${answer.status}`);
const json = { "content-type": "application/json" }, body = '{"topics":[["evil"]]}';
Promise.all([
  told("socket", socket(["audit.v1.json"])),
  told("plain_socket", socket([])),
  told("read", read("/v1/events")),
  told("append", read("/v1/events", { method: "POST", headers: json, body })),
  told("simple_append", read("/v1/events", { method: "POST", mode: "no-cors", body })),
  told("stream", new Promise((resolve) => {
    const source = new EventSource(`http://${server}/v1/events/stream`);
    source.onopen = () => { source.close(); resolve("open") };
    source.onerror = () => { source.close(); resolve("error") };
  })),
]).then(() => fetch("/told", { method: "POST", body: JSON.stringify(out) }));
</script>"""


class Hostile:
    """Serves the page, which attacks a server, and takes what it tells."""

    def __init__(self, server: str, cookie: str) -> None:
        self.cookie = cookie
        page = PAGE.replace("SERVER", json.dumps(server))
        self._page = page.replace("KNOWN", '{ credentials: "include" }' if cookie else "{}").encode()
        self._told: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request, if one comes: browsers open connections in advance, and leave them."""
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError), contextlib.closing(writer):
            await self._answer(reader, writer)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        body = b""
        if head.startswith(b"post /told"):
            told = await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
            self._told.set_result(json.loads(told))
        elif head.startswith(b"get / "):
            body = self._page
        start = b"HTTP/1.1 200 OK\r\n%bcontent-type: text/html\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
        cookie = f"set-cookie: {self.cookie}\r\n".encode() if self.cookie else b""
        writer.write(start % (cookie, len(body)) + body)
        await writer.drain()

    async def told(self, url: str, profile: Path) -> dict[str, Any]:
        """Return what the page tells that a browser has opened it."""
        process = await asyncio.create_subprocess_exec(
            *_browser(profile, url), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        try:
            async with asyncio.timeout(120):
                return await self._told
        finally:
            process.kill()
            await process.wait()


@asynccontextmanager
async def hostile(server: str, cookie: str = "") -> AsyncIterator[tuple[Hostile, int]]:
    """Serve the page; yield it and its port. A browser has `cookie` for all ports of a host."""
    page = Hostile(server, cookie)
    async with await asyncio.start_server(page.answer, "127.0.0.1", 0) as listening:
        yield page, listening.sockets[0].getsockname()[1]


def _browser(profile: Path, *more: str) -> list[str]:
    assert CHROMIUM is not None
    return [
        *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", "--disable-sync"),
        *(f"--user-data-dir={profile}", *more),
    ]


async def shown(url: str, profile: Path, *more: str) -> str:
    """Return what a browser shows at an address."""
    process = await asyncio.create_subprocess_exec(
        *_browser(profile, "--dump-dom", *more, url), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(120):
            return (await process.communicate())[0].decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_page_of_another_origin_gets_nothing_and_changes_nothing(tmp_path: Path) -> None:
    async with memory_audit() as log, log.serve("127.0.0.1:0") as server:
        await log.append(NewEvent(topics=[("a",)]))
        place = server.addresses[0].removeprefix("http://")
        async with hostile(place) as (page, port):
            told = await page.told(f"http://127.0.0.1:{port}/", tmp_path)
        assert told["socket"] == told["plain_socket"] == "closed 1006"
        assert told["read"] == told["append"] == "failed: TypeError"
        # The browser may send it; that it was refused shows in the log.
        assert told["stream"] == "error"
        assert log.info().size == 1


async def test_a_page_of_another_origin_can_do_nothing_with_its_readers_session(tmp_path: Path) -> None:
    async with door(tmp_path) as place:
        server = place.base.removeprefix("http://")
        signed_in = await fetch(place.base, "/v1/session", method="POST", headers=bearer(place.token("admin", "/")))
        cookie = signed_in.headers["set-cookie"]
        await place.log.append(NewEvent(topics=[("a",)]))
        async with hostile(server, cookie) as (page, port):
            told = await page.told(f"http://127.0.0.1:{port}/", tmp_path / "profile")
        # Another port is the same site: the browser sends the cookie, and the origin alone tells.
        assert told["socket"] == told["plain_socket"] == "closed 1006"
        assert told["read"] == told["append"] == "failed: TypeError"
        assert told["stream"] == "error"
        assert [event.topics for event in (await place.log.list(("evil",))).events] == []


async def test_that_session_opens_a_socket_for_a_page_of_an_allowed_origin(tmp_path: Path) -> None:
    """What the page above is refused works, with the same cookie: else it would show nothing."""
    async with memory_audit() as log, log.serve("127.0.0.1:0") as probe:
        place = probe.addresses[0].removeprefix("http://")
    async with hostile(place) as (page, port):
        options = ServeOptions(allow_origins=(f"http://127.0.0.1:{port}",))
        async with door(tmp_path, listen=place, options=options) as guarded:
            known = bearer(guarded.token("admin", "/"))
            page.cookie = (await fetch(guarded.base, "/v1/session", method="POST", headers=known)).headers["set-cookie"]
            told = await page.told(f"http://127.0.0.1:{port}/", tmp_path / "profile")
    assert told["socket"].startswith("got")


async def test_a_name_that_was_made_to_mean_this_machine_is_refused(tmp_path: Path) -> None:
    rules = "--host-resolver-rules=MAP evil.example 127.0.0.1"
    async with memory_audit() as log, log.serve("127.0.0.1:0") as server:
        await log.append(NewEvent(topics=[("a",)], action="seen"))
        port = server.addresses[0].rpartition(":")[2]
        # Of the same origin as the server, as the browser sees it: only the name tells.
        assert "seen" not in await shown(f"http://evil.example:{port}/v1/events", tmp_path, rules)
        assert "seen" in await shown(f"http://127.0.0.1:{port}/v1/events", tmp_path, rules)


async def test_the_same_page_of_an_allowed_origin_reads(tmp_path: Path) -> None:
    """What the others are refused works: else they would show nothing."""
    async with memory_audit() as log:
        async with log.serve("127.0.0.1:0") as probe:
            place = probe.addresses[0].removeprefix("http://")
        async with hostile(place) as (page, port):
            options = ServeOptions(allow_origins=(f"http://127.0.0.1:{port}",))
            async with log.serve(place, options=options):
                told = await page.told(f"http://127.0.0.1:{port}/", tmp_path)
        assert told["socket"].startswith("got")
        assert told["stream"] == "open"
        assert told["append"].startswith("201")
        assert log.info().size >= 1
