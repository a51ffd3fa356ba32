"""`make bench`: our own figures on this machine. `--events` sets the size of the store that is read."""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from audit import Audit
from tests.bench import appends, machine, reads
from tests.bench.workload import DENSE, SPARSE

RUNS = 5


def main() -> None:
    """Run everything and print a table."""
    parser = argparse.ArgumentParser(description="Benchmarks of the embedded log on this machine.")
    parser.add_argument("--events", type=int, default=1_000_000, help="events of the store that is read")
    parser.add_argument("--memory", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    options = parser.parse_args()
    if options.memory is not None:
        print(json.dumps(memory(options.memory)))
        return
    print(f"median of {RUNS} runs (least - most)\nbefore: {machine.describe()}\n")
    rows: list[dict[str, object]] = []

    def row(name: str, unit: str, measure: Callable[[int], float]) -> None:
        runs = [measure(number) for number in range(RUNS)]
        rows.append({"work": name, "unit": unit, "median": statistics.median(runs), "runs": runs})
        low, high = min(runs), max(runs)
        print(f"{name:<78} {statistics.median(runs):>9,.0f} {unit:<8} ({low:,.0f} - {high:,.0f})", flush=True)

    with tempfile.TemporaryDirectory(prefix="bench-", dir=Path.cwd()) as directory:
        bench_appends(row, Path(directory))
        store = Path(directory) / "store"
        appends.fill(store, options.events)
        size = sum(file.stat().st_size for file in (store / "log").iterdir())
        print(f"\nstore of {options.events:,} events: {size / options.events:.0f} bytes on disk an event")
        bench_reads(row, store)
        told = subprocess.run(
            [sys.executable, __file__, "--memory", str(store)], check=True, capture_output=True, text=True
        )
        for name, value in json.loads(told.stdout).items():
            print(f"{name:<78} {value:>9,.0f} MiB")
            rows.append({"work": name, "unit": "MiB", "median": value, "runs": [value]})
    print(f"\nafter: {machine.describe()}")
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


def bench_appends(row: Callable[[str, str, Callable[[int], float]], None], directory: Path) -> None:
    """Durable appends."""
    print("durable appends, in-process")
    for size in (100, 1_000):
        row(
            f"LevelDB alone, batches of {size:,} values of 300 bytes",
            "values/s",
            lambda n, s=size: appends.bare_leveldb(directory / f"bare-{s}-{n}", s, 100_000),  # type: ignore[misc]
        )
    for tasks, count in ((1, 2_000), (64, 20_000), (1_000, 40_000)):
        row(
            f"one event each, {tasks:,} waiting tasks",
            "events/s",
            lambda n, t=tasks, c=count: asyncio.run(appends.one_each(directory / f"one-{t}-{n}", t, c)),  # type: ignore[misc]
        )
    for size, callers, unique in (
        (100, 1, False),
        (100, 8, False),
        (1_000, 1, False),
        (1_000, 4, False),
        (100, 8, True),
    ):
        keyed = ", a unique request id and idempotency key in each" if unique else ""
        row(
            f"batches of {size:,}, {callers} callers{keyed}",
            "events/s",
            lambda n, s=size, c=callers, u=unique: asyncio.run(  # type: ignore[misc]
                appends.in_batches(directory / f"batch-{s}-{c}-{u}-{n}", s, c, 100_000, unique=u)
            ),
        )


def bench_reads(row: Callable[[str, str, Callable[[int], float]], None], store: Path) -> None:
    """Pages and replay."""
    queries: list[tuple[str, dict[str, object]]] = [
        ("a topic with 50 % of the log", {"topic": DENSE}),
        ("a topic with 5 % of the log", {"topic": SPARSE}),
        ("an actor with 0.1 % of the log", {"filter": {"actor": "u-7"}}),
        ("a topic with 50 % and an action", {"topic": DENSE, "filter": {"action": "connection.opened"}}),
    ]
    for name, opener in (("cold", reads.open_cold), ("warm", reads.open_warm)):
        print(f"\nrandom pages of 100 encoded events, {name}")
        with opener(store) as log:
            for title, query in queries:
                row(title, "pages/s", lambda n, log=log, q=query: reads.random_pages(log, 1.5, n, **q))  # type: ignore[misc]
            title = "replay of the topic with 50 %, pages of 1,000"
            row(title, "events/s", lambda _, log=log: reads.replay(log, topic=DENSE))  # type: ignore[misc]


def memory(store: Path) -> dict[str, float]:
    """Return this process's anonymous memory with the store open, and after work on it."""
    with Audit.open_sync(store) as log:
        told = {"RssAnon with the store open": machine.rss_anon_mib()}
        reads.random_pages(log, 2.0, 1, topic=DENSE)
        reads.replay(log, topic=DENSE)
        told["RssAnon after pages and a replay"] = machine.rss_anon_mib()
    appends.fill(store, 100_000)
    told["RssAnon after 100,000 more events"] = machine.rss_anon_mib()
    return told


if __name__ == "__main__":
    main()
