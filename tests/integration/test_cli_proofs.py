"""`audit checkpoint` and `audit proof`, from a directory and from a server; what `audit serve` says of its key."""

import signal
from pathlib import Path

import pytest

from audit import Audit
from audit.app.keyfiles import create_key, load_verifier_key
from audit.proof.checkpoints import open_checkpoint, read_checkpoint
from audit.proof.files import parse_proof
from tests.integration.program import Program
from tests.integration.served import Served
from tests.stores import event

ORIGIN = "example.com/log"


@pytest.fixture
def audit(tmp_path: Path) -> Program:
    """The program, on a store of 10 events, with a key beside it."""
    create_key(tmp_path / "log.key", ORIGIN)
    with Audit.open_sync(tmp_path / "data", create=True) as log:
        log.append_many([event("a")] * 10)
    return Program(tmp_path / "data")


def test_a_checkpoint_and_a_proof_hold_under_the_public_key(audit: Program, tmp_path: Path) -> None:
    key = load_verifier_key(str(tmp_path / "log.key.pub"))
    signed = ("--key", str(tmp_path / "log.key"), "--checkpoint-file", str(tmp_path / "checkpoint"))
    note = audit("checkpoint", *signed).stdout.decode()
    assert open_checkpoint(note, [key], ORIGIN).size == 10
    assert (tmp_path / "checkpoint").read_text(encoding="utf-8") == note
    chosen = audit.stored()[3]["id"]
    proof = audit("proof", chosen, *signed).stdout.decode()
    assert parse_proof(proof).verify([key], ORIGIN).size == 10
    (tmp_path / "event.tlog-proof").write_text(proof, encoding="utf-8")
    audit("verify", str(tmp_path / "event.tlog-proof"), "--key", str(tmp_path / "log.key.pub"))
    assert b"no event" in audit("proof", "0" * 26, code=3).stderr


def test_a_store_that_was_put_back_is_refused_by_its_checkpoint_file(audit: Program, tmp_path: Path) -> None:
    signed = ("--key", str(tmp_path / "log.key"), "--checkpoint-file", str(tmp_path / "checkpoint"))
    with Audit.open_sync(tmp_path / "other", create=True) as log:
        log.append_many([event("a")] * 9)
    audit("checkpoint", *signed)
    refused = audit("checkpoint", "--data", str(tmp_path / "other"), *signed, code=1).stderr
    assert b"the store ends after 9: the newest events were cut off, or it is an older copy" in refused


def test_an_unsigned_log_prints_three_lines_and_info_says_so(audit: Program) -> None:
    note = audit("checkpoint").stdout.decode()
    assert len(note.splitlines()) == 3
    assert read_checkpoint(note).size == 10
    assert b'"key":null' in audit("info").stdout


def test_what_commands_add_is_signed_when_they_end(audit: Program, tmp_path: Path) -> None:
    key = load_verifier_key(str(tmp_path / "log.key.pub"))
    kept = tmp_path / "checkpoint"
    signed = ("--key", str(tmp_path / "log.key"), "--checkpoint-file", str(kept))
    first = audit.stored()[0]["id"]
    for size, command in (
        (11, ("append", "--topic", "a")),
        (12, ("append", "-")),
        (13, ("ingest", "-", "--no-keys")),
        (14, ("erase", first, "--reason", "asked to", "--yes")),
    ):
        audit(*command, *signed, stdin=b'{"topics":[["a"]]}\n')
        assert open_checkpoint(kept.read_text(encoding="utf-8"), [key], ORIGIN).size == size
        refused = audit("--url", "ws://127.0.0.1:1", *command, *signed, stdin=b'{"topics":[["a"]]}\n', code=2)
        assert b"--key: is for whoever runs the server" in refused.stderr
    kept.write_text("damaged", encoding="utf-8")
    assert b"error" in audit("append", "--topic", "a", *signed, code=1).stderr
    assert len(audit.stored()) == 14


def test_both_are_to_be_had_of_a_server(audit: Program, tmp_path: Path) -> None:
    with Served(tmp_path / "data") as served:
        chosen = served.log.list(limit=1).events[0].id
        assert audit("--url", served.url, "checkpoint").stdout.decode() == served.log.checkpoint()
        proof = parse_proof(audit("--url", served.url, "proof", chosen).stdout.decode())
        assert (proof.index, proof.hashes) == (0, served.log.inclusion(chosen).hashes)
        refused = audit("--url", served.url, "checkpoint", "--key", str(tmp_path / "log.key"), code=2).stderr
        assert b"--key: is for whoever runs the server" in refused


@pytest.mark.parametrize("signed", [True, False])
def test_a_server_signs_with_its_key_and_says_when_it_has_none(signed: bool, audit: Program, tmp_path: Path) -> None:
    key = ("--key", str(tmp_path / "log.key")) if signed else ()
    served = audit.start("serve", "--listen", f"unix:{tmp_path}/socket", *key)
    assert served.stdout is not None
    served.stdout.readline()
    note = audit("--url", f"unix:{tmp_path}/socket", "checkpoint").stdout.decode()
    served.send_signal(signal.SIGTERM)
    _, said = served.communicate(timeout=60)
    assert ("\n\n" in note) is signed
    assert (b"no key signs this log's checkpoints (--key)" in said) is not signed


def test_a_key_that_others_may_read_is_refused(audit: Program, tmp_path: Path) -> None:
    (tmp_path / "log.key").chmod(0o644)
    assert b"--key: " in audit("checkpoint", "--key", str(tmp_path / "log.key"), code=2).stderr
