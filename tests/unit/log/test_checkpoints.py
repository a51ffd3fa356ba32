"""Checkpoints: what they say, when they are made, where they are kept, and what they keep from being opened."""

import threading
from collections.abc import Callable
from copy import copy
from pathlib import Path

import pytest

from audit import (
    AuditError,
    CheckpointAhead,
    HashMismatch,
    InvalidParameter,
    ProofMalformed,
    SignatureInvalid,
    SyncAudit,
    Unavailable,
    WrongKey,
    WrongOrigin,
)
from audit.log import checkpointfile
from audit.log.signing import Signing
from audit.proof.checkpoints import Checkpoint, open_checkpoint, read_checkpoint, sign_checkpoint
from audit.proof.hashing import root_of
from audit.proof.keys import SigningKey
from audit.proof.leaves import leaf_hashes
from audit.storage.memory import Disk
from audit.testing import FakeClock, Faults, log_on, memory_log
from audit.testing.logs import STORE_ID
from tests.stores import TINY, event, memory_opener

KEY = SigningKey.new("audit.example/log", bytes(range(32)))
SIGNED = sign_checkpoint(Checkpoint(KEY.name, 0, root_of([])), KEY)
OTHER = SigningKey.new("audit.example/log", bytes(32))


def appended(log: SyncAudit, count: int) -> None:
    log.append_many([event("a", data=str(at)) for at in range(count)])


def stored(log: SyncAudit) -> list[bytes]:
    return log.list(limit=1_000).slices


def kept(disk: Disk) -> int | None:
    """Return the size of the checkpoint that a store has."""
    return None if disk.checkpoint is None else disk.checkpoint.size


def copied(disk: Disk) -> Disk:
    """Return a disk's copy, as an operator makes one to go back to."""
    again = copy(disk)
    again.sealed, again.commits, again.tiles = list(disk.sealed), dict(disk.commits), dict(disk.tiles)
    return again


def test_an_unsigned_log_says_its_size_and_root_in_three_lines() -> None:
    with memory_log(layout=TINY) as log:
        assert log.checkpoint().splitlines()[:2] == [f"audit/{STORE_ID}", "0"]
        appended(log, 300)
        said = read_checkpoint(log.checkpoint())
        assert said == Checkpoint(f"audit/{STORE_ID}", 300, root_of(leaf_hashes(stored(log))))
        assert log.checkpoint() == said.body
        assert log.info().key is None


def test_a_signed_log_signs_what_it_says() -> None:
    with memory_log(layout=TINY, signing=Signing(keys=(KEY,))) as log:
        assert log.info()[4:] == (KEY.name, KEY.verifier.text)
        for _ in range(3):
            appended(log, 300)
            checkpoint = open_checkpoint(log.checkpoint(), [KEY.verifier], KEY.name)
            assert checkpoint.root == root_of(leaf_hashes(stored(log)))
            assert log.checkpoint() == log.checkpoint()


def test_two_keys_both_sign_while_one_hands_over_to_the_other() -> None:
    with memory_log(signing=Signing(keys=(KEY, OTHER), origin="the log")) as log:
        note = log.checkpoint()
        for key in (KEY, OTHER):
            assert open_checkpoint(note, [key.verifier], "the log").size == 0


def test_a_checkpoint_is_stored_when_it_is_due_and_when_the_log_is_closed() -> None:
    disk = Disk(STORE_ID, TINY)
    clock = FakeClock()
    with memory_log(disk, clock=clock, signing=Signing(keys=(KEY,), interval_s=10)) as log:
        appended(log, 3)
        appended(log, 3)
        assert kept(disk) is None
        clock.advance(10_000)
        appended(log, 3)
        # The writer stores it before it takes another call.
        appended(log, 3)
        assert kept(disk) == 9
    assert kept(disk) == 12
    before = disk.checkpoint
    assert before is not None
    assert open_checkpoint(before.note, [KEY.verifier], KEY.name).size == 12
    with memory_log(disk, clock=clock, signing=Signing(keys=(KEY,))) as log:
        assert log._core.checkpoints.signed == before.note
        assert log.checkpoint() == before.note
    assert disk.checkpoint is before


def test_a_log_without_a_key_writes_no_checkpoint() -> None:
    disk = Disk(STORE_ID, TINY)
    with memory_log(disk) as log:
        appended(log, 3)
        log.checkpoint()
        assert log._core.checkpoints.signed is None
    assert disk.checkpoint is None


def test_a_checkpoint_that_can_not_be_stored_fences_like_a_commit() -> None:
    faults = Faults(memory_opener())
    with log_on(faults.open, signing=Signing(keys=(KEY,), interval_s=0)) as log:
        faults.fail_append(2, persisted=False)
        appended(log, 3)
        appended(log, 3)
        assert log.info().size == 6
        assert faults.appends >= 3
    assert faults.open().load().checkpoint is not None


@pytest.mark.parametrize("signing", [Signing(keys=(KEY,)), Signing()], ids=["signed", "unsigned"])
def test_the_newest_checkpoint_is_kept_outside_the_store(signing: Signing, tmp_path: Path) -> None:
    file = tmp_path / "checkpoint"
    signing = Signing(keys=signing.keys, checkpoint_file=file)
    disk = Disk(STORE_ID, TINY)
    for size in (5, 10):
        with memory_log(disk, signing=signing) as log:
            appended(log, 5)
            assert log.checkpoint() == file.read_text()
            assert read_checkpoint(file.read_text()).size == size
        assert [one.name for one in tmp_path.iterdir()] == ["checkpoint"]


def rolled_back(disk: Disk, log: Callable[[], SyncAudit]) -> Disk:
    with log() as one:
        appended(one, 5)
    older = copied(disk)
    with log() as one:
        appended(one, 5)
    return older


