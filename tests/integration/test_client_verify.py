"""A client with `verify=True`, and `audit witness` and `audit export`, against real servers: honest ones and others."""

import time
from pathlib import Path

import pytest

from audit import Audit, HistoryForked, InvalidParameter, NewEvent, TamperDetected, WrongKey
from audit.app.keyfiles import create_key
from audit.cli.program import run
from audit.client import connect, connect_sync
from audit.log.signing import Signing
from audit.model.errors import ProofInvalid
from audit.proof.checkpoints import cosignatures, read_checkpoint
from audit.proof.keys import COSIGNATURE, SigningKey
from tests.fault.forging import OPTIONS, forge, rewrite_all
from tests.integration.served import Served

KEY = SigningKey.new("example.com/audit", bytes(range(32)))
PUBLIC = KEY.verifier.text
SIGNED = Signing(keys=(KEY,))


def _events(count: int) -> list[NewEvent]:
    return [NewEvent(topics=[("a", str(number % 3))], data={"who": "bob"}) for number in range(count)]


async def test_pages_and_tails_of_an_honest_log_are_handed_on(tmp_path: Path) -> None:
    async with Audit.open(tmp_path / "data", create=True, signing=SIGNED, options=OPTIONS) as log:
        receipts = await log.append_many(_events(600))
        async with log.serve("127.0.0.1:0") as server, connect(server.urls[0], verify=True, key=PUBLIC) as remote:
            assert len((await remote.list(limit=1000)).slices) == 600
            assert len((await remote.list(("a", "1"), order="desc", limit=50)).slices) == 50
            assert (await remote.get(receipts[7].id)).index == 7
            assert read_checkpoint(await remote.trust_newest()).size == 600
            async with remote.subscribe(("a",)) as tail, remote.subscribe() as everything:
                for number in range(600):
                    assert (await anext(tail)).index == (await anext(everything)).index == number
                for number in range(600, 620):
                    await log.append(_events(1)[0])
                    assert (await anext(tail)).index == (await anext(everything)).index == number
            assert read_checkpoint(await remote.trust_newest()).size == 620
            assert remote.trusted == await log.checkpoint()


def test_an_erased_event_is_as_it_was_signed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Served(tmp_path / "data", signing=SIGNED, options=OPTIONS) as served:
        receipts = served.log.append_many(_events(300))
        with connect_sync(served.url, verify=True, key=PUBLIC) as remote:
            remote.trust_newest()
            served.log.erase([receipts[7].id], reason="asked for")
            page = remote.list(limit=1000)
            assert [event.index for event in page.events if event.payload_hash is not None] == [7]
            assert remote.get(receipts[7].id).payload_hash is not None
            assert read_checkpoint(remote.trust_newest()).size == 301
    monkeypatch.chdir(tmp_path)
    Path("log.key").write_text(f"{KEY.text}\n", encoding="utf-8")
    Path("log.key").chmod(0o600)
    assert run(["export", "--data", "data", "--to", "out.jsonl", "--key", "log.key"]) == 0
    assert run(["verify", "out.jsonl", "--key", PUBLIC]) == 0
    assert "the payloads of 1 of them were erased; their hashes are proved" in capsys.readouterr().out


def test_a_tail_stops_at_the_first_event_of_a_rewritten_history(tmp_path: Path) -> None:
    with Served(tmp_path / "data", signing=SIGNED, options=OPTIONS) as served:
        served.log.append_many(_events(300))
        with connect_sync(served.url, verify=True, key=PUBLIC) as remote, remote.subscribe() as tail:
            assert [next(tail).index for _ in range(300)] == list(range(300))
            trusted = remote.trusted
            served.stop()
            (tmp_path / "data").rename(tmp_path / "honest")
            forge(tmp_path / "honest", tmp_path / "data", rewrite_all, tmp_path / "scratch")
            served.start()
            served.log.append_many(_events(5))
            for _ in range(2):
                with pytest.raises(HistoryForked, match="does not go on from the trusted one of size 300"):
                    next(tail)
            with pytest.raises(TamperDetected, match=r"^event 3 \("):
                remote.list(limit=7, seek=served.log.list(limit=4).events[3].id)
            assert remote.trusted == trusted


