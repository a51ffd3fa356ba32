"""One suite over every implementation of the port: whatever `Storage` promises holds for LevelDB and for memory."""

import random
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import Actor, AuditError, NewEvent, StoreClosed, StoreCorrupt, Target
from audit.codec.cursors import Position
from audit.codec.events import decode_event, event_index, event_value
from audit.codec.rollups import LEVELS, Level
from audit.codec.segments import Layout
from audit.codec.terms import Match, event_terms, match_of, term_of_topic, topic_of_term
from audit.log.claims import digests_of
from audit.log.prepare import prepare_call
from audit.log.tree import load_tree
from audit.model.ids import MAX_VALUE, RANDOM_BITS
from audit.model.query import to_query
from audit.model.span import EVERYTHING, Span
from audit.model.topic import Topic
from audit.proof.hashing import root_of
from audit.proof.leaves import leaf_hashes
from audit.proof.tiles import TILE_WIDTH
from audit.storage.port import (
    Batch,
    ChildCount,
    Found,
    Head,
    KeptMetric,
    MetricWrite,
    RollupRange,
    Rollups,
    Search,
    SignedCheckpoint,
    Storage,
)
from audit.testing.clock import START_MS
from tests.stores import LAYOUTS, OPTIONS, TINY, Writer, event, leveldb_opener, memory_opener

ALL = Match((), ())
UNBOUNDED = 1 << 40


class Backend(NamedTuple):
    name: str
    layout: Layout

    def opener(self, path: Path) -> Callable[[], Storage]:
        return memory_opener(self.layout) if self.name == "memory" else leveldb_opener(path, self.layout)


BACKENDS = [Backend("memory", TINY), *(Backend("leveldb", layout) for layout in LAYOUTS.values())]
NAMES = ["memory", *(f"leveldb-{name}" for name in LAYOUTS)]
SEGMENTS = ("a", "b", "bc", "a,b", "constructor", "ä", "𐍈", "\uffee", "a b")


def never() -> bool:
    return False


def some_events(rng: random.Random, count: int) -> list[NewEvent]:
    """Return events with every kind of term, some of them rare, some large."""
    return [
        NewEvent(
            topics=[
                tuple(rng.choices(SEGMENTS, weights=range(len(SEGMENTS), 0, -1), k=rng.randint(1, 3)))
                for _ in range(rng.choice((1, 1, 2)))
            ],
            action=rng.choice((None, "open", "close")),
            actor=Actor(type="user", id=rng.choice("uvw")) if rng.random() < 0.5 else None,
            targets=[Target(type="vault", id=one) for one in rng.sample("xyz", rng.randint(0, 2))],
            outcome=rng.choice((None, "success", "denied")),
            context={"request_id": str(rng.randint(0, 3))} if rng.random() < 0.3 else {},
            data="x" * rng.choice((0, 0, 0, 50, 700)),
        )
        for _ in range(count)
    ]


def fill(writer: Writer, rng: random.Random, count: int) -> None:
    """Append events in commits of all sizes, several in a millisecond and some far apart."""
    ms = START_MS
    while len(writer.stored) < count:
        ms += rng.choice((0, 0, 1, 1000))
        writer.append(some_events(rng, rng.choice((1, 1, 2, 3, 7, 20))), ms=ms)


class Full(NamedTuple):
    """A filled store, and what it must answer from."""

    storage: Storage
    stored: list[bytes]
    terms: list[frozenset[bytes]]
    unsealed: list[bytes]

    def __repr__(self) -> str:
        return f"Full({len(self.stored)} sealed events)"

    def expected(self, match: Match, span: Span, *, descending: bool) -> list[bytes]:
        found = [
            raw
            for raw, terms in zip(self.stored, self.terms, strict=True)
            if span.low <= event_value(raw) < span.high
            and set(match.all_of) <= terms
            and (not match.any_of or set(match.any_of) & terms)
        ]
        return found[::-1] if descending else found


@pytest.fixture(params=BACKENDS, ids=NAMES, scope="module")
def full(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Full]:
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")  # noqa: T201 - repeats a failure
    opener = request.param.opener(tmp_path_factory.mktemp("store") / "log")
    storage = opener()
    writer = Writer(storage, seed)
    fill(writer, random.Random(seed), 600)
    sealed = writer.sealed
    assert sealed
    assert writer.stored
    terms = [frozenset(event_terms(decode_event(raw))) for raw in sealed]
    yield Full(storage, sealed, terms, writer.stored[len(sealed) :])
    storage.close()


