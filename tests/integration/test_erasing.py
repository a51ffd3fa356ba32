"""Erasing events of a store on disk: what is left of them, what finds them still, and that no file holds the rest."""

import os
import random
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit import Actor, Audit, InvalidParameter, NewEvent, NotFound, Receipt, StoreOptions, Target, TooLarge
from audit.app.fsck import check_store
from audit.app.restore import restore_store
from audit.codec.events import decode_event, event_id_text, is_erased, split_event
from audit.codec.segments import Layout
from audit.log.sync import SyncAudit
from audit.log.tail import Batch
from audit.testing import check_log, log_on, memory_log
from audit.testing.clock import FakeClock
from tests.stores import LAYOUTS, OPTIONS, TINY, holding, leveldb_opener, memory_opener

ROOMY = StoreOptions(min_free_bytes=0, reserve_bytes=0)


def marked(mark: str, number: int, **more: object) -> NewEvent:
    """Return an event all of whose payload has a mark, with numbers that keep lz4 from leaving anything out."""
    return NewEvent(
        topics=[("a", "b"), ("c",)],
        action=f"{mark}.action.{number}",
        actor=Actor(type="user", id=f"{mark}.actor", name=f"{mark}.name"),
        targets=[Target(type="vault", id=f"{mark}.target.{number}")],
        context={"request_id": f"{mark}.request.{number}", "ip": f"{mark}.ip"},
        outcome="denied",
        data={"text": f"{mark} {number}"},
        **more,  # type: ignore[arg-type]
    )


def plain(number: int) -> NewEvent:
    noise = random.Random(number).randbytes(60).hex()
    return NewEvent(topics=[("a",)], action=f"plain.{number % 5}", actor=Actor(type="user", id="u"), data=noise)


@pytest.mark.parametrize("after", [0, 1, 300, 3_000])
@pytest.mark.parametrize("before", [0, 10, 700])
@pytest.mark.parametrize("reopened", [False, True])
def test_no_file_holds_what_was_erased(before: int, after: int, reopened: bool, tmp_path: Path) -> None:
    path, mark = tmp_path / "data", f"MARK{os.urandom(8).hex()}"
    # Buffers of 64 KiB: what is written ends in tables of several levels.
    options = StoreOptions(write_buffer_bytes=1 << 16, min_free_bytes=0, reserve_bytes=0)
    log = Audit.open_sync(path, create=True, options=options)
    if before:
        log.append_many([plain(number) for number in range(before)])
    gone = [log.append(marked(mark, number, idempotency_key=f"key {number}")) for number in range(3)]
    gone += log.append_many([marked(mark, number) for number in range(3, 6)], idempotency_key="of the call")
    for start in range(0, after, 1_000):
        log.append_many([plain(number) for number in range(start, min(start + 1_000, after))])
    if reopened:
        log.close()
        log = Audit.open_sync(path, options=options)
    assert holding(path, mark)
    before_it = [log.get_raw(one.id) for one in gone]
    done = log.erase([one.id for one in gone], reason="asked for", actor=Actor(type="admin", id="root"))
    assert done.erased == 6
    assert not holding(path, mark)
    for raw, one in zip(before_it, gone, strict=True):
        left = log.get_raw(one.id)
        assert split_event(left)[0] == split_event(raw)[0]
        assert is_erased(left)
    assert not log.list(filter={"actor": f"{mark}.actor"}).slices
    assert [event.id for event in log.list(("c",)).events] == [one.id for one in gone]
    assert done.receipt is not None
    recorded = log.get(done.receipt.id)
    assert (recorded.topics, recorded.actor) == ([("audit", "erased")], Actor(type="admin", id="root"))
    assert recorded.data == {"reason": "asked for", "events": [one.id for one in gone]}
    # A retry is answered as before, and brings nothing back: neither the same request nor another with the key.
    assert log.append(marked(mark, 0, idempotency_key="key 0")) == gone[0]
    assert log.append(NewEvent(topics=[("x",)], idempotency_key="key 1")) == gone[1]
    assert log.append_many([marked(mark, number) for number in range(3, 6)], idempotency_key="of the call") == gone[3:]
    check_log(log)
    log.close()
    assert not holding(path, mark)
    assert check_store(path).findings == []
    with Audit.open_sync(path, options=options) as log:
        assert not holding(path, mark)
        assert log.append(NewEvent(topics=[("x",)], idempotency_key="key 2")) == gone[2]
        check_log(log)
    assert not holding(path, mark)


