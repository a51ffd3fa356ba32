"""`audit key` and `audit verify` as a person meets them: files, words and exit codes."""

import stat
import time
from pathlib import Path

import pytest

from audit import Audit, NewEvent
from audit.app.keyfiles import load_signing_key
from audit.cli.program import run
from audit.codec.events import erase_event
from audit.log.signing import Signing
from audit.proof.checkpoints import Checkpoint, cosign, sign_checkpoint
from audit.proof.exports import encode_end, encode_head, encode_run
from audit.proof.files import EventProof, encode_proof
from audit.proof.frontier import Frontier
from audit.proof.leaves import leaf_hashes
from audit.proof.proving import prove_inclusion
from audit.proof.rotation import follow_rotations, sign_rotation
from audit.proof.selections import prove_selection
from audit.storage.options import StoreOptions

ORIGIN = "example.com/log"


class World:
    """A log of 10 events, its keys, and files of it, in the current directory."""

    def __init__(self) -> None:
        assert run(["key", "new", ORIGIN, "--to", "log.key"]) == 0
        assert run(["key", "new", "w.example", "--witness", "--to", "w.key"]) == 0
        with Audit.open_sync("data", create=True, options=StoreOptions(reserve_bytes=0)) as log:
            log.append_many([NewEvent(topics=[("a",)], data=number) for number in range(6)])
            log.backup("full.backup")
            log.append_many([NewEvent(topics=[("a",)], data=number) for number in range(4)])
            log.backup("more.backup", since="full.backup")
            self.events = log.list().slices
        self.key, self.witness = load_signing_key(Path("log.key")), load_signing_key(Path("w.key"))
        self.tree, full = Frontier().grow(leaf_hashes(self.events))
        self.read = self.tree.reading(dict(full).__getitem__)
        self.note = self.sign(10)
        Path("checkpoint").write_text(self.note, encoding="utf-8")

    def sign(self, size: int) -> str:
        return sign_checkpoint(
            Checkpoint(ORIGIN, size, Frontier().grow(leaf_hashes(self.events[:size]))[0].root()), self.key
        )

    def prove(self, index: int, event: bytes, note: str) -> None:
        proof = EventProof(event, index, prove_inclusion(index, 10, self.read), note)
        Path("one.tlog-proof").write_text(encode_proof(proof), encoding="utf-8")

    def export(self, *indexes: int) -> None:
        run_of = encode_run([self.events[index] for index in indexes], prove_selection(indexes, 10, self.read))
        Path("export.jsonl").write_bytes(encode_head(self.note) + run_of + encode_end(len(indexes)))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> World:
    monkeypatch.chdir(tmp_path)
    made = World()
    capsys.readouterr()
    return made