@pytest.fixture(params=BACKENDS, ids=NAMES)
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Storage]:
    found: Callable[[], Storage] = request.param.opener(tmp_path / "log")
    return found


class Question(NamedTuple):
    """A search, apart from its limits, drawn as small numbers that any store turns into terms and ids of its own."""

    any_of: list[int]
    all_of: list[int]
    low: tuple[int, int]
    high: tuple[int, int]
    descending: bool

    def match(self, full: Full) -> Match:
        known = [
            *sorted(frozenset().union(*full.terms)),
            term_of_topic(("nobody",)),
            term_of_topic(("a", "b", "c", "d")),
        ]
        return Match(
            tuple({known[number % len(known)] for number in self.any_of}),
            tuple({known[number % len(known)] for number in self.all_of}),
        )

    def span(self, full: Full) -> Span:
        ids = [0, *map(event_value, full.stored), MAX_VALUE]
        return Span(*(max(0, ids[at % len(ids)] + beside) for at, beside in (self.low, self.high)))


BOUNDS = st.tuples(st.integers(-50, 5_000), st.integers(-1, 1))
TERMS = st.lists(st.integers(0, 200), max_size=3)
QUESTIONS = st.builds(Question, TERMS, TERMS, BOUNDS, st.one_of(st.just((-1, 1)), BOUNDS), st.booleans())


@given(QUESTIONS, st.one_of(st.integers(1, 5), st.just(1_000)), st.one_of(st.integers(0, 2_000), st.just(UNBOUNDED)))
def test_search_finds_what_a_plain_list_finds_and_says_where_it_stopped(
    full: Full, question: Question, limit: int, max_bytes: int
) -> None:
    match, span, descending = question.match(full), question.span(full), question.descending
    found = full.storage.search(Search(match, span, descending, limit, max_bytes), never)
    expected = full.expected(match, span, descending=descending)
    assert found.events == expected[: len(found.events)]
    assert len(found.events) <= limit
    size = sum(map(len, found.events))
    assert size <= max_bytes or len(found.events) == 1
    rest = expected[len(found.events) :]
    if found.stopped is None:
        assert not rest
    else:
        assert_place(full, found.stopped)
        # Nobody interrupted it, so it is full: at the limit, or the next event would not have fitted.
        assert len(found.events) == limit or (rest and size + len(rest[0]) > max_bytes)
        assert found.stopped.last_id == event_value(found.events[-1])


@given(
    QUESTIONS,
    st.integers(1, 200),
    st.one_of(st.integers(0, 100_000), st.just(UNBOUNDED)),
    st.lists(st.integers(0, 40), min_size=1, max_size=4),
)
def test_search_resumed_where_it_stopped_gives_everything_exactly_once(
    full: Full, question: Question, limit: int, max_bytes: int, patience: list[int]
) -> None:
    match, span, descending = question.match(full), question.span(full), question.descending
    expected = full.expected(match, span, descending=descending)
    events: list[bytes] = []
    turn = 0
    while True:
        looks = iter(range(patience[turn % len(patience)]))
        turn += 1
        search = Search(match, span, descending, limit, max_bytes)
        found = full.storage.search(search, lambda looks=looks: next(looks, None) is None)  # type: ignore[misc]
        events += found.events
        if found.stopped is None:
            break
        assert_place(full, found.stopped)
        assert span.low <= found.stopped.last_id < span.high or not found.events, "it stopped outside its span"
        before = span
        at = found.stopped.last_id
        span = span.below(at) if descending else span.above(at + 1)
        assert span != before, "it stopped without having looked at anything"
    assert events == expected


@given(QUESTIONS, st.one_of(st.integers(1, 5), st.just(1_000)), st.one_of(st.integers(0, 2_000), st.just(UNBOUNDED)))
def test_what_is_answered_without_the_disk_is_what_the_disk_would_answer(
    full: Full, question: Question, limit: int, max_bytes: int
) -> None:
    search = Search(question.match(full), question.span(full), question.descending, limit, max_bytes)
    before = full.storage.search_nowait(search)
    found = full.storage.search(search, never)
    assert before is None or before == found
    after = full.storage.search_nowait(search)
    assert after is None or after == found


