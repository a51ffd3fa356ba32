"""What was measured, as a table and as JSON, and whether the machine was quiet enough for anybody to be shown it."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from tests.bench import machine
from tests.bench.peers.quiet import QUIET_CORES, Quiet, busy_cores

__all__ = ["Busy", "Report", "Row", "figure"]

T = TypeVar("T")

RUNS_TO_PUBLISH: Final = 5
STEADY: Final = 1.15
"""How much slower the same arithmetic may be after a run of all sides than before it, or faster."""
OURS: Final = "ours"


class Busy(Exception):
    """A run now could not be published."""


@dataclass
class Row:
    """One figure of one work: all runs of all sides."""

    work: str
    unit: str
    runs: dict[str, list[float]]
    best_of: frozenset[str]
    """Whom the ratio may be with: those whose acknowledgement is as good."""
    finding: frozenset[str]
    """Those of them whose events can be found as ours can."""

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Row:
        """Return the row that `as_json` told."""
        return cls(told["work"], told["unit"], told["runs"], frozenset(told["best_of"]), frozenset(told["finding"]))

    @property
    def less_is_better(self) -> bool:
        """Whether the smaller figure is ahead: times and sizes."""
        return not self.unit.endswith("/s")

    def as_json(self) -> dict[str, Any]:
        """Return the row as it is published."""
        medians = {name: statistics.median(runs) for name, runs in self.runs.items()}
        best = self._best(self.best_of, medians)
        alike = self._best(self.best_of & self.finding, medians)
        return {
            "work": self.work,
            "ours": medians.get(OURS),
            "peers": {name: value for name, value in medians.items() if name != OURS},
            "best_peer": best,
            "ratio": self._ratio(best),
            "best_alike": alike,
            "ratio_alike": self._ratio(alike),
            "unit": self.unit,
            "better": "less" if self.less_is_better else "more",
            "best_of": sorted(self.best_of),
            "finding": sorted(self.finding),
            "runs": self.runs,
        }

    def _best(self, names: frozenset[str], medians: dict[str, float]) -> str | None:
        known = {name: value for name, value in medians.items() if name in names and name != OURS}
        if not known:
            return None
        return (min if self.less_is_better else max)(known, key=known.__getitem__)

    def _ratio(self, peer: str | None) -> float | None:
        """Return the median, over the runs, of ours divided by the peer's of the same run."""
        if peer is None or OURS not in self.runs:
            return None
        return statistics.median(
            ours / theirs for ours, theirs in zip(self.runs[OURS], self.runs[peer], strict=True) if theirs
        )


