"""Metrics that are registered: in a server's settings, listed, asked for by name, and what a scrape says of them."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from audit import Audit, Filter, NewEvent, NotFound
from audit.cli.settings import read_file
from audit.client import connect
from audit.metrics.query import Metric
from audit.model.errors import InvalidParameter
from audit.testing import memory_audit
from tests.bare import until
from tests.integration.program import Program
from tests.integration.test_metric_subscriptions import http, served

DENIED = Metric(name="denied", measure="count", filter=Filter(outcome="denied"), group_by="topics.0.0", help="Refused")


def new(topic: str = "a", **members: Any) -> NewEvent:
    return NewEvent(topics=[tuple(topic.split("/"))], **members)


async def test_a_registered_metric_is_listed_and_asked_for_by_name() -> None:
    async with served() as (log, server), connect(server.urls[0]) as client:
        log.metrics.register(DENIED)
        await log.append_many([new(outcome="denied"), new("b"), new("b/c", outcome="denied")])
        await log.metrics.settle()
        mine = [one for one in await client.metrics.list() if one.metric.name == "denied"]
        assert mine == [(DENIED, 3)]
        assert [one for one in log.metrics.list() if one.metric.name == "denied"] == mine
        result = await client.metrics.get(metric="denied", window="1h")
        assert [(window.group, window.value) for window in result.windows] == [("a", 1), ("b", 1)]
        live = client.metrics.subscribe(metric="denied", every=0)
        assert (await live.snapshot()).total == 2
        await log.append(new(outcome="denied"))
        change = await live.changes()
        assert getattr(change, "total", None) == 3
        with pytest.raises(NotFound):
            await client.metrics.get(metric="no-such")


def test_settings_name_metrics(tmp_path: Path) -> None:
    path = tmp_path / "audit.toml"
    path.write_text(
        """
        [metrics.denied]
        measure = "count"
        topic = "aws/iam"
        filter = { outcome = "denied" }
        group_by = "actor.id"

        [metrics.slow]
        measure = "quantiles"
        topics = ["http", ["node", "call"]]
        field = "data.ms"
        quantiles = [0.99]
        pane = "1h"
        """
    )
    assert read_file(path)["metrics"] == [
        Metric(
            name="denied", measure="count", topic=("aws", "iam"), filter=Filter(outcome="denied"), group_by="actor.id"
        ),
        Metric(
            name="slow",
            measure="quantiles",
            topics=[("http",), ("node", "call")],
            field="data.ms",
            quantiles=[0.99],
            pane="1h",
        ),
    ]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("metrics = 3", "metrics"),
        ('[metrics.x]\nmeasure = "mean"', "metrics.x.measure"),
        ('[metrics.x]\nmeasure = "avg"', "metrics.x.field"),
        ('[metrics.X]\nmeasure = "count"', "metrics.X.name"),
        ('[metrics.x]\nmeasure = "count"\ntopic = "a//b"', "metrics.x.topic[1]"),
        ('[metrics.x]\nmeasure = "count"\ncolour = 1', "metrics.x"),
        ('[metrics.x]\nmeasure = "count"\npane = "often"', "metrics.x.pane"),
    ],
)
def test_a_bad_table_is_named(text: str, place: str, tmp_path: Path) -> None:
    path = tmp_path / "audit.toml"
    path.write_text(text)
    with pytest.raises(InvalidParameter) as caught:
        read_file(path)
    assert caught.value.parameter == f"{path}: {place}"


async def test_a_scrape_tells_registered_metrics() -> None:
    async with served() as (log, server):
        log.metrics.register(DENIED)
        log.metrics.register(Metric(name="ms", measure="quantiles", field="data.ms", quantiles=[0.5, 0.9]))
        log.metrics.register(Metric(name="pace", measure="rate"))
        await log.append_many([new(outcome="denied"), new('say "hi"', data={"ms": 7}), new("b", outcome="denied")])
        for total in (1, 2):
            text = await http(server, "/metrics")
            found = dict(re.findall(r"^(audit_metric_\S+?\{.*\}) (\S+)$", text, re.MULTILINE))
            assert found['audit_metric_events_total{group="a",metric="denied"}'] == f"{total}.0"
            assert found['audit_metric_value{group="a",metric="denied",quantile=""}'] == f"{total}.0"
            assert found['audit_metric_events_total{group="",metric="pace"}'] == f"{total + 2}.0"
            assert float(found['audit_metric_value{group="",metric="ms",quantile="0.9"}']) == pytest.approx(7, rel=0.01)
            assert not any("audit_metric_value" in one and "pace" in one for one in found)
            await log.append(new(outcome="denied"))


async def test_built_in_metrics_are_numbers_of_now() -> None:
    async with served() as (log, server), connect(server.urls[0]) as client:
        names = [one.metric.name for one in await client.metrics.list()]
        assert names == ["audit.connections", "audit.lag"]
        assert (await client.metrics.get(metric="audit.connections")).total == 1
        assert (await client.metrics.get(metric="audit.lag")).total == 0
        async with log.subscribe():
            await log.append_many([new(), new()])
            assert (await client.metrics.get(metric="audit.lag")).total == 2
        with pytest.raises(InvalidParameter) as caught:
            await client.metrics.get(metric="audit.lag", window="1m")
        assert caught.value.parameter == "window"
        async with client.metrics.subscribe(metric="audit.connections", every=0) as live:
            assert (await live.snapshot()).total == 1
            async with connect(server.urls[0]):
                change = await live.changes()
                assert getattr(change, "total", None) == 2
        assert (await http(server, "/v1/metrics?metric=audit.lag", "text/csv")).splitlines()[1].endswith(",,0,0,false")


async def test_the_node_s_connections_of_the_documents() -> None:
    """Total, inbound and outbound by minute, hour and day, and how many are open."""
    async with memory_audit() as log:
        for way, action, count in (("in", "opened", 3), ("out", "opened", 2), ("in", "closed", 1)):
            events = [new(f"node/connection/{way}", action=f"connection.{action}") for _ in range(count)]
            await log.append_many(events)
        opened = Filter(action="connection.opened")
        for window in ("1m", "1h", "1d"):
            for topic, total in ((("node",), 5), (("node", "connection", "in"), 3), (("node", "connection", "out"), 2)):
                result = await log.metrics.get(measure="count", topic=topic, filter=opened, window=window)
                assert [one.value for one in result.windows] == [total]
        active = await log.metrics.get(measure="active", open="connection.opened", close="connection.closed")
        assert active.total == 4


def test_the_command_line_lists_asks_rebuilds_and_unregisters(tmp_path: Path) -> None:
    audit = Program(tmp_path / "data")
    audit.create()
    audit.append("a", "b", "a")
    with Audit.open_sync(audit.path) as log:
        log.metrics.register(Metric(name="all", measure="count", topic=("a",), pane="1h", help="=1"))
        log.metrics.settle()
    assert audit("metrics", "list", "--format", "csv").stdout == (
        b"name,measure,pane,topics,events,help\r\nall,count,1h,a,3,'=1\r\n"
    )
    assert b"all" in audit("metrics", "list", "--format", "table").stdout
    answer = json.loads(audit("metrics", "get", "all", "--format", "json").stdout)
    assert (answer["total"], len(answer["windows"])) == (2, 1)
    lines = audit("metrics", "get", "count", "--group-by", "topics.0.0", "--window", "1d").stdout.splitlines()
    assert [(row["group"], row["value"]) for row in map(json.loads, lines)] == [("a", 2), ("b", 1)]
    table = audit("metrics", "get", "count", "--window", "1h", "--seek", "2026-01-01", "--format", "table", code=2)
    assert b"--seek" in table.stderr
    table = audit(
        "metrics", "get", "count", "--group-by", "topics.0.0", "--last", "2m", "--window", "1m", "--format", "table"
    )
    assert "█" in table.stdout.decode()
    assert b"--field" in audit("metrics", "get", "avg", code=2).stderr
    audit("metrics", "get", "no-such", code=3)
    audit("metrics", "rebuild", "all")
    audit("metrics", "rebuild", "no-such", code=3)
    assert json.loads(audit("metrics", "unregister", "all").stdout) == {"metric": "all", "registered": False}
    assert audit("metrics", "list").stdout == b""
    audit("metrics", "unregister", "all", code=3)
    audit("metrics", "get", "all", code=3)
    assert b"--data" in audit("metrics", "rebuild", "all", "--url", "ws://127.0.0.1:1", code=2).stderr


async def test_a_watch_prints_what_changes_until_its_reader_leaves(tmp_path: Path) -> None:
    async with served() as (log, server):
        program = Program(tmp_path / "none")
        del program.env["AUDIT_DATA"]
        watching = ["metrics", "watch", "count", "--every", "0", "--url", server.urls[0], "--window", "1h"]
        process = program.start(*watching)
        assert process.stdout is not None
        await until(lambda: len(server._context.metric_feeds))
        for number in range(3):
            await log.append(new())
            line = await asyncio.to_thread(process.stdout.readline)
            assert json.loads(line)["value"] == number + 1
        process.stdout.close()
        assert await asyncio.to_thread(process.wait) == 0
        if process.stderr is not None:
            process.stderr.close()
