"""`make live`: what is served has something for each view, goes on by itself, and ends at Ctrl-C with nothing left."""

import asyncio
import contextlib
import os
import re
import signal
import sys
from pathlib import Path
from typing import Final

from audit.client import connect
from tests.docs.documents import ROOT

NODES: Final = ["alpha", "bravo", "charlie", "delta"]
PATIENCE_S: Final = 60


async def test_a_log_with_something_to_see_is_served_until_ctrl_c(tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AUDIT_")}
    process = await asyncio.create_subprocess_exec(
        *("sh", "docs/live.sh"),
        cwd=ROOT,
        env=environment | {"PATH": path, "TMPDIR": str(tmp_path)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    said = ""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while "Ctrl-C" not in said:
                line = await process.stdout.readline()
                assert line, said
                said += line.decode()
            found = re.search(r"http://127\.0\.0\.1:\d+", said)
            assert found is not None
            await _look(found[0])
    finally:
        # As a terminal does: to all of the group.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        async with asyncio.timeout(PATIENCE_S):
            assert await process.wait() == 0
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - nothing waits for this disk


async def _look(url: str) -> None:
    async with connect(url) as log:
        topics = await log.topics()
        assert [count.topic for count in topics.topics] == [("aws",), ("nodes",)]
        assert topics.topics[0].events == 2_122
        days = await log.metrics.get(
            measure="uptime",
            up="node.up",
            down="node.down",
            by="topics.0.1",
            planned=("node.maintenance.started", "node.maintenance.ended"),
            topic=("nodes",),
            group_by="topics.0.1",
            last="90d",
            window="1d",
            time="occurred",
        )
        known = {str(window.group): window for window in days.windows if window.value is not None}
        assert sorted(known) == NODES
        assert len(days.windows) > 80 * len(NODES)
        assert any(window.value < 1 for window in days.windows if isinstance(window.value, float))
        opened = await log.metrics.get(
            measure="active", open="node.connection.opened", close="node.connection.closed", topic=("nodes",)
        )
        assert isinstance(opened.total, int | float)
        assert opened.total > 0
        async with log.subscribe(("nodes",), seek="now") as tail:
            event = await anext(tail)
            assert event.action is not None
            assert event.action.startswith("node.")
            assert event.occurred_at is not None