def unlike_all(number: int) -> str:
    """Return a text that shares no more than its first letters with any other: LevelDB leaves out what keys share."""
    return random.Random(number).randbytes(10).hex()


def test_no_list_of_files_and_no_log_of_the_driver_names_what_was_erased(tmp_path: Path) -> None:
    """LevelDB notes the first and last key of each table, and those that it compacts; a posting list's has a term."""
    path, mark = tmp_path / "data", f"MARK{os.urandom(4).hex()}"
    # A buffer so small that there are several levels of tables.
    options = StoreOptions(write_buffer_bytes=1 << 19, min_free_bytes=0, reserve_bytes=0)
    with Audit.open_sync(path, create=True, options=options) as log:
        receipts: list[Receipt] = []
        for start in range(0, 11_000, 1_000):
            receipts += log.append_many(
                [
                    NewEvent(
                        topics=[("a",)],
                        context={"request_id": f"{mark}.{number:05}{'x' * 900}"},
                        targets=[Target(type="vault", id=unlike_all(number))],
                    )
                    for number in range(start, start + 1_000)
                ]
            )
        # Compacts the tables, which end somewhere among the lists of requests.
        log.erase([receipts[0].id], reason="r")
        log.erase([receipts[1].id], reason="r")
        found = {
            int(number)
            for file in (path / "log").iterdir()
            if file.suffix != ".ldb"
            for number in re.findall(mark.encode() + rb"\.(\d{5})", file.read_bytes())
        }
        assert found - {0, 1}
        # And some whose posting lists lie in the last level, under a key of which no other key has more than a little.
        found |= set(range(5_000, 5_010))
        assert all(holding(path, unlike_all(number)[4:]) for number in range(5_000, 5_010))
        log.erase([receipts[number].id for number in found], reason="r")
        for number in {0, 1, *found}:
            assert not holding(path, f"{mark}.{number:05}")
            assert not holding(path, unlike_all(number)[4:])


def test_erasing_twice_is_harmless_and_recorded_once() -> None:
    with memory_log() as log:
        receipts = log.append_many([plain(number) for number in range(3)])
        ids = [one.id for one in receipts]
        assert log.erase(ids[:1], reason="r").erased == 1
        second = log.erase([*ids[:2], ids[1]], reason="r")
        assert second.erased == 1
        assert second.receipt is not None
        assert log.get(second.receipt.id).data["events"] == [ids[1]]
        again = log.erase(ids[:2], reason="r")
        assert (again.erased, again.receipt) == (0, None)
        assert log.info().size == 5


def test_what_can_not_be_erased_is_refused_and_nothing_is_erased() -> None:
    with memory_log() as log:
        ids = [one.id for one in log.append_many([plain(number) for number in range(2)])]
        unknown = "00000000000000000000000001"
        with pytest.raises(NotFound, match=rf"ids\[1\].*{unknown}"):
            log.erase([ids[0], unknown], reason="r")
        for bad, problem in (([], "ids"), (ids[0], "ids"), (["x"], r"ids\[0\]")):
            with pytest.raises(InvalidParameter, match=problem):
                log.erase(bad, reason="r")
        with pytest.raises(TooLarge, match="1-1000"):
            log.erase([unknown] * 1_001, reason="r")
        for reason in ("", "x" * 1_025, None, "\ud800"):
            with pytest.raises(InvalidParameter, match="reason"):
                log.erase(ids, reason=reason)  # type: ignore[arg-type]
        with pytest.raises(InvalidParameter, match=r"^actor\.id"):
            log.erase(ids, reason="r", actor=Actor(type="user", id=""))
        assert not any(map(is_erased, log.list().slices))
        record = log.erase(ids[:1], reason="r").receipt
        assert record is not None
        kept = [record, log._core.record_rotation("as both keys sign it")]
        for one in kept:
            with pytest.raises(InvalidParameter, match=r"ids\[1\].*can't be erased"):
                log.erase([ids[1], one.id], reason="r")
        assert not log.get(ids[1]).erased


def test_a_thousand_events_are_erased_in_one_call(tmp_path: Path) -> None:
    with Audit.open_sync(tmp_path / "data", create=True, options=ROOMY) as log:
        ids = [one.id for one in log.append_many([plain(number) for number in range(1_000)])]
        assert log.erase(ids, reason="\n" * 1_024).erased == 1_000
        assert all(map(is_erased, log.list(limit=1_000).slices))
        assert not log.list(filter={"actor": "u"}).slices
        check_log(log)


