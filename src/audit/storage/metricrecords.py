"""Registered metrics in LevelDB: a record for each, and one for each of its panes. What they say is not known here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

from audit.codec.checksum import open_record, seal_record
from audit.codec.keys import METRIC, PANE, PANE_ZERO
from audit.model.errors import StoreCorrupt
from audit.storage.port import KeptMetric, MetricWrite

__all__ = ["put_metrics", "read_metric", "read_metrics"]


def _metric_key(name: str) -> bytes:
    return METRIC + name.encode()


def _panes_prefix(name: str) -> bytes:
    return PANE + name.encode() + b"\0"


def _pane_key(prefix: bytes, start_ms: int) -> bytes:
    return prefix + (start_ms + PANE_ZERO).to_bytes(8, "big")


def put_metrics(database: Any, puts: Any, writes: Sequence[MetricWrite]) -> None:
    """Put what is to be kept into a LevelDB batch."""
    for write in writes:
        prefix = _panes_prefix(write.name)
        if write.anew or write.body is None:
            with closing(database.raw_iterator(verify_checksums=True)) as iterator:
                for key, _ in _records(iterator, prefix, prefix):
                    puts.delete(key)
        for start_ms, body in write.panes.items():
            key = _pane_key(prefix, start_ms)
            puts.put(key, seal_record(key, body))
        key = _metric_key(write.name)
        if write.body is None:
            puts.delete(key)
        else:
            puts.put(key, seal_record(key, write.body))


def _records(iterator: Any, prefix: bytes, start: bytes) -> Iterator[tuple[bytes, bytes]]:
    iterator.seek(start)
    while iterator.valid() and iterator.key().startswith(prefix):
        yield iterator.key(), iterator.value()
        iterator.next()


def read_metrics(database: Any) -> dict[str, bytes | StoreCorrupt]:
    """Return each registered metric's body, by its name, or what is wrong with its record."""
    found: dict[str, bytes | StoreCorrupt] = {}
    with closing(database.raw_iterator(verify_checksums=True)) as iterator:
        for key, record in _records(iterator, METRIC, METRIC):
            name = key[len(METRIC) :].decode("utf-8", "replace")
            try:
                found[name] = bytes(open_record(key, record))
            except StoreCorrupt as error:
                found[name] = error
    return found


def read_metric(snapshot: Any, name: str, low_ms: int, high_ms: int) -> KeptMetric | None:
    """Return a metric and its panes that start in a range of time; None: there is none of that name."""
    key = _metric_key(name)
    record = snapshot.get(key, verify_checksums=True)
    if record is None:
        return None
    prefix = _panes_prefix(name)
    panes: dict[int, bytes] = {}
    with closing(snapshot.raw_iterator(verify_checksums=True)) as iterator:
        for pane_key, pane in _records(iterator, prefix, _pane_key(prefix, low_ms)):
            start_ms = int.from_bytes(pane_key[-8:], "big") - PANE_ZERO
            if start_ms >= high_ms:
                break
            panes[start_ms] = bytes(open_record(pane_key, pane))
    return KeptMetric(bytes(open_record(key, record)), panes)
