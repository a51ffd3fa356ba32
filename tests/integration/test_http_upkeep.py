"""`/v1/backup` and `/v1/fsck`: who may, how many at once, and what happens when either side goes away."""

import asyncio
import json
import random
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from audit import Audit, Forbidden, StoreClosed, Unavailable
from audit.client.upkeep import fetch_backup
from audit.codec.backups import Decoder
from audit.log.checking import check_open_log
from audit.model.errors import BackupInvalid
from audit.server.access import ANONYMOUS, Ask, OpenAccess, Principal
from audit.server.options import ServeOptions
from tests.bare import until
from tests.stores import event
from tests.web import fetch, raw


class Limited(OpenAccess):
    """Lets everybody do anything but what is an admin's."""

    def __init__(self) -> None:
        self.asked: list[Ask] = []

    async def authenticate(self, scope: Any) -> Principal:
        return ANONYMOUS

    def authorise(self, principal: Principal, ask: Ask) -> None:
        self.asked.append(ask)
        if ask.verb == "admin":
            raise Forbidden("not an admin")


@asynccontextmanager
async def served(path: Path, access: Any = None, **options: Any) -> AsyncIterator[tuple[Audit, str]]:
    async with Audit.open(path / "store", create=True) as log:
        for _ in range(10):
            await log.append_many([event("a", data="x" * 1_000)] * 200)
        serving = log.serve("127.0.0.1:0", access=access, options=ServeOptions(**options))
        async with serving as server:
            yield log, server.addresses[0]


def decoder(body: bytes) -> Decoder:
    view = memoryview(body)
    at = 0

    def take(count: int) -> bytes:
        nonlocal at
        found = bytes(view[at : at + count])
        at += len(found)
        return found

    return Decoder(take, "body")


async def test_a_backup_is_the_whole_log(tmp_path: Path) -> None:
    async with served(tmp_path) as (log, base):
        answer = await fetch(base, "/v1/backup")
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/vnd.audit.backup"
        found = [one for commit in decoder(answer.body).commits() for one in commit.events]
        assert len(found) == 2_000
        first = found[0]
        assert first == (await log.list(limit=1)).slices[0]
        head = await fetch(base, "/v1/backup", method="HEAD")
        assert (head.status, head.body) == (200, b"")


@pytest.mark.parametrize(
    "query", ["since=-1", "since=2001", "since=1&since_id=01JD8Z5K3V9Q0T7W2X4Y6Z8A1B", "since=1&since_id=x", "from=1"]
)
async def test_a_beginning_that_is_none_is_refused(tmp_path: Path, query: str) -> None:
    async with served(tmp_path) as (_, base):
        answer = await fetch(base, f"/v1/backup?{query}")
        assert (answer.status, answer.json["code"]) == (400, "invalid_params")


async def test_only_an_admin_may(tmp_path: Path) -> None:
    access = Limited()
    async with served(tmp_path, access) as (_, base):
        for method, path in (("GET", "/v1/backup"), ("POST", "/v1/fsck")):
            answer = await fetch(base, path, method=method)
            assert (answer.status, answer.json["code"]) == (403, "forbidden")
    assert access.asked == [Ask("admin", [()])] * 2


async def test_no_page_of_another_site_starts_a_check(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, base):
        answer = await fetch(base, "/v1/fsck", method="POST", headers={"origin": "https://evil.example"})
        assert answer.status == 403
        assert (await fetch(base, "/v1/fsck")).status == 405


async def test_a_check_tells_how_far_it_is_and_what_it_found(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, base):
        answer = await fetch(base, "/v1/fsck", method="POST")
        *progress, last = map(json.loads, answer.body.splitlines())
        assert last == {"events": 2_000, "segments": 7, "findings": []}
        assert all(set(one) == {"checked", "of"} for one in progress)


async def noisy(log: Audit) -> None:
    """Append what no buffer of a socket holds, and lz4 can't shrink."""
    for start in range(0, 780, 130):
        noise = [random.Random(start + n).randbytes(15_000).hex() for n in range(130)]
        await log.append_many([event("a", data=one) for one in noise])


async def test_few_run_at_once_and_a_reader_that_leaves_makes_room(tmp_path: Path) -> None:
    request = b"GET /v1/backup HTTP/1.1\r\nhost: localhost\r\n\r\n"
    async with served(tmp_path) as (log, base):
        await noisy(log)
        async with raw(base, receive_buffer=4_096) as one, raw(base, receive_buffer=4_096) as two:
            for reader, writer in (one, two):
                writer.write(request)
                await reader.readline()
            for method, path in (("GET", "/v1/backup?since=2700"), ("POST", "/v1/fsck")):
                answer = await fetch(base, path, method=method)
                assert (answer.status, answer.json["code"]) == (503, "overloaded")
        async with asyncio.timeout(20):
            while (await fetch(base, "/v1/backup?since=2700")).status != 200:
                pass


async def test_a_server_that_stops_ends_a_backup_which_its_reader_notices(tmp_path: Path) -> None:
    async with Audit.open(tmp_path / "store", create=True) as log:
        await noisy(log)
        serving = log.serve("127.0.0.1:0", options=ServeOptions(shutdown_timeout_s=5))
        begun, stopping = threading.Event(), threading.Event()

        def work(url: str) -> None:
            with fetch_backup(url) as read:
                found = Decoder(read, "it")
                begun.set()
                stopping.wait(20)
                for _ in found.blocks():
                    pass

        async with serving as server:
            reading = asyncio.create_task(asyncio.to_thread(work, server.urls[0]))
            await until(begun.is_set)
            closing = asyncio.create_task(serving.close())
            await until(serving._context.stopping.is_set)
            stopping.set()
            with pytest.raises((BackupInvalid, Unavailable), match=r"in the middle|lost"):
                await reading
            await closing


async def test_closing_the_log_does_not_wait_for_a_check(tmp_path: Path) -> None:
    log = await Audit.open(tmp_path / "store", create=True)
    await log.append_many([event("a")] * 1_000)
    reached, go_on = threading.Event(), threading.Event()

    def pause() -> None:
        reached.set()
        go_on.wait(20)

    checking = asyncio.create_task(asyncio.to_thread(check_open_log, log._core, _nothing, pause))
    await until(reached.is_set)
    # Appends go on beside it.
    await log.append(event("b"))
    closing = asyncio.create_task(log.close())
    await until(lambda: log._core.handle._ended is not None)
    go_on.set()
    with pytest.raises(StoreClosed):
        await checking
    await closing


def _nothing(checked: int, total: int) -> None:
    pass
