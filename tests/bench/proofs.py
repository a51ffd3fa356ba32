"""How long a proof takes to make and to check, and a store of many events to open: `make bench` has these rows."""

from __future__ import annotations

import random
import statistics
import time
from pathlib import Path

from audit import Audit, StoreOptions, SyncAudit
from audit.log.by_index import events_between
from audit.log.signing import Signing
from audit.log.tree import stored_tiles
from audit.proof.checkpoints import open_checkpoint
from audit.proof.keys import SigningKey
from audit.proof.leaves import leaf_hash
from audit.proof.proving import read_root
from audit.proof.verifying import verify_consistency, verify_inclusion

KEY = SigningKey.new("audit.example/bench", bytes(range(32)))
COLD = StoreOptions(driver_cache_bytes=1, block_cache_bytes=0, recent_bytes=0)


def open_signed(path: Path) -> SyncAudit:
    """Open a store with no caches and a key."""
    return Audit.open_sync(path, options=COLD, signing=Signing(keys=(KEY,)))


def inclusion(log: SyncAudit, seed: int, count: int = 300) -> tuple[float, float]:
    """Return the median of the microseconds that it takes to make, and to check, a proof of a random event."""
    chooser = random.Random(seed)
    size = log.info().size
    checkpoint = open_checkpoint(log.checkpoint(), [KEY.verifier], KEY.name)
    made, checked = [], []
    handle, sequencer = log._core.handle, log._core.sequencer
    for _ in range(count):
        index = chooser.randrange(size)
        (event,) = events_between(handle, lambda: sequencer.snapshot, index, index + 1)
        event_id = event[7:33].decode()
        began = time.perf_counter()
        proof = log.inclusion(event_id)
        between = time.perf_counter()
        verify_inclusion(leaf_hash(event), proof.index, checkpoint.size, proof.hashes, checkpoint.root)
        made.append(between - began)
        checked.append(time.perf_counter() - between)
    return statistics.median(made) * 1e6, statistics.median(checked) * 1e6


def consistency(log: SyncAudit, seed: int, count: int = 300) -> tuple[float, float]:
    """Return the same for proofs that the log goes on from a random size."""
    chooser = random.Random(seed)
    size = log.info().size
    core = log._core
    checkpoint = open_checkpoint(log.checkpoint(), [KEY.verifier], KEY.name)
    made, checked = [], []
    for _ in range(count):
        old = chooser.randrange(1, size)
        tree = core.sequencer.snapshot.tree
        root = core.handle.read(lambda storage, tree=tree, old=old: read_root(old, tree.reading(stored_tiles(storage))))  # type: ignore[misc]
        began = time.perf_counter()
        proof = log.consistency(old, size)
        between = time.perf_counter()
        verify_consistency(old, root, size, checkpoint.root, proof.hashes)
        made.append(between - began)
        checked.append(time.perf_counter() - between)
    return statistics.median(made) * 1e6, statistics.median(checked) * 1e6


def opening(path: Path) -> float:
    """Return the milliseconds that opening takes."""
    began = time.perf_counter()
    log = open_signed(path)
    took = time.perf_counter() - began
    log.close()
    return took * 1e3
