"""What is read ahead is what would have been read, as far as there is room for it, and never in the way of a search."""

from pathlib import Path

import msgspec
import pytest

from audit import Audit, NewEvent, StoreCorrupt
from audit.codec.events import event_value
from audit.codec.keys import SEGMENT, key_of_chunk
from audit.codec.segments import Layout
from audit.codec.terms import Match, match_of
from audit.model.query import to_query
from audit.model.span import EVERYTHING, Span
from audit.storage.driver import plyvel
from audit.storage.leveldb import LevelDBStorage
from audit.storage.port import Found, Search
from tests.stores import OPTIONS, Writer, event, leveldb_opener

MATCHES = {"everything": Match((), ()), "a topic": match_of(to_query(("a",)))}
UNBOUNDED = 1 << 40
LARGE = 8 << 20
FEW = Layout(segment_events=4, chunk_blocks=2, block_events=2)


def never() -> bool:
    return False


def filled(path: Path, kept_bytes: int, event_bytes: int = 900) -> tuple[LevelDBStorage, list[bytes]]:
    """Return a store just opened, and its sealed events."""
    opener = leveldb_opener(path, FEW, msgspec.structs.replace(OPTIONS, block_cache_bytes=kept_bytes))
    storage = opener()
    writer = Writer(storage)
    for _ in range(16 * FEW.segment_events):
        writer.append([event("a", data="x" * event_bytes), event("b", data="x" * event_bytes)])
    storage.close()
    storage = opener()
    assert isinstance(storage, LevelDBStorage)
    storage.load()
    return storage, writer.sealed


def kept(storage: LevelDBStorage, events: list[bytes]) -> list[bytes]:
    """Return those of some events that are in memory."""
    return [raw for raw in events if storage.get_nowait(event_value(raw)) is not None]


def test_all_of_a_log_that_fits_is_read(tmp_path: Path) -> None:
    storage, sealed = filled(tmp_path / "store", LARGE)
    assert not kept(storage, sealed)
    storage.read_ahead(never)
    assert kept(storage, sealed) == sealed
    storage.close()


@pytest.mark.parametrize(("kept_bytes", "event_bytes"), [(0, 900), (30_000, 900), (60_000, 900), (20_000, 10)])
def test_of_a_larger_one_the_newest_part_that_fits(tmp_path: Path, kept_bytes: int, event_bytes: int) -> None:
    storage, sealed = filled(tmp_path / "store", kept_bytes, event_bytes)
    storage.read_ahead(never)
    found = kept(storage, sealed)
    assert found == sealed[len(sealed) - len(found) :]
    assert bool(found) == bool(kept_bytes)
    assert len(found) < len(sealed)
    storage.close()


def test_what_is_read_later_does_not_push_out_the_newest_first(tmp_path: Path) -> None:
    storage, sealed = filled(tmp_path / "store", 60_000)
    storage.read_ahead(never)
    newest = sealed[-4:]
    for raw in sealed[:8:4]:
        storage.get(event_value(raw))
    assert kept(storage, newest) == newest
    storage.close()


def test_it_ends_when_told_to(tmp_path: Path) -> None:
    storage, sealed = filled(tmp_path / "store", LARGE)
    storage.read_ahead(lambda: True)
    found = kept(storage, sealed)
    assert found == sealed[-FEW.segment_events :]
    storage.close()


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("match", MATCHES.values(), ids=MATCHES)
def test_after_one_search_its_neighbours_need_no_disk(tmp_path: Path, match: Match, *, descending: bool) -> None:
    storage, sealed = filled(tmp_path / "store", LARGE)
    expected = [raw for raw in sealed if match.everything or b'"a"' in raw]
    storage.read_ahead(never)
    first = Search(match, EVERYTHING, descending, 1, UNBOUNDED)
    every = Search(match, EVERYTHING, descending, UNBOUNDED, UNBOUNDED)
    assert storage.search_nowait(first) is None
    assert storage.search(first, never).events == [expected[-1 if descending else 0]]
    assert storage.search_nowait(every) == Found(expected[::-1] if descending else expected, None)
    storage.close()


def test_what_is_missing_further_on_fails_only_who_asks_for_it(tmp_path: Path) -> None:
    storage, sealed = filled(tmp_path / "store", LARGE)
    storage.read_ahead(never)
    middle = event_value(sealed[4 * FEW.segment_events])
    storage._database.delete(SEGMENT + middle.to_bytes(16, "big"))
    before = Search(MATCHES["everything"], Span(0, middle - 1), False, 1, UNBOUNDED)
    assert storage.search(before, never).events == sealed[:1]
    with pytest.raises(StoreCorrupt):
        storage.search(Search(MATCHES["everything"], EVERYTHING, False, UNBOUNDED, UNBOUNDED), never)
    storage.close()


def test_a_damaged_place_ends_it_and_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Audit.open_sync(tmp_path / "store", create=True) as log:
        log.append_many([NewEvent(topics=[("a",)]) for _ in range(600)])
        first = log.list(limit=1).slices[0]
    database = plyvel.DB(str(tmp_path / "store" / "log"))
    database.put(key_of_chunk(event_value(first).to_bytes(16, "big"), 1), b"damaged")
    database.close()
    with Audit.open_sync(tmp_path / "store") as log:
        log._core.read_ahead()
        assert "reading ahead ended early" in caplog.text
        assert log.list(order="desc", limit=300).events[-1].index == 300
        with pytest.raises(StoreCorrupt):
            log.list(limit=200)
