"""A hostile page in a real browser, on a machine with an open server: it gets nothing and changes nothing."""

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import unescape
from pathlib import Path
from typing import Any, Final

import pytest

from audit import NewEvent
from audit.server.options import ServeOptions
from audit.testing import memory_audit

CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here (Debian's package chromium)")

PAGE: Final = """<!doctype html><title>x</title><pre id="out"></pre><script>
const server = SERVER, out = {};
const told = (name, work) => work.then(
  (value) => { out[name] = value }, (error) => { out[name] = `failed: ${error.name}` });
const socket = (protocols) => new Promise((resolve) => {
  const one = new WebSocket(`ws://${server}/rpc`, protocols);
  one.onopen = () => one.send('{"jsonrpc":"2.0","id":1,"method":"events.list"}');
  one.onmessage = (event) => { resolve(`got ${event.data.length}`); one.close() };
  one.onclose = (event) => resolve(`closed ${event.code}`);
});
const read = (path, options) => fetch(`http://${server}${path}`, options).then((answer) => `${answer.status}`);
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
]).then(() => { document.getElementById("out").textContent = JSON.stringify(out) });
</script>"""


@asynccontextmanager
async def hostile(server: str) -> AsyncIterator[int]:
    """Serve the page, which attacks a server; yield its port."""
    body = PAGE.replace("SERVER", json.dumps(server)).encode()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
        writer.write(head % len(body) + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as listening:
        yield listening.sockets[0].getsockname()[1]


async def visited(url: str, profile: Path, *more: str) -> str:
    """Return what a browser shows at an address, once all of it is there."""
    assert CHROMIUM is not None
    quiet = (
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
        *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
        *("--timeout=20000", "--virtual-time-budget=10000", f"--user-data-dir={profile}", "--dump-dom"),
    )
    done = await asyncio.to_thread(
        subprocess.run, [CHROMIUM, *quiet, *more, url], capture_output=True, timeout=120, check=False
    )
    return done.stdout.decode()


def told_by(page: str) -> dict[str, Any]:
    """Return what the page's script wrote."""
    found = re.search(r'<pre id="out">(.*?)</pre>', page, re.DOTALL)
    assert found is not None, page[-2_000:]
    told: dict[str, Any] = json.loads(unescape(found[1]))
    return told


async def test_a_page_of_another_origin_gets_nothing_and_changes_nothing(tmp_path: Path) -> None:
    async with memory_audit() as log, log.serve("127.0.0.1:0") as server:
        await log.append(NewEvent(topics=[("a",)]))
        place = server.addresses[0].removeprefix("http://")
        async with hostile(place) as port:
            told = told_by(await visited(f"http://127.0.0.1:{port}/", tmp_path))
        assert told["socket"] == told["plain_socket"] == "closed 1006"
        assert told["read"] == told["append"] == "failed: TypeError"
        # The browser may send it; that it was refused shows in the log.
        assert told["stream"] == "error"
        assert log.info().size == 1


async def test_a_name_that_was_made_to_mean_this_machine_is_refused(tmp_path: Path) -> None:
    rules = "--host-resolver-rules=MAP evil.example 127.0.0.1"
    async with memory_audit() as log, log.serve("127.0.0.1:0") as server:
        await log.append(NewEvent(topics=[("a",)], action="seen"))
        port = server.addresses[0].rpartition(":")[2]
        # Of the same origin as the server, as the browser sees it: only the name tells.
        assert "seen" not in await visited(f"http://evil.example:{port}/v1/events", tmp_path, rules)
        assert "seen" in await visited(f"http://127.0.0.1:{port}/v1/events", tmp_path, rules)


async def test_the_same_page_of_an_allowed_origin_reads(tmp_path: Path) -> None:
    """What the others are refused works: else they would show nothing."""
    async with memory_audit() as log:
        async with log.serve("127.0.0.1:0") as probe:
            place = probe.addresses[0].removeprefix("http://")
        async with hostile(place) as port:
            options = ServeOptions(allow_origins=(f"http://127.0.0.1:{port}",))
            async with log.serve(place, options=options):
                told = told_by(await visited(f"http://127.0.0.1:{port}/", tmp_path))
        assert told["socket"].startswith("got")
        assert told["stream"] == "open"
        assert told["append"].startswith("201")
        assert log.info().size >= 1
