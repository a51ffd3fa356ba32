"""Small texts that several formats share. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from audit.model.event import Actor, Target

__all__ = ["described", "instant", "targets_text"]


def instant(time: datetime, timespec: str = "milliseconds") -> str:
    """Return a time in UTC, as RFC 3339."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec=timespec) + "Z"


def targets_text(targets: Iterable[Target]) -> str:
    """Return targets as `audit append` takes them, with spaces between."""
    return " ".join([f"{target.type}:{target.id}" for target in targets])


def described(actor: Actor | None) -> str:
    """Return the shortest text that tells a person who it was."""
    if actor is None:
        return ""
    # The first five parts of an ARN say which cloud, service, region and account.
    return actor.name or (actor.id.split(":", 5)[-1] if actor.id.startswith("arn:") else actor.id)
