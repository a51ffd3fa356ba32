"""fsck and the Merkle tree: an event rewritten with right checksums, and tiles that are not those of the events."""

import struct
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import lz4.block
import pytest

from audit import Audit, Signing, SigningKey, StoreCorrupt
from audit.app.fsck import check_store
from audit.codec.checksum import open_record, seal_record
from audit.codec.keys import TREE, key_of_checkpoint, key_of_chunk, key_of_tile
from audit.codec.segments import block_events, chunk_blocks, decode_block, id_bytes_of
from audit.proof.checkpoints import Checkpoint, sign_checkpoint
from audit.storage.driver import plyvel
from audit.storage.port import SignedCheckpoint, TreeHead
from audit.storage.records import encode_checkpoint, encode_tree
from tests.stores import OPTIONS, event


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with seven hundred events, closed."""
    with Audit.open_sync(tmp_path / "data", create=True, options=OPTIONS) as log:
        for number in range(7):
            log.append_many([event("a", action="open", data=f"{number}-{at}") for at in range(100)])
    return tmp_path / "data"


def changed(path: Path, change: Callable[[Any], object]) -> None:
    database = plyvel.DB(str(path / "log"))
    try:
        change(database)
    finally:
        database.close()


def findings(path: Path) -> list[tuple[str, str]]:
    return [(finding.record, finding.problem) for finding in check_store(path).findings]


def rewritten(segment: bytes, old: bytes, new: bytes) -> Callable[[Any], object]:
    """Return what replaces some bytes of a sealed event by as many others, and puts all checksums right."""

    def change(database: Any) -> None:
        for number in range(2):
            key = key_of_chunk(segment, number)
            record = database.get(key)
            if record is None:
                continue
            body = open_record(key, record)
            packed = []
            for start, end in pairwise(chunk_blocks(key, body)):
                events = [one.replace(old, new) for one in block_events(decode_block(key, body[start:end]))]
                packed.append(lz4.block.compress(bounded(events)))
            database.put(key, seal_record(key, bounded(packed)))

    return change


def bounded(parts: list[bytes]) -> bytes:
    starts = [4 * (len(parts) + 1)]
    for part in parts:
        starts.append(starts[-1] + len(part))
    return struct.pack(f"<{len(starts)}I", *starts) + b"".join(parts)


def test_a_whole_store_has_nothing_to_find(path: Path) -> None:
    assert findings(path) == []


def test_a_rewritten_event_is_named_though_its_checksums_are_right(path: Path) -> None:
    with Audit.open_sync(path, options=OPTIONS) as log:
        victim = log.list(limit=1_000).events[300]
        segment = log.list(limit=1_000).slices[256]
    own = id_bytes_of(segment)
    changed(path, rewritten(own, b'"3-0"', b'"3-X"'))
    assert findings(path) == [
        (f"event {victim.id}", "is not what was committed: tile 1 of level 0 has another hash for it"),
        ("metadata 'tree'", "is not the root of the first 512 events"),
    ]


def test_a_missing_a_damaged_and_a_strange_tile_are_found(path: Path) -> None:
    key, strange = key_of_tile(0, 1), key_of_tile(0, 2)
    records: list[bytes] = []
    changed(path, lambda database: records.append(database.get(key)))
    changed(path, lambda database: database.delete(key))
    assert ("tile 1 of level 0", "is missing") in findings(path)
    changed(path, lambda database: database.put(key, records[0][:-1] + b"?"))
    assert ("tile 1 of level 0", "checksum mismatch") in findings(path)
    changed(path, lambda database: database.put(key, records[0]))
    changed(path, lambda database: database.put(strange, records[0]))
    assert findings(path) == [("tiles", "there are 3, the events make 2")]


def test_another_root_is_found_and_keeps_the_store_from_opening(path: Path) -> None:
    changed(path, lambda database: database.put(TREE, encode_tree(TreeHead(512, bytes(32)))))
    assert findings(path) == [("metadata 'tree'", "is not the root of the first 512 events")]
    with pytest.raises(StoreCorrupt, match="is not the root that the tiles of the first 512 events give"):
        Audit.open_sync(path, options=OPTIONS)


def test_a_tile_of_the_next_level_is_checked(tmp_path: Path) -> None:
    path = tmp_path / "data"
    with Audit.open_sync(path, create=True, options=OPTIONS) as log:
        for _ in range(66):
            log.append_many([event("a")] * 1_000)
    assert findings(path) == []
    key = key_of_tile(1, 0)
    changed(path, lambda database: database.put(key, seal_record(key, bytes(8_192))))
    assert findings(path) == [("tile 0 of level 1", "is not what the tiles below it come to")]


KEY = SigningKey.new("example.com/log", bytes(32))


def signed(size: int) -> str:
    return sign_checkpoint(Checkpoint("example.com/log", size, bytes(32), ()), KEY)


def signed_at(path: Path, more: int) -> str:
    """Have a store keep a checkpoint, and append so many events behind it; return its text."""
    with Audit.open_sync(path, options=OPTIONS, signing=Signing(keys=(KEY,))) as log:
        note = log.checkpoint()
    with Audit.open_sync(path, options=OPTIONS) as log:
        log.append_many([event("a", data=f"more {at}") for at in range(more)])
    return note


@pytest.mark.parametrize("more", [1, 68, 69, 500])
def test_a_checkpoint_of_fewer_events_than_there_are_is_checked_too(path: Path, more: int) -> None:
    note = signed_at(path, more)
    assert "\n700\n" in note
    assert findings(path) == []
    changed(path, lambda database: database.put(*encode_checkpoint(SignedCheckpoint(700, signed(700)))))
    assert findings(path) == [("checkpoint of 700 events", "has another root than the first 700 events")]


@pytest.mark.parametrize(
    ("size", "note", "problem"),
    [
        (
            701,
            signed(701),
            "is of more events than the 700 that are there",
        ),
        (700, signed(3), "is of 3 events"),
        (700, "hello", "can't be decoded: "),
    ],
)
def test_so_is_one_that_is_of_other_events(path: Path, size: int, note: str, problem: str) -> None:
    changed(path, lambda database: database.put(*encode_checkpoint(SignedCheckpoint(size, note))))
    ((record, found),) = findings(path)
    assert record == f"checkpoint of {size} events"
    assert found.startswith(problem)
    changed(path, lambda database: database.delete(key_of_checkpoint(size)))
    assert findings(path) == []
