"""What the machine does at the moment: figures mean little without it."""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

import msgspec

from audit import Event

_SAMPLE = (
    b'{"id":"01JD8Z5K3V9Q0T7W2X4Y6Z8A1B","index":41,"topics":[["node","connection","forward"]],'
    b'"salt":"q83vEjRWeJCrze8SNFZ4kA","action":"connection.opened","actor":{"type":"user","id":"u-7"},'
    b'"targets":[{"type":"vault","id":"v-1"}],"outcome":"success","data":{"duration_ms":1.5,"bytes":7}}'
)


def describe() -> str:
    """Return one line about the machine and how fast its parts are just now."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as directory, (Path(directory) / "sync").open("wb") as file:
        synced = []
        for _ in range(200):
            file.write(b"x" * 32_768)
            file.flush()
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            synced.append(time.perf_counter() - started)
    decoder = msgspec.json.Decoder(Event)
    started = time.perf_counter()
    for _ in range(50_000):
        decoder.decode(_SAMPLE)
    decoded = 50_000 / (time.perf_counter() - started)
    return (
        f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; "
        f"fdatasync of 32 KiB p50 {statistics.median(synced) * 1e3:.2f} ms, p90 {sorted(synced)[180] * 1e3:.2f} ms; "
        f"msgspec decodes {decoded / 1e6:.2f} M events/s"
    )


def rss_anon_mib() -> float:
    """Return this process's anonymous resident memory."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no RssAnon in /proc/self/status")
