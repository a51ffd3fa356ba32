"""`audit list`, `get`, `topics` and `tail` as processes of their own, on one store made of the CloudTrail sample."""

import csv
import gzip
import io
import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from audit.log.secrets import Secrets
from tests.integration.program import AUDIT, Program

RECORDS = Path(__file__).parents[1] / "data" / "cloudtrail.jsonl.gz"
SIZE = 2_122


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Program:
    program = Program(tmp_path_factory.mktemp("cli") / "store")
    program.create()
    program("ingest", "--preset", "cloudtrail", str(RECORDS))
    return program


def indexes(stdout: bytes) -> list[int]:
    return [json.loads(line)["index"] for line in stdout.splitlines()]


def on_terminal(audit: Program, *arguments: str, columns: int = 120) -> str:
    """Return what a command prints on a terminal of its own."""
    terminal, end = os.openpty()
    with subprocess.Popen(
        [*AUDIT, *arguments],
        env=audit.env | {"TERM": "xterm-256color", "COLUMNS": str(columns)},
        stdout=end,
        stderr=subprocess.DEVNULL,
    ):
        os.close(end)
        shown = b""
        try:
            while piece := os.read(terminal, 65_536):
                shown += piece
        except OSError:  # how Linux says that the other end is closed
            pass
    os.close(terminal)
    return shown.decode()


def test_page_is_what_was_asked_for(audit: Program) -> None:
    assert indexes(audit("list").stdout) == list(range(100))
    assert indexes(audit("list", "--limit", "7").stdout) == list(range(7))
    assert indexes(audit("list", "--limit", "1000").stdout) == list(range(1_000))
    newest = audit("list", "--order", "desc", "--limit", "3").stdout
    assert indexes(newest) == [SIZE - 1, SIZE - 2, SIZE - 3]


def test_all_pages_are_listed_in_both_orders(audit: Program) -> None:
    assert indexes(audit("list", "--all").stdout) == list(range(SIZE))
    assert indexes(audit("list", "--all", "--order", "desc").stdout) == list(reversed(range(SIZE)))


def test_topics_are_a_union(audit: Program) -> None:
    iam = set(indexes(audit("list", "--all", "--topic", "aws/iam").stdout))
    kms = set(indexes(audit("list", "--all", "--topic", "aws/kms").stdout))
    both = indexes(audit("list", "--all", "--topic", "aws/iam", "--topic", "aws/kms").stdout)
    assert len(iam) == 276
    assert both == sorted(iam | kms)
    assert audit("list", "--topic", "not/there").stdout == b""


def test_filters_all_hold(audit: Program) -> None:
    denied = audit.events("--all", "--outcome", "denied")
    assert len(denied) == 41
    one = denied[0]
    options = ["--actor", one["actor"]["id"], "--action", one["action"], "--request-id", one["context"]["request_id"]]
    assert one["id"] in [event["id"] for event in audit.events("--all", "--outcome", "denied", *options)]
    with_target = next(event for event in audit.events("--all") if "targets" in event)
    target = with_target["targets"][0]["id"]
    found = audit.events("--all", "--target", target)
    assert with_target["id"] in [event["id"] for event in found]
    assert all(target in [one["id"] for one in event["targets"]] for event in found)


def test_bounds_are_ids_times_or_milliseconds(audit: Program) -> None:
    events = audit.events("--all")
    low, high = events[10]["id"], events[20]["id"]
    assert indexes(audit("list", "--seek", low, "--seek-end", high).stdout) == list(range(10, 20))
    assert indexes(audit("list", "--seek", low, "--seek-end", high, "--inclusive", "both").stdout) == list(
        range(10, 21)
    )
    assert indexes(audit("list", "--all", "--seek", "1700000000000").stdout) == list(range(SIZE))
    assert audit("list", "--seek-end", "2024-01-01T00:00:00Z").stdout == b""


def test_table_page_ends_with_the_cursor_of_the_next(audit: Program) -> None:
    page = audit("list", "--topic", "aws/iam", "--limit", "5", "--format", "table")
    (cursor,) = re.findall(r"--cursor (\S+)", page.stderr.decode())
    rest = audit("list", "--topic", "aws/iam", "--all", "--cursor", cursor)
    whole = audit("list", "--topic", "aws/iam", "--all")
    assert indexes(rest.stdout) == indexes(whole.stdout)[5:]
    wrong = audit("list", "--topic", "aws/kms", "--cursor", cursor, code=2)
    assert wrong.stderr.startswith(b"error: --cursor: ")


def test_json_is_the_stored_bytes_in_an_array(audit: Program) -> None:
    lines = audit("list", "--all", "--format", "jsonl").stdout
    array = audit("list", "--all", "--format", "json").stdout
    assert array == b"[" + lines.rstrip(b"\n").replace(b"\n", b",\n") + b"]\n"
    assert audit("list", "--topic", "not/there", "--format", "json").stdout == b"[]\n"


def test_csv_has_a_row_for_each_event(audit: Program) -> None:
    text = audit("list", "--all", "--format", "csv").stdout.decode()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [int(row["index"]) for row in rows] == list(range(SIZE))
    with gzip.open(RECORDS) as lines:
        secrets, masked = Secrets(), dict[str, None]()
        assert [json.loads(row["data"]) for row in rows] == [
            secrets.masked(json.loads(line), "", masked) for line in lines
        ]


