"""Pages and replay of encoded events, read directly. "Cold": all caches of ours off, the system's warm."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

from audit import Audit, StoreOptions, SyncAudit

COLD = StoreOptions(driver_cache_bytes=1, block_cache_bytes=0, recent_bytes=0)
WARM = StoreOptions(block_cache_bytes=512 * 1024 * 1024, driver_cache_bytes=256 * 1024 * 1024)


def random_pages(log: SyncAudit, seconds: float, seed: int, **query: Any) -> float:
    """Return pages of 100 per second, each from a random place."""
    chooser = random.Random(seed)
    places = _places(log)
    # Not so near the end that a page could not be filled.
    places = places[: max(1, int(len(places) * (0.85 if "filter" in query else 0.99)))]
    pages = 0
    started = time.perf_counter()
    while time.perf_counter() - started < seconds:
        page = log.list(seek=chooser.choice(places), limit=100, **query)
        assert len(page.raw) > 2
        pages += 1
    return pages / (time.perf_counter() - started)


def replay(log: SyncAudit, **query: Any) -> float:
    """Return encoded events per second of a whole topic, in pages of 1,000."""
    cursor = None
    events = 0
    started = time.perf_counter()
    while True:
        page = log.list(limit=1_000, cursor=cursor, **query)
        events += len(page)
        cursor = page.cursor
        assert page.raw
        if not page.has_more:
            return events / (time.perf_counter() - started)


def open_cold(path: Path) -> SyncAudit:
    """Open a store with no caches."""
    return Audit.open_sync(path, options=COLD)


def open_warm(path: Path) -> SyncAudit:
    """Open a store with caches that hold it all."""
    return Audit.open_sync(path, options=WARM)


_known_places: dict[str, list[str]] = {}


def _places(log: SyncAudit) -> list[str]:
    """Return ids all over the log, read once."""
    info = log.info()
    key = f"{info.store_id} {info.size}"
    if key not in _known_places:
        found: list[str] = []
        cursor = None
        while True:
            page = log.list(limit=1_000, cursor=cursor)
            found += [event[7:33].decode() for event in page.slices[::97]]
            cursor = page.cursor
            if not page.has_more:
                break
        _known_places[key] = found
    return _known_places[key]