def test_a_process_that_ended_before_its_files_were_purged_does_it_when_it_is_opened(tmp_path: Path) -> None:
    path, mark = tmp_path / "log", f"MARK{os.urandom(8).hex()}"
    opener = leveldb_opener(path, Layout(), ROOMY)
    log = log_on(opener)
    log.append_many([plain(number) for number in range(600)])
    gone = log.append(marked(mark, 1))
    log._core._purger.purge = lambda: None  # type: ignore[method-assign]
    log.erase([gone.id], reason="r")
    log.close()
    assert holding(path, mark)
    log = log_on(opener)
    log._core._purger.join()
    assert not holding(path, mark)
    log.close()
    assert not holding(path, mark)
    assert not opener_unpurged(opener)


def opener_unpurged(opener: Callable[[], object]) -> bool:
    storage = opener()
    try:
        return bool(storage.load().unpurged)  # type: ignore[attr-defined]
    finally:
        storage.close()  # type: ignore[attr-defined]


def test_readers_and_tails_beside_erasures_see_either_form_without_gap_or_error(tmp_path: Path) -> None:
    options = StoreOptions(min_free_bytes=0, reserve_bytes=0, recent_bytes=20_000, block_cache_bytes=50_000)
    with Audit.open_sync(tmp_path / "data", create=True, options=options) as log:
        receipts = log.append_many([plain(number) for number in range(1_000)])
        headers = [split_event(raw)[0] for raw in log.list(limit=1_000).slices]
        over = threading.Event()
        errors: list[BaseException] = []

        def read(order: str, topic: tuple[str, ...]) -> None:
            try:
                while not over.is_set():
                    found: list[bytes] = []
                    page = log.list(topic, order=order, limit=200)
                    found += page.slices
                    while page.has_more:
                        page = log.list(topic, order=order, limit=200, cursor=page.cursor)
                        found += page.slices
                    if order == "desc":
                        found.reverse()
                    assert [split_event(raw)[0] for raw in found][:1_000] == headers
            except BaseException as error:  # noqa: BLE001 - told below
                errors.append(error)

        def tail() -> None:
            try:
                got: list[bytes] = []
                with log.subscribe(("a",)) as mine:
                    while len(got) < 1_000:
                        notice = mine.read(7)
                        if isinstance(notice, Batch):
                            got += notice.slices
                assert [split_event(raw)[0] for raw in got] == headers
            except BaseException as error:  # noqa: BLE001 - told below
                errors.append(error)

        works = [lambda: read("asc", ()), lambda: read("desc", ("a",)), tail, tail]
        threads = [threading.Thread(target=work) for work in works]
        for thread in threads:
            thread.start()
        for start in range(0, 1_000, 200):
            log.erase([one.id for one in receipts[start : start + 200 : 3]], reason="r")
        over.set()
        for thread in threads:
            thread.join()
        assert errors == []
        check_log(log)


# -- against a plain list ----------------------------------------------------------------------------------------------

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 9), st.sampled_from((None, "call", "event"))),
        st.tuples(st.just("erase"), st.lists(st.integers(0, 60), min_size=1, max_size=5), st.none()),
        st.tuples(st.just("reopen"), st.none(), st.none()),
        st.tuples(st.just("backup"), st.none(), st.none()),
    ),
    max_size=25,
)


