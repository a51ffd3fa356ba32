"""Putting a run where people see it: the JSON under docs, the table in the README, between two marks.

`python -m tests.bench.peers.publish` makes the tables anew from the JSON that is there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.bench.peers.report import figure

__all__ = ["GROWTH", "PEERS", "Place", "put", "put_table", "table"]

ROOT: Final = Path(__file__).resolve().parents[3]


class Place(NamedTuple):
    """Where a run goes.

    Attributes:
        json: The file of its rows, from the project's folder on.
        mark: What the README's table stands between: `<!-- mark -->` and `<!-- /mark -->`.
    """

    json: str
    mark: str


PEERS: Final = Place("docs/bench.json", "bench")
GROWTH: Final = Place("docs/bench-growth.json", "bench-growth")


def table(told: dict[str, Any]) -> str:
    """Return the rows of a run that have a ratio, for a README; of a run of several sizes a column for each."""
    rows = _compared(told)
    sizes = _sizes(rows)
    return _by_size(rows, sizes) if len(sizes) > 1 else _by_peer(rows)


def _compared(told: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for row in told["rows"] if row["ratio"] is not None]


def _by_peer(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| work | ours | best peer | ratio | best that finds events as ours does | ratio |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        best, alike = _beside(row, "best_peer", "ratio"), _beside(row, "best_alike", "ratio_alike")
        other = alike if row["best_alike"] not in {None, row["best_peer"]} else " | "
        lines.append(f"| {row['work']}, {row['unit']} | {figure(row['ours'])} | {best} | {other} |")
    return "\n".join(lines)


def _by_size(rows: list[dict[str, Any]], sizes: list[str]) -> str:
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rows:
        work, size = _work(row)
        found.setdefault(f"{work}, {row['unit']}", {})[size] = row
    lines = [
        f"| work | {' | '.join(sizes)} | {sizes[-1]} / {sizes[0]} |",
        f"|---|{'---|' * len(sizes)}---|",
    ]
    for work, by_size in found.items():
        cells = [
            f"{figure(row['ours'])} ({figure(row['peers'][row['best_peer']])})"
            for row in map(by_size.get, sizes)
            if row
        ]
        if len(cells) == len(sizes):
            first, last = by_size[sizes[0]], by_size[sizes[-1]]
            lines.append(f"| {work} | {' | '.join(cells)} | {last['ours'] / first['ours']:.2f} |")
    return "\n".join(lines)


def _work(row: dict[str, Any]) -> tuple[str, str]:
    """Return a row's work, and the size of the log that it is of; empty: of none."""
    work, _, size = row["work"].partition(", log of ")
    return work, size


def _sizes(rows: list[dict[str, Any]]) -> list[str]:
    return [size for size in dict.fromkeys(size for _, size in map(_work, rows)) if size]


def _beside(row: dict[str, Any], peer: str, ratio: str) -> str:
    return f"{figure(row['peers'][row[peer]])} ({row[peer]}) | {row[ratio]:.2f}" if row[peer] else ""


def caption(told: dict[str, Any]) -> str:
    """Return where and when a run was made, and how to make it again."""
    runs = max((len(runs) for row in told["rows"] for runs in row["runs"].values()), default=0)
    where = f"{told['machine']}; Python {told['python']}; {told['date'][:10]}"
    how = f"medians of {runs} runs, of turns beside which nobody else used the machine: `{told['command']}`."
    times = told["calibration_s"]
    speed = f"The same arithmetic took up to {max(times) / min(times):.1f} times as long in one run as in another."
    rows = _compared(told)
    beside = "an empty place says that the best peer is that one, too"
    if len(_sizes(rows)) > 1:
        beside = f"in brackets {' or '.join(sorted({row['best_peer'] for row in rows}))}"
    reading = f"Of times and sizes less is better; {beside}."
    return f"{where}; {how} {speed} {reading}"


def put_table(text: str, mark: str, told: dict[str, Any]) -> str:
    """Return a README with a run's table in the place of the one it had.

    Args:
        text: The README.
        mark: Name of the two marks.
        told: The run, as its JSON has it.

    Raises:
        ValueError: the README has no such marks.
    """
    start, end = f"<!-- {mark} -->\n", f"<!-- /{mark} -->"
    before, found, rest = text.partition(start)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise ValueError(f"the README has no {start.strip()} with {end} after it")
    return f"{before}{start}{table(told)}\n\n{caption(told)}\n{end}{after}"


def put(place: Place, told: dict[str, Any]) -> None:
    """Write the table into the README."""
    readme = ROOT / "README.md"
    readme.write_text(put_table(readme.read_text(encoding="utf-8"), place.mark, told), encoding="utf-8")


if __name__ == "__main__":
    for known in (PEERS, GROWTH):
        if (ROOT / known.json).exists():
            put(known, json.loads((ROOT / known.json).read_text(encoding="utf-8")))
