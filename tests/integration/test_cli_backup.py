"""Backups, restores, checks and the doctor as commands: of a directory, and of a server that goes on meanwhile."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from audit import Audit, NewEvent
from audit.app.directory import Directory
from audit.app.doctor import examine_machine, examine_store
from audit.storage.options import StoreOptions
from audit.testing import FakeClock
from tests.integration.program import Program
from tests.integration.served import Served


def fill(audit: Program) -> None:
    audit.create()
    with Audit.open_sync(audit.path) as log:
        for number in range(5):
            log.append_many(
                [NewEvent(topics=[("a", str(n % 7))]) for n in range(200)], idempotency_key=f"call {number}"
            )


@pytest.fixture
def audit(tmp_path: Path) -> Program:
    return Program(tmp_path / "store")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with Served(tmp_path / "store") as served:
        for number in range(5):
            served.log.append_many([NewEvent(topics=[("a",)])] * 200, idempotency_key=f"call {number}")
        yield served


@pytest.fixture
def remote(served: Served) -> Program:
    remote = Program(served.path)
    del remote.env["AUDIT_DATA"]
    remote.env["AUDIT_URL"] = served.url
    return remote


def told(result: subprocess.CompletedProcess[bytes]) -> Any:
    return json.loads(result.stdout)


def test_store_is_backed_up_and_restored(audit: Program, tmp_path: Path) -> None:
    fill(audit)
    full, more, target = (str(tmp_path / name) for name in ("full", "more", "target"))
    info = told(audit("backup", "--to", full))
    assert (info["events"], info["size"], info["path"]) == (1_000, 1_000, full)
    assert (tmp_path / "full").stat().st_mode & 0o077 == 0
    audit.append("b", "b")
    assert told(audit("backup", "--to", more, "--since", full))["events"] == 2
    assert told(audit("restore", full, more, "--data", target))["size"] == 1_002
    stored = audit.stored()
    restored = Program(tmp_path / "target")
    assert restored.stored() == stored
    assert told(restored("fsck"))["findings"] == []
    assert b"is not empty" in audit("restore", full, more, "--data", target, code=4).stderr
    assert b"is there already" in audit("backup", "--to", full, code=2).stderr


def test_backup_goes_through_a_pipe(audit: Program, tmp_path: Path) -> None:
    fill(audit)
    piped = audit("backup", "--to", "-").stdout
    (tmp_path / "full").write_bytes(piped)
    target = str(tmp_path / "target")
    assert told(audit("restore", str(tmp_path / "full"), "--data", target))["size"] == 1_000


def test_damaged_backup_is_refused_with_its_place(audit: Program, tmp_path: Path) -> None:
    fill(audit)
    full = tmp_path / "full"
    audit("backup", "--to", str(full))
    sound = full.read_bytes()
    for damaged in (sound[:-5], sound[:9] + b"!" + sound[10:], sound[: len(sound) // 2] + sound[len(sound) // 2 + 1 :]):
        full.write_bytes(damaged)
        result = audit("restore", str(full), "--data", str(tmp_path / "target"), code=4)
        assert str(full).encode() in result.stderr
        assert b"at byte" in result.stderr
        assert {one.name for one in tmp_path.iterdir()} == {"full", "store"}
        assert b"error" in audit("backup", "--to", str(tmp_path / "more"), "--since", str(full), code=4).stderr


@pytest.mark.parametrize("since", ["2000", "nowhere", "-1"])
def test_bad_beginning_is_a_usage_error(audit: Program, tmp_path: Path, since: str) -> None:
    fill(audit)
    assert b"--since" in audit("backup", "--to", str(tmp_path / "more"), "--since", since, code=2).stderr


def test_served_log_is_backed_up_while_it_goes_on(remote: Program, served: Served, tmp_path: Path) -> None:
    full, more, target = (str(tmp_path / name) for name in ("full", "more", "target"))
    assert told(remote("backup", "--to", full))["size"] == 1_000
    served.log.append(NewEvent(topics=[("b",)], idempotency_key="late"))
    assert told(remote("backup", "--to", more, "--since", full))["events"] == 1
    assert told(remote("backup", "--to", str(tmp_path / "same"), "--since", "1000"))["events"] == 1
    Program(tmp_path / "target")("restore", full, more, "--data", target)
    with Audit.open_sync(target) as log:
        assert log.list(limit=1_000, order="desc").slices == served.log.list(limit=1_000, order="desc").slices
        for number in range(5):
            known = served.log.append_many([NewEvent(topics=[("a",)])] * 200, idempotency_key=f"call {number}")
            assert log.append_many([NewEvent(topics=[("a",)])] * 200, idempotency_key=f"call {number}") == known
    assert b"fewer than 5000" in remote("backup", "--to", str(tmp_path / "x"), "--since", "5000", code=2).stderr


def test_served_log_is_checked_while_it_goes_on(remote: Program, served: Served) -> None:
    found = told(remote("fsck"))
    assert found["events"] == 1_000
    assert found["findings"] == []
    served.log.append(NewEvent(topics=[("b",)]))
    assert told(remote("fsck"))["events"] == 1_001


def test_damage_of_a_served_log_is_found(remote: Program, served: Served) -> None:
    served.stop()
    from audit.codec.keys import TOPIC  # noqa: PLC0415 - here alone
    from audit.storage.driver import plyvel  # noqa: PLC0415

    with plyvel.DB(str(served.path / "log")) as database:
        key, _ = next(iter(database.iterator(prefix=TOPIC)))
        database.delete(key)
    served.start()
    remote.env["AUDIT_URL"] = served.url
    result = remote("fsck", code=1)
    assert "topic count" in told(result)["findings"][0]["record"]


def test_nobody_there_is_a_line(audit: Program, tmp_path: Path) -> None:
    del audit.env["AUDIT_DATA"]
    for command in (["backup", "--to", str(tmp_path / "full")], ["fsck"]):
        assert b"error: " in audit(*command, "--url", f"unix:{tmp_path}/nowhere", code=5).stderr
    assert not list(tmp_path.iterdir())


def test_interrupted_backup_leaves_nothing(audit: Program, tmp_path: Path) -> None:
    fill(audit)
    with audit.start("backup", "--to", str(tmp_path / "full")) as process:
        os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate()
    # However far it came: a file of that name is whole, and no other is left.
    assert b"KeyboardInterrupt" not in err or process.returncode < 0
    assert {one.name for one in tmp_path.iterdir()} <= {"store", "full"}


# -- the doctor


def looks(result: subprocess.CompletedProcess[bytes]) -> dict[str, dict[str, Any]]:
    return {row["check"]: row for row in map(json.loads, result.stdout.splitlines())}


def test_doctor_needs_no_store(audit: Program) -> None:
    del audit.env["AUDIT_DATA"]
    found = looks(audit("doctor"))
    assert {"python", "audit", "driver", "open files", "clock"} <= set(found)
    assert "LevelDB" in found["driver"]["found"]
    table = audit("doctor", "--format", "table").stdout.decode()
    assert "ok   python" in table


def test_doctor_looks_at_a_store(audit: Program) -> None:
    fill(audit)
    found = looks(audit("doctor"))
    assert found["events"]["found"].startswith("1000,")
    assert found["holder"]["found"] == "nobody else has it open"
    assert all(row["well"] for row in found.values())


def test_doctor_finds_a_store_that_is_missing_held_or_damaged(audit: Program) -> None:
    found = looks(audit("doctor", code=1))
    assert "audit init" in found["directory"]["remedy"]
    fill(audit)
    with Audit.open_sync(audit.path):
        found = looks(audit("doctor"))
        assert str(os.getpid()) in found["holder"]["found"]
    (audit.path / "log" / "CURRENT").unlink()
    found = looks(audit("doctor", code=1))
    assert not found["store"]["well"]
    assert found["store"]["remedy"]


def test_doctor_looks_at_a_server(remote: Program, served: Served) -> None:
    found = looks(remote("doctor"))
    assert found["appends"]["found"] == "are taken"
    assert "1000 events" in found["store"]["found"]
    served.stop()
    found = looks(remote("doctor", code=1))
    assert not found["server"]["well"]


def test_doctor_sees_a_full_disk_and_a_clock_that_is_behind(audit: Program) -> None:
    fill(audit)
    options = StoreOptions(min_free_bytes=1 << 60)
    found = {one.name: one for one in examine_store(audit.path, options, FakeClock(1_000))}
    assert not found["disk"].well
    assert not found["newest event"].well
    assert found["reserve"].well
    found = {one.name: one for one in examine_machine(FakeClock(1_000))}
    assert not found["clock"].well
    Directory(audit.path, options).release_reserve()
    assert not {one.name: one for one in examine_store(audit.path, options)}["reserve"].well
