"""`make bench`: our own figures on this machine. `--events` sets the size of the store that is read."""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TypeVar

import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from audit import Audit
from tests.bench import appends, machine, metrics, proofs, reads, sockets
from tests.bench.workload import DENSE, SPARSE

RUNS = 5
T = TypeVar("T")


def main() -> None:
    """Run everything and print a table."""
    parser = argparse.ArgumentParser(description="Benchmarks of the embedded log on this machine.")
    parser.add_argument("--events", type=int, default=1_000_000, help="events of the store that is read")
    parser.add_argument("--memory", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--only", choices=["appends", "metrics", "proofs", "reads", "sockets"], help="just these rows")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    options = parser.parse_args()
    if options.memory is not None:
        print(json.dumps(memory(options.memory)))
        return
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    print(f"median of {RUNS} runs (least - most)\nbefore: {machine.describe()}\n")
    rows: list[dict[str, object]] = []

    def row(name: str, unit: str, measure: Callable[[int], float]) -> None:
        runs = [measure(number) for number in range(RUNS)]
        rows.append({"work": name, "unit": unit, "median": statistics.median(runs), "runs": runs})
        low, high = min(runs), max(runs)
        print(f"{name:<78} {statistics.median(runs):>9,.0f} {unit:<8} ({low:,.0f} - {high:,.0f})", flush=True)

    with tempfile.TemporaryDirectory(prefix="bench-", dir=Path.cwd()) as directory:
        only = options.only
        if only in {None, "appends"}:
            bench_appends(row, Path(directory))
        if only in {None, "metrics"}:
            bench_metrics(row, Path(directory), options.events)
        if only in {"appends", "metrics"}:
            return
        store = Path(directory) / "store"
        appends.fill(store, options.events)
        size = sum(file.stat().st_size for file in (store / "log").iterdir())
        print(f"\nstore of {options.events:,} events: {size / options.events:.0f} bytes on disk an event")
        if only in {None, "reads"}:
            bench_reads(row, store)
        if only in {None, "proofs"}:
            bench_proofs(row, store)
        if only in {None, "sockets"}:
            bench_sockets(row, Path(directory), store)
        if only is not None:
            return
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


def bench_metrics(row: Callable[[str, str, Callable[[int], float]], None], directory: Path, events: int) -> None:
    """Counts over all events, and what registered metrics cost."""
    print("\nmetrics, in-process")
    for count in (events // 10, events):
        path = directory / f"spread-{count}"
        metrics.fill(path, count)
        with metrics.opened(path, count) as log:
            name = f"count of {count:,} events over 30 days, by hour"
            row(name, "µs", lambda _, log=log: metrics.count_by_hour(log) * 1e3)  # type: ignore[misc]
    for count in (100_000, 400_000):
        for registered in (0, len(metrics.REGISTERED)):
            row(
                f"{count:,} events in batches of 100, 8 callers, {registered} registered metrics",
                "events/s",
                lambda n, r=registered, c=count: metrics.append_rate(directory / f"kept-{c}-{r}-{n}", r, c),  # type: ignore[misc]
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


def bench_proofs(row: Callable[[str, str, Callable[[int], float]], None], store: Path) -> None:
    """Proofs, with no caches."""
    print("\nproofs, the store's own caches off")
    row("opening the store, its tree compared with its checkpoint", "ms", lambda _: proofs.opening(store))
    with proofs.open_signed(store) as log:
        for title, measure in (("inclusion", proofs.inclusion), ("consistency", proofs.consistency)):
            row(f"{title}: making one", "µs", lambda n, m=measure: m(log, n)[0])  # type: ignore[misc]
            row(f"{title}: checking one", "µs", lambda n, m=measure: m(log, n)[1])  # type: ignore[misc]


def bench_sockets(row: Callable[[str, str, Callable[[int], float]], None], directory: Path, store: Path) -> None:
    """The same over WebSocket, through our client, and fan-out."""
    print("\nover a socket: a server in its own process")
    with sockets.served(directory / "served") as url:
        row("append, one at a time", "events/s", lambda _: run(sockets.append_each(url, 1, 2_000)))
        cuts = statistics.quantiles(run(sockets.append_latency(url, 3_000)), n=100)
        for percent in (50, 99):
            row(f"append, one at a time: p{percent}", "µs", lambda _, p=percent: cuts[p - 1] * 1e3)  # type: ignore[misc]
        row("append, 100 connections, one event each", "events/s", lambda _: run(sockets.append_each(url, 100, 10_000)))
        for size, calls, count in ((100, 8, 50_000), (1_000, 4, 100_000)):
            row(
                f"append, {size:,} events a call, {calls} calls at once",
                "events/s",
                lambda _, s=size, c=calls, n=count: run(sockets.append_calls(url, s, c, n)),  # type: ignore[misc]
            )
        for subscribers, count in ((1, 100_000), (100, 20_000)):
            title = f"live tail, {subscribers} subscriber{'s'[: subscribers - 1]}, unpaced"
            row(title, "events/s", lambda _, s=subscribers, c=count: run(sockets.live_tail(url, s, c)))  # type: ignore[misc]
        for subscribers, stalled, rate in ((100, 0, 50), (1_000, 0, 10), (1_000, 20, 10)):
            title = f"live tail, {subscribers:,} subscribers, {stalled} of them stalled, {rate} events/s"
            runs = [run(sockets.paced(url, subscribers, stalled, rate, 4.0)) for _ in range(RUNS)]
            for cut in ("p50", "p99"):
                row(f"{title}: {cut}", "µs", lambda n, c=cut, r=runs: r[n][c] * 1e3)  # type: ignore[misc]
    with sockets.served(store) as url:
        row("random pages of 100 decoded events", "pages/s", lambda n: run(sockets.random_pages(url, 1.5, n)))
        row("replay of the topic with 50 %, decoded", "events/s", lambda _: run(sockets.replay(url)))


def run(work: Coroutine[None, None, T]) -> T:
    """Run a client's work on the loop that most who care for speed use."""
    return uvloop.run(work)


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
