"""The LevelDB binding of this interpreter: plyvel up to CPython 3.11, plyvel-next from 3.12 on. Imported here only."""

from __future__ import annotations

import sys

if sys.version_info >= (3, 12):
    import plyvel_next as plyvel
else:
    import plyvel

__all__ = ["plyvel"]
