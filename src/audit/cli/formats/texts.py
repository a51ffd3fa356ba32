"""Small texts for people. Pure."""

from __future__ import annotations

from audit.model.event import Actor

__all__ = ["described"]


def described(actor: Actor | None) -> str:
    """Return the shortest text that tells a person who it was."""
    if actor is None:
        return ""
    # The first five parts of an ARN say which cloud, service, region and account.
    return actor.name or (actor.id.split(":", 5)[-1] if actor.id.startswith("arn:") else actor.id)