@dataclass
class Report:
    """All rows, and what the machine did meanwhile."""

    command: str
    facts: dict[str, Any] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    why_not: list[str] = field(default_factory=list)
    others: list[float] = field(default_factory=list)
    quiet: Quiet = field(default_factory=lambda: Quiet(0.0))
    kept: Path | None = None
    """Where rows are written as they come, and taken from when a run is begun again."""
    busy_cores: Callable[[float], float] = busy_cores
    describe: Callable[[], str] = machine.describe
    spin_s: Callable[[], float] = field(default_factory=lambda: _spin_s)
    calibration: list[float] = field(default_factory=list)
    """Seconds that the same arithmetic took before and after each run of a row."""

    def begin(self, *, runs: int, quick: bool, publish: bool = False) -> None:
        """Look at the machine before anything of ours runs.

        Args:
            runs: Of each row.
            quick: Whether the counts are small.
            publish: Look for longer: what follows takes an hour, and would be in vain on a busy machine.

        Raises:
            Busy: it is to be published, and can't be.
        """
        self.facts |= {
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": f"{_processor()}, {os.cpu_count()} cores, {_memory_gib():.0f} GiB, {platform.platform()}",
            "python": platform.python_version(),
            "before": self.describe(),
        }
        self.quiet.wait()
        self.look(10.0 if publish else 2.0)
        if runs < RUNS_TO_PUBLISH:
            self.why_not.append(f"{runs} runs, not {RUNS_TO_PUBLISH}")
        if quick:
            self.why_not.append("a quick run: small counts")
        print(f"before: {self.facts['before']}; others use {self.others[-1]:.2f} cores")
        if publish and self.others[-1] > QUIET_CORES:
            self.why_not.append(f"others use {self.others[-1]:.2f} cores (at most {QUIET_CORES}): try when it is quiet")
        if publish and self.why_not:
            raise Busy("; ".join(self.why_not))

    def look(self, seconds: float) -> None:
        """Measure what others use, while what is ours is idle."""
        self.others.append(self.busy_cores(seconds))

    def end(self) -> None:
        """Look again, and judge."""
        self.look(2.0)
        self.facts["after"] = self.describe()
        self.facts["others_cores"] = {"most": max(self.others), "median": statistics.median(self.others)}
        self.facts["calibration_s"] = self.calibration
        turns = self.facts["turns"] = self.quiet.turns
        if turns["disturbed"]:
            self.why_not.append(f"{turns['disturbed']} of {turns['all']} turns were taken beside others' work")
        others = statistics.median(self.others)
        if others > QUIET_CORES:
            self.why_not.append(f"others used {others:.2f} cores (median; at most {QUIET_CORES})")
        print(f"\nafter: {self.facts['after']}; others used {others:.2f} cores (median)")
        print(f"{turns['all']} turns, {turns['again']} of them taken again as others used the machine")
        if self.why_not:
            print("NOT TO BE PUBLISHED: " + "; ".join(self.why_not))

    def steadily(self, measure: Callable[[], T]) -> T:
        """Return what a run of a row gives, taken again while the same arithmetic is not as fast after as before it."""
        while True:
            began, before = time.monotonic(), self.spin_s()
            found = measure()
            after = self.spin_s()
            if 1 / STEADY <= after / before <= STEADY or not self.quiet.again(time.monotonic() - began):
                self.calibration += [before, after]
                return found

    def resume(self, kept: Path) -> None:
        """Take over the rows of a run that did not come to its end, and write those of this one there, too.

        Raises:
            Busy: they are of another machine, or of other software.
        """
        self.kept = kept
        if not kept.exists():
            return
        told = json.loads(kept.read_text(encoding="utf-8"))
        for name in ("command", "machine", "python", "versions"):
            mine = self.command if name == "command" else self.facts[name]
            if told[name] != mine:
                raise Busy(f"{kept} is of another {name}: {told[name]}")
        self.rows = [Row.from_json(row) for row in told["rows"]]
        self.quiet.turns = told["turns"]
        self.calibration = told["calibration_s"]

    def has(self, work: str) -> bool:
        """Return whether a work's rows are there."""
        return any(row.work == work for row in self.rows)

    def add(self, row: Row) -> None:
        """Keep a row and print it."""
        self.rows.append(row)
        if self.kept is not None:
            self.facts |= {"turns": self.quiet.turns, "calibration_s": self.calibration}
            self.write(self.kept)
        told = row.as_json()
        print(f"{row.work}, {row.unit}")
        for name, runs in row.runs.items():
            spread = f"({figure(min(runs))} - {figure(max(runs))})"
            marks = "" if name in row.best_of or name == OURS else "  not in the ratio: no fsync"
            print(f"    {name:<22} {figure(statistics.median(runs)):>12} {spread:<28}{marks}")
        if told["ratio"] is not None:
            better = "less is better" if row.less_is_better else "more is better"
            print(f"    ours / {told['best_peer']}: {told['ratio']:.2f} ({better})", end="")
            if told["best_alike"] not in {None, told["best_peer"]}:
                print(f"; ours / {told['best_alike']}, which finds events too: {told['ratio_alike']:.2f}", end="")
            print()
        print(end="", flush=True)

    def as_json(self) -> dict[str, Any]:
        """Return all of it."""
        return {
            "publishable": not self.why_not,
            "why_not": self.why_not,
            "command": self.command,
            **self.facts,
            "rows": [row.as_json() for row in self.rows],
        }

    def write(self, path: Path) -> None:
        """Write what may become `docs/bench.json`."""
        path.write_text(json.dumps(self.as_json(), indent=1, ensure_ascii=False) + "\n")


def _spin_s() -> float:
    def spin() -> float:
        started = time.perf_counter()
        sum(number * number for number in range(1_000_000))
        return time.perf_counter() - started

    return statistics.median(spin() for _ in range(9))


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def figure(value: float) -> str:
    """Return a figure as it is printed."""
    return f"{value:,.0f}" if value >= 10 else f"{value:,.2f}"
