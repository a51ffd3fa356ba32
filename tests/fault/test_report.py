"""Rows of reports become the table of docs/design/reliability.md."""

import json
from pathlib import Path

import pytest

from tests.fault.report import record, scaled
from tests.fault.table import main


def test_rows_of_one_fault_are_added_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report"
    monkeypatch.setenv("AUDIT_FAULT_REPORT", str(report))
    for injected, tried in (("pulled", 2), ("pushed", 3), ("pulled", 1_000)):
        record(fault="cut", injected=injected, tried=tried, acknowledged=10, lost=0, repeated=1, detected="seen")
    main([str(report)])
    assert capsys.readouterr().out.splitlines()[2:] == ["| cut | pulled; pushed | 1,005 | 30 | 0 | 3 | seen |"]
    (tmp_path / "long").write_text(json.dumps(json.loads(report.read_text().splitlines()[0]) | {"fault": "fire"}))
    main([str(report), str(tmp_path / "long")])
    rows = capsys.readouterr().out.splitlines()
    assert rows[2] == "| cut | pulled; pushed | 1,005 | – | 30 | – | 0 | – | 3 | – | seen |"
    assert rows[3] == "| fire | pulled | – | 2 (×1) | – | 10 | – | 0 | – | 1 | seen |"
    assert len({row.count("|") for row in rows}) == 1


def test_without_a_report_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUDIT_FAULT_REPORT", raising=False)
    monkeypatch.chdir(tmp_path)
    record(fault="cut", injected="", tried=1, acknowledged=1, lost=0, repeated=0, detected="")
    assert list(tmp_path.iterdir()) == []


def test_a_scale_multiplies_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUDIT_FAULT_SCALE", raising=False)
    assert scaled(10) == 10
    monkeypatch.setenv("AUDIT_FAULT_SCALE", "2.5")
    assert scaled(10) == 25
    monkeypatch.setenv("AUDIT_FAULT_SCALE", "0.01")
    assert scaled(10) == 1
