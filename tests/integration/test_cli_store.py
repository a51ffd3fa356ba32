"""Creating, appending, checking, and every way in which a store can refuse: each a line, not a trace."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from audit.app import Audit
from audit.log.clock import SystemClock
from audit.model.event import NewEvent
from tests.integration.program import AUDIT, Program

ID = "01JD8Z5K3V9Q0T7W2X4Y6Z8A1B"
READING = (["list"], ["tail"], ["topics"], ["get", ID], ["fsck"])


@pytest.fixture
def audit(tmp_path: Path) -> Program:
    return Program(tmp_path / "store")


class TwoHoursAhead(SystemClock):
    """A clock that was wrong once."""

    def wall_ms(self) -> int:
        return super().wall_ms() + 2 * 3_600_000


def one_line(result: subprocess.CompletedProcess[bytes]) -> str:
    """Return the error that a command printed, which must be all but for a hint."""
    first, *more = result.stderr.decode().splitlines()
    assert first.startswith("error: ")
    assert all(line.startswith("hint: ") for line in more)
    assert result.stdout == b""
    return first


def test_store_is_created_once(audit: Program) -> None:
    created = json.loads(audit("init").stdout)
    assert created["path"] == str(audit.path)
    assert str(audit.path) in one_line(audit("init", code=4))
    assert audit.stored() == []


@pytest.mark.parametrize("command", [*READING, ["append", "--topic", "a"], ["ingest", "-"]])
def test_missing_store_is_an_error_with_a_remedy_and_is_not_created(audit: Program, command: list[str]) -> None:
    result = audit(*command, code=4)
    assert str(audit.path) in one_line(result)
    assert b"audit init" in result.stderr
    assert not audit.path.exists()


@pytest.mark.parametrize("command", [["init"], *READING])
def test_directory_must_be_given(audit: Program, command: list[str]) -> None:
    del audit.env["AUDIT_DATA"]
    assert "--data" in one_line(audit(*command, code=2))


def test_directory_may_stand_before_or_after_the_command(audit: Program) -> None:
    audit.env["AUDIT_DATA"] = "/nowhere"
    audit("init", "--data", str(audit.path))
    audit("list", "--data", str(audit.path))
    del audit.env["AUDIT_DATA"]
    audit("--data", str(audit.path), "list")


@pytest.mark.parametrize("command", [*READING, ["append", "--topic", "a"]])
def test_store_held_by_another_process_says_by_which(audit: Program, command: list[str]) -> None:
    audit.create()
    audit.append("a")
    with audit.start("tail", "--follow") as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert str(holder.pid) in one_line(audit(*command, code=4))
        holder.terminate()


def test_event_of_options_is_stored_as_described(audit: Program) -> None:
    audit.create()
    options = ["--topic", "node/connection", "--topic", "x", "--action", "connection.opened"]
    options += ["--actor", "user:u-7:Ada", "--target", "vault:v-1", "--outcome", "success", "--context", "ip=10.0.0.1"]
    options += ["--event-data", '{"a":1.0}', "--occurred-at", "2026-11-21T10:00:00+01:00", "--idempotency-key", "k"]
    receipt = json.loads(audit("append", *options).stdout)
    again = json.loads(audit("append", *options).stdout)
    assert receipt == again
    assert receipt["index"] == 0
    (event,) = audit.stored()
    assert event.pop("salt")
    assert event == {
        "id": receipt["id"],
        "index": 0,
        "topics": [["node", "connection"], ["x"]],
        "action": "connection.opened",
        "occurred_at": "2026-11-21T09:00:00Z",
        "actor": {"type": "user", "id": "u-7", "name": "Ada"},
        "targets": [{"type": "vault", "id": "v-1"}],
        "outcome": "success",
        "context": {"ip": "10.0.0.1"},
        "data": {"a": 1.0},
    }


def test_event_may_come_as_json_from_standard_input(audit: Program) -> None:
    audit.create()
    audit("append", "-", stdin=b'{\n  "topics": [["a", "b"]],\n  "data": null\n}\n')
    (event,) = audit.events("--topic", "a")
    assert event["topics"] == [["a", "b"]]


def test_key_used_for_another_event_is_refused(audit: Program) -> None:
    audit.create()
    audit("append", "--topic", "a", "--idempotency-key", "k")
    assert "idempotency" in one_line(audit("append", "--topic", "b", "--idempotency-key", "k", code=2))
    assert len(audit.stored()) == 1


def test_sound_store_is_checked_without_a_finding(audit: Program) -> None:
    audit.create()
    audit.append("a")
    assert json.loads(audit("fsck").stdout) == {"events": 1, "segments": 0, "findings": []}
    assert b"1 events in 0 segments checked: nothing amiss" in audit("fsck", "--format", "table").stdout


def test_damaged_store_is_found_out(audit: Program) -> None:
    audit.create()
    event = b'{"topics":[["t"]],"data":"' + b"y" * 1_000 + b'"}\n'
    audit("ingest", "-", stdin=event * 3_000)
    # Opening once more moves the log of LevelDB into a table, which its checksums guard.
    audit("list")
    tables = sorted((audit.path).rglob("*.ldb"), key=lambda table: table.stat().st_size)
    damaged = bytearray(tables[-1].read_bytes())
    damaged[len(damaged) // 2] ^= 1
    tables[-1].write_bytes(bytes(damaged))
    result = subprocess.run([*AUDIT, "fsck"], capture_output=True, env=audit.env, check=False)
    assert result.returncode in {1, 4}
    assert b"Traceback" not in result.stderr
    if result.returncode == 1:
        assert json.loads(result.stdout)["findings"]


def test_full_device_is_a_line_and_not_a_trace(audit: Program) -> None:
    audit.create()
    audit.append("a")
    with Path("/dev/full").open("wb") as full:
        result = subprocess.run([*AUDIT, "list"], stdout=full, stderr=subprocess.PIPE, env=audit.env, check=False)
    assert result.returncode == 5
    assert result.stderr == b"error: No space left on device\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_command_works_without_standard_streams(audit: Program, closed: str) -> None:
    audit.create()
    command = f'exec "$0" -m audit append --topic a {closed}'
    result = subprocess.run(["sh", "-c", command, AUDIT[0]], capture_output=True, env=audit.env, check=False)
    assert (result.returncode, result.stderr) == (0, b"")
    assert len(audit.stored()) == 1


def test_help_needs_no_store(audit: Program) -> None:
    assert b"Exit codes: 0" in audit("--help").stdout
    assert b"Usage: audit" in audit(code=2).stdout


def test_unreadable_directory_is_a_line_that_names_it(audit: Program) -> None:
    audit.path.write_bytes(b"a file")
    for command in (["init"], ["list"]):
        result = subprocess.run([*AUDIT, *command], capture_output=True, env=audit.env, check=False)
        assert result.returncode in {4, 5}
        assert str(audit.path) in one_line(result)


def test_clock_behind_the_newest_event_is_refused_until_accepted(audit: Program) -> None:
    audit.create()
    with Audit.open_sync(audit.path, clock=TwoHoursAhead()) as log:
        log.append(NewEvent(topics=[("a",)]))
    refused = audit("append", "--topic", "a", code=5)
    assert "--accept-clock" in one_line(refused)
    assert len(audit.stored()) == 1
    audit("append", "--topic", "a", "--accept-clock")
    audit("ingest", "--accept-clock", "-", stdin=b'{"topics":[["a"]]}')
    ids = [event["id"] for event in audit.stored()]
    assert len(ids) == 3
    assert ids == sorted(ids)


def test_interrupted_command_is_no_trace(audit: Program) -> None:
    audit.create()
    with audit.start("append", "-", stdin=subprocess.PIPE) as process:
        os.kill(process.pid, signal.SIGTERM)
        _, err = process.communicate()
    assert b"Traceback" not in err
