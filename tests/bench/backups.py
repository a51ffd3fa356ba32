"""How fast a log is backed up, restored and checked: `python tests/bench/backups.py [EVENTS]`."""

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from audit import Audit, NewEvent
from audit.app.fsck import check_store
from audit.app.restore import restore_store

MEMORY = Path("/dev/shm")  # noqa: S108 - a directory of its own is made in it


def timed(name: str, events: int, work: Callable[[], Any]) -> Any:
    began = time.perf_counter()
    result = work()
    took = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"| {name} | {took:.2f} s | {events / took / 1000:,.0f} k/s | {peak} MiB |")
    return result


def main(count: int) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as directory:
        place = Path(directory)
        with Audit.open_sync(place / "store", create=True) as log:
            for start in range(0, count, 1_000):
                log.append_many(
                    [
                        NewEvent(
                            topics=[("node", str(n % 50))],
                            action=f"action {n % 9}",
                            data={"n": n, "text": "x" * 60},
                            idempotency_key=f"key {n}",
                        )
                        for n in range(start, start + 1_000)
                    ]
                )
            print(f"{count:,} events\n\n| what | took | events | peak of memory so far |\n|---|---|---|---|")
            timed("backup", count, lambda: log.backup(place / "full"))
        timed("restore", count, lambda: restore_store(place / "restored", [place / "full"]))
        report = timed("fsck", count, lambda: check_store(place / "restored"))
        assert not report.findings
        stored = sum(file.stat().st_size for file in (place / "store" / "log").iterdir())
        print(f"\nfile: {(place / 'full').stat().st_size / count:.0f} bytes an event; store: {stored / count:.0f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300_000)
