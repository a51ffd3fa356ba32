"""`audit fsck`: verify every record, of a store that nobody has open or of one that is served."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import typer

from audit.app.fsck import check_store
from audit.cli.credentials import token
from audit.cli.failures import ExitCode
from audit.cli.formats.events import default_format
from audit.cli.formats.rows import print_rows
from audit.cli.options import DataDir, Format, FormatOption, Url, located
from audit.cli.terminal import printable, progress, write
from audit.model.errors import Unavailable
from audit.storage.fsck import Finding, Report

__all__ = ["fsck"]


def fsck(data: DataDir = None, url: Url = None, chosen: FormatOption = None) -> None:
    """Check the whole store, and exit with 1 if anything is damaged; nothing is repaired."""
    with progress("checking", None) as advance:
        report = check_store(located(data), advance) if url is None else _served(url, advance)
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


def _served(url: str, advance: Callable[[int, int | None], None]) -> Report:
    """Have the server check its records, as of now."""
    from audit.client.upkeep import fetch_check  # noqa: PLC0415 - an extra

    for told in fetch_check(url, token=token()):
        if "findings" in told:
            findings = [Finding(str(one["record"]), str(one["problem"])) for one in told["findings"]]
            return Report(told["events"], told["segments"], findings)
        advance(told["checked"], told["of"])
    raise Unavailable("the connection was lost before the check was done")


def _print(report: Report) -> None:
    lines = [printable(f"{finding.record}: {finding.problem}") for finding in report.findings]
    found = f"{len(lines):,} findings" if lines else "nothing amiss"
    lines.append(f"{report.events:,} events in {report.segments:,} segments checked: {found}")
    write("".join([line + "\n" for line in lines]).encode(errors="backslashreplace"))