class Model:
    """A log on some storage, and the list that it must equal."""

    def __init__(self, opener: Callable[[], object], seed: int) -> None:
        self.opener = opener
        self.rng = random.Random(seed)
        self.options = StoreOptions(
            recent_bytes=self.rng.choice((0, 3_000, 1 << 20)),
            min_free_bytes=0,
            reserve_bytes=0,
            block_cache_bytes=9_000,
        )
        self.clock = FakeClock()
        self.log: SyncAudit = self._open()
        self.stored: list[bytes] = []
        self.calls: list[tuple[list[NewEvent], str | None, list[Receipt]]] = []
        self.tail = self.log.subscribe(("a",))
        self.told: list[bytes] = []

    def _open(self) -> SyncAudit:
        return log_on(self.opener, clock=self.clock, options=self.options)  # type: ignore[arg-type]

    def append(self, count: int, key: str | None) -> None:
        number = len(self.calls)
        events = [
            NewEvent(
                topics=[self.rng.choice((("a",), ("a", "b"), ("c",)))],
                action=self.rng.choice((None, "open", "close")),
                actor=self.rng.choice((None, Actor(type="user", id="u"), Actor(type="user", id="v"))),
                targets=[Target(type="vault", id=one) for one in self.rng.sample("xyz", self.rng.randint(0, 2))],
                outcome=self.rng.choice((None, "success")),
                context=self.rng.choice(({}, {"request_id": f"{number}.{at}"})),
                data="x" * self.rng.choice((0, 10, 400)),
                idempotency_key=f"{number}.{at}" if key == "event" else None,
            )
            for at in range(count)
        ]
        call_key = f"{number}" if key == "call" else None
        receipts = self.log.append_many(events, idempotency_key=call_key)
        self.stored += [self.log.get_raw(one.id) for one in receipts]
        self.calls.append((events, call_key, receipts))

    def erase(self, places: list[int]) -> None:
        known = [at for at in dict.fromkeys(places) if at < len(self.stored) and self.erasable(at)]
        if not known:
            return
        new = [at for at in known if not is_erased(self.stored[at])]
        ids = [event_id_text(self.stored[at]).decode() for at in known]
        done = self.log.erase(ids, reason="r")
        assert done.erased == len(new)
        for at in known:
            left = self.log.get_raw(event_id_text(self.stored[at]).decode())
            assert split_event(left)[0] == split_event(self.stored[at])[0]
            assert is_erased(left)
            self.stored[at] = left
        if done.receipt is not None:
            self.stored.append(self.log.get_raw(done.receipt.id))

    def erasable(self, at: int) -> bool:
        return ("audit", "erased") not in decode_event(self.stored[at]).topics

    def reopen(self) -> None:
        self._drain()
        cursor = self.tail.cursor
        self.log.close()
        self.log = self._open()
        self.tail = self.log.subscribe(("a",), cursor=cursor)

    def _drain(self) -> None:
        while (notice := self.tail.read(3, timeout_s=0)) is not None:
            if isinstance(notice, Batch):
                self.told += notice.slices

    def check(self) -> None:
        assert [event_id_text(raw) for raw in self.stored] == [event_id_text(one) for one in everything(self.log)]
        assert everything(self.log) == self.stored
        check_log(self.log)
        for events, key, receipts in self.calls:
            if key is not None or events[0].idempotency_key is not None:
                assert self.log.append_many(events, idempotency_key=key) == receipts
        self._drain()
        wanted = [split_event(raw)[0] for raw in self.stored if b'"topics":[["a"' in raw]
        assert [split_event(raw)[0] for raw in self.told] == wanted


def everything(log: SyncAudit) -> list[bytes]:
    page = log.list(limit=1_000)
    found = [*page.slices]
    # A slow machine may end a page before it is full.
    while page.has_more:
        page = log.list(limit=1_000, cursor=page.cursor)
        found += page.slices
    return found


@pytest.mark.parametrize("backend", ["memory", *LAYOUTS])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(STEPS, st.integers(0, 1 << 16))
def test_a_log_with_erasures_equals_a_list(
    backend: str, tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, object, object]], seed: int
) -> None:
    path = tmp_path_factory.mktemp("model")
    opener: Callable[[], object]
    opener = memory_opener(TINY) if backend == "memory" else leveldb_opener(path / "log", LAYOUTS[backend], OPTIONS)
    model = Model(opener, seed)
    backups: list[Path] = []
    try:
        for what, one, two in steps:
            if what == "append":
                model.append(one, two)  # type: ignore[arg-type]
            elif what == "erase":
                model.erase(one)  # type: ignore[arg-type]
            elif what == "reopen":
                model.reopen()
            else:
                file = path / f"{len(backups)}.audit"
                model.log.backup(file, since=backups[-1] if backups else None)
                backups.append(file)
        if backups:
            file = path / "last.audit"
            model.log.backup(file, since=backups[-1])
            assert_same(model.stored, path / "restored", [*backups, file])
            model.log.backup(path / "whole.audit")
            assert_same(model.stored, path / "whole", [path / "whole.audit"])
        model.check()
    finally:
        model.log.close()


def assert_same(stored: list[bytes], path: Path, backups: list[Path]) -> None:
    """Check that a store restored from backups holds these events, and is well."""
    restore_store(path, backups)
    assert check_store(path).findings == []
    with Audit.open_sync(path, options=OPTIONS, accept_clock=True) as log:
        assert everything(log) == stored


