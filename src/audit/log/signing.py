"""How a log vouches for its history: what it signs checkpoints with, and where else than in the store it keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from audit.proof.keys import SigningKey

__all__ = ["Signing"]


@dataclass(frozen=True, kw_only=True)
class Signing:
    """Settings of checkpoints. Without a key a log runs unsigned: whoever can write its files can rewrite history.

    Attributes:
        keys: What to sign with: one, or while a key is replaced, the new and the old one.
        origin: The log's name in checkpoints; None: that of the first key, or one made of the store's id.
        checkpoint_file: Where the newest checkpoint is kept outside the store: the next opening must be consistent
            with it. On another machine's disk, or where only its owner writes; None: nowhere.
        interval_s: While the log grows, a checkpoint is made so often.
    """

    keys: tuple[SigningKey, ...] = ()
    origin: str | None = None
    checkpoint_file: Path | None = None
    interval_s: float = 10.0