def test_table_has_a_line_for_each_event(audit: Program) -> None:
    page = audit("list", "--outcome", "denied", "--all", "--format", "table")
    header, *rows = page.stdout.decode().splitlines()
    assert header.split() == ["time", "id", "outcome", "action", "actor", "topics"]
    assert len(rows) == 41
    assert all("denied" in row for row in rows)
    assert page.stderr == b""


def test_terminal_gets_a_table_and_a_pipe_gets_json_lines(audit: Program) -> None:
    shown = on_terminal(audit, "list", "--limit", "3", columns=100)
    assert len(shown.splitlines()) == 4
    assert "outcome" in shown
    assert indexes(audit("list", "--limit", "3").stdout) == [0, 1, 2]


def test_event_is_printed_as_stored_in_a_pipe_and_indented_for_a_person(audit: Program) -> None:
    line = audit("list", "--limit", "1").stdout
    event = json.loads(line)
    assert audit("get", event["id"]).stdout == line
    assert audit("get", event["id"].lower(), "--format", "jsonl").stdout == line
    pretty = audit("get", event["id"], "--pretty").stdout
    assert json.loads(pretty) == event
    assert pretty.count(b"\n") > 20
    shown = on_terminal(audit, "get", event["id"])
    assert "\x1b[" in shown
    assert json.loads(re.sub(r"\x1b\[[0-9;]*m", "", shown)) == event


def test_unknown_event_is_not_found_and_a_bad_id_is_bad(audit: Program) -> None:
    unknown = "00000000000000000000000000"
    assert unknown in audit("get", unknown, code=3).stderr.decode()
    assert b"no event id" in audit("get", "nonsense", code=2).stderr


def test_topics_are_counted_by_level(audit: Program) -> None:
    outermost = [json.loads(line) for line in audit("topics").stdout.splitlines()]
    assert [(one["topic"], one["events"]) for one in outermost] == [("aws", SIZE)]
    below = [json.loads(line) for line in audit("topics", "--topic", "aws").stdout.splitlines()]
    assert sum(one["events"] for one in below) == SIZE
    assert {one["topic"]: one["events"] for one in below}["aws/iam"] == 276
    two = [json.loads(line)["topic"] for line in audit("topics", "--depth", "2").stdout.splitlines()]
    assert two == ["aws", *(one["topic"] for one in below)]
    every = [json.loads(line)["topic"] for line in audit("topics", "--recursive").stdout.splitlines()]
    assert set(two) < set(every)
    assert len(every) == len(set(every))
    table = audit("topics", "--depth", "2", "--format", "table").stdout.decode()
    assert re.search(r"^ +276  \S+  +iam$", table, re.MULTILINE)


def test_newest_events_come_oldest_first(audit: Program) -> None:
    assert indexes(audit("tail").stdout) == list(range(SIZE - 10, SIZE))
    assert indexes(audit("tail", "-n", "3").stdout) == list(range(SIZE - 3, SIZE))
    assert audit("tail", "-n", "0").stdout == b""
    iam = indexes(audit("list", "--all", "--topic", "aws/iam").stdout)
    assert indexes(audit("tail", "-n", "5", "--topic", "aws/iam").stdout) == iam[-5:]
    assert audit("tail", "--topic", "not/there").stdout == b""
    assert audit("tail", "-n", "1001", code=2).stderr.startswith(b"error: --lines")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_following_tail_ends_cleanly_on_a_signal(audit: Program, number: signal.Signals, code: int) -> None:
    with audit.start("tail", "--follow", "--seek", "0") as process:
        assert process.stdout is not None
        read = [process.stdout.readline() for _ in range(SIZE)]
        assert indexes(b"".join(read)) == list(range(SIZE))
        process.send_signal(number)
        out, err = process.communicate()
    assert (out, err, process.returncode) == (b"", b"", code)


def test_following_tail_goes_on_from_a_cursor_with_no_gap(audit: Program) -> None:
    page = audit("list", "--limit", "1000", "--format", "table")
    (cursor,) = re.findall(r"--cursor (\S+)", page.stderr.decode())
    assert indexes(audit("tail", "--cursor", cursor).stdout) == list(range(1_000, SIZE))


def test_following_tail_ends_when_its_reader_is_gone_though_nothing_happens(audit: Program) -> None:
    with audit.start("tail", "--follow", "-n", "1") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.wait() == 0
        assert process.stderr.read() == b""


@pytest.mark.parametrize("output", ["table", "json", "jsonl", "csv"])
def test_reader_that_leaves_early_is_no_failure(audit: Program, output: str) -> None:
    with audit.start("list", "--all", "--format", output) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(100)
        process.stdout.close()
        assert process.wait() == 0
        assert process.stderr.read() == b""


def test_hostile_text_does_not_reach_the_terminal(tmp_path: Path) -> None:
    audit = Program(tmp_path / "store")
    audit.create()
    hostile = "\x1b[2J\u202e\x9b[red]"
    event = {"topics": [["\u202ea"]], "action": hostile, "actor": {"type": "u", "id": hostile}, "data": hostile}
    audit("append", "-", stdin=json.dumps(event).encode())
    (stored,) = audit.events()
    assert stored["action"] == hostile
    colours = re.compile(r"\x1b\[[0-9;]*m")
    for command in (["list"], ["tail"], ["topics"], ["get", stored["id"]]):
        shown = colours.sub("", on_terminal(audit, *command, columns=200))
        assert all(char.isprintable() or char in "\r\n" for char in shown), command
        assert "[red]" in shown or command == ["topics"]