# -- backups -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [5, 700])
def test_a_backup_from_before_with_an_increment_gives_the_erased_form(count: int, tmp_path: Path) -> None:
    mark = f"MARK{os.urandom(8).hex()}"
    with Audit.open_sync(tmp_path / "data", create=True, options=ROOMY) as log:
        gone = log.append(marked(mark, 1, idempotency_key="k"))
        log.append_many([plain(number) for number in range(count)])
        log.backup(tmp_path / "full.audit")
        done = log.erase([gone.id], reason="r")
        log.append_many([plain(number) for number in range(count)])
        log.backup(tmp_path / "more.audit", since=tmp_path / "full.audit")
        log.backup(tmp_path / "after.audit")
        wanted = all_of(log)
    for name, files in {"chain": ["full.audit", "more.audit"], "after": ["after.audit"]}.items():
        restored = tmp_path / name
        restore_store(restored, [tmp_path / file for file in files])
        assert not holding(restored, mark)
        assert check_store(restored).findings == []
        with Audit.open_sync(restored, options=ROOMY) as log:
            assert all_of(log) == wanted
            assert done.receipt is not None
            assert log.append(NewEvent(topics=[("x",)], idempotency_key="k")) == gone
            check_log(log)
    restore_store(tmp_path / "before", [tmp_path / "full.audit"])
    with Audit.open_sync(tmp_path / "before", options=ROOMY) as log:
        assert not log.get(gone.id).erased


def test_a_restored_backup_from_before_erases_what_a_list_of_erasures_names(tmp_path: Path) -> None:
    mark = f"MARK{os.urandom(8).hex()}"
    with Audit.open_sync(tmp_path / "data", create=True, options=ROOMY) as log:
        gone = log.append_many([marked(mark, number) for number in range(3)])
        log.append_many([plain(number) for number in range(600)])
        log.backup(tmp_path / "full.audit")
        late = log.append(marked(mark, 4))
        who = Actor(type="admin", id="root")
        log.erase([gone[0].id, late.id], reason="first", actor=who)
        log.erase([gone[1].id], reason="second")
        log.erase([late.id], reason="nothing is left")
        records = log.list(("audit", "erased"))
    listed = tmp_path / "erasures.jsonl"
    listed.write_bytes(b"".join([raw + b"\n" for raw in records.slices]))
    info = restore_store(tmp_path / "restored", [tmp_path / "full.audit"], erasures=listed)
    with Audit.open_sync(tmp_path / "restored", options=ROOMY) as log:
        assert log.info().size == info.size == 605
        assert [log.get(one.id).erased for one in gone] == [True, True, False]
        again = log.list(("audit", "erased")).events
        assert [event.data for event in again] == [
            {"reason": "first", "events": [gone[0].id]},
            {"reason": "second", "events": [gone[1].id]},
        ]
        assert again[0].actor == who
        assert [event.occurred_at for event in again] == [event.recorded_at for event in records.events]
        assert not holding(tmp_path / "restored", f"{mark}.action.0")
        assert holding(tmp_path / "restored", f"{mark}.action.2")
        check_log(log)
    assert check_store(tmp_path / "restored").findings == []


@pytest.mark.parametrize(
    "line", ["", "x", "{}", '{"id":"01JD8Z5K3V9Q0T7W2X4Y6Z8A1B","index":0,"topics":[["a"]],"salt":""}']
)
def test_a_list_of_erasures_that_is_none_is_refused(line: str, tmp_path: Path) -> None:
    with Audit.open_sync(tmp_path / "data", create=True, options=ROOMY) as log:
        log.backup(tmp_path / "full.audit")
    listed = tmp_path / "list"
    listed.write_text(line + "\n")
    with pytest.raises(InvalidParameter, match=r"^erasures: .*line 1"):
        restore_store(tmp_path / "restored", [tmp_path / "full.audit"], erasures=listed)
    with pytest.raises(InvalidParameter, match=r"^erasures: can't read"):
        restore_store(tmp_path / "restored", [tmp_path / "full.audit"], erasures=tmp_path / "none")
    assert not (tmp_path / "restored").exists()


def all_of(log: SyncAudit) -> list[bytes]:
    page = log.list(limit=1_000)
    found = page.slices
    while page.has_more:
        page = log.list(limit=1_000, cursor=page.cursor)
        found += page.slices
    return found
