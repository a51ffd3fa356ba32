"""A store whose checksums are right and whose contents are not: findings, whatever they are; never an exception."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import lz4.block
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.codec.checksum import open_record, seal_record
from audit.codec.commits import NO_FINGERPRINT, decode_claims, encode_claims
from audit.codec.events import decode_event
from audit.codec.keys import CHUNK, COMMIT, ERASURE, META, POSTING, RECEIPT
from audit.codec.segments import Layout
from audit.storage.driver import plyvel
from audit.storage.fsck import Finding, check_database
from audit.storage.fsck_erased import ErasureCheck
from audit.storage.records import decode_receipt, encode_receipt
from audit.testing import log_on
from tests.stores import Writer, event, leveldb_opener

LAYOUT: Final = Layout(segment_events=4, segment_bytes=1 << 16, chunk_blocks=2, block_events=2)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Sealed segments, commits behind them, and records of every kind."""
    path = tmp_path_factory.mktemp("fsck") / "log"
    storage = leveldb_opener(path, LAYOUT)()
    writer = Writer(storage)
    for number in range(9):
        key, of_event = (f"{number}", None) if number % 2 else (None, f"{number}")
        writer.append(
            [event("a", str(number), action="ä", idempotency_key=of_event, data="x" * 3_000), event("b")], key=key
        )
    storage.close()
    database = plyvel.DB(str(path))
    assert check_database(database, LAYOUT).findings == []
    yield database
    database.close()


def findings_with(database: Any, key: bytes, record: bytes) -> list[Finding]:
    """Check the store with one record in place of another."""
    before = database.get(key)
    database.put(key, record)
    try:
        return check_database(database, LAYOUT).findings
    finally:
        database.put(key, before)


def first(database: Any, prefix: bytes) -> tuple[bytes, bytes]:
    key, record = next(iter(database.iterator(prefix=prefix)))
    return key, bytes(open_record(key, record))


HARM: Final = st.one_of(
    st.tuples(st.floats(0, 1), st.sampled_from([b"\xff", b"\0", b"\xff\xff\xff\xff", b'"', b"[" * 2_000])),
    st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=20)),
)


@given(where=st.floats(0, 1), harm=HARM, longer=st.booleans())
def test_whatever_a_record_holds_behind_a_right_checksum_the_check_goes_on_to_its_end(
    database: Any, where: float, harm: tuple[float, bytes], longer: bool
) -> None:
    sealed = [(key, record) for key, record in database if key[:1] not in {POSTING, META[:1]} and len(record) > 9]
    key, record = sealed[round(where * (len(sealed) - 1))]
    body = bytes(open_record(key, record))
    at = round(harm[0] * len(body))
    changed = body[:at] + harm[1] + body[at if longer else at + len(harm[1]) :]
    findings_with(database, key, seal_record(key, changed))


EVENT_HARM: Final = {
    "no UTF-8 in an event": (b'"action":"\xc3\xa4"', b'"action":"\xff\xff"'),
    "no UTF-8 in an id": (b'{"id":"01', b'{"id":"\xff\xff'),
    "an id of too many bits": (b'{"id":"01', b'{"id":"ZZ'),
    "no number for an index": (b'"index":', b'"indexx:'),
    "JSON nested too deeply": (b'"data":"' + b"x" * 2_000, b'"data":' + b"[" * 2_001),
    "no UTF-8 in a topic": (b'"topics":[["a"', b'"topics":[["\xff"'),
}


@pytest.mark.parametrize("harm", EVENT_HARM)
def test_an_event_that_is_none_is_a_finding_in_a_segment_and_in_a_commit(database: Any, harm: str) -> None:
    old, new = EVENT_HARM[harm]
    assert len(old) == len(new)
    key, body = first(database, COMMIT)
    commit = findings_with(database, key, seal_record(key, body.replace(old, new)))
    key, body = first(database, CHUNK)
    start = struct.unpack_from("<I", body)[0]
    bounds = struct.unpack_from(f"<{start // 4}I", body)
    blocks = [
        lz4.block.compress(lz4.block.decompress(body[low:high]).replace(old, new)) for low, high in pairwise(bounds)
    ]
    ends = [start]
    for block in blocks:
        ends.append(ends[-1] + len(block))
    segment = findings_with(database, key, seal_record(key, struct.pack(f"<{len(ends)}I", *ends) + b"".join(blocks)))
    if old != b'"index":':
        assert commit
        assert segment