def cut(disk: Disk, log: Callable[[], SyncAudit]) -> Disk:
    with log() as one:
        appended(one, 5)
        appended(one, 1)
    del disk.commits[max(disk.commits)]
    return disk


def rewritten(disk: Disk, log: Callable[[], SyncAudit]) -> Disk:
    with log() as one:
        appended(one, 5)
    key = max(disk.commits)
    again = Disk(STORE_ID, TINY)
    with memory_log(again) as one:
        appended(one, 5)
    assert key not in again.commits or again.commits[key] != disk.commits[key]
    return again


@pytest.mark.parametrize(
    ("attack", "kind", "problem"),
    [
        (rolled_back, CheckpointAhead, r"checkpoint of size 10: the store ends after 5: the newest events were cut"),
        (cut, CheckpointAhead, r"checkpoint of size 6: the store ends after 5"),
        (rewritten, HashMismatch, r"checkpoint of size 5: the store has another root: an event was changed"),
    ],
)
@pytest.mark.parametrize("keys", [(KEY,), ()], ids=["signed", "unsigned"])
def test_a_store_that_is_not_what_the_file_says_is_not_opened(
    attack: Callable[[Disk, Callable[[], SyncAudit]], Disk],
    kind: type[AuditError],
    problem: str,
    keys: tuple[SigningKey, ...],
    tmp_path: Path,
) -> None:
    signing = Signing(keys=keys, checkpoint_file=tmp_path / "checkpoint")
    disk = Disk(STORE_ID, TINY)
    attacked = attack(disk, lambda: memory_log(disk, signing=signing))
    attacked.checkpoint = None
    before = (tmp_path / "checkpoint").read_bytes()
    with pytest.raises(kind, match=problem):
        memory_log(attacked, signing=signing)
    assert (tmp_path / "checkpoint").read_bytes() == before


def test_a_store_that_is_not_what_its_own_checkpoint_says_is_not_opened() -> None:
    disk = Disk(STORE_ID, TINY)
    attacked = cut(disk, lambda: memory_log(disk, signing=Signing(keys=(KEY,))))
    for signing in (Signing(keys=(KEY,)), Signing()):
        with pytest.raises(CheckpointAhead):
            memory_log(attacked, signing=signing)


@pytest.mark.parametrize(
    ("content", "kind", "problem"),
    [
        (sign_checkpoint(Checkpoint(KEY.name, 0, root_of([])), OTHER), WrongKey, "trusted is"),
        (sign_checkpoint(Checkpoint(KEY.name, 0, root_of([]))), WrongKey, "is not signed"),
        (sign_checkpoint(Checkpoint("another", 0, root_of([])), KEY), WrongOrigin, "'another'"),
        (
            sign_checkpoint(Checkpoint(KEY.name, 0, root_of([])), KEY).replace("\n0\n", "\n1\n"),
            SignatureInvalid,
            "text",
        ),
        ("nonsense", ProofMalformed, "must be lines of"),
        ("", ProofMalformed, "must be lines of"),
    ],
)
def test_a_file_with_none_of_this_log_s_checkpoints_keeps_it_closed(
    content: str, kind: type[AuditError], problem: str, tmp_path: Path
) -> None:
    file = tmp_path / "checkpoint"
    file.write_text(content)
    with pytest.raises(kind, match=f"{file}.*{problem}"):
        memory_log(signing=Signing(keys=(KEY,), checkpoint_file=file))


def test_a_signed_file_is_not_replaced_by_an_unsigned_one(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint"
    disk = Disk(STORE_ID, TINY)
    with memory_log(disk, signing=Signing(keys=(KEY,), checkpoint_file=file)) as log:
        appended(log, 1)
    with pytest.raises(WrongKey, match="is signed, and the log is opened without a key"):
        memory_log(disk, signing=Signing(checkpoint_file=file))


def test_a_file_that_can_not_be_read_keeps_the_log_closed(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match="checkpoint_file: there is no directory"):
        memory_log(signing=Signing(checkpoint_file=tmp_path / "none" / "checkpoint"))
    with pytest.raises(Unavailable, match="can't read the checkpoint file"):
        memory_log(signing=Signing(checkpoint_file=tmp_path))
    (tmp_path / "bytes").write_bytes(b"\xff")
    with pytest.raises(InvalidParameter, match="is no checkpoint"):
        memory_log(signing=Signing(checkpoint_file=tmp_path / "bytes"))


def test_a_file_that_can_not_be_written_is_told_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    with memory_log(signing=Signing(keys=(KEY,), checkpoint_file=place / "checkpoint")) as log:
        place.rename(tmp_path / "away")
        for _ in range(2):
            appended(log, 1)
            assert log.checkpoint()
        place.mkdir()
        appended(log, 1)
        assert log.checkpoint() == (place / "checkpoint").read_text()
    said = [record.message for record in caplog.records]
    assert ["can't be written" in one for one in said] == [True, False]
    assert "is written again" in said[1]


def test_a_file_on_a_disk_that_hangs_holds_up_no_append(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hung, freed = threading.Event(), threading.Event()

    def hang(path: Path) -> None:
        hung.set()
        assert freed.wait(30)

    monkeypatch.setattr(checkpointfile, "sync_directory", hang)
    disk = Disk(STORE_ID, TINY)
    with memory_log(disk, signing=Signing(keys=(KEY,), checkpoint_file=tmp_path / "c", interval_s=0)) as log:
        appended(log, 1)
        assert hung.wait(30)
        appended(log, 1)
        appended(log, 1)
        freed.set()
    assert read_checkpoint((tmp_path / "c").read_text()).size == 3
