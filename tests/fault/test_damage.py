"""Files of a store that nobody has open are damaged: it is told, or nothing has changed; no other data, no hole, ever.

What a cut of LevelDB's write-ahead log may do besides, and nothing else: leave a shorter log (docs/design).
"""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from msgspec import structs

from audit import Audit, Signing, SigningKey
from audit.codec.events import event_id_text, event_index
from audit.codec.keys import (
    CHECKPOINT,
    CHUNK,
    COMMIT,
    END,
    ERASURE,
    META,
    METRIC,
    PANE,
    RECEIPT,
    ROLLUP,
    SEGMENT,
    SEGMENT_RECEIPTS,
    TILE,
    TOPIC,
    TREE,
)
from audit.storage.driver import plyvel
from audit.storage.erasing import erasure_key
from audit.storage.opening import open_store
from audit.storage.records import encode_erasure
from audit.testing import FakeClock, log_on
from tests.fault.children import Child, started
from tests.fault.damaged import KEPT, OPTIONS, QUERIES, counted_over_time, digest, made_event, proved
from tests.fault.report import record, scaled, seeded
from tests.stores import copy_store

EVENTS: Final = 2_500
SEED: Final = 20_260_101
TOLD: Final = {"store_corrupt", "unavailable"}
TOLD_AT_OPENING: Final = {*TOLD, "store_missing", "store_format"}


