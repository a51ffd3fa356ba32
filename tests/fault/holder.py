"""Opens a store and holds it until its input ends: `holder.py STORE`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from audit import Audit, StoreOptions

if __name__ == "__main__":
    options = StoreOptions(min_free_bytes=0, reserve_bytes=0)
    with Audit.open_sync(Path(sys.argv[1]), options=options):
        os.write(1, b'"open"\n')
        sys.stdin.read()
