"""Any bytes end in a value or a documented error; a valid record that was changed never ends in a value."""

import random
from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from audit import NewEvent, StoreCorrupt
from audit.codec.checksum import open_record
from audit.codec.commits import commit_key, decode_commit, encode_commit
from audit.codec.cursors import START, encode_cursor, encode_name_cursor
from audit.codec.events import erase_event
from audit.codec.keys import key_of_topic
from audit.codec.rollups import encode_rollup
from audit.codec.segments import Segment, decode_directory, encode_chunks, encode_directory
from audit.metrics.distinct import Distinct
from audit.metrics.keeping import Kept, encode_kept, encode_pane
from audit.metrics.panes import Pane
from audit.metrics.query import Metric
from audit.metrics.states import ExactSum
from audit.metrics.timeline import Transition, Transitions
from audit.proof.checkpoints import Checkpoint, sign_checkpoint
from audit.proof.exports import encode_end, encode_head, encode_run
from audit.proof.files import EventProof, encode_proof
from audit.proof.leaves import leaf_hash, log_entries
from audit.proof.tiles import encode_bundle
from audit.storage.port import KnownClaim
from audit.storage.records import decode_count, decode_receipt, encode_count, encode_receipt, receipt_key
from tests.fault.report import record, scaled
from tests.fuzz.targets import DIGEST, ID, KEY, ROLLUP_KEY, TARGETS, try_bytes
from tests.stores import TINY
from tests.strategies import new_events
from tests.unit.codec.test_commits import CLAIMS, commit_of

EXAMPLES: Final = scaled(40)
MUTATIONS: Final = scaled(40)

Decoder = Callable[[bytes], Any]


def seeds() -> dict[str, list[bytes]]:
    """Return valid bytes of each kind: what is near to them leads further than noise."""
    records = valid(commit_of([NewEvent(topics=[("a", "b")], data=number) for number in range(5)]))
    return {name: [record for _, record, _ in records.values()] for name in TARGETS} | {
        "a rollup": [encode_rollup(ROLLUP_KEY, {3: 5, 7: 1})],
        "a rollup's body": [encode_rollup(ROLLUP_KEY, {3: 5, 7: 1})[9:]],
        "a registered metric": [encode_kept(Kept(metric=Metric(name="a", measure="count"), size=3, last_id="2a"))],
        "a pane of a sum": [encode_pane({"g": Pane(ExactSum(5, 2), 3, {8: 1}, 7), None: Pane(ExactSum(), 1)})],
        "a pane of distinct values": [encode_pane({(True,): Pane(Distinct(), 3)})],
        "a pane of components": [encode_pane({None: Pane(Transitions([Transition(1, 2, 1, "c")]), 1)})],
        "a cursor": [encode_cursor(DIGEST, START).encode()],
        "a name's cursor": [encode_name_cursor(DIGEST, "b").encode()],
        **_proofs(),
    }


def _proofs() -> dict[str, list[bytes]]:
    """Return what is signed, or proves something, of a log with one event."""
    event = commit_of([NewEvent(topics=[("a", "b")], data=1)]).events[0]
    leaf = leaf_hash(event)
    note = sign_checkpoint(Checkpoint(KEY.name, 1, leaf), KEY)
    return {
        "a leaf": [event, erase_event(event)],
        "a bundle": [encode_bundle([*log_entries([event]), b""])],
        "a tile's path": [b"tile/0/x001/000.p/3", b"tile/entries/000"],
        "a note": [note.encode()],
        "a checkpoint": [note.encode()],
        "a public key": [KEY.verifier.text.encode()],
        "a proof": [encode_proof(EventProof(event, 0, [leaf], note)).encode()],
        "an export": [encode_head(note) + encode_run([event], []) + encode_end(1)],
    }