class Whole(NamedTuple):
    """A store as a kill leaves it, the same store closed in order, and what both answer."""

    path: Path
    closed: Path
    answers: dict[str, list[bytes]]
    topics: list[Any]
    counts: dict[str, Any]
    proofs: dict[str, Any]
    readers: tuple[Child, Child]

    def examined(self, damaged: Path, damages: Iterable[Callable[[Path], str]]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Damage copies of the store, in a directory for them; return what was done to each, and what it then said."""
        done = []
        for number, damage in enumerate(damages):
            copy = shutil.copytree(self.path, damaged / f"{number}")
            done.append(f"case {number}, {damage(copy)}")
            self.readers[number % 2].tell(str(copy))
        # All are read before any is judged: one that fails leaves no answers for the next test to meet.
        answers = [self.readers[number % 2].line() for number in range(len(done))]
        for where, told in zip(done, answers, strict=True):
            assert told is not None, f"{where}: the process died"
            yield where, told


def paged(log: Any, arguments: dict[str, Any]) -> list[bytes]:
    found: list[bytes] = []
    page = log.list(**arguments, limit=1_000)
    found += page.slices
    while page.has_more:
        page = log.list(**arguments, limit=1_000, cursor=page.cursor)
        found += page.slices
    return found


def append_events(path: Path, first: int, end: int, killed: Path | None = None) -> dict[str, list[bytes]]:
    """Append events in calls of many sizes, and return what the store then answers; copy what a kill would leave."""
    chance = random.Random(SEED)
    clock = FakeClock()
    with log_on(lambda: open_store(path / "log", OPTIONS), clock=clock, options=OPTIONS, seed=SEED) as log:
        number = first
        while number < end:
            count = min(chance.choice((1, 5, 40, 300)), end - number)
            log.append_many([made_event(at) for at in range(number, number + count)])
            number += count
            if chance.random() < 0.2:
                clock.advance(chance.randrange(5))
        log.metrics.register(KEPT)
        log.metrics.settle()
        if killed is not None:
            copy_store(path, killed)
        return {name: paged(log, arguments) for name, arguments in QUERIES.items()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    """Build a store of several tables, whose last commits are in LevelDB's write-ahead log only."""
    path = tmp_path_factory.mktemp("whole") / "data"
    Audit.init(path, clock=FakeClock())
    # Leaves a reserve, and who held the store.
    Audit.open_sync(path, clock=FakeClock(), options=structs.replace(OPTIONS, reserve_bytes=1 << 16)).close()
    append_events(path, 0, EVENTS - 300)
    # Into tables that no compaction will touch any more: each of them is in use.
    database = plyvel.DB(str(path / "log"), compression=None, block_size=1024, bloom_filter_bits=10, max_file_size=1)
    database.compact_range(start=b"\0", stop=b"\xff")
    database.close()
    closed, path = path, path.with_name("killed")
    answers = append_events(closed, EVENTS - 300, EVENTS, killed=path)
    answers["a tail"] = stored = answers["everything"]
    assert len(stored) == EVENTS
    tables = sum(1 for _ in (path / "log").glob("*.ldb"))
    assert tables >= 4
    assert sum(file.stat().st_size for file in (path / "log").glob("*.log")) > 10_000
    chance = random.Random(SEED)
    samples: dict[str, list[Any]] = {
        "ids": [event_id_text(stored[at]).decode() for at in chance.sample(range(EVENTS), 20)],
        "numbers": [number * 3 for number in chance.sample(range(EVENTS // 3), 10)],
    }
    with Audit.open_sync(shutil.copytree(path, path.with_name("copy")), options=OPTIONS, clock=FakeClock()) as log:
        topics = [list(row) for row in log.topics().topics]
        counts = counted_over_time(log)
        proofs = {event_id: proved(log, event_id) for event_id in samples["ids"]}
    samples_file = path.with_name("samples.json")
    samples_file.write_text(json.dumps(samples))
    with started("damaged.py", samples_file) as one, started("damaged.py", samples_file) as other:
        yield Whole(path, closed, answers, topics, counts, proofs, (one, other))


# -- judging -----------------------------------------------------------------------------------------------------------


def judge_proofs(whole: Whole, told: dict[str, Any], *, complete: bool) -> bool:
    for event_id, proof in told.items():
        assert proof["error"] is None or proof["error"] in {*TOLD, "not_found"}, (event_id, proof)
        if complete:
            assert proof["error"] != "not_found"
            assert proof["error"] is not None or proof == whole.proofs[event_id], f"another proof: {event_id}"
    return any(proof["error"] in TOLD for proof in told.values())


def judge_counts(whole: Whole, told: dict[str, Any], *, complete: bool) -> bool:
    for name, count in told.items():
        assert count["error"] is None or count["error"] in TOLD, (name, count)
        if complete and count["error"] is None:
            assert count["windows"] == whole.counts[name]["windows"], f"other counts over time: {name}"
    return any(count["error"] is not None for count in told.values())


def judge(whole: Whole, told: dict[str, Any], *, may_be_shorter: bool = False) -> str:
    """Check what a damaged store said; return how it took the damage."""
    stored = whole.answers["everything"]
    errors = {told["fsck"], told["opened"]} - {None}
    assert errors <= TOLD_AT_OPENING, told
    if told["opened"] is not None:
        assert told["fsck"] is not None or told["findings"], "fsck finds nothing in a store that can't be opened"
        return "refused"
    size = told["size"]
    # A shorter log is one that was cut between two commits, and in all other ways as it was.
    assert size == EVENTS or (may_be_shorter and size < EVENTS), f"has {size} events without a word"
    kept = {event_id_text(one) for one in stored[:size]}
    failed = 0
    for name, answer in told["queries"].items():
        expected = [one for one in whole.answers[name] if event_index(one) < size]
        failed += answer["error"] is not None
        assert answer["error"] is None or answer["error"] in TOLD, (name, answer)
        assert answer["digest"] == digest(expected[: answer["count"]]), f"{name}: other data"
        assert answer["error"] is not None or answer["count"] == len(expected), f"{name}: a hole"
    for event_id, answer in told["events"].items():
        event = [one for one in stored if event_id_text(one) == event_id.encode()]
        failed += answer["error"] in TOLD
        if event_id.encode() not in kept:
            assert answer["error"] == "not_found"
        elif answer["error"] is None:
            assert answer["digest"] == digest(event), f"event {event_id}: other data"
        else:
            assert answer["error"] in TOLD, f"event {event_id}: {answer['error']}"
    for text, answer in told["receipts"].items():
        first = stored[int(text)]
        failed += answer["error"] is not None
        assert answer["error"] is None or answer["error"] in TOLD, answer
        if answer["error"] is None and event_id_text(first) in kept:
            assert answer["receipt"] == [[event_id_text(first).decode(), event_index(first)]], "another receipt"
    topics = told["topics"]
    failed += topics["error"] is not None
    assert topics["error"] is None or topics["error"] in TOLD, topics
    if size == EVENTS and topics["error"] is None:
        assert topics["rows"] == json.loads(json.dumps(whole.topics)), "other counts"
    failed += judge_counts(whole, told["counts"], complete=size == EVENTS)
    failed += judge_proofs(whole, told["proofs"], complete=size == EVENTS)
    if failed:
        assert told["findings"], f"{failed} reads failed, and fsck finds nothing"
        return "told"
    if told["findings"]:
        return "found by fsck"
    return "unchanged" if size == EVENTS else "shorter"


# -- damaging ----------------------------------------------------------------------------------------------------------


def flip(file: Path, at: int, bit: int) -> None:
    with file.open("r+b") as stream:
        stream.seek(at)
        byte = stream.read(1)[0]
        stream.seek(at)
        stream.write(bytes([byte ^ 1 << bit]))


def flip_anywhere(file: Path, chance: random.Random) -> str:
    at, bit = chance.randrange(file.stat().st_size), chance.randrange(8)
    flip(file, at, bit)
    return f"bit {bit} of byte {at} of {file.stat().st_size}"


def flip_near_the_end(file: Path, chance: random.Random) -> str:
    size = file.stat().st_size
    at, bit = size - 1 - chance.randrange(min(size, 600)), chance.randrange(8)
    flip(file, at, bit)
    return f"bit {bit} of byte {at} of {size}"


def cut_the_end(file: Path, chance: random.Random) -> str:
    size = file.stat().st_size
    left = size - min(size, chance.choice((1, 7, 100, size // 2, size)))
    with file.open("r+b") as stream:
        stream.truncate(left)
    return f"all from byte {left} of {size}"


def cut_the_middle(file: Path, chance: random.Random) -> str:
    content = file.read_bytes()
    at, count = chance.randrange(len(content)), chance.choice((1, 50, 5_000))
    file.write_bytes(content[:at] + content[at + count :])
    return f"{count} bytes from byte {at} of {len(content)} cut out"


def zero_a_page(file: Path, chance: random.Random) -> str:
    size = file.stat().st_size
    at = chance.randrange(-(-size // 4096)) * 4096
    with file.open("r+b") as stream:
        stream.seek(at)
        stream.write(bytes(min(4096, size - at)))
    return f"zeros from byte {at} of {size}"


def remove(file: Path, chance: random.Random) -> str:
    file.unlink()
    return "all of it"


def flip_beside(pattern: bytes) -> Callable[[Path, random.Random], str]:
    """Return what flips a bit beside one of the places where a pattern stands."""

    def flip_there(file: Path, chance: random.Random) -> str:
        content = file.read_bytes()
        places = [at for at in range(len(content)) if content.startswith(pattern, at)]
        if not places:
            return flip_anywhere(file, chance)
        at, bit = chance.choice(places) + chance.randrange(-2, 40), chance.randrange(8)
        flip(file, max(0, min(at, len(content) - 1)), bit)
        return f"bit {bit} of byte {at} of {len(content)}, beside {pattern!r}"

    return flip_there


# Ids of 2026 start with these bytes: a directory's key where it stands in full.
IN_DIRECTORIES: Final = flip_beside(SEGMENT + b"\x01\x9b")
IN_TILES: Final = flip_beside(TILE + bytes(8))
IN_METADATA: Final = flip_beside(b'"store_id"')

Damage = Callable[[Path, random.Random], str]
InCopy = Callable[[Path], str]
CASES: Final[list[tuple[str, Damage, int]]] = [
    ("*.ldb", flip_anywhere, 12),
    ("*.ldb", flip_near_the_end, 4),
    ("*.ldb", cut_the_end, 4),
    ("*.ldb", cut_the_middle, 3),
    ("*.ldb", zero_a_page, 4),
    ("*.ldb", remove, 2),
    ("*.ldb", IN_DIRECTORIES, 10),
    ("*.ldb", IN_METADATA, 3),
    ("*.ldb", IN_TILES, 4),
    ("*.log", flip_anywhere, 6),
    ("*.log", flip_near_the_end, 4),
    ("*.log", cut_the_end, 5),
    ("*.log", cut_the_middle, 3),
    ("*.log", zero_a_page, 3),
    ("*.log", remove, 1),
    ("MANIFEST-*", flip_anywhere, 6),
    ("MANIFEST-*", cut_the_end, 5),
    ("MANIFEST-*", cut_the_middle, 3),
    ("MANIFEST-*", zero_a_page, 1),
    ("MANIFEST-*", remove, 1),
    ("CURRENT", flip_anywhere, 4),
    ("CURRENT", cut_the_end, 2),
    ("CURRENT", remove, 1),
    ("LOCK", remove, 1),
    ("LOG", cut_the_end, 1),
]


def assert_taken_well(
    whole: Whole, damaged: Path, damages: Iterable[Callable[[Path], str]], *, may_be_shorter: bool = False
) -> None:
    for where, told in whole.examined(damaged, damages):
        try:
            taken = judge(whole, told, may_be_shorter=may_be_shorter)
        except AssertionError as error:
            raise AssertionError(f"{where}: {error}") from error
        print(f"{where}: {taken}")  # noqa: T201 - shown when a case fails


@pytest.mark.parametrize(("files", "damage", "cases"), CASES, ids=lambda value: getattr(value, "__name__", str(value)))
def test_damage_is_told_or_changes_nothing(
    files: str, damage: Damage, cases: int, whole: Whole, tmp_path: Path
) -> None:
    def damaging(number: int) -> Callable[[Path], str]:
        chance = random.Random(f"{files}{damage.__name__}{number}")

        def in_copy(copy: Path) -> str:
            # By size: names depend on how LevelDB's background thread came along.
            found = sorted((copy / "log").glob(files), key=lambda file: (file.stat().st_size, file.name))
            file = chance.choice(found)
            return f"{file.name}: {damage(file, chance)}"

        return in_copy

    assert_taken_well(whole, tmp_path, map(damaging, range(cases)), may_be_shorter=files == "*.log")


# Files by what they are for, so that each kind is hit, however many files of it there are.
KINDS: Final = (
    "log/*.ldb",
    "log/*.log",
    "log/MANIFEST-*",
    "log/CURRENT",
    "log/LOG*",
    "log/LOCK",
    "reserve",
    "holder.json",
)
DAMAGES: Final = (
    flip_anywhere,
    flip_anywhere,
    flip_anywhere,
    flip_near_the_end,
    cut_the_end,
    cut_the_middle,
    zero_a_page,
    remove,
)
DAMAGED: Final = scaled(100)


def assert_named(told: dict[str, Any]) -> None:
    """Check that what was found says where: a record, or a file; never just that something is wrong."""
    texts = [*told["findings"], *told["said"]]
    unnamed = [text for text in texts if "record='the database'" in text or text.startswith("the database:")]
    assert not texts or len(unnamed) < len(texts), texts


def anywhere(seed: int, number: int, files: str) -> InCopy:
    """Return what damages a file of a kind as a seed has it."""

    def in_copy(copy: Path) -> str:
        chance = random.Random(f"{seed} {number}")
        file = chance.choice(sorted(copy.glob(files), key=lambda one: (one.stat().st_size, one.name)))
        damage = chance.choice(DAMAGES) if file.stat().st_size else remove
        return f"{file.relative_to(copy)}: {damage(file, chance)}"

    return in_copy


@pytest.mark.timeout(300 * scaled(1))
def test_a_hundred_damages_of_all_kinds_of_files_are_told_or_change_nothing(whole: Whole, tmp_path: Path) -> None:
    seed = seeded(SEED)
    taken: Counter[str] = Counter()
    flipped: Counter[str] = Counter()
    missing = 0
    chance = random.Random(seed)
    # Each kind, and then mostly those that hold something.
    kinds = [*KINDS, *chance.choices(KINDS, (8, 8, 4, 2, 1, 1, 1, 1), k=DAMAGED - len(KINDS))]
    for first in range(0, DAMAGED, 20):
        copies = tmp_path / f"{first}"
        copies.mkdir()
        numbers = range(first, min(first + 20, DAMAGED))
        for number, (where, told) in zip(
            numbers, whole.examined(copies, (anywhere(seed, n, kinds[n]) for n in numbers)), strict=True
        ):
            try:
                # What a cut of the newest write-ahead log may do besides: see docs/design/failure-and-fencing.md.
                how = judge(whole, told, may_be_shorter=kinds[number] == "log/*.log")
                assert_named(told)
            except AssertionError as error:
                raise AssertionError(f"{where}: {error}") from error
            print(f"{where}: {how}")  # noqa: T201 - shown when a case fails
            taken[how] += 1
            if kinds[number] == "log/*.log" and ": bit " in where:
                flipped[how] += 1
            missing += EVENTS - told["size"] if how == "shorter" else 0
        shutil.rmtree(copies)
    # Only one in a record's length can look like the end of the log; any other is told.
    assert flipped["shorter"] <= flipped.total() // 5, flipped
    assert taken["refused"]
    assert taken["told"] + taken["found by fsck"]
    assert taken["unchanged"]
    shorter = taken.pop("shorter", 0)
    record(
        fault="damaged files",
        injected="bits flipped, bytes cut out or off, pages zeroed, files removed: tables, write-ahead log, MANIFEST, "
        "CURRENT, reserve, holder, lock, LevelDB's own log",
        tried=taken.total(),
        acknowledged=taken.total() * EVENTS,
        lost=0,
        repeated=0,
        detected=", ".join(f"{how}: {count}" for how, count in sorted(taken.items())),
    )
    record(
        fault="the newest write-ahead log cut, lost or zeroed (nothing outside the store knows its size)",
        injected="as before; whole commits are missing at the end, all others are there",
        tried=shorter,
        acknowledged=shorter * EVENTS,
        lost=missing,
        repeated=0,
        detected="not by the store: by a cursor or an id from outside",
    )


@pytest.mark.parametrize("damage", [remove, cut_the_end, flip_anywhere], ids=lambda value: value.__name__)
def test_a_store_that_was_closed_has_nothing_in_its_write_ahead_log_to_lose(
    damage: Damage, whole: Whole, tmp_path: Path
) -> None:
    def in_copy(copy: Path) -> str:
        (log,) = (copy / "log").glob("*.log")
        # Something to cut or to flip, as a disk that loses its mind may leave it.
        log.write_bytes(b"" if damage is remove else bytes(200))
        return damage(log, random.Random(1))

    ((_, told),) = whole._replace(path=whole.closed).examined(tmp_path, [in_copy])
    assert judge(whole, told) == "unchanged"


def test_an_undamaged_store_answers_as_it_did(whole: Whole, tmp_path: Path) -> None:
    """What the other tests compare with: without it they could all say `refused`."""
    ((_, told),) = whole.examined(tmp_path, [lambda copy: "nothing"])
    assert judge(whole, told) == "unchanged"
    assert told["fsck"] is None


# -- records that LevelDB finds nothing wrong with ---------------------------------------------------------------------


def changed_by_hand(kind: bytes, change: Callable[[Any, bytes, bytes, random.Random], str], number: int) -> InCopy:
    """Return what changes a record of a kind through the driver: LevelDB's own checksums are right then."""

    def in_copy(copy: Path) -> str:
        chance = random.Random(f"{kind!r}{number}")
        database = plyvel.DB(str(copy / "log"), compression=None, block_size=1024, bloom_filter_bits=10)
        try:
            records = list(database.iterator(prefix=kind))
            key, record = records[number % len(records)] if change is delete_record else chance.choice(records)
            return f"{key!r}: {change(database, key, record, chance)}"
        finally:
            database.close()

    return in_copy


def flip_record(database: Any, key: bytes, record: bytes, chance: random.Random) -> str:
    at, bit = chance.randrange(len(record)), chance.randrange(8)
    database.put(key, record[:at] + bytes([record[at] ^ 1 << bit]) + record[at + 1 :])
    return f"bit {bit} of byte {at} of {len(record)}"


def delete_record(database: Any, key: bytes, record: bytes, chance: random.Random) -> str:
    database.delete(key)
    return "deleted"


SEALED: Final = (CHUNK, COMMIT, METRIC, PANE, RECEIPT, ROLLUP, SEGMENT_RECEIPTS, SEGMENT, TILE, TREE, TOPIC)
"""Kinds of records that have a checksum of their own."""


@pytest.mark.parametrize("kind", SEALED, ids=bytes.decode)
def test_a_bit_flipped_in_a_record_is_told_by_its_own_checksum(kind: bytes, whole: Whole, tmp_path: Path) -> None:
    assert_taken_well(whole, tmp_path, [changed_by_hand(kind, flip_record, number) for number in range(3)])


def sign(copy: Path) -> None:
    """Have a store keep a checkpoint."""
    signing = Signing(keys=(SigningKey.new("example.com/log", bytes(32)),))
    Audit.open_sync(copy, options=OPTIONS, clock=FakeClock(), signing=signing).close()


def leave_unpurged(copy: Path) -> None:
    """Leave a store as a kill does between an erasure and the purge of its files."""
    database = plyvel.DB(str(copy / "log"), compression=None, block_size=1024, bloom_filter_bits=10)
    try:
        segment = next(database.iterator(prefix=SEGMENT, include_value=False))[1:]
        key = erasure_key(int.from_bytes(segment, "big"))
        database.put(key, encode_erasure(key, [segment]))
    finally:
        database.close()


@pytest.mark.parametrize(("kind", "prepare"), [(CHECKPOINT, sign), (ERASURE, leave_unpurged)])
def test_so_is_one_in_a_record_that_few_stores_have(
    kind: bytes, prepare: Callable[[Path], None], whole: Whole, tmp_path: Path
) -> None:
    def damage(number: int) -> InCopy:
        def in_copy(copy: Path) -> str:
            prepare(copy)
            return changed_by_hand(kind, flip_record, number)(copy)

        return in_copy

    for where, told in whole.examined(tmp_path, [damage(number) for number in range(3)]):
        assert judge(whole, told) in {"refused", "found by fsck"}, where


@pytest.mark.parametrize(
    "kind", [CHUNK, COMMIT, RECEIPT, ROLLUP, SEGMENT_RECEIPTS, SEGMENT, TILE, TREE, TOPIC, META, END], ids=bytes.decode
)
def test_a_record_that_is_missing_is_found_by_fsck(kind: bytes, whole: Whole, tmp_path: Path) -> None:
    ((where, told),) = whole.examined(tmp_path, [changed_by_hand(kind, delete_record, 0)])
    assert told["findings"] or told["fsck"] in TOLD_AT_OPENING, where


@pytest.mark.parametrize("kind", [CHUNK, COMMIT, SEGMENT], ids=bytes.decode)
def test_events_whose_record_is_missing_are_not_left_out_in_silence(kind: bytes, whole: Whole, tmp_path: Path) -> None:
    deletions = [changed_by_hand(kind, delete_record, number) for number in range(9)]
    # Without its last commit it is a shorter log, and nothing in it can tell.
    assert_taken_well(whole, tmp_path, deletions, may_be_shorter=kind == COMMIT)
