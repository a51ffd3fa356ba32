"""Cursors that somebody made up: their checksum is no secret, so whatever they say, a log answers or refuses them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from audit import CursorInvalid, SyncAudit
from audit.codec.cursors import Position, encode_cursor, query_digest
from audit.codec.events import event_index
from audit.model.ids import MAX_VALUE
from audit.model.query import to_query
from audit.testing import log_on, memory_log
from tests.fault.report import scaled
from tests.stores import OPTIONS, TINY, event, leveldb_opener

EVENTS: Final = 11
MOST: Final = (1 << 128) - 1


@pytest.fixture(params=["memory", "leveldb"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SyncAudit]:
    opener = None if request.param == "memory" else leveldb_opener(tmp_path / "log")
    # Little is in memory: most of it has to be asked of the storage.
    with memory_log(layout=TINY, options=OPTIONS) if opener is None else log_on(opener, options=OPTIONS) as opened:
        for number in range(EVENTS):
            opened.append(event("a", data=number))
        yield opened


positions: Final = st.builds(
    Position,
    st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-2, EVENTS + 1)),
    st.one_of(st.integers(0, MOST), st.sampled_from([0, 1, MAX_VALUE - 1, MAX_VALUE, MOST])),
    st.one_of(st.integers(0, MOST), st.sampled_from([0, 1, MAX_VALUE, MAX_VALUE + 1, MOST])),
)


@settings(max_examples=scaled(100), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(positions, st.sampled_from(["asc", "desc"]))
@example(Position(-1, MOST, MOST), "asc")
@example(Position(-1, MOST, MOST), "desc")
@example(Position(EVENTS - 1, MOST, MOST), "asc")
def test_a_made_up_cursor_is_answered_or_refused(log: SyncAudit, position: Position, order: str) -> None:
    cursor = encode_cursor(query_digest(log.info().store_id, to_query(), order), position)
    try:
        page = log.list(order=order, cursor=cursor)
        if order == "asc":
            with log.subscribe(cursor=cursor) as tail:
                tail.read(timeout_s=0)
    except CursorInvalid:
        return
    found = [event_index(raw) for raw in page.slices]
    assert found == sorted(found, reverse=order == "desc")
    assert not found or page.cursor != cursor
