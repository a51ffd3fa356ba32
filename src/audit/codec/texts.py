"""Values as one line of text, the same wherever they are printed. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from audit.model.event import Target

__all__ = ["instant", "targets_text"]


def instant(time: datetime, timespec: str = "milliseconds") -> str:
    """Return a time in UTC, as RFC 3339."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec=timespec) + "Z"


def targets_text(targets: Iterable[Target]) -> str:
    """Return targets as `audit append` takes them, with spaces between."""
    return " ".join([f"{target.type}:{target.id}" for target in targets])