def assert_place(full: Full, place: Position) -> None:
    assert event_value(full.stored[place.index]) == place.last_id


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("backend", BACKENDS, ids=NAMES)
def test_what_was_read_once_is_answered_without_the_disk_while_the_log_grows(
    backend: Backend, descending: bool, tmp_path: Path
) -> None:
    options = msgspec.structs.replace(OPTIONS, block_cache_bytes=8 << 20)
    memory = backend.name == "memory"
    opener = backend.opener(tmp_path / "log") if memory else leveldb_opener(tmp_path / "log", backend.layout, options)
    storage = opener()
    writer = Writer(storage)
    matches = [ALL, *(match_of(to_query(topics=topics)) for topics in ([("a",)], [("rare",), ("bc",)], [("none",)]))]
    matches.append(Match((term_of_topic(("a",)),), (term_of_topic(("rare",)),)))
    for turn in range(3):
        rng = random.Random(turn)
        for number in range(3 * backend.layout.segment_events // 4):
            writer.append([event("rare", "a"), event("a"), *some_events(rng, 2)] if number % 9 else [event("rare")])
        ids = [event_value(raw) for raw in writer.sealed]
        for match in matches:
            for span in (EVERYTHING, Span(ids[len(ids) // 3], ids[-1]), Span(ids[2], ids[len(ids) // 2])):
                for limit in (1, 7, UNBOUNDED):
                    search = Search(match, span, descending, limit, UNBOUNDED)
                    known = storage.search_nowait(search)
                    found = storage.search(search, never)
                    assert known is None or known == found
                    assert storage.search_nowait(search) == found
        for raw in writer.sealed:
            assert storage.get(event_value(raw)) == storage.get_nowait(event_value(raw)) == raw
    storage.close()
    with pytest.raises(StoreClosed):
        storage.search_nowait(Search(ALL, EVERYTHING, descending, 1, UNBOUNDED))


def test_search_without_terms_finds_every_sealed_event_and_no_other(full: Full) -> None:
    assert full.storage.search(Search(ALL, EVERYTHING, False, UNBOUNDED, UNBOUNDED), never) == Found(full.stored, None)
    assert full.storage.search(Search(ALL, EVERYTHING, True, UNBOUNDED, UNBOUNDED), never) == Found(
        full.stored[::-1], None
    )


def test_get_returns_each_sealed_event_and_nothing_for_any_other_id(full: Full) -> None:
    known = {event_value(raw): raw for raw in full.stored}
    for value, raw in known.items():
        assert full.storage.get(value) == raw
        for near in (value - 1, value + 1):
            assert full.storage.get(near) == known.get(near)
    for raw in full.unsealed:
        assert full.storage.get(event_value(raw)) is None
    assert full.storage.get(0) is None
    assert full.storage.get(MAX_VALUE) is None


def counts_of(full: Full) -> dict[Topic, ChildCount]:
    counts: dict[Topic, ChildCount] = {}
    for raw, terms in zip(full.stored, full.terms, strict=True):
        for topic in filter(None, map(topic_of_term, terms)):
            value = event_value(raw)
            known = counts.get(topic, ChildCount(topic[-1], 0, value, value))
            counts[topic] = known._replace(events=known.events + 1, last_id=value)
    return counts


@pytest.mark.parametrize("limit", [1, 2, 3, 1_000])
def test_children_page_by_name_through_every_child_of_every_topic(full: Full, limit: int) -> None:
    counts = counts_of(full)
    for parent in [(), ("nobody",), *counts]:
        expected = [count for topic, count in counts.items() if topic[:-1] == parent]
        expected.sort(key=lambda count: count.segment.encode())
        found: list[ChildCount] = []
        while page := full.storage.children(parent, found[-1].segment if found else "", limit):
            assert len(page) <= limit
            found += page
        assert found == expected


def test_topic_counts_answer_in_the_order_asked(full: Full) -> None:
    counts = counts_of(full)
    topics = [*counts, ("nobody",), *reversed(counts)]
    assert full.storage.topic_counts(topics) == [counts.get(topic) for topic in topics]
    assert full.storage.topic_counts([]) == []


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: f"by {level.unit_ms} ms")
def test_rollups_are_each_topics_events_by_time(full: Full, level: Level) -> None:
    times: dict[Topic, Counter[int]] = defaultdict(Counter)
    for raw, terms in zip(full.stored, full.terms, strict=True):
        ms = event_value(raw) >> RANDOM_BITS
        for topic in [(), *filter(None, map(topic_of_term, terms))]:
            times[topic][ms - ms % level.unit_ms] += 1
    first, last = min(times[()]), max(times[()])
    for topic in [*times, ("nobody",)]:
        for low, high in ((0, last + level.unit_ms), (first, last), (first + level.unit_ms, last + level.unit_ms)):
            wanted = {ms: count for ms, count in times[topic].items() if low <= ms < high}
            found = full.storage.rollups(topic, [RollupRange(level, low, high)])
            assert found == Rollups(len(full.stored), wanted)


def test_a_new_store_is_empty(opener: Callable[[], Storage]) -> None:
    storage = opener()
    assert storage.load() == Head(0, -1, [], None, None)
    assert storage.search(Search(ALL, EVERYTHING, False, 10, UNBOUNDED), never) == Found([], None)
    assert storage.search(Search(ALL, EVERYTHING, True, 10, UNBOUNDED), never) == Found([], None)
    assert storage.get(0) is None
    assert storage.children((), "", 10) == []
    assert storage.rollups((), [RollupRange(LEVELS[0], 0, 1 << 48)]) == (0, {})
    assert storage.claims([b"d" * 16]) == {}
    storage.close()


@given(sizes=st.lists(st.integers(1, 13), max_size=12), seed=st.integers(0, 99))
def test_a_reopened_store_knows_its_head_and_its_sealed_events(
    sizes: list[int], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for backend in (BACKENDS[0], BACKENDS[1]):
        opener = backend.opener(tmp_path_factory.mktemp("store") / "log")
        writer = Writer(opener(), seed)
        rng = random.Random(seed)
        for size in sizes:
            writer.append(some_events(rng, size))
            # Each commit, not the last alone: what sealing leaves over must be right every time.
            head = writer.storage.load()
            sealed = writer.sealed
            assert head.first_index == len(sealed)
            assert head.last_sealed_id == (event_value(sealed[-1]) if sealed else -1)
            assert [key for key, _ in head.commits] == writer.head_keys
            assert [raw for _, commit in head.commits for raw in commit.events] == writer.stored[len(sealed) :]
            for _, commit in head.commits:
                assert next(event_index(raw) for raw in commit.events) == commit.first_index
                assert commit.terms == [event_terms(decode_event(raw)) for raw in commit.events]
        before = writer.storage.load()
        writer.storage.close()
        again = opener()
        assert again.load() == before
        found = again.search(Search(ALL, EVERYTHING, False, UNBOUNDED, UNBOUNDED), never)
        assert found == Found(writer.sealed, None)
        again.close()


@pytest.mark.parametrize("count", [1, 255, 256, 257, 700])
def test_the_tree_is_kept_with_the_commits_that_it_is_of(count: int, opener: Callable[[], Storage]) -> None:
    storage = opener()
    writer = Writer(storage, count)
    rng = random.Random(count)
    full = 0
    while len(writer.stored) < count:
        writer.append(some_events(rng, min(rng.choice((1, 90, 300)), count - len(writer.stored))))
        leaves = leaf_hashes(writer.stored)
        head = storage.load()
        full = len(leaves) // TILE_WIDTH
        for number in range(full):
            assert storage.tile(0, number) == b"".join(leaves[number * TILE_WIDTH : (number + 1) * TILE_WIDTH])
        assert head.tree == ((full * TILE_WIDTH, root_of(leaves[: full * TILE_WIDTH])) if full else None)
        assert load_tree(head, storage) == writer.tree
    with pytest.raises(StoreCorrupt, match=f"tile {full} of level 0"):
        storage.tile(0, full)
    storage.close()
    again = opener()
    assert load_tree(again.load(), again) == writer.tree
    assert writer.tree.root() == root_of(leaf_hashes(writer.stored))
    again.close()


def test_the_newest_checkpoint_takes_the_place_of_the_one_before(opener: Callable[[], Storage]) -> None:
    storage = opener()
    Writer(storage).append([event("a")])
    signed = SignedCheckpoint(0, "")
    for size in (1, 300, 70_000):
        signed = SignedCheckpoint(size, f"a log\n{size}\nroot\n\n— ü\n")
        storage.append(Batch([], None, [], checkpoint=signed))
        assert storage.load().checkpoint == signed
    storage.close()
    again = opener()
    assert again.load().checkpoint == signed
    again.append(Batch([], None, [], checkpoint=signed._replace(size=70_001)))
    assert again.load().checkpoint == signed._replace(size=70_001)
    again.close()


def test_claims_are_known_once_sealed_and_the_newest_wins(opener: Callable[[], Storage]) -> None:
    storage = opener()
    writer = Writer(storage)
    per_segment = storage.meta.layout.segment_events
    keyed = [event("a", idempotency_key=f"k{number}") for number in range(3)]
    call = prepare_call([event("b")], "call")
    digests = [*digests_of([prepare_call(keyed)]), *digests_of([call])]
    commit = writer.append([event("a"), *keyed])
    writer.append([event("b")], key="call")
    assert [claim.position for claim in commit.claims] == [1, 2, 3]
    writer.append([event("c") for _ in range(per_segment)])
    known = storage.claims([b"?" * 16, *digests])
    assert list(known) == digests
    for digest, raw in zip(digests, writer.stored[1:5], strict=True):
        assert known[digest][1:4] == (event_value(raw), event_index(raw), 1)
    assert [known[digest].of_call for digest in digests] == [False, False, False, True]
    assert known[digests[-1]].fingerprint == call.fingerprint
    # A call's key may be used again when it has expired; from then on it means the later call.
    again = writer.append([event("b"), event("b")], key="call")
    writer.append([event("c") for _ in range(2 * per_segment)])
    newest = storage.claims(digests)[digests[-1]]
    assert newest[1:4] == (event_value(again.events[0]), again.first_index, 2)
    storage.close()


def test_what_is_kept_of_metrics_comes_back_pane_by_pane(opener: Callable[[], Storage]) -> None:
    storage = opener()
    assert storage.metrics() == {}
    assert storage.metric("a", 0, 1) is None

    def keep(*writes: MetricWrite) -> None:
        storage.append(Batch((), None, (), metrics=writes))

    keep(MetricWrite("a", b"1", {-60: b"x", 0: b"y", 60: b"z"}), MetricWrite("ab", b"2", {0: b"other"}))
    assert storage.metrics() == {"a": b"1", "ab": b"2"}
    assert storage.metric("a", -(1 << 62), 1 << 62) == KeptMetric(b"1", {-60: b"x", 0: b"y", 60: b"z"})
    assert storage.metric("a", 0, 60) == KeptMetric(b"1", {0: b"y"})
    keep(MetricWrite("a", b"3", {0: b"Y", 120: b"w"}))
    assert storage.metric("a", -60, 121) == KeptMetric(b"3", {-60: b"x", 0: b"Y", 60: b"z", 120: b"w"})
    keep(MetricWrite("a", b"4", {60: b"new"}, anew=True))
    storage.close()
    storage = opener()
    assert storage.metrics() == {"a": b"4", "ab": b"2"}
    assert storage.metric("a", -60, 121) == KeptMetric(b"4", {60: b"new"})
    assert storage.metric("ab", -60, 121) == KeptMetric(b"2", {0: b"other"})
    keep(MetricWrite("a", None, {}), MetricWrite("no-such", None, {}))
    assert storage.metrics() == {"ab": b"2"}
    assert storage.metric("a", -60, 121) is None
    keep(MetricWrite("a", b"5", {0: b"again"}))
    assert storage.metric("a", -60, 121) == KeptMetric(b"5", {0: b"again"})
    assert storage.metric("ab", -60, 121) == KeptMetric(b"2", {0: b"other"})
    storage.close()


def test_a_closed_storage_refuses_every_call_and_may_be_closed_again(opener: Callable[[], Storage]) -> None:
    storage = opener()
    writer = Writer(storage)
    writer.append([event("a")])
    storage.close()
    storage.close()
    calls: list[Callable[[], object]] = [
        storage.load,
        lambda: writer.append([event("a")]),
        lambda: storage.claims([b"d" * 16]),
        lambda: storage.search(Search(ALL, EVERYTHING, False, 10, UNBOUNDED), never),
        lambda: storage.get(0),
        lambda: storage.tile(0, 0),
        lambda: storage.children((), "", 10),
        lambda: storage.topic_counts([("a",)]),
        lambda: storage.rollups(("a",), []),
        storage.metrics,
        lambda: storage.metric("a", 0, 1),
    ]
    for call in calls:
        with pytest.raises(StoreClosed):
            call()
    again = opener()
    assert len(again.load().commits) == 1
    again.close()


def test_readers_beside_the_writer_see_whole_commits_in_order(opener: Callable[[], Storage]) -> None:
    storage = opener()
    writer = Writer(storage)
    done = threading.Event()
    problems: list[str] = []
    match = match_of(to_query(("a",)))

    def read(*, descending: bool) -> None:
        seen = 0
        while not done.is_set():
            try:
                found = storage.search(Search(match, EVERYTHING, descending, UNBOUNDED, UNBOUNDED), never)
            except AuditError as error:
                problems.append(repr(error))
                return
            indexes = [event_index(raw) for raw in found.events]
            indexes = indexes[::-1] if descending else indexes
            if indexes != list(range(0, 2 * len(indexes), 2)) or len(indexes) < seen:
                problems.append(f"{indexes} after {seen}")
                return
            seen = len(indexes)

    threads = [threading.Thread(target=read, kwargs={"descending": number % 2 == 0}) for number in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(100):
        writer.append([event("a"), event("b"), event("a"), event("b")])
    done.set()
    for thread in threads:
        thread.join()
    assert not problems
    storage.close()


@pytest.mark.parametrize("descending", [False, True])
def test_a_search_out_of_time_never_claims_what_lies_outside_its_span(
    opener: Callable[[], Storage], descending: bool
) -> None:
    storage = opener()
    writer = Writer(storage)
    count = 2 * storage.meta.layout.segment_events
    # One commit after another, small, so that segments fill up to their number of events.
    for number in range(count):
        writer.append([event("a" if number in (1, count - 2) else "b")])
    ids = [event_value(raw) for raw in writer.sealed]
    span = Span(ids[-3], ids[-1] + 1) if descending else Span(ids[0], ids[2])
    search = Search(match_of(to_query(("a",))), span, descending, 10, UNBOUNDED)
    found = storage.search(search, lambda: True)
    # A cursor made of it may go on without the far bound, and must not skip what lies beyond.
    if found.stopped is not None:
        assert span.low <= found.stopped.last_id < span.high
    storage.close()


def test_runs_after_each_event_make_up_all_that_is_sealed_with_its_claims(full: Full) -> None:
    found: list[bytes] = []
    last_id = -1
    while (run := full.storage.run_after(last_id)) is not None:
        assert run.first_index == len(found)
        assert run.events
        found += run.events
        last_id = event_value(run.events[-1])
    assert found == full.stored
    for index in range(0, len(found), 7):
        run = full.storage.run_after(event_value(found[index]))
        assert (run is None) == (index == len(found) - 1)
        if run is not None:
            assert (run.first_index, run.events[0]) == (index + 1, found[index + 1])


@pytest.mark.parametrize("backend", BACKENDS, ids=NAMES)
def test_claims_come_with_the_run_that_holds_their_first_event(backend: Backend, tmp_path: Path) -> None:
    storage = backend.opener(tmp_path / "log")()
    writer = Writer(storage)
    for number in range(30):
        writer.append([event("a", data="x" * 50)] * (number % 5 + 1), key=f"call {number}" if number % 2 else None)
    writer.append([event("a")] * backend.layout.segment_events)
    claims: dict[bytes, tuple[int, int]] = {}
    last_id = -1
    while (run := storage.run_after(last_id)) is not None:
        for claim in run.claims:
            claims[claim.digest] = (run.first_index + claim.position, claim.length)
        # One event at a time: a claim stays with the event that it starts with.
        last_id = event_value(run.events[0])
    expected = {
        claim.digest: (commit.first_index + claim.position, claim.length)
        for commit in writer.commits
        for claim in commit.claims
        if commit.first_index + claim.position < len(writer.sealed)
    }
    assert claims == expected
    storage.close()
