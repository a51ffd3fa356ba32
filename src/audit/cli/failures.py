"""Exit codes, and every expected failure as one `error:` line, with a `hint:` line where there is a remedy."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from audit.cli.store import Unreachable
from audit.cli.terminal import complain, hint
from audit.model import errors

__all__ = ["ExitCode", "exit_code", "report"]


class ExitCode(IntEnum):
    """What the command line ends with: documented in docs/cli.md, and stable."""

    OK = 0
    FINDINGS = 1
    USAGE = 2
    NOT_FOUND = 3
    STORE = 4
    REFUSED = 5
    INTERRUPTED = 130
    TERMINATED = 143


# The first class that fits counts: a special one stands before its general one.
_CODES: Final[tuple[tuple[type[Exception], ExitCode], ...]] = (
    (errors.InvalidParameter, ExitCode.USAGE),
    (errors.Conflict, ExitCode.USAGE),
    (errors.NotFound, ExitCode.NOT_FOUND),
    (errors.ProofInvalid, ExitCode.FINDINGS),
    (errors.StoreError, ExitCode.STORE),
)

# For errors whose own message, which is not only for people at a command line, names no remedy.
_HINTS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (errors.CursorInvalid, "a cursor goes with the topics, the filter and the order of the page it came with"),
    (errors.BackupInvalid, "restore needs the full backup first, then each increment in its order"),
    (errors.StoreCorrupt, "audit fsck says what is damaged"),
    (Unreachable, "is a server running there? audit serve starts one"),
    (errors.OutcomeUnknown, "repeat the command: an event with an idempotency key is not appended twice"),
)


def exit_code(error: Exception) -> ExitCode:
    """Return the exit code that stands for an error."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return ExitCode.REFUSED


def report(error: errors.AuditError | OSError) -> None:
    """Say on stderr what went wrong, and what to do about it."""
    complain(f"error: {_message(error)}")
    for kind, remedy in _HINTS:
        if isinstance(error, kind):
            hint(remedy)
            return


def _message(error: errors.AuditError | OSError) -> str:
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename is not None else ""
        return f"{place}{error.strerror}"
    return str(error) or type(error).__name__
