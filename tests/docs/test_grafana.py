"""`examples/grafana.json`: a dashboard of Grafana's form, whose queries parse and ask for what a server tells."""

import asyncio
import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any, Final

from audit import NewEvent
from audit.metrics.builtin import EVENTS
from audit.metrics.query import Metric
from tests.docs.documents import ROOT
from tests.integration.test_http import served
from tests.integration.test_http_operator import program
from tests.web import fetch

DASHBOARD: Final[dict[str, Any]] = json.loads((ROOT / "examples" / "grafana.json").read_text(encoding="utf-8"))
PANELS: Final[list[dict[str, Any]]] = DASHBOARD["panels"]
GRAPHS: Final = [panel for panel in PANELS if panel["type"] != "row"]
COLUMNS: Final = 24
_NAME: Final = re.compile(r"\b([a-z]+(?:_[a-z]+)+)(?=[{])")
_HELD: Final = re.compile(r"\bby \(([^)]*)\)")


def queries() -> list[str]:
    return [target["expr"] for panel in GRAPHS for target in panel["targets"]]


async def test_every_metric_that_is_asked_for_is_told() -> None:
    async with served() as (log, base, _):
        log.metrics.register(EVENTS)
        log.metrics.register(Metric(name="sizes", measure="quantiles", field="data.size", group_by="topics.0.0"))
        await log.append(NewEvent(topics=[("a",)], data={"size": 1}))
        # A call is told once it was answered.
        await fetch(base, "/v1/events")
        text = (await fetch(base, "/metrics")).body.decode()
    told = set(re.findall(r"^(\w+)", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE), re.MULTILINE))
    labels = set(re.findall(r"[{,](\w+)=", text)) | {"instance"}  # the last is Prometheus' own
    for query in queries():
        names = _NAME.findall(query)
        assert names, query
        assert query.count("{") == len(names)
        assert set(names) <= told, query
        for found in _HELD.findall(query):
            assert {label.strip() for label in found.split(",")} <= labels, query
    assert {name for query in queries() for name in _NAME.findall(query)} >= {
        name for name in told if name.startswith("audit_") and not name.endswith(("_info", "_bucket", "_count", "_sum"))
    }


async def test_every_query_parses(tmp_path: Path) -> None:
    check = program("promtool")
    rules = [
        {"record": f"query:{number}", "expr": query.replace("$__rate_interval", "1m").replace("$instance", ".*")}
        for number, query in enumerate(queries())
    ]
    # Every JSON text is a YAML text.
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}), encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        check, "check", "rules", file, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    told, _ = await process.communicate()
    assert process.returncode == 0, told
    assert f"{len(rules)} rules found" in told.decode()


def test_it_is_a_dashboard_of_grafana() -> None:
    assert DASHBOARD["schemaVersion"] >= 36
    assert set(DASHBOARD) >= {"title", "uid", "time", "templating", "annotations", "panels"}
    # Where it is imported it takes an id of its own.
    assert "id" not in DASHBOARD
    ids = [panel["id"] for panel in PANELS]
    assert len(set(ids)) == len(ids)
    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD)))
    assert used - {"__rate_interval", "__all"} == variables
    for panel in GRAPHS:
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["type"] in {"stat", "timeseries"}
        assert set(panel) >= {"title", "fieldConfig", "options", "targets", "gridPos"}
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references)


def test_no_panel_lies_over_another() -> None:
    for one, other in combinations([panel["gridPos"] for panel in PANELS], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below
    assert all(place["x"] + place["w"] <= COLUMNS for place in (panel["gridPos"] for panel in PANELS))
