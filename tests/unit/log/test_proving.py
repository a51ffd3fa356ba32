"""Proofs of an open log: each checks against its own checkpoint, whatever is in memory and what on disk."""

import random
from itertools import pairwise

import pytest

from audit import AuditError, InvalidParameter, NotFound, StoreCorrupt, SyncAudit
from audit.codec.events import event_id_text
from audit.log.signing import Signing
from audit.proof.checkpoints import open_checkpoint, read_checkpoint
from audit.proof.hashing import root_of
from audit.proof.keys import SigningKey
from audit.proof.leaves import leaf_hash, leaf_hashes, log_entries
from audit.proof.tiles import ENTRIES, TileName, decode_bundle
from audit.proof.verifying import verify_consistency, verify_inclusion
from audit.storage.memory import Disk
from audit.storage.options import StoreOptions
from audit.testing import memory_log
from audit.testing.logs import STORE_ID
from tests.stores import TINY, event

KEY = SigningKey.new("audit.example/log", bytes(range(32)))
LITTLE = StoreOptions(recent_bytes=2_000)
"""Most events are read from the storage."""


def grown(log: SyncAudit, sizes: list[int]) -> list[bytes]:
    for size in sizes:
        log.append_many([event("a", data=str(at)) for at in range(size)])
    found: list[bytes] = []
    page = log.list(limit=1_000)
    found += page.slices
    while page.has_more:
        page = log.list(limit=1_000, cursor=page.cursor)
        found += page.slices
    return found


def test_every_event_is_proved_by_a_checkpoint_that_covers_it() -> None:
    with memory_log(layout=TINY, options=LITTLE, signing=Signing(keys=(KEY,))) as log:
        events = grown(log, [1, 2, 300, 7])
        chosen = [0, 1, 255, 256, len(events) - 1, *random.Random(1).sample(range(len(events)), 20)]
        for index in chosen:
            event_id = event_id_text(events[index]).decode()
            proof = log.inclusion(event_id)
            checkpoint = open_checkpoint(proof.checkpoint, [KEY.verifier], KEY.name)
            assert (proof.index, proof.leaf_hash) == (index, leaf_hash(events[index]))
            verify_inclusion(proof.leaf_hash, index, checkpoint.size, proof.hashes, checkpoint.root)
        # What is covered is not signed anew; what is not is.
        first = log.inclusion(event_id_text(events[0]).decode()).checkpoint
        more = grown(log, [1])
        assert log.inclusion(event_id_text(events[0]).decode()).checkpoint == first
        newest = log.inclusion(event_id_text(more[-1]).decode())
        assert read_checkpoint(newest.checkpoint).size == len(more)


def test_every_size_is_consistent_with_every_later_one() -> None:
    with memory_log(layout=TINY, options=LITTLE) as log:
        events = grown(log, [100, 200, 270])
        leaves = leaf_hashes(events)
        sizes = [0, 1, 2, 3, 255, 256, 257, 511, 512, 513, len(events)]
        for old, new in [*pairwise(sizes), (0, 0), (1, len(events)), (256, len(events)), (300, 300)]:
            proof = log.consistency(old, new)
            verify_consistency(old, root_of(leaves[:old]), new, root_of(leaves[:new]), proof.hashes)
            assert read_checkpoint(proof.checkpoint).size == len(events)


@pytest.mark.parametrize(
    ("from_", "to", "parameter"), [(-1, 3, "from"), (0, 4, "to"), (3, 2, "from"), (True, 3, "from"), (0, "3", "to")]
)
def test_a_size_that_the_log_never_had_is_refused(from_: int, to: int, parameter: str) -> None:
    with memory_log() as log:
        grown(log, [3])
        with pytest.raises(InvalidParameter) as told:
            log.consistency(from_, to)
        assert told.value.parameter == parameter


def test_an_unknown_event_has_no_proof() -> None:
    with memory_log() as log:
        (one,) = grown(log, [1])
        kinds: list[tuple[str, type[AuditError]]] = [("x", InvalidParameter), (STORE_ID, NotFound)]
        for event_id, kind in kinds:
            with pytest.raises(kind):
                log.inclusion(event_id)
        assert log.inclusion(event_id_text(one).decode()).hashes == []


def test_a_rewritten_event_has_no_proof() -> None:
    disk = Disk(STORE_ID, TINY)
    with memory_log(disk, options=LITTLE) as log:
        events = grown(log, [300, 300])
        event_id, raw, terms = disk.sealed[5]
        disk.sealed[5] = event_id, raw.replace(b'"data":"5"', b'"data":"6"'), terms
        with pytest.raises(StoreCorrupt, match="is not what was committed"):
            log.inclusion(event_id_text(events[5]).decode())


def test_tiles_and_bundles_are_served_as_far_as_they_are_there() -> None:
    with memory_log(layout=TINY, options=LITTLE) as log:
        events = grown(log, [200, 400])
        leaves = leaf_hashes(events)
        proofs = log._core.proofs
        for name in (TileName(0, 0), TileName(0, 1), TileName(0, 2, 88), TileName(0, 2, 1), TileName(0, 1, 200)):
            start = name.number * 256
            assert proofs.tile(name) == b"".join(leaves[start : start + name.width])
            bundle = proofs.tile(TileName(ENTRIES, name.number, name.width))
            assert decode_bundle(bundle) == log_entries(events[start : start + name.width])
        assert proofs.tile(TileName(1, 0, 2)) == root_of(leaves[:256]) + root_of(leaves[256:512])
        for name in (TileName(0, 2, 89), TileName(0, 2), TileName(0, 3, 1), TileName(1, 0, 3), TileName(5, 0, 1)):
            with pytest.raises(NotFound):
                proofs.tile(name)
        with pytest.raises(NotFound):
            proofs.tile(TileName(ENTRIES, 2, 89))
