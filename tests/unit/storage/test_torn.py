"""The last write of a store, torn by a power cut: left out, and nothing else is, ever."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

import pytest

from audit import StoreCorrupt
from audit.storage.opening import open_store
from audit.storage.torn import torn_at
from tests.stores import LAYOUTS, OPTIONS, Writer, copy_store, event, leveldb_opener

SECTOR: Final = 512
Store = tuple[Path, Path, int, list[bytes]]


@pytest.fixture
def written(tmp_path: Path) -> Store:
    """A store that was not closed, its write-ahead log, where its last record starts, and the events before it."""
    storage = leveldb_opener(tmp_path / "open", LAYOUTS["default"])()
    writer = Writer(storage)
    for number in range(9):
        writer.append([event("a", data=f"{number}" * 200)])
    before = list(writer.stored)
    (log,) = (tmp_path / "open").glob("*.log")
    start = log.stat().st_size
    # So long that it lies in more than one of the blocks of LevelDB's log.
    writer.append([event("a", data=f"{number}" * 2_000) for number in range(20)])
    left = copy_store(tmp_path / "open", tmp_path / "left")
    storage.close()
    return left, left / log.name, start, before


def zero(log: Path, start: int, end: int) -> None:
    with log.open("r+b") as file:
        file.seek(start)
        file.write(bytes(end - start))


def flip(log: Path, at: int) -> None:
    content = bytearray(log.read_bytes())
    content[at] ^= 1
    log.write_bytes(content)


def stored(path: Path) -> list[bytes]:
    storage = open_store(path, OPTIONS)
    try:
        assert storage.check().findings == []
        return [one for _, commit in storage.load().commits for one in commit.events]
    finally:
        storage.close()


@pytest.mark.parametrize("sector", [0, 1, 20, 63, 64, 65, -2, -1])
def test_a_write_that_lacks_a_sector_is_left_out_and_nothing_else(
    written: Store, sector: int, caplog: pytest.LogCaptureFixture
) -> None:
    path, log, start, before = written
    end = log.stat().st_size
    places = [*range(start - start % SECTOR, end, SECTOR)]
    assert len(places) > 65
    zero(log, max(start, places[sector]), min(end, places[sector] + SECTOR))
    with caplog.at_level(logging.WARNING, "audit"):
        assert stored(path) == before
    assert stored(path) == before
    # The first sector holds the record's header: LevelDB takes zeros there for the end, unless more blocks follow.
    assert sector == 0 or "a power cut tore the last write" in caplog.text


def test_a_write_of_which_only_the_size_was_kept_is_left_out(written: Store) -> None:
    path, log, start, before = written
    zero(log, start, log.stat().st_size)
    assert stored(path) == before


@pytest.mark.parametrize("behind", [2, 100, 30_000])
def test_a_bit_that_flipped_in_the_last_write_is_damage_and_stays(written: Store, behind: int) -> None:
    path, log, start, _ = written
    flip(log, start + behind)
    damaged = log.read_bytes()
    with pytest.raises(StoreCorrupt):
        open_store(path, OPTIONS)
    assert log.read_bytes() == damaged


@pytest.mark.parametrize(
    "stale", [b"other text " * 50, b"\0" * 511 + b"\1", b"\xff" * SECTOR], ids=["text", "a bit", "ones"]
)
def test_a_sector_of_the_last_write_that_holds_something_else_is_damage_and_stays(written: Store, stale: bytes) -> None:
    """A file system gives zeros for what was never written. Anything else may have been acknowledged, and changed."""
    path, log, start, _ = written
    at = start - start % SECTOR + 10 * SECTOR
    with log.open("r+b") as file:
        file.seek(at)
        file.write(stale[:SECTOR])
    damaged = log.read_bytes()
    with pytest.raises(StoreCorrupt):
        open_store(path, OPTIONS)
    assert log.read_bytes() == damaged


def test_a_torn_write_behind_damage_is_not_cut_off(written: Store) -> None:
    path, log, start, _ = written
    flip(log, start - 50)
    zero(log, log.stat().st_size - SECTOR, log.stat().st_size)
    damaged = log.read_bytes()
    with pytest.raises(StoreCorrupt):
        open_store(path, OPTIONS)
    assert log.read_bytes() == damaged


def test_a_sector_lost_before_the_last_write_is_damage(written: Store) -> None:
    path, log, start, _ = written
    zero(log, start - 2 * SECTOR, start - SECTOR)
    damaged = log.read_bytes()
    with pytest.raises(StoreCorrupt):
        open_store(path, OPTIONS)
    assert log.read_bytes() == damaged


def test_a_whole_log_is_not_torn(written: Store) -> None:
    assert torn_at(written[1].read_bytes()) is None
    assert torn_at(b"") is None
