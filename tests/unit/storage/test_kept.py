"""What is kept may be newer than a reader: a search answers as of its own snapshot, whatever others have read since."""

from pathlib import Path

import pytest

from audit.codec.events import event_index
from audit.codec.terms import Match, match_of
from audit.model.query import to_query
from audit.model.span import EVERYTHING
from audit.storage.leveldb import LevelDBStorage
from audit.storage.port import Search
from tests.stores import Writer, event, leveldb_opener

MATCHES = {"everything": Match((), ()), "a topic": match_of(to_query(("a",)))}
UNBOUNDED = 1 << 40


@pytest.mark.parametrize("others_descend", [False, True])
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("match", MATCHES.values(), ids=MATCHES)
@pytest.mark.parametrize("kept", [0, 2, 7])
def test_a_search_leaves_out_what_others_kept_of_segments_sealed_since(
    tmp_path: Path, match: Match, kept: int, *, descending: bool, others_descend: bool
) -> None:
    storage = leveldb_opener(tmp_path / "store")()
    assert isinstance(storage, LevelDBStorage)
    writer = Writer(storage)
    ours = Search(match, EVERYTHING, descending, UNBOUNDED, UNBOUNDED)
    theirs = Search(match, EVERYTHING, others_descend, 2 * kept, UNBOUNDED)
    for _ in range(10):
        writer.append([event("a"), event("b")] * 4)
    if kept:
        storage.search(theirs, lambda: False)
    before = storage._sealed[0]
    reader = storage._reader()
    reader._look()
    for _ in range(3):
        writer.append([event("a"), event("b")] * 4)
        storage.search(theirs, lambda: False)
    storage.search(Search(match, EVERYTHING, others_descend, UNBOUNDED, UNBOUNDED), lambda: False)

    found = [event_index(raw) for raw in reader.search(ours, lambda: False).events]

    reader.close()
    assert (found[::-1] if descending else found) == list(range(0, before, 1 if match.everything else 2))
    # What it keeps itself is no less true afterwards.
    for way in (False, True):
        again = storage.search(Search(match, EVERYTHING, way, UNBOUNDED, UNBOUNDED), lambda: False)
        indexes = sorted(event_index(raw) for raw in again.events)
        assert indexes == list(range(0, storage._sealed[0], 1 if match.everything else 2))
    storage.close()
