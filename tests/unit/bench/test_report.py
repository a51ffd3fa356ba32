"""The benchmark beside peers: its own arithmetic, and where it puts what it found."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.bench.peers.publish import GROWTH, PEERS, ROOT, Place, put_table, table
from tests.bench.peers.quiet import Quiet
from tests.bench.peers.report import Busy, Report, Row
from tests.bench.peers.rows import made
from tests.bench.peers.sides import encode, paths


def row(unit: str = "events/s", **runs: list[float]) -> Row:
    durable = frozenset(runs) - {"unsynced"}
    return Row("work", unit, runs, durable, durable - {"plain"})


def test_the_ratio_is_the_median_of_the_ratios_run_by_run_not_that_of_the_medians() -> None:
    told = row(ours=[10, 40, 30], peer=[20, 20, 10]).as_json()
    assert (told["ours"], told["peers"]) == (30, {"peer": 20})
    # 0.5, 2 and 3; the medians would give 1.5.
    assert told["ratio"] == 2


def test_the_best_peer_is_the_fastest_of_those_whose_acknowledgement_is_an_fsync() -> None:
    told = row(ours=[10.0], slow=[5.0], plain=[20.0], unsynced=[100.0]).as_json()
    assert (told["best_peer"], told["ratio"]) == ("plain", 0.5)
    assert (told["best_alike"], told["ratio_alike"]) == ("slow", 2)
    assert told["peers"]["unsynced"] == 100
    assert told["better"] == "more"


@pytest.mark.parametrize("unit", ["p99 µs", "bytes/event", "MiB"])
def test_of_times_and_sizes_the_least_is_best(unit: str) -> None:
    told = row(unit, ours=[10.0], slow=[40.0], quick=[5.0]).as_json()
    assert (told["best_peer"], told["ratio"], told["better"]) == ("quick", 2, "less")


def test_without_a_peer_there_is_no_ratio_and_no_line_in_the_table() -> None:
    report = Report("command", rows=[row(ours=[1.0]), row(ours=[1.0], peer=[4.0])])
    assert report.rows[0].as_json()["ratio"] is None
    assert table(report.as_json()).splitlines()[2:] == ["| work, events/s | 1.00 | 4.00 (peer) | 0.25 |  |  |"]


def test_the_best_that_finds_as_much_is_shown_where_it_is_another() -> None:
    report = Report("command", rows=[row(ours=[10.0], slow=[5.0], plain=[20.0]), row(ours=[10.0], plain=[20.0])])
    assert table(report.as_json()).splitlines()[2:] == [
        "| work, events/s | 10 | 20 (plain) | 0.50 | 5.00 (slow) | 2.00 |",
        "| work, events/s | 10 | 20 (plain) | 0.50 |  |  |",
    ]


def test_of_several_sizes_each_has_a_column_and_the_largest_is_compared_with_the_smallest() -> None:
    rows = [
        Row(f"{work}, log of {size}", "p50 µs", {"ours": [ours], "peer": [2.0]}, frozenset({"peer"}), frozenset())
        for work, size, ours in [("page", "100", 4.0), ("append", "100", 3.0), ("page", "1,000", 6.0)]
    ]
    assert table(Report("command", rows=rows).as_json()).splitlines() == [
        "| work | 100 | 1,000 | 1,000 / 100 |",
        "|---|---|---|---|",
        "| page, p50 µs | 4.00 (2.00) | 6.00 (2.00) | 1.50 |",
    ]


def on_machine(busy_cores: float) -> Report:
    return Report("command", busy_cores=lambda _: busy_cores, describe=lambda: "a machine")


def test_a_run_that_is_to_be_published_is_not_started_on_a_busy_machine() -> None:
    with pytest.raises(Busy, match=r"others use 0\.50 cores"):
        on_machine(0.5).begin(runs=5, quick=False, publish=True)
    on_machine(0.5).begin(runs=5, quick=False)
    on_machine(0.1).begin(runs=5, quick=False, publish=True)


def test_what_others_do_meanwhile_is_judged_at_the_end() -> None:
    report = on_machine(0.1)
    report.begin(runs=5, quick=False, publish=True)
    report.others += [0.5] * 9
    report.end()
    assert any("others used 0.50 cores" in why for why in report.why_not)


@pytest.mark.parametrize(("runs", "quick", "why"), [(4, False, "4 runs"), (5, True, "quick")])
def test_few_runs_and_quick_ones_are_not_published(runs: int, quick: bool, why: str) -> None:
    with pytest.raises(Busy, match=why):
        on_machine(0.0).begin(runs=runs, quick=quick, publish=True)


def test_the_json_says_whether_it_may_be_published_and_keeps_every_run(tmp_path: Path) -> None:
    report = Report("command", {"date": "today"}, [row(ours=[1.0, 2.0], peer=[1.0, 1.0])], ["too busy"])
    report.write(tmp_path / "bench.json")
    told = json.loads((tmp_path / "bench.json").read_text())
    assert (told["publishable"], told["why_not"], told["date"]) == (False, ["too busy"], "today")
    assert told["rows"][0]["runs"] == {"ours": [1, 2], "peer": [1, 1]}
    assert {"work", "ours", "peers", "best_peer", "ratio", "unit", "runs"} <= told["rows"][0].keys()


def on_shared_machine(stolen: list[float], patience_s: float) -> tuple[Quiet, list[float]]:
    """Return a machine where all work takes a second, of which others take so much, and how long was rested."""
    clock = {"now": 0.0, "stolen": 0.0}
    rests: list[float] = []

    def take() -> None:
        clock["now"] += 1.0
        clock["stolen"] += stolen.pop(0)

    quiet = Quiet(
        patience_s, stolen_s=lambda: clock["stolen"], now_s=lambda: clock["now"], rest=rests.append, probe=take
    )
    return quiet, rests


def test_a_turn_beside_which_others_took_too_much_is_taken_again_once_it_is_quiet() -> None:
    # Turn, probe, probe, turn; turn.
    stolen = [1.0, 0.5, 0.1, 0.1, 0.15]
    quiet, rests = on_shared_machine(stolen, 60.0)
    for _ in range(2):
        quiet.turn(quiet._probe)
    assert quiet.turns == {"all": 3, "again": 1, "disturbed": 0}
    assert (stolen, rests) == ([], [10.0])


def test_without_patience_a_turn_counts_as_it_is_and_the_run_is_not_published() -> None:
    quiet, rests = on_shared_machine([1.0, 1.0, 0.0], 0.0)
    for _ in range(3):
        quiet.turn(quiet._probe)
    assert quiet.turns == {"all": 3, "again": 0, "disturbed": 2}
    assert not rests
    report = on_machine(0.0)
    report.quiet = quiet
    report.begin(runs=5, quick=False)
    report.end()
    assert report.why_not[0] == "2 of 3 turns were taken beside others' work"


@pytest.mark.parametrize(
    ("spins", "patience_s", "found", "turns"),
    [
        ([1.0, 1.1], 60.0, 1, {"all": 0, "again": 0, "disturbed": 0}),
        ([1.0, 1.2, 1.0, 0.8, 1.0, 1.0], 60.0, 3, {"all": 0, "again": 2, "disturbed": 0}),
        ([1.0, 1.2], 0.0, 1, {"all": 0, "again": 0, "disturbed": 1}),
    ],
)
def test_a_run_in_which_the_machine_became_faster_or_slower_is_taken_again(
    spins: list[float], patience_s: float, found: int, turns: dict[str, int]
) -> None:
    quiet, _ = on_shared_machine([0.0] * 4, patience_s)
    last, measured = spins[-2:], iter(range(1, 9))
    report = Report("command", quiet=quiet, spin_s=lambda: spins.pop(0))
    assert report.steadily(lambda: next(measured)) == found
    assert (report.quiet.turns, report.calibration) == (turns, last)


def test_a_run_that_broke_off_goes_on_with_its_rows_and_no_others(tmp_path: Path) -> None:
    kept = tmp_path / "rows.json"

    def begun() -> Report:
        report = Report("command", {"machine": "M", "python": "3", "versions": {"a": "1"}})
        report.resume(kept)
        return report

    first = begun()
    first.quiet.turns["all"] = 7
    first.calibration += [0.1, 0.2]
    first.add(row(ours=[1.0], peer=[4.0], plain=[2.0]))
    again = begun()
    assert again.has("work")
    assert not again.has("other")
    assert (again.rows, again.quiet.turns, again.calibration) == (first.rows, first.quiet.turns, first.calibration)
    for name, other in {"machine": "N", "python": "4", "versions": {"a": "2"}}.items():
        changed = Report("command", first.facts | {name: other})
        with pytest.raises(Busy, match=f"another {name}"):
            changed.resume(kept)
    with pytest.raises(Busy, match="another command"):
        Report("other", first.facts).resume(kept)


def test_a_table_takes_the_place_of_the_one_before_it_and_nothing_else_changes() -> None:
    told: dict[str, Any] = {"machine": "M", "python": "3.11", "date": "2026-11-22T21:00", "command": "make it"}
    told["calibration_s"] = [0.04, 0.06]
    told["rows"] = [row(ours=[1.0] * 5).as_json()]
    before = "# Title\n<!-- bench -->\nold\n<!-- /bench -->\nrest\n"
    after = put_table(before, "bench", told)
    caption = (
        "M; Python 3.11; 2026-11-22; medians of 5 runs, of turns beside which nobody else used the machine: `make it`."
        " The same arithmetic took up to 1.5 times as long in one run as in another."
        " Of times and sizes less is better; an empty place says that the best peer is that one, too."
    )
    assert after == f"# Title\n<!-- bench -->\n{table(told)}\n\n{caption}\n<!-- /bench -->\nrest\n"
    assert put_table(after, "bench", told) == after
    with pytest.raises(ValueError, match="<!-- other -->"):
        put_table(before, "other", told)


NOTHING: dict[str, Any] = {"machine": "", "python": "", "date": "", "command": "", "rows": [], "calibration_s": [1.0]}


def test_the_readme_has_the_places_for_both_tables() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for place in (PEERS, GROWTH):
        assert put_table(text, place.mark, NOTHING)


@pytest.mark.parametrize("place", [PEERS, GROWTH], ids=lambda place: place.mark)
def test_the_readme_shows_the_runs_that_were_published(place: Place) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    told = json.loads((ROOT / place.json).read_text(encoding="utf-8"))
    assert told["publishable"]
    assert put_table(text, place.mark, told) == text


def test_events_are_of_300_to_370_bytes_and_the_same_from_the_same_seed() -> None:
    events = made(2_000)
    assert all(300 <= len(encode(event)) <= 370 for event in events)
    assert made(2_000) == events
    assert len({event.data["bytes"] for event in events}) == 2_000


def test_paths_are_a_topic_and_its_ancestors() -> None:
    assert paths(("a", "b", "c")) == ["a", "a/b", "a/b/c"]
