"""What operators ask: does it live, is it ready, and its metrics, as Prometheus' own tools take them."""

import asyncio
import json
import re
import shutil
import signal
import socket
import urllib.parse
from pathlib import Path
from typing import Any

import pytest

from audit.app import Audit
from audit.log.room import Room
from audit.model.errors import DiskFull
from audit.testing.clock import FakeClock
from audit.testing.faults import Faults
from audit.testing.logs import log_on, memory_audit
from tests.bare import bare, until
from tests.integration.test_http import served
from tests.stores import event, memory_opener
from tests.web import JSON, fetch, stream


def program(name: str) -> str:
    """Return where a program of Debian's package `prometheus` is, which CI installs."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: apt-get install prometheus, as root")
    return found


def samples(text: bytes) -> dict[str, float]:
    """Return the samples of a scrape, by name with labels."""
    lines = [line for line in text.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


async def test_a_server_that_answers_lives() -> None:
    async with served() as (log, base, _):
        assert (await fetch(base, "/healthz")).body == b"ok\n"
        await log.close()
        # Restarting it would not help: that is for readiness to tell.
        assert (await fetch(base, "/healthz")).status == 200


async def test_a_server_is_ready_while_appends_are_taken() -> None:
    clock = FakeClock()
    async with served(memory_audit(clock=clock)) as (log, base, _):
        ready = await fetch(base, "/readyz")
        assert (ready.status, ready.json) == (200, {"ready": True})
        clock.step(7_200_000)
        suspect = await fetch(base, "/readyz")
        assert (suspect.status, suspect.json["ready"], suspect.json["code"]) == (503, False, "clock_suspect")
        assert "jumped" in suspect.json["reason"]
        assert samples((await fetch(base, "/metrics")).body)["audit_store_ready"] == 0
        log.accept_clock()
        assert (await fetch(base, "/readyz")).status == 200
        await log.close()
        closed = await fetch(base, "/readyz")
        assert (closed.status, closed.json["code"]) == (503, "unavailable")


async def test_a_server_that_stops_is_not_ready_and_still_lives() -> None:
    async with served() as (_, base, server):
        server._context.stopping.set()
        stopping = await fetch(base, "/readyz")
        assert (stopping.status, stopping.json["reason"]) == (503, "the server is stopping")
        assert (await fetch(base, "/healthz")).status == 200


async def test_a_full_disk_is_not_ready() -> None:
    class Full(Room):
        def check(self) -> None:
            raise DiskFull("data: 3 KiB of disk space left")

    async with served(memory_audit(room=Full())) as (_, base, _):
        full = await fetch(base, "/readyz")
        assert (full.status, full.json["reason"]) == (503, "data: 3 KiB of disk space left")


async def test_a_fenced_store_is_not_ready_until_it_is_back() -> None:
    faults = Faults(memory_opener())
    async with served(log_on_faults(faults)) as (log, base, _):
        faults.refuse_opens(1_000)
        faults.fail_append(1, persisted=False)
        unknown = await fetch(base, "/v1/events", method="POST", headers=JSON, body=b'{"topics":[["a"]]}')
        assert (unknown.status, unknown.json["code"]) == (500, "outcome_unknown")
        await asyncio.to_thread(faults.await_refusals, 1)
        fenced = await fetch(base, "/readyz")
        assert (fenced.status, fenced.json["code"]) == (503, "unavailable")
        numbers = samples((await fetch(base, "/metrics")).body)
        assert (numbers["audit_store_fenced"], numbers["audit_failed_commits_total"]) == (1, 1)
        faults.refuse_opens(0)
        await log.append(event("a"))
        assert (await fetch(base, "/readyz")).status == 200


def log_on_faults(faults: Faults) -> Any:
    return Audit(log_on(faults.open)._core)


async def test_metrics_count_what_happened() -> None:
    async with served() as (log, base, server):
        await log.append_many([event("a")] * 3)
        await fetch(base, "/v1/events")
        await fetch(base, "/v1/events?limit=x")
        async with stream(base) as sse, bare(server.urls[0]) as client:
            await sse.until("caught_up")
            await client.call("events.subscribe", topic=["a"])
            await client.events(3)
            await until(lambda: len(log._core.wakeups) == 2)
            scrape = await fetch(base, "/metrics")
        assert scrape.headers["content-type"].startswith("text/plain; version=")
        numbers = samples(scrape.body)
        expected = {
            "audit_appended_events_total": 3,
            "audit_commit_events_count": 1,
            "audit_commit_events_sum": 3,
            'audit_commit_events_bucket{le="2.0"}': 0,
            'audit_commit_events_bucket{le="5.0"}': 1,
            "audit_commit_duration_seconds_count": 1,
            "audit_commit_write_duration_seconds_count": 1,
            "audit_append_queue_events": 0,
            "audit_store_events": 3,
            "audit_store_fenced": 0,
            "audit_store_ready": 1,
            "audit_reads_busy": 0,
            "audit_tails": 2,
            "audit_tail_lag_events": 0,
            "audit_tail_lag_max_events": 0,
            "audit_connections": 1,
            "audit_streams": 1,
            "audit_subscriptions": 1,
            "audit_delivered_events_total": 6,
            "audit_aborted_connections_total": 0,
            'audit_calls_total{code="ok",method="events.list"}': 1,
            'audit_calls_total{code="invalid_params",method="events.list"}': 1,
            'audit_calls_total{code="ok",method="events.stream"}': 1,
            'audit_calls_total{code="ok",method="events.subscribe"}': 1,
        }
        assert {name: numbers.get(name) for name in expected} == expected
        assert numbers["audit_commit_size_bytes_sum"] == sum(map(len, (await log.list()).slices))
        assert numbers["process_cpu_seconds_total"] > 0


async def test_a_lagging_tail_shows() -> None:
    async with served() as (log, base, _):
        await log.append_many([event("a")] * 5)
        with log.sync.subscribe(), log.sync.subscribe() as tail:
            tail.read(max_events=2)
            numbers = samples((await fetch(base, "/metrics")).body)
        assert (numbers["audit_tails"], numbers["audit_tail_lag_events"]) == (2, 8)
        assert numbers["audit_tail_lag_max_events"] == 5


async def test_two_servers_of_one_process_tell_each_its_own() -> None:
    async with served() as (one, base, _), served() as (_, other, _):
        await one.append(event("a"))
        assert samples((await fetch(base, "/metrics")).body)["audit_appended_events_total"] == 1
        assert samples((await fetch(other, "/metrics")).body)["audit_appended_events_total"] == 0


async def test_who_asks_for_open_metrics_gets_them() -> None:
    async with served() as (_, base, _):
        scrape = await fetch(base, "/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
        assert scrape.headers["content-type"].startswith("application/openmetrics-text")
        assert scrape.body.endswith(b"# EOF\n")


async def test_promtool_finds_nothing_wrong() -> None:
    check = program("promtool")
    async with served() as (log, base, _):
        await log.append(event("a"))
        await fetch(base, "/v1/events")
        scrape = await fetch(base, "/metrics")
    process = await asyncio.create_subprocess_exec(
        *(check, "check", "metrics"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await process.communicate(scrape.body)
    assert (process.returncode, told) == (0, b"")


async def test_prometheus_scrapes_it(tmp_path: Path) -> None:
    prometheus = program("prometheus")
    async with served() as (log, base, _):
        await log.append_many([event("a")] * 7)
        target = urllib.parse.urlsplit(base).netloc
        config = tmp_path / "prometheus.yml"
        job = {"job_name": "audit", "scrape_interval": "100ms", "static_configs": [{"targets": [target]}]}
        # Every JSON text is a YAML text.
        config.write_text(json.dumps({"scrape_configs": [job]}), encoding="utf-8")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        process = await asyncio.create_subprocess_exec(
            prometheus,
            f"--config.file={config}",
            f"--storage.tsdb.path={tmp_path / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            found = await scraped(f"http://127.0.0.1:{port}", "audit_appended_events_total", process)
            assert found["value"][1] == "7"
            assert found["metric"]["job"] == "audit"
            # A scrape may run out of its 100 ms on a busy machine: the next one won't.
            await scraped(f"http://127.0.0.1:{port}", "up==1", process)
        finally:
            process.send_signal(signal.SIGTERM)
            await process.wait()


async def scraped(base: str, query: str, process: asyncio.subprocess.Process) -> Any:
    """Return the one value of a query to Prometheus, as soon as it has one."""
    async with asyncio.timeout(60):
        while True:
            assert process.returncode is None, "prometheus ended by itself"
            try:
                answer = await fetch(base, "/api/v1/query?query=" + query)
            except OSError:
                answer = None
            if answer is not None and answer.status == 200 and answer.json["data"]["result"]:
                (found,) = answer.json["data"]["result"]
                return found
            # It tells nobody when it has scraped.
            await asyncio.sleep(0.05)


async def test_the_documentation_names_every_metric_and_no_other() -> None:
    page = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
    async with served() as (_, base, _):
        await fetch(base, "/v1/events")
        scrape = await fetch(base, "/metrics")
    told = set(re.findall(r"^# HELP (audit_\w+)", scrape.body.decode(), re.MULTILINE))
    table = page.split("| metric | what it is |")[1].split("\n\n")[0]
    assert set(re.findall(r"`(audit_\w+)", table)) == told