async def test_an_unsigned_log_another_key_and_missing_options_are_refused(tmp_path: Path) -> None:
    other = SigningKey.new(KEY.name, bytes(32))
    for signing in (Signing(), Signing(keys=(other,))):
        async with Audit.open(tmp_path / str(len(signing.keys)), create=True, signing=signing, options=OPTIONS) as log:
            await log.append_many(_events(3))
            async with log.serve("127.0.0.1:0") as server, connect(server.urls[0], verify=True, key=PUBLIC) as remote:
                with pytest.raises(WrongKey):
                    await remote.list()
            async with log.serve("127.0.0.1:0") as server, connect(server.urls[0]) as remote:
                assert remote.trusted is None
                with pytest.raises(InvalidParameter, match="verify: must be True"):
                    await remote.trust_newest()
    for arguments in ({"key": PUBLIC}, {"trusted": "x"}, {"rotations": ["x"]}):
        with pytest.raises(InvalidParameter, match="verify: must be True"):
            connect("ws://127.0.0.1:1", **arguments)
    with pytest.raises(InvalidParameter, match="key: must be the log's public key"):
        connect("ws://127.0.0.1:1", verify=True)
    with pytest.raises(ProofInvalid):
        connect("ws://127.0.0.1:1", verify=True, key=PUBLIC, trusted="x")


def test_a_witness_cosigns_what_goes_on_and_keeps_what_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    key = create_key(Path("w.key"), "w.example", COSIGNATURE)
    Path("log.pub").write_text(PUBLIC, encoding="utf-8")
    with Served(tmp_path / "data", signing=SIGNED, options=OPTIONS) as served:
        served.log.append_many(_events(3))
        command = ["witness", "--url", served.url, "--key", "log.pub", "--state", "state", "--once"]
        assert run([*command, "--sign", "w.key"]) == 0
        assert capsys.readouterr().out == "example.com/audit: 3 events, nothing before was changed\n"
        (found,) = cosignatures(Path("state").read_text(encoding="utf-8"), [key.verifier], int(time.time()))
        assert found.key == key.verifier
        assert run(["verify", "state", "--key", "log.pub", "--witness", "w.key.pub"]) == 0
        served.log.append_many(_events(3))
        assert run([*command, "--sign", "w.key"]) == 0
        state = Path("state").read_text(encoding="utf-8")
        assert read_checkpoint(state).size == 6
        capsys.readouterr()
        served.stop()
        (tmp_path / "data").rename(tmp_path / "honest")
        forge(tmp_path / "honest", tmp_path / "data", lambda events: events[:4], tmp_path / "scratch")
        served.start()
        assert run(command) == 1
        said = capsys.readouterr()
        assert "error: checkpoint: covers 4 events; 6 were there before" in said.err
        assert said.out == ""
        assert Path("state").read_text(encoding="utf-8") == state
        assert read_checkpoint(Path("state.refused").read_text(encoding="utf-8")).size == 4
        Path("log.key").write_text(f"{KEY.text}\n", encoding="utf-8")
        Path("log.key").chmod(0o600)
        assert run([*command, "--sign", "log.key"]) == 2
        assert "--sign: log.key is a log's key" in capsys.readouterr().err
    assert run(["witness", "--key", "log.pub", "--state", "state", "--once"]) == 2
    assert "--url: say where the log is served" in capsys.readouterr().err


def test_an_export_of_a_served_log_is_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("log.pub").write_text(PUBLIC, encoding="utf-8")
    with Served(tmp_path / "data", signing=SIGNED, options=OPTIONS) as served:
        for _ in range(3):
            served.log.append_many(_events(700))
        for arguments, words in (
            (
                (),
                "2100 events are in the log, number 0 to 2099, none left out\nthey are all that the checkpoint covers",
            ),
            (("--topic", "a/1"), "699 events are in the log, between number 1 and 2097"),
            (("--topic", "none"), "the export has no events"),
        ):
            assert run(["export", "--url", served.url, "--to", "out.jsonl", *arguments]) == 0
            assert run(["verify", "out.jsonl", "--key", "log.pub"]) == 0
            assert words in capsys.readouterr().out
            Path("out.jsonl").unlink()
    Path("log.key").write_text(f"{KEY.text}\n", encoding="utf-8")
    Path("log.key").chmod(0o600)
    assert run(["export", "--data", "data", "--to", "own.jsonl", "--key", "log.key"]) == 0
    assert run(["verify", "own.jsonl", "--key", "log.pub"]) == 0
    capsys.readouterr()
    assert run(["export", "--data", "data", "--to", "out.jsonl"]) == 0
    assert "warning: the log runs without a key" in capsys.readouterr().err
    assert run(["verify", "out.jsonl", "--key", "log.pub"]) == 1
    assert "is not signed" in capsys.readouterr().err
