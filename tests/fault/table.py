"""Prints the table of docs/design/reliability.md from reports (`report.py`): `table.py REPORT [LONG_REPORT]`.

Rows of the same fault are one: their numbers added up, their words put side by side.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

__all__ = ["merge", "table"]

Row = dict[str, Any]

NUMBERS: Final = ("tried", "acknowledged", "lost", "repeated")
WORDS: Final = ("injected", "detected", "scale")


def merge(lines: list[str]) -> dict[str, Row]:
    """Return one row for each fault, in the order in which they first come."""
    merged: dict[str, Row] = {}
    for line in lines:
        row = json.loads(line)
        known = merged.setdefault(row["fault"], dict.fromkeys(NUMBERS, 0) | {name: [] for name in WORDS})
        for name in NUMBERS:
            known[name] += row[name]
        for name in WORDS:
            known[name] += [row[name]] if row[name] not in known[name] else []
    return merged


def table(short: dict[str, Row], long: dict[str, Row]) -> str:
    """Return the table of one run, or of a short one and a long one."""
    titles = ["fault", "how injected", "tried", "acknowledged", "lost", "repeated", "how detected"]
    if long:
        titles[3:6] = [f"{title}{run}" for title in titles[3:6] for run in ("", ", long run")]
        titles.insert(3, "tried, long run")
    lines = [titles, ["---"] * len(titles)]
    for fault in sorted(short.keys() | long.keys()):
        words = short.get(fault) or long[fault]
        numbers = [
            f"{runs[fault][name]:,}" if fault in runs else "–"
            for name in NUMBERS
            for runs in ([short, long] if long else [short])
        ]
        if fault in long:
            numbers[1] += f" (×{', '.join(long[fault]['scale'])})"
        lines.append([fault, "; ".join(words["injected"]), *numbers, "; ".join(words["detected"])])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def main(paths: list[str]) -> None:
    """Print the table of these reports."""
    short, long = (merge(Path(path).read_text(encoding="utf-8").splitlines()) for path in [*paths, "/dev/null"][:2])
    print(table(short, long))  # noqa: T201 - what it is for


if __name__ == "__main__":
    main(sys.argv[1:])
