"""`audit ingest` as a process of its own, on real files, pipes and stores."""

import gzip
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from audit.log.secrets import Secrets
from tests.integration.program import AUDIT, Program

RECORDS = Path(__file__).parents[1] / "data" / "cloudtrail.jsonl.gz"


@pytest.fixture
def audit(tmp_path: Path) -> Program:
    program = Program(tmp_path / "store")
    program.create()
    return program


def lines_of(*values: object) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def new_event(number: int, **members: object) -> dict[str, object]:
    return {"topics": [["t"]], "action": f"a-{number}", **members}


def test_cloudtrail_sample_is_appended_whole_and_only_once(audit: Program) -> None:
    first = audit("ingest", "--preset", "cloudtrail", str(RECORDS))
    assert first.stdout == b"2,122 appended, 0 already there, 0 bad lines\n"
    assert first.stderr == b""
    second = audit("ingest", "--preset", "cloudtrail", str(RECORDS))
    assert second.stdout == b"0 appended, 2,122 already there, 0 bad lines\n"
    stored = audit.stored()
    with gzip.open(RECORDS) as lines:
        secrets, masked = Secrets(), dict[str, None]()
        # CloudTrail masks passwords itself, and leaves session tokens in.
        assert [event["data"] for event in stored] == [secrets.masked(json.loads(line), "", masked) for line in lines]
    assert masked
    assert [event["index"] for event in stored] == list(range(2_122))
    assert len(audit.events("--all", "--outcome", "denied")) == 41
    assert len(audit.events("--all", "--topic", "aws/iam")) == 276


@pytest.mark.parametrize("compressed", [True, False])
def test_standard_input_is_read_compressed_or_not(audit: Program, compressed: bool) -> None:
    text = lines_of(*(new_event(number) for number in range(1_500)))
    result = audit("ingest", "-", stdin=gzip.compress(text) if compressed else text)
    assert result.stdout == b"1,500 appended, 0 already there, 0 bad lines\n"
    assert [event["action"] for event in audit.stored()] == [f"a-{number}" for number in range(1_500)]


def test_bad_lines_are_reported_by_number_and_the_rest_goes_in(audit: Program, tmp_path: Path) -> None:
    file = tmp_path / "lines.jsonl"
    file.write_bytes(
        lines_of(new_event(1))
        + b"\n{not json}\n"
        + lines_of(new_event(4), new_event(5, action=""), new_event(6))
        + b'{"topics":[["t"]],"data":"\xff"}\n{"topics":[["t"]],"data":1e400}\n'
        + b'{"topics":[["t"]],"data":"'
        + b"x" * 2_000_000
        + b'"}\n'
        + lines_of(new_event(10), new_event(11, data="x" * 70_000), new_event(12, topics=[["audit", "x"]]))
    )
    result = audit("ingest", str(file), code=1)
    assert result.stdout == b"4 appended, 0 already there, 7 bad lines\n"
    errors = result.stderr.decode().splitlines()
    assert all(line.startswith(f"error: {file}: line ") for line in errors)
    numbers = [int(line.removeprefix(f"error: {file}: line ").split(":")[0]) for line in errors]
    assert sorted(numbers) == [3, 5, 7, 8, 9, 11, 12]
    assert [event["action"] for event in audit.stored()] == ["a-1", "a-4", "a-6", "a-10"]


@pytest.mark.parametrize("bad", [b"{not json}\n", lines_of(new_event(3, action=""))])
def test_strict_stops_at_the_first_bad_line_with_all_before_it_appended(audit: Program, bad: bytes) -> None:
    text = lines_of(new_event(1), new_event(2)) + bad + lines_of(new_event(4)) + b"{\n"
    result = audit("ingest", "--strict", "-", stdin=text, code=1)
    assert result.stdout == b"2 appended, 0 already there, 1 bad lines\n"
    assert result.stderr.decode().startswith("error: standard input: line 3: ")
    assert result.stderr.count(b"\n") == 1
    assert [event["action"] for event in audit.stored()] == ["a-1", "a-2"]


