"""What each family of fault tests did, a line of JSON each, in the file that AUDIT_FAULT_REPORT names."""

from __future__ import annotations

import json
import os
from pathlib import Path

__all__ = ["record"]


def record(
    *, fault: str, injected: str, tried: int, acknowledged: int, lost: int, repeated: int, detected: str
) -> None:
    """Append a row to the report, if one is wanted.

    Args:
        fault: What went wrong.
        injected: How it was brought about.
        tried: How often.
        acknowledged: Events that callers were told are durable.
        lost: Of these, how many were missing afterwards.
        repeated: Of these, how many were there more than once.
        detected: How it would be found out.
    """
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
    }
    with Path(path).open("a", encoding="utf-8") as report:
        report.write(json.dumps(row) + "\n")