# -- erasures ----------------------------------------------------------------------------------------------------------


def erased_store(path: Path, *, purged: bool = True) -> Any:
    """Return the database of a store with erased events, sealed and not, of calls and of single events."""
    log = log_on(leveldb_opener(path, LAYOUT))
    receipts = []
    for number in range(5):
        key, of_event = (f"{number}", None) if number % 2 else (None, f"{number}")
        events = [
            event("a", action="x", idempotency_key=of_event),
            event("b", idempotency_key=of_event and f"{number}b"),
        ]
        receipts += log.append_many(events, idempotency_key=key)
    if not purged:
        log._core._purger.purge = lambda: None  # type: ignore[method-assign]
    log.erase([receipts[at].id for at in (1, 2, 9)], reason="r")
    log.close()
    return plyvel.DB(str(path))


@pytest.mark.parametrize("purged", [True, False])
def test_a_store_with_erased_events_has_no_findings(purged: bool, tmp_path: Path) -> None:
    database = erased_store(tmp_path / "log", purged=purged)
    try:
        assert check_database(database, LAYOUT).findings == []
        assert any(key.startswith(ERASURE) for key in database.iterator(include_value=False)) is not purged
    finally:
        database.close()


def test_what_is_left_of_an_erasure_where_nothing_may_be_is_found(tmp_path: Path) -> None:
    database = erased_store(tmp_path / "log")
    try:
        segment = next(key for key in database.iterator(prefix=b"S", include_value=False))[1:]
        term = b"c\x00\x01x"
        assert database.get(POSTING + term + segment) == b"\x00"
        found = findings_with(database, POSTING + term + segment, b"\x00\x02")
        assert [one.problem for one in found] == ["is not what the events say"]
        database.put(POSTING + b"a\x00\x01u" + segment, b"\x02")
        assert "posting lists" in check_database(database, LAYOUT).findings[0].problem
        database.delete(POSTING + b"a\x00\x01u" + segment)

        # The fingerprint of a call with an erased event, in its receipt and with its segment.
        key, body = first(database, b"K")
        claims = decode_claims(body)
        at = next(n for n, claim in enumerate(claims) if claim.fingerprint == NO_FINGERPRINT)
        claims[at] = msgspec.structs.replace(claims[at], fingerprint=b"f" * 16)
        own = RECEIPT + claims[at].digest
        receipt = decode_receipt(own, database.get(own))
        database.put(own, encode_receipt(own, receipt._replace(fingerprint=b"f" * 16)))
        found = findings_with(database, key, seal_record(key, encode_claims(claims)))
        assert [one.problem for one in found] == ["has the fingerprint of a request with an erased event"]
    finally:
        database.close()


ID: Final = "01JD8Z5K3V9Q0T7W2X4Y6Z8A1B"
OTHER: Final = "01JD8Z5K3V9Q0T7W2X4Y6Z8A1A"
HASH: Final = "h" * 43


@pytest.mark.parametrize(
    ("rest", "problem"),
    [
        (f',"payload_hash":"{HASH}"}}', None),
        (f',"action":"x","payload_hash":"{HASH}"}}', "something else"),
        (f',"payload_hash":"{"!" * 43}"}}', "something else"),
        (',"action":"x"}', "neither a salt"),
        (',"salt":""}', "neither a salt"),
        (f',"salt":"{"s" * 22}"}}', None),
    ],
)
def test_an_event_that_is_neither_whole_nor_erased_is_found(rest: str, problem: str | None) -> None:
    found: list[str] = []
    check = ErasureCheck(lambda record, text: found.append(f"{record}: {text}"))
    raw = f'{{"id":"{ID}","index":0,"topics":[["a"]]{rest}'.encode()
    check.add(raw, decode_event(raw), 1, 0)
    assert len(found) == (problem is not None)
    assert problem is None or problem in found[0]


@pytest.mark.parametrize("data", [f'{{"reason":"r","events":["{OTHER}"]}}', '{"events":["x"]}', "[]", "7"])
def test_a_record_of_what_was_not_erased_is_found(data: str) -> None:
    found: list[str] = []
    check = ErasureCheck(lambda record, text: found.append(f"{record}: {text}"))
    raw = f'{{"id":"{ID}","index":0,"topics":[["audit","erased"]],"salt":"{"s" * 22}","data":{data}}}'.encode()
    check.add(raw, decode_event(raw), 1, 0)
    assert len(found) == 1
