"""What says who the command line is to a served log: a token, from the environment alone.

Not an option: the arguments of a process are there for everybody on the machine to see, and stay in histories.
"""

from __future__ import annotations

import os
from typing import Final

__all__ = ["TOKEN_VARIABLE", "token"]

TOKEN_VARIABLE: Final = "AUDIT_TOKEN"  # noqa: S105 - the name of a variable


def token() -> str | None:
    """Return the token of the environment; None: there is none."""
    return os.environ.get(TOKEN_VARIABLE, "").strip() or None
