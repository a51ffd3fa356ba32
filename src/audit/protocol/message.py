"""What the contents of all messages have in common: which members they may have that are not known here."""

from __future__ import annotations

import msgspec

__all__ = ["Message", "Result"]


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """From a client: a member that is not known is an error."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """A later server may add members: a client ignores what it does not know."""
