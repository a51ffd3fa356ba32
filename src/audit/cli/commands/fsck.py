"""`audit fsck`: verify every record of a store that nobody has open."""

from __future__ import annotations

import msgspec
import typer

from audit.app.fsck import check_store
from audit.cli.failures import ExitCode
from audit.cli.formats.events import default_format
from audit.cli.formats.rows import print_rows
from audit.cli.options import DataDir, Format, FormatOption, NoUrl, located
from audit.cli.terminal import printable, progress, write
from audit.storage.fsck import Report

__all__ = ["fsck"]


def fsck(data: DataDir = None, chosen: FormatOption = None, _url: NoUrl = None) -> None:
    """Check the whole store, and exit with 1 if anything is damaged; nothing is repaired."""
    path = located(data)
    with progress("checking", None) as advance:
        report = check_store(path, advance)
    findings = [{"record": finding.record, "problem": finding.problem} for finding in report.findings]
    chosen = chosen or default_format()
    if chosen is Format.CSV:
        print_rows(chosen, ("record", "problem"), findings)
    elif chosen is Format.TABLE:
        _print(report)
    else:
        whole = {"events": report.events, "segments": report.segments, "findings": findings}
        write(msgspec.json.encode(whole) + b"\n")
    if findings:
        raise typer.Exit(ExitCode.FINDINGS)


def _print(report: Report) -> None:
    lines = [printable(f"{finding.record}: {finding.problem}") for finding in report.findings]
    found = f"{len(lines):,} findings" if lines else "nothing amiss"
    lines.append(f"{report.events:,} events in {report.segments:,} segments checked: {found}")
    write("".join([line + "\n" for line in lines]).encode(errors="backslashreplace"))
