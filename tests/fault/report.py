"""What tests of faults tried and found, a JSON line each, in the file that AUDIT_FAULT_REPORT names; else nowhere."""

from __future__ import annotations

import json
import os

__all__ = ["record", "scaled", "seeded"]


def record(
    *, fault: str, injected: str, tried: int, acknowledged: int, lost: int, repeated: int, detected: str
) -> None:
    """Append a row: a fault, how it was injected and how often, what became of the events, and how it was noticed."""
    path = os.environ.get("AUDIT_FAULT_REPORT")
    if not path:
        return
    row = {
        "fault": fault,
        "injected": injected,
        "tried": tried,
        "acknowledged": acknowledged,
        "lost": lost,
        "repeated": repeated,
        "detected": detected,
        "scale": os.environ.get("AUDIT_FAULT_SCALE", "1"),
    }
    # One write to a file opened to append: rows of processes beside each other stay whole.
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, f"{json.dumps(row)}\n".encode())
    finally:
        os.close(file)


def scaled(count: int) -> int:
    """Return how often to try what `make check` tries `count` times: AUDIT_FAULT_SCALE times as often."""
    return max(1, round(count * float(os.environ.get("AUDIT_FAULT_SCALE", "1"))))


def seeded(usual: int) -> int:
    """Return the seed that AUDIT_FAULT_SEED gives, or else the usual one; printed, so that a failure shows it."""
    seed = int(os.environ.get("AUDIT_FAULT_SEED", usual))
    print(f"AUDIT_FAULT_SEED={seed}")  # noqa: T201 - what makes a failure happen again
    return seed