def test_call_with_every_event_refused_reports_each_line_once(audit: Program) -> None:
    text = lines_of(*(new_event(number, idempotency_key=f"k-{number}") for number in range(300)))
    audit("ingest", "-", stdin=text)
    other = lines_of(*(new_event(number + 1_000, idempotency_key=f"k-{number}") for number in range(300)))
    result = audit("ingest", "-", stdin=other + lines_of(new_event(1)), code=1)
    assert result.stdout == b"1 appended, 0 already there, 300 bad lines\n"
    numbers = [int(line.split(b": line ")[1].split(b":")[0]) for line in result.stderr.splitlines()]
    assert sorted(numbers) == list(range(1, 301))


def test_objects_go_under_the_topic_given(audit: Program) -> None:
    audit("ingest", "--topic", "app/web", "--topic", "x", "-", stdin=b'{"a":1}\n[1]\n{"a":1}\n', code=1)
    stored = audit.events("--topic", "app")
    assert [event["data"] for event in stored] == [{"a": 1}, {"a": 1}]
    assert stored[0]["topics"] == [["app", "web"], ["x"]]


def test_file_without_keys_of_its_own_is_ingested_once_and_grows(audit: Program, tmp_path: Path) -> None:
    file = tmp_path / "app.jsonl"
    file.write_bytes(lines_of({"a": 1}, {"a": 1}))
    audit("ingest", "--topic", "app", str(file))
    file.write_bytes(lines_of({"a": 1}, {"a": 1}, {"a": 2}))
    again = audit("ingest", "--topic", "app", str(file))
    assert again.stdout == b"1 appended, 2 already there, 0 bad lines\n"
    # Another file with the same lines is another source, whose events are not to be lost.
    other = tmp_path / "other.jsonl"
    other.write_bytes(lines_of({"a": 1}))
    assert audit("ingest", "--topic", "app", str(other)).stdout.startswith(b"1 appended")
    assert audit("ingest", "--topic", "app", "--no-keys", str(other)).stdout.startswith(b"1 appended")


def test_record_twice_in_one_file_is_one_event(audit: Program) -> None:
    with gzip.open(RECORDS) as lines:
        line = lines.readline()
    result = audit("ingest", "--preset", "cloudtrail", "-", stdin=line * 3)
    assert result.stdout == b"1 appended, 2 already there, 0 bad lines\n"


def test_truncated_gzip_file_is_appended_up_to_the_cut(audit: Program, tmp_path: Path) -> None:
    file = tmp_path / "cut.jsonl.gz"
    file.write_bytes(RECORDS.read_bytes()[:-100_000])
    result = audit("ingest", "--preset", "cloudtrail", str(file), code=1)
    appended = len(audit.stored())
    assert 0 < appended < 2_122
    assert result.stdout == f"{appended:,} appended, 0 already there, 1 bad lines\n".encode()
    assert f"line {appended + 1}: the compressed stream is damaged".encode() in result.stderr


def test_summary_is_json_when_asked(audit: Program) -> None:
    result = audit("ingest", "--format", "json", "-", stdin=lines_of(new_event(1)))
    assert json.loads(result.stdout) == {"appended": 1, "already_there": 0, "bad_lines": 0}


def test_interrupted_ingest_says_what_is_in_and_goes_on_when_repeated(audit: Program) -> None:
    text = lines_of(*(new_event(number) for number in range(10_000)))
    with audit.start("ingest", "-", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        # Far more than a pipe and its reader's buffer hold: on return, it is at work.
        process.stdin.write(text)
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 130
    assert b"Traceback" not in err
    appended = int(out.split(b" ")[0].replace(b",", b""))
    # The call that was under way may have been committed too.
    assert appended <= len(audit.stored()) <= appended + 1_000
    audit("ingest", "-", stdin=text)
    assert [event["action"] for event in audit.stored()] == [f"a-{number}" for number in range(10_000)]


def test_no_progress_bar_in_a_pipe_and_one_on_a_terminal(audit: Program) -> None:
    piped = audit("ingest", "--preset", "cloudtrail", str(RECORDS))
    assert piped.stderr == b""
    terminal, end = os.openpty()
    process = subprocess.Popen(
        [*AUDIT, "ingest", "--preset", "cloudtrail", str(RECORDS)],
        env=audit.env | {"TERM": "xterm", "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=end,
    )
    os.close(end)
    shown = b""
    while True:
        try:
            piece = os.read(terminal, 65_536)
        except OSError:
            break
        if not piece:
            break
        shown += piece
    os.close(terminal)
    process.communicate()
    assert b"ingesting" in shown
    assert process.returncode == 0
