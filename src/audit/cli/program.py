"""The program `audit`: its commands, and the one place where a failure becomes a message and an exit code."""

from __future__ import annotations

import os
import signal
import sys
from io import TextIOWrapper
from pathlib import Path
from types import FrameType
from typing import Annotated, Final, NoReturn

import typer

from audit.cli.commands import (
    append,
    backup,
    doctor,
    erase,
    export,
    fsck,
    get,
    info,
    ingest,
    init,
    key,
    listing,
    metrics,
    proof,
    serve,
    tail,
    tenant,
    token,
    topics,
    verify,
    witness,
)
from audit.cli.failures import ExitCode, exit_code, report
from audit.cli.terminal import complain
from audit.model.errors import AuditError

__all__ = ["build", "main", "run"]

_EPILOG: Final = (
    "Exit codes: 0 done; 1 fsck found damage, doctor something to do, verify what was not signed, or ingest bad lines; "
    "2 a bad option or value; 3 no such event; "
    "4 the store is missing, there already, held by another process, or damaged; 5 refused for now (unavailable, disk "
    "full, clock suspect, outcome unknown, an error of the system); 130 interrupted; 143 terminated."
)

# The base of typer's usage errors: its releases differ in where they keep it, not in what inherits from it.
_USAGE_ERROR: Final[type[typer.BadParameter]] = typer.BadParameter.__mro__[1]


def build() -> typer.Typer:
    """Return the program with all its commands."""
    app = typer.Typer(
        help="An append-only audit event store: append, page, tail, serve and check events.",
        epilog=_EPILOG,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback(no_args_is_help=True)(_root)
    for name, command in (
        ("init", init.init),
        ("append", append.append),
        ("list", listing.list_events),
        ("get", get.get),
        ("tail", tail.tail),
        ("topics", topics.topics),
        ("ingest", ingest.ingest),
        ("erase", erase.erase),
        ("info", info.info),
        ("serve", serve.serve),
        ("backup", backup.backup),
        ("restore", backup.restore),
        ("fsck", fsck.fsck),
        ("doctor", doctor.doctor),
        ("checkpoint", proof.checkpoint),
        ("proof", proof.proof),
        ("export", export.export),
        ("verify", verify.verify),
        ("witness", witness.witness),
    ):
        app.command(name)(command)
    app.add_typer(key.key, name="key")
    app.add_typer(token.build(), name="token")
    app.add_typer(tenant.build(), name="tenant")
    app.add_typer(metrics.metrics, name="metrics")
    return app


def _root(
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="Directory of the store, for any command.")
    ] = None,
    url: Annotated[str | None, typer.Option("--url", metavar="URL", help="A served log, in place of --data.")] = None,
) -> None:
    """Take what stands before the command; `options.DataDir` and `options.Url` look it up."""


def main() -> NoReturn:
    """Run the command line of this process, and exit."""
    signal.signal(signal.SIGTERM, _terminate)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        # Started with a stream closed (`>&-`), a file of the store would get its descriptor, and what is written there.
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 - for as long as the process lives
    for stream in (sys.stdout, sys.stderr):
        # A terminal of another encoding gets escapes for what it can't show, not a failure half-way.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line, and return its exit code: every failure that is expected has been reported by then."""
    command = typer.main.get_command(build())
    try:
        # Not command(...), which prints errors, and takes a closed pipe for a failure, in a way of its own.
        with command.make_context("audit", arguments) as context:
            command.invoke(context)
        sys.stdout.flush()
    except typer.Exit as stop:
        return _flushed(stop.exit_code)
    except BrokenPipeError:
        # Whoever read the output has seen enough.
        return _flushed(ExitCode.OK)
    except KeyboardInterrupt:
        return _flushed(ExitCode.INTERRUPTED)
    except (AuditError, OSError) as error:
        report(error)
        return _flushed(exit_code(error))
    except _USAGE_ERROR as error:
        # Without a command, the help is printed, and there is nothing more to say.
        if message := error.format_message():
            complain(f"error: {message}")
        return ExitCode.USAGE
    return ExitCode.OK


def _flushed(code: int) -> int:
    """Return `code` once stdout is flushed, or given up: Python would fail to flush it again on its way out."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    """Leave as Ctrl-C does, through every `with`, so that the store is closed."""
    sys.exit(ExitCode.TERMINATED)