@st.composite
def noise(draw: st.DrawFn) -> bytes:
    """Return bytes with the lengths and counts in them that decoders believe."""
    numbers = st.sampled_from([0, 1, 2, 4, 8, 12, 16, 255, 256, 65_535, 2**31 - 1, 2**31, 2**32 - 1])
    parts = st.one_of(
        st.binary(max_size=40),
        numbers.map(lambda number: number.to_bytes(4, "little")),
        numbers.map(lambda number: number.to_bytes(8, "little")),
        st.just(ID),
        st.sampled_from(
            [b'{"id":"', b'","index":0,"topics":[["a"]],"salt":"', b'"}', b'{"format":3}', b"{", b"[", b"\xff"]
        ),
    )
    return b"".join(draw(st.lists(parts, max_size=8)))


@pytest.mark.parametrize("name", TARGETS)
def test_any_bytes_end_in_a_value_or_a_documented_error(name: str) -> None:
    target = TARGETS[name]

    @settings(max_examples=EXAMPLES)
    @given(st.one_of(noise(), st.binary(max_size=200)))
    @example(b"")
    def look(data: bytes) -> None:
        try_bytes(target, data)

    look()
    record(
        fault=f"bytes that are not {name}",
        injected="made up by Hypothesis",
        tried=EXAMPLES,
        acknowledged=0,
        lost=0,
        repeated=0,
        detected="a value that comes back as it was, or a documented error",
    )


def valid(commit: Any) -> dict[str, tuple[bytes, bytes, Callable[[bytes, bytes], Any]]]:
    """Return key, record and decoder of everything with a checksum that a commit and its sealing write."""
    key = commit_key(commit.events[0])
    segment = Segment(commit.first_index)
    segment.add(commit, 0, len(commit.events))
    segment.seal()
    found: dict[str, tuple[bytes, bytes, Callable[[bytes, bytes], Any]]] = {
        "commit": (key, encode_commit(key, commit), decode_commit),
        "directory": (*encode_directory(segment, TINY), decode_directory),
    }
    for number, (chunk_key, chunk) in enumerate(encode_chunks(segment, TINY)):
        found[f"chunk {number}"] = (chunk_key, chunk, open_record)
    topic = key_of_topic(("a", "b"))
    found["count"] = (topic, encode_count(topic, (3, 1 << 100, 1 << 101)), decode_count)
    claim = receipt_key(b"d" * 16)
    found["receipt"] = (
        claim,
        encode_receipt(claim, KnownClaim(b"f" * 16, 1 << 100, 3, 1, of_call=True)),
        decode_receipt,
    )
    return found


@settings(max_examples=MUTATIONS)
@given(st.lists(new_events, min_size=1, max_size=6), CLAIMS, st.randoms(use_true_random=False))
def test_a_changed_record_is_never_taken_for_another(
    events: list[NewEvent], claims: list[Any], rng: random.Random
) -> None:
    records = valid(commit_of(events, claims=claims))
    for key, whole, decode in records.values():
        decode(key, whole)
        for _ in range(5):
            changed = mutated(whole, rng)
            if changed != whole:
                with pytest.raises(StoreCorrupt):
                    decode(key, changed)
        # A whole record in another one's place is as wrong.
        for other, _, _ in records.values():
            if other != key:
                with pytest.raises(StoreCorrupt):
                    decode(other, whole)


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Return the bytes after a few of what disks and copies do to them."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        at, size = rng.randrange(len(changed) + 1), rng.randint(1, 16)
        way = rng.randrange(6)
        if way == 0 and at < len(changed):
            changed[at] ^= 1 << rng.randrange(8)
        elif way == 1:
            del changed[at:]
        elif way == 2:
            del changed[at : at + size]
        elif way == 3:
            changed[at:at] = rng.randbytes(size)
        elif way == 4:
            changed[at : at + size] = bytes(len(changed[at : at + size]))
        else:
            start = rng.randrange(len(changed) + 1)
            changed[at:at] = changed[start : start + size]
    return bytes(changed)


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_near_to_valid_bytes_ends_in_a_value_or_a_documented_error(name: str) -> None:
    rng = random.Random(name)
    for whole in seeds()[name]:
        for _ in range(MUTATIONS):
            try_bytes(TARGETS[name], mutated(whole, rng))
            # Behind the checksum, too: the body of a record, changed.
            try_bytes(TARGETS[name], mutated(whole[9:], rng))
