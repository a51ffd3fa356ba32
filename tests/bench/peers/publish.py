"""Putting a run where people see it: the JSON under docs, the table in the README, between two marks."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

__all__ = ["GROWTH", "PEERS", "Place", "put_table"]


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


def caption(told: dict[str, Any]) -> str:
    """Return where and when a run was made, and how to make it again."""
    runs = max((len(runs) for row in told["rows"] for runs in row["runs"].values()), default=0)
    where = f"{told['machine']}; Python {told['python']}; {told['date'][:10]}"
    how = f"medians of {runs} runs, of turns beside which nobody else used the machine: `{told['command']}`."
    times = told["calibration_s"]
    speed = f"The same arithmetic took up to {max(times) / min(times):.1f} times as long in one run as in another."
    return f"{where}; {how} {speed}"


def put_table(text: str, mark: str, told: dict[str, Any], table: str) -> str:
    """Return a README with a run's table in the place of the one it had.

    Args:
        text: The README.
        mark: Name of the two marks.
        told: The run, as its JSON has it.
        table: Its rows.

    Raises:
        ValueError: the README has no such marks.
    """
    start, end = f"<!-- {mark} -->\n", f"<!-- /{mark} -->"
    before, found, rest = text.partition(start)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise ValueError(f"the README has no {start.strip()} with {end} after it")
    return f"{before}{start}{table}\n\n{caption(told)}\n{end}{after}"


def put(root: Path, place: Place, told: dict[str, Any], table: str) -> None:
    """Write the table into the README."""
    readme = root / "README.md"
    readme.write_text(put_table(readme.read_text(encoding="utf-8"), place.mark, told, table), encoding="utf-8")