def test_a_key_is_for_its_owner_alone_and_never_in_a_store(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert stat.S_IMODE(Path("log.key").stat().st_mode) == 0o600
    assert run(["key", "show", "log.key"]) == 0
    shown = capsys.readouterr().out
    assert shown == Path("log.key.pub").read_text(encoding="utf-8") == f"{world.key.verifier.text}\n"
    for arguments, problem in (
        (["new", ORIGIN, "--to", "log.key"], "--to: log.key is there already"),
        (["new", ORIGIN, "--to", "data/key"], "--to: data/key is in the store"),
        (["new", ORIGIN, "--to", "data/log/key"], "--to: data/log/key is in the store"),
        (["new", "a b", "--to", "k"], "ORIGIN: must have 1 to 256 bytes"),
        (["show", "absent"], "FILE: can't read absent"),
        (["show", "log.key.pub"], "FILE: log.key.pub may be read by others than its owner"),
    ):
        assert run(["key", *arguments]) == 2
        assert problem in capsys.readouterr().err
    Path("log.key.pub").chmod(0o600)
    assert run(["key", "show", "log.key.pub"]) == 2
    assert "private key: must have the form" in capsys.readouterr().err


def test_a_proof_is_verified_in_plain_words(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    event = world.events[4]
    world.prove(4, event, cosign(world.note, world.witness, int(time.time())))
    assert run(["verify", "one.tlog-proof", "--key", "log.key.pub", "--witness", "w.key.pub"]) == 0
    words = capsys.readouterr().out.splitlines()
    assert words[0] == "verified"
    assert words[1].startswith(f"event {event[7:33].decode()} is number 4 of the log, recorded 20")
    assert words[2] == f"the checkpoint holds: {ORIGIN} signed for its first 10 events"
    assert words[3].startswith("witness w.example cosigned it 20")
    world.prove(4, erase_event(event), world.note)
    assert run(["verify", "one.tlog-proof", "--key", world.key.verifier.text]) == 0
    assert "its payload was erased" in capsys.readouterr().out


def test_what_does_not_hold_ends_with_1_and_the_reason(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.prove(4, world.events[4].replace(b'"data":4', b'"data":5'), world.note)
    for arguments, problem in (
        ([], "error: event 4: is not the one that the checkpoint of size 10 covers"),
        (["--origin", "example.com/other"], "is of the log 'example.com/log', not of 'example.com/other'"),
        (["--witness", "w.key.pub"], "there is none by the witness w.example"),
    ):
        assert run(["verify", "one.tlog-proof", "--key", "log.key.pub", *arguments]) == 1
        said = capsys.readouterr()
        assert problem in said.err
        assert said.out == ""


def test_an_export_is_verified(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    for indexes, words in (
        (range(10), "10 events are in the log, number 0 to 9, none left out\nthey are all that the checkpoint covers"),
        ((2, 3), "2 events are in the log, number 2 to 3, none left out\nthe checkpoint"),
        ((2, 5), "2 events are in the log, between number 2 and 5\nwhether others that fit were left out"),
        ((), "the export has no events"),
    ):
        world.export(*indexes)
        assert run(["verify", "export.jsonl", "--key", "log.key.pub"]) == 0
        assert words in capsys.readouterr().out
    world.export(2, 3)
    path = Path("export.jsonl")
    path.write_bytes(path.read_bytes().replace(b'"data":2', b'"data":7'))
    assert run(["verify", "export.jsonl", "--key", "log.key.pub"]) == 1
    assert "error: one of 2 events, 2 to 3:" in capsys.readouterr().err


def test_backups_are_held_against_a_checkpoint(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["verify", "full.backup", "more.backup", "--key", "log.key.pub", "--checkpoint", "checkpoint"]
    assert run(command) == 0
    assert "the backup has 10 events; the first 10 are those that were signed" in capsys.readouterr().out
    Path("checkpoint").write_text(world.sign(7), encoding="utf-8")
    assert run(command) == 0
    assert "3 came after the checkpoint, which says nothing of them" in capsys.readouterr().out
    assert run([*command[:2], *command[3:]]) == 1
    assert "the backup ends after 6: the newest events were cut off" in capsys.readouterr().err
    world.events[3] = world.events[2]
    Path("checkpoint").write_text(world.sign(7), encoding="utf-8")
    assert run(command) == 1
    assert "the backup has another root: an event was changed" in capsys.readouterr().err
    assert run([command[0], "more.backup", *command[3:]]) == 4
    assert run(command[:5]) == 2
    assert "--checkpoint: a backup has none of its own" in capsys.readouterr().err


def test_a_checkpoint_is_verified_and_a_key_that_was_replaced_leads_to_the_new_one(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["verify", "checkpoint", "--key", "log.key.pub"]) == 0
    assert run(["key", "new", ORIGIN, "--to", "new.key"]) == 0
    new = load_signing_key(Path("new.key"))
    Path("checkpoint").write_text(sign_checkpoint(Checkpoint(ORIGIN, 10, world.tree.root()), new), encoding="utf-8")
    assert run(["verify", "checkpoint", "--key", "log.key.pub"]) == 1
    Path("rotation").write_text(sign_rotation(ORIGIN, world.key, new), encoding="utf-8")
    assert run(["verify", "checkpoint", "--key", "log.key.pub", "--rotation", "rotation"]) == 0
    assert run(["verify", "checkpoint", "--key", "new.key.pub", "--rotation", "rotation"]) == 1
    capsys.readouterr()


def test_a_rotation_is_an_event_and_a_file_and_leads_to_the_new_key(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["key", "rotate", "log.key", "--to", "new.key", "--data", "data", "--checkpoint-file", "newest"]
    assert run(command) == 0
    new = load_signing_key(Path("new.key"))
    assert capsys.readouterr().out == f"{new.verifier.text}\n"
    statement = Path("new.key.rotation").read_text(encoding="utf-8")
    assert follow_rotations(world.key.verifier, [statement], ORIGIN)[-1] == new.verifier
    with Audit.open_sync("data", signing=Signing(keys=(new,), checkpoint_file=Path("newest"))) as log:
        (event,) = log.list(("audit", "key")).events
    assert (event.index, event.action, event.data) == (10, "audit.key_rotated", statement)
    # The checkpoint made then is signed by both; those to come by the new key alone.
    for key in ("log.key.pub", "new.key.pub"):
        assert run(["verify", "newest", "--key", key]) == 0
    assert run(command) == 2
    assert "--to: new.key is there already" in capsys.readouterr().err


def test_what_was_given_wrongly_ends_with_2(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    Path("binary").write_bytes(b"\xff")
    for arguments, code, problem in (
        (["checkpoint"], 2, "Missing option '--key'"),
        (["absent", "--key", "log.key.pub"], 2, "FILE: can't read absent: No such file"),
        (["checkpoint", "--key", "absent"], 2, "--key: can't read absent"),
        (["checkpoint", "--key", "checkpoint"], 2, "--key: checkpoint: public key: must have the form"),
        (["checkpoint", "--key", "w.key.pub"], 2, "--key: is a witness' key"),
        (["checkpoint", "--key", "log.key.pub", "--witness", "log.key.pub"], 2, "--witness: is a log's key"),
        (["checkpoint", "checkpoint", "--key", "log.key.pub"], 2, "FILE: give one file, or backups"),
        (["checkpoint", "--key", "log.key.pub", "--checkpoint", "checkpoint"], 2, "--checkpoint: is for backups"),
        (["binary", "--key", "log.key.pub"], 1, "binary: is neither a proof"),
        (["log.key.pub", "--key", "log.key.pub"], 1, "checkpoint: must be lines of"),
    ):
        assert run(["verify", *arguments]) == code, arguments
        assert problem in capsys.readouterr().err
