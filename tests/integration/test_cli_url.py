"""Every command on a served log, and the tail that remembers."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from audit import NewEvent
from tests.integration.program import AUDIT, Program
from tests.integration.served import Served


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with Served(tmp_path / "store") as served:
        yield served


@pytest.fixture
def audit(served: Served) -> Program:
    audit = Program(served.path)
    del audit.env["AUDIT_DATA"]
    audit.env["AUDIT_URL"] = served.url
    return audit


def event(topic: str, number: int = 0) -> NewEvent:
    return NewEvent(topics=[tuple(topic.split("/"))], data={"n": number})


def lines(output: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def test_event_is_appended_listed_and_got(audit: Program, served: Served) -> None:
    (receipt,) = lines(audit("append", "--topic", "a/b", "--action", "x").stdout)
    assert receipt["index"] == 0
    assert audit.events("--topic", "a")[0]["id"] == receipt["id"]
    assert audit("get", receipt["id"]).stdout == served.log.get_raw(receipt["id"]) + b"\n"
    assert b"no event" in audit("get", "01JD8Z5K3V9Q0T7W2X4Y6Z8A1B", code=3).stderr


def test_all_pages_are_listed(audit: Program, served: Served) -> None:
    for _ in range(3):
        served.log.append_many([event("a", n) for n in range(700)])
    assert [one["index"] for one in audit.events("--all")] == list(range(2_100))


def test_topics_are_counted(audit: Program, served: Served) -> None:
    served.log.append_many([event("a/b"), event("a/c"), event("d")])
    rows = lines(audit("topics", "-r").stdout)
    assert [(row["topic"], row["events"]) for row in rows] == [("a", 2), ("a/b", 1), ("a/c", 1), ("d", 1)]


def test_file_is_ingested_once(audit: Program, served: Served, tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b"".join([b'{"topics":[["a"]],"data":%d}\n' % n for n in range(1_500)]) + b"nonsense\n")
    assert lines(audit("ingest", "--format", "json", str(path), code=1).stdout) == [
        {"appended": 1_500, "already_there": 0, "bad_lines": 1}
    ]
    served.log.append(event("a"))
    assert lines(audit("ingest", "--format", "json", str(path), code=1).stdout) == [
        {"appended": 0, "already_there": 1_500, "bad_lines": 1}
    ]
    assert served.log.info().size == 1_501


def test_info_tells_of_store_and_server(audit: Program, served: Served) -> None:
    receipt = served.log.append(event("a"))
    (told,) = lines(audit("info").stdout)
    assert told["store_id"] == served.log.info().store_id
    assert (told["size"], told["first_id"], told["last_id"]) == (1, receipt.id, receipt.id)
    assert (told["server"], told["protocol"]) == ("audit", "audit.v1.json")
    assert told["limits"]["event_bytes"] == 65_536
    assert b"limits.event_bytes" in audit("info", "--format", "table").stdout
    served.stop()
    del audit.env["AUDIT_URL"]
    (told,) = lines(audit("info", "--data", str(served.path)).stdout)
    assert set(told) == {"store_id", "size", "first_id", "last_id", "origin", "key"}


def test_bad_value_is_named_as_on_a_store(audit: Program) -> None:
    assert b"error: --topic: " in audit("append", "--topic", "audit/x", code=2).stderr
    assert b"error: --cursor: " in audit("list", "--cursor", "nonsense", code=2).stderr
    assert b"error: --limit: " in audit("list", "--limit", "0", code=2).stderr


def test_key_used_for_another_event_is_refused(audit: Program) -> None:
    audit("append", "--topic", "a", "--idempotency-key", "k")
    assert b"idempotency_key" in audit("append", "--topic", "b", "--idempotency-key", "k", code=2).stderr


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["list", "--url", "ws://x", "--data", "y"], b"--data or --url, not both"),
        (["--url", "ws://x", "list", "--data", "y"], b"not both"),
        (["--data", "y", "list", "--url", "ws://x"], b"not both"),
        (["--data", "y", "--url", "ws://x", "list"], b"not both"),
        (["list", "--url", "nonsense"], b"--url: must be ws://HOST:PORT"),
        (["list", "--url", "unix:"], b"--url: unix: needs the path"),
        (["append", "--topic", "a", "--accept-clock"], b"--accept-clock: is for whoever runs the server"),
        (["restore", "--url", "ws://x", "b"], b"--url: audit restore needs the store's directory"),
        (["--url", "ws://x", "init"], b"--url: audit init needs the store's directory"),
        (["tail", "--cursor", "x", "--cursor-file", "y"], b"--cursor: give either --cursor or --cursor-file"),
    ],
)
def test_contradiction_is_an_error_that_names_the_option(audit: Program, arguments: list[str], names: bytes) -> None:
    result = audit(*arguments, code=2)
    assert names in result.stderr
    assert result.stdout == b""


def test_both_variables_are_an_error_and_a_flag_beats_the_other_one(audit: Program, served: Served) -> None:
    served.log.append(event("a"))
    audit.env["AUDIT_DATA"] = "/nowhere"
    assert b"AUDIT_DATA and AUDIT_URL are both set" in audit("list", code=2).stderr
    assert len(lines(audit("list", "--url", served.url).stdout)) == 1
    assert len(lines(audit("--url", served.url, "list").stdout)) == 1
    assert b"/nowhere2" in audit("list", "--data", "/nowhere2", code=4).stderr
    assert b"/nowhere2" in audit("--data", "/nowhere2", "list", code=4).stderr


def test_no_server_is_a_line_with_a_remedy(audit: Program, served: Served) -> None:
    served.stop()
    first, second = audit("list", code=5).stderr.decode().splitlines()
    assert first.startswith(f"error: can't connect to {served.url}")
    assert second.startswith("hint: ")


def test_other_server_is_a_line(audit: Program, served: Served) -> None:
    result = audit("list", "--url", served.url.replace("/rpc", "/nothing"), code=5)
    assert b"/nothing answers HTTP 40" in result.stderr


def test_address_of_the_pages_does_as_well(audit: Program, served: Served) -> None:
    assert audit("list", "--url", served.url.replace("ws://", "http://").removesuffix("/rpc")).stdout == b""


def test_unix_socket_is_a_url(tmp_path: Path) -> None:
    with Served(tmp_path / "store", f"unix:{tmp_path}/socket") as served:
        audit = Program(served.path)
        del audit.env["AUDIT_DATA"]
        audit("append", "--topic", "a", "--url", f"unix:{tmp_path}/socket")
        assert served.log.info().size == 1


def test_tail_starts_with_the_newest(audit: Program, served: Served) -> None:
    served.log.append_many([event("a", n) for n in range(30)])
    assert [one["index"] for one in lines(audit("tail", "-n", "3").stdout)] == [27, 28, 29]


def read_indexes(output: IO[bytes] | None, count: int) -> list[int]:
    assert output is not None
    return [json.loads(output.readline())["index"] for _ in range(count)]


def test_followed_tail_survives_restarts_of_both_sides(audit: Program, served: Served, tmp_path: Path) -> None:
    options = ["tail", "-f", "-n", "0", "--seek", "0", "--cursor-file", str(tmp_path / "cursor")]
    seen: list[int] = []
    number = 0
    for _ in range(3):
        with audit.start(*options) as tail:
            for _ in range(2):
                served.log.append_many([event("a", number + n) for n in range(5)])
                seen += read_indexes(tail.stdout, 5)
                served.stop()
                served.start()
                served.log.append_many([event("a", number + 5 + n) for n in range(5)])
                seen += read_indexes(tail.stdout, 5)
                number += 10
            tail.send_signal(signal.SIGTERM)
            out, err = tail.communicate()
        assert (tail.returncode, out) == (143, b"")
        assert b"Traceback" not in err
        assert b"trying again" in err
    assert seen == list(range(60))


def test_tail_of_a_directory_remembers_as_well(tmp_path: Path) -> None:
    audit = Program(tmp_path / "store")
    audit.create()
    file = tmp_path / "cursor"
    options = ["tail", "--cursor-file", str(file)]
    audit.append("a", "a")
    assert [one["index"] for one in lines(audit(*options).stdout)] == [0, 1]
    audit.append("b", "a")
    assert [one["index"] for one in lines(audit(*options).stdout)] == [2, 3]
    assert audit(*options).stdout == b""
    assert [path.name for path in tmp_path.iterdir() if path.name != "store"] == ["cursor"]
    assert f"error: --cursor-file: {file}: ".encode() in audit(*options, "--topic", "a", code=2).stderr
    file.write_bytes(b"not a cursor")
    assert b"holds no cursor" in audit(*options, code=2).stderr
    file.write_bytes(b"")
    assert len(lines(audit(*options).stdout)) == 4


def test_cursor_file_is_not_ahead_of_a_reader_that_left(tmp_path: Path) -> None:
    audit = Program(tmp_path / "store")
    audit.create()
    audit.append(*["a"] * 400)
    file = tmp_path / "cursor"
    with audit.start("tail", "-n", "400", "--cursor-file", str(file), "--format", "jsonl") as tail:
        assert tail.stdout is not None
        tail.stdout.close()
        assert tail.wait() == 0
    assert not file.exists()


def test_cursor_file_in_a_missing_directory_is_a_line(tmp_path: Path) -> None:
    audit = Program(tmp_path / "store")
    audit.create()
    result = audit("tail", "--cursor-file", str(tmp_path / "none" / "cursor"), code=5)
    assert b"none/cursor: No such file" in result.stderr


def test_client_that_is_not_installed_is_a_line_that_says_how(audit: Program) -> None:
    script = "import sys; sys.modules['websockets'] = None; from audit.cli import main; main()"
    result = subprocess.run([AUDIT[0], "-c", script, "list"], capture_output=True, env=audit.env, check=False)
    assert result.returncode == 2
    assert b"pip install" in result.stderr
