"""Erasing over the wire, over HTTP and from the command line."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from audit import Actor, Audit, Forbidden, InvalidParameter, NewEvent, NotFound
from audit.client import connect, connect_sync
from audit.codec.events import is_erased
from audit.metrics.query import Metric, MetricQuery
from audit.server.access import Ask, OpenAccess, Principal
from audit.testing import memory_audit
from tests.integration.program import Program
from tests.integration.served import Served
from tests.stores import holding
from tests.web import JSON, LINES, fetch

NOBODY = "00000000000000000000000001"


def of(actor: str, **more: object) -> NewEvent:
    return NewEvent(topics=[("a",)], action="x", actor=Actor(type="user", id=actor), **more)  # type: ignore[arg-type]


async def test_a_client_erases_and_its_tail_goes_on() -> None:
    async with memory_audit() as log, log.serve("127.0.0.1:0") as server, connect(server.urls[0]) as near:
        receipts = await near.append_many([of("u", data=number) for number in range(3)])
        async with near.subscribe(("a",)) as early:
            assert [(await anext(early)).data for _ in range(3)] == [0, 1, 2]
            done = await near.erase([receipts[1].id], reason="r", actor=Actor(type="admin", id="root"))
            assert done.erased == 1
            assert done.receipt is not None
            assert (await near.get(done.receipt.id)).actor == Actor(type="admin", id="root")
            # Whoever asks for the same batch now gets none that was kept for others.
            async with near.subscribe(("a",)) as late:
                assert [(await anext(late)).erased for _ in range(3)] == [False, True, False]
            again = await near.erase([receipts[1].id], reason="r")
            assert (again.erased, again.receipt) == (0, None)
            await near.append(of("v", data="after"))
            assert (await anext(early)).data == "after"
        with pytest.raises(NotFound, match=NOBODY):
            await near.erase([NOBODY], reason="r")
        with pytest.raises(InvalidParameter, match="reason"):
            await near.erase([receipts[0].id], reason="")


async def test_frames_that_are_kept_for_others_are_dropped() -> None:
    async with memory_audit() as log, log.serve("127.0.0.1:0") as server, connect(server.urls[0]) as near:
        receipt = await near.append(of("u", data="MARK"))
        async with near.subscribe(("a",)) as tail:
            await anext(tail)
        shared = server._context.shared
        assert any(b"MARK" in frame for frame in shared._frames.values())
        await log.erase([receipt.id], reason="r")
        assert not any(b"MARK" in frame for frame in shared._frames.values())


class OnlyReading(OpenAccess):
    """Everything but erasing."""

    def authorise(self, principal: Principal, ask: Ask) -> None:
        if ask.verb == "erase":
            raise Forbidden("no")


async def test_who_may_not_erase_is_refused() -> None:
    async with memory_audit() as log, log.serve("127.0.0.1:0", access=OnlyReading()) as server:
        async with connect(server.urls[0]) as near:
            receipt = await near.append(of("u"))
            with pytest.raises(Forbidden):
                await near.erase([receipt.id], reason="r")
        body = json.dumps({"ids": [receipt.id], "reason": "r"}).encode()
        answer = await fetch(server.addresses[0], "/v1/events/erase", method="POST", headers=JSON, body=body)
        assert answer.status == 403
        assert not (await log.get(receipt.id)).erased


async def test_events_are_erased_over_http() -> None:
    async with memory_audit() as log, log.serve("127.0.0.1:0") as server:
        base = server.addresses[0]
        receipt = await log.append(of("u"))

        async def post(body: bytes, headers: dict[str, str] = JSON) -> tuple[int, object]:
            answer = await fetch(base, "/v1/events/erase", method="POST", headers=headers, body=body)
            return answer.status, answer.json

        body = json.dumps({"ids": [receipt.id], "reason": "r"}).encode()
        assert await post(body, LINES) == (415, (await post(body, LINES))[1])
        for bad in (b"x", b"[]", b"{}", b'{"ids":[],"reason":"r"}', b'{"ids":["x"],"reason":"r"}'):
            assert (await post(bad))[0] in {400, 422}
        status, told = await post(body)
        assert status == 200
        assert isinstance(told, dict)
        assert told["erased"] == 1
        assert told["receipt"]["index"] == 1
        answer = await fetch(base, "/v1/events?topic=a", headers={"accept": "text/csv"})
        (row,) = csv.DictReader(io.StringIO(answer.body.decode()))
        assert row["id"] == receipt.id
        assert len(row["payload_hash"]) == 43
        assert row["actor_id"] == ""
        got = await fetch(base, f"/v1/events/{receipt.id}")
        assert is_erased(got.body)


def test_registered_metrics_forget_what_was_erased(tmp_path: Path) -> None:
    query = MetricQuery(measure="distinct", field="actor.id", topic=("a",))
    with Audit.open_sync(tmp_path / "data", create=True) as log:
        mark = "MARKEDACTOR7"
        receipts = log.append_many([of(mark), of("v"), of("v")])
        log.metrics.register(Metric(name="m", measure="count", group_by="actor.id"))
        log.metrics.settle()
        with log.metrics.subscribe(query) as live:
            assert log.metrics.get(query).total == 2
            assert live.snapshot().total == 2
            log.erase([receipts[0].id], reason="r")
            assert log.metrics.get(query).total == 1
            groups = {window.group for window in log.metrics.get(metric="m").windows}
            assert groups == {"v", None}
            assert [one.size for one in log.metrics.list()] == [4]
        assert mark not in str([vars(state) for state in log._core.live_metrics._states.values()])
        assert holding(tmp_path / "data", mark) == []


# -- the command line --------------------------------------------------------------------------------------------------


@pytest.fixture(params=["data", "url"])
def audit(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Program]:
    if request.param == "data":
        audit = Program(tmp_path / "store")
        audit.create()
        yield audit
        return
    with Served(tmp_path / "store") as served:
        audit = Program(served.path)
        del audit.env["AUDIT_DATA"]
        audit.env["AUDIT_URL"] = served.url
        yield audit


def filled(audit: Program, *actors: str) -> list[str]:
    lines = "\n".join(json.dumps({"topics": [["a"]], "actor": {"type": "user", "id": actor}}) for actor in actors)
    audit("ingest", "-", stdin=lines.encode())
    return [one["id"] for one in audit.events("--all")]


def test_events_are_erased_by_id(audit: Program) -> None:
    ids = filled(audit, "u", "v", "w")
    done = json.loads(audit("erase", ids[0], ids[2], "--reason", "r 7", "--by", "admin:root:Ada", "--yes").stdout)
    assert (done["erased"], done["index"]) == (2, 3)
    (record,) = audit.events("--topic", "audit/erased")
    assert record["data"] == {"reason": "r 7", "events": [ids[0], ids[2]]}
    assert record["actor"] == {"type": "admin", "id": "root", "name": "Ada"}
    assert ["payload_hash" in one for one in audit.events()] == [True, False, True, False]
    assert b"erased" in audit("list", "--format", "table").stdout
    assert json.loads(audit("erase", ids[0], "--reason", "r", "--yes").stdout) == {
        "erased": 0,
        "id": None,
        "index": None,
    }


def test_all_events_of_an_actor_are_erased(audit: Program) -> None:
    filled(audit, *(["u"] * 1_100 + ["v"] * 3))
    rows = audit("erase", "--actor-id", "u", "--reason", "r", "--yes").stdout.splitlines()
    assert [json.loads(row)["erased"] for row in rows] == [1_000, 100]
    assert audit.events("--actor", "u") == []
    assert len(audit.events("--actor", "v")) == 3
    assert json.loads(audit("erase", "--actor-id", "u", "--reason", "r").stdout)["erased"] == 0


def test_what_can_not_be_erased_is_refused_by_its_option(audit: Program) -> None:
    (one,) = filled(audit, "u")
    for arguments, problem in (
        ((one, "--reason", "r"), b"--yes"),
        ((one, "--yes"), b"--reason"),
        ((one, "--reason", "", "--yes"), b"--reason"),
        (("--reason", "r", "--yes"), b"ID"),
        ((one, "--actor-id", "u", "--reason", "r", "--yes"), b"ID"),
        (("x", "--reason", "r", "--yes"), b"ID"),
        ((one, "--reason", "r", "--by", "x", "--yes"), b"--by"),
    ):
        assert problem in audit("erase", *arguments, code=2).stderr
    audit("erase", NOBODY, "--reason", "r", "--yes", code=3)
    assert "payload_hash" not in audit.events()[0]


def test_a_list_of_erasures_is_applied_by_restore(tmp_path: Path) -> None:
    audit = Program(tmp_path / "store")
    audit.create()
    (one,) = filled(audit, "u")
    audit("backup", "--to", str(tmp_path / "b"))
    audit("erase", one, "--reason", "r", "--yes")
    (tmp_path / "e").write_bytes(audit("list", "--topic", "audit/erased", "--all", "--format", "jsonl").stdout)
    audit("restore", "--data", str(tmp_path / "new"), str(tmp_path / "b"), "--erasures", str(tmp_path / "e"))
    restored = Program(tmp_path / "new")
    assert ["payload_hash" in one for one in restored.events()] == [True, False]
    bad = audit(
        "restore", "--data", str(tmp_path / "n"), str(tmp_path / "b"), "--erasures", str(tmp_path / "b"), code=2
    )
    assert b"--erasures" in bad.stderr


def test_a_blocking_client_erases(tmp_path: Path) -> None:
    with Served(tmp_path / "store") as served, connect_sync(served.url) as near:
        receipt = near.append(of("u"))
        assert near.erase([receipt.id], reason="r").erased == 1
        assert near.get(receipt.id).erased
