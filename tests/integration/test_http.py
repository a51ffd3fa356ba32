"""The log over plain HTTP, asked by a client that knows only the wire."""

import asyncio
import contextlib
import csv
import io
import json
import urllib.parse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from audit import Audit, NewEvent
from audit.codec.csvtext import EVENT_COLUMNS
from audit.log.room import Room
from audit.model.errors import DiskFull, Forbidden, Unauthorized
from audit.server.access import Ask, OpenAccess, Principal
from audit.server.options import ServeOptions
from audit.server.serving import Serving
from audit.testing.logs import memory_audit
from tests.bare import until
from tests.stores import event
from tests.web import JSON, LINES, fetch, raw

OK = "https://ok.example"
EVIL = "https://evil.example"


@asynccontextmanager
async def served(
    log: Audit | None = None, access: Any = None, **options: Any
) -> AsyncIterator[tuple[Audit, str, Serving]]:
    async with log or memory_audit() as opened:
        serving = opened.serve("127.0.0.1:0", options=ServeOptions(allow_origins=(OK,), **options), access=access)
        async with serving as server:
            yield opened, server.addresses[0], server


# -- reading


async def test_a_page_is_the_stored_bytes_with_a_cursor() -> None:
    async with served() as (log, base, _):
        await log.append_many([event("a", data={"n": 1.0, "é": "✓"}), event("b"), event("a")])
        answer = await fetch(base, "/v1/events?topic=a&limit=1")
        stored = (await log.list(("a",))).slices
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/json"
        assert stored[0] in answer.body
        assert answer.json["has_more"] is True
        assert answer.json["cursor"] == answer.headers["audit-cursor"]
        rest = await fetch(base, "/v1/events?topic=a&cursor=" + answer.json["cursor"])
        assert rest.json["events"] == [json.loads(stored[1])]
        assert rest.json["has_more"] is False
        assert "link" not in rest.headers


async def test_lines_are_the_stored_bytes_and_nothing_else() -> None:
    async with served() as (log, base, _):
        assert (await fetch(base, "/v1/events", headers={"accept": "application/x-ndjson"})).body == b""
        await log.append_many([event("a", data="x\ny\u2028"), event("b")])
        answer = await fetch(base, "/v1/events", headers={"accept": "application/x-ndjson"})
        assert answer.headers["content-type"] == "application/x-ndjson"
        assert answer.body == b"".join(one + b"\n" for one in (await log.list()).slices)


async def test_csv_has_the_columns_of_the_command_line_and_no_formula() -> None:
    async with served() as (log, base, _):
        await log.append(event("a", "b", action="=1+1", data=[1, 2]))
        answer = await fetch(base, "/v1/events", headers={"accept": "text/csv"})
        assert answer.headers["content-type"].startswith("text/csv")
        (row,) = csv.DictReader(io.StringIO(answer.body.decode(), newline=""))
        assert tuple(row) == EVENT_COLUMNS
        assert (row["topics"], row["action"], row["data"]) == ("a/b", "'=1+1", "[1,2]")


@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson", "text/csv"])
async def test_links_lead_through_all_pages_in_every_form(kind: str) -> None:
    async with served() as (log, base, _):
        receipts = await log.append_many([event("é", "b"), event("c"), *[event("é")] * 5])
        path, seen = "/v1/events?topic=%C3%A9&order=desc&limit=2", []
        while path:
            answer = await fetch(base, path, headers={"accept": kind})
            assert answer.headers["audit-cursor"]
            seen += [receipt.id for receipt in receipts if receipt.id.encode() in answer.body]
            target, _, relation = answer.headers.get("link", "").partition(">; ")
            assert relation in ("", 'rel="next"')
            path = urllib.parse.urljoin("/v1/events", target.removeprefix("<")) if target else ""
        assert sorted(seen) == sorted(receipt.id for receipt in receipts if receipt.index != 1)


async def test_bounds_and_filters_are_those_of_a_list() -> None:
    async with served() as (log, base, _):
        receipts = await log.append_many([event("a", action="x"), event("a", action="y"), event("a", action="x")])
        ids = [receipt.id for receipt in receipts]

        async def found(query: str) -> list[str]:
            return [one["id"] for one in (await fetch(base, "/v1/events?" + query)).json["events"]]

        assert await found("action=x") == [ids[0], ids[2]]
        assert await found(f"seek={ids[1]}") == ids[1:]
        assert await found(f"seek={ids[0]}&seek_end={ids[2]}&inclusive=neither") == [ids[1]]
        assert await found("seek=0&order=desc&limit=1") == [ids[2]]
        assert await found("seek=253402300800000") == []
        assert await found("seek=2026-01-01T00:00:00%2B00:00") == ids


async def test_one_event_and_the_topics() -> None:
    async with served() as (log, base, _):
        receipt = await log.append(event("a", "b"))
        one = await fetch(base, f"/v1/events/{receipt.id}")
        assert one.body == await log.get_raw(receipt.id)
        assert (await fetch(base, "/v1/topics?topic=a")).json["topics"] == [
            {"topic": ["a", "b"], "events": 1, "first_id": receipt.id, "last_id": receipt.id}
        ]


async def test_a_head_request_has_the_headers_alone() -> None:
    async with served() as (log, base, _):
        await log.append(event("a"))
        answer = await fetch(base, "/v1/events", method="HEAD")
        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["audit-cursor"]


@pytest.mark.parametrize(
    ("path", "status", "code", "parameter"),
    [
        ("/v1/events?tpoic=a", 400, "invalid_params", "tpoic"),
        ("/v1/events?limit=0", 400, "invalid_params", "limit"),
        ("/v1/events?limit=1001", 400, "invalid_params", "limit"),
        ("/v1/events?limit=x", 400, "invalid_params", "limit"),
        ("/v1/events?order=up", 400, "invalid_params", "order"),
        ("/v1/events?order=", 400, "invalid_params", "order"),
        ("/v1/events?inclusive=", 400, "invalid_params", "inclusive"),
        ("/v1/events?seek=yesterday", 400, "invalid_params", "seek"),
        ("/v1/events?seek=", 400, "invalid_params", "seek"),
        ("/v1/events?seek=now", 400, "invalid_params", "seek"),
        ("/v1/events?seek=2026-01-01T00:00:00", 400, "invalid_params", "seek"),
        ("/v1/events?outcome=great", 400, "invalid_params", "filter.outcome"),
        ("/v1/events?cursor=nonsense", 400, "cursor_invalid", "cursor"),
        ("/v1/events?topic=a//b", 400, "invalid_params", "topic[1]"),
        ("/v1/events?topic=%ff", 400, "invalid_params", "query"),
        ("/v1/events/nonsense", 400, "invalid_params", "id"),
        ("/v1/events/01JD8Z5K3V9Q0T7W2X4Y6Z8A1B", 404, "not_found", None),
        ("/v1/events/01JD8Z5K3V9Q0T7W2X4Y6Z8A1B?x=1", 400, "invalid_params", "x"),
        ("/v1/topics?topic=a&topic=b", 400, "invalid_params", "topic"),
        ("/v1/nothing", 404, "not_found", None),
        ("/v1", 404, "not_found", None),
        ("/v1/events/", 404, "not_found", None),
        ("/healthz/", 404, "not_found", None),
        ("/nothing", 404, "not_found", None),
        ("/v1/events/stream?limit=0", 400, "invalid_params", "limit"),
        ("/v1/events/stream?order=asc", 400, "invalid_params", "order"),
        ("/v1/events/stream?cursor=x", 400, "cursor_invalid", "cursor"),
    ],
)
async def test_a_bad_request_is_told_what_is_wrong_with_it(
    path: str, status: int, code: str, parameter: str | None
) -> None:
    async with served() as (_, base, _):
        answer = await fetch(base, path)
        assert answer.status == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json["status"] == status
        assert (answer.json["code"], answer.json.get("parameter")) == (code, parameter)
        assert answer.json["retryable"] is False


async def test_no_other_form_and_no_other_method() -> None:
    async with served() as (_, base, _):
        for path in ("/v1/events", "/v1/events/01JD8Z5K3V9Q0T7W2X4Y6Z8A1B", "/v1/topics", "/v1/events/stream"):
            assert (await fetch(base, path, headers={"accept": "text/html"})).json["code"] == "not_acceptable"
            refused = await fetch(base, path, method="DELETE")
            assert (refused.status, refused.json["code"]) == (405, "method_not_allowed")
        allowed = (await fetch(base, "/v1/events", method="DELETE")).headers["allow"]
        assert set(allowed.split(", ")) == {"GET", "HEAD", "POST"}


# -- appending


@pytest.mark.parametrize(
    ("headers", "body", "count"),
    [
        (JSON, b'{"topics":[["a"]]}', 1),
        (JSON, b'[{"topics":[["a"]]},{"topics":[["b"]]}]', 2),
        (LINES, b'{"topics":[["a"]]}\n{"topics":[["b"]]}\n{"topics":[["c"]]}', 3),
        ({"content-type": "application/json; charset=utf-8"}, b'[{"topics":[["a"]]}]', 1),
    ],
)
async def test_events_are_appended_as_one_commit(headers: dict[str, str], body: bytes, count: int) -> None:
    async with served() as (log, base, _):
        answer = await fetch(base, "/v1/events", method="POST", headers=headers, body=body)
        assert answer.status == 201
        assert [one["index"] for one in answer.json["receipts"]] == list(range(count))
        assert [one.id for one in (await log.list()).events] == [one["id"] for one in answer.json["receipts"]]
        if count == 1:
            place = urllib.parse.urljoin("/v1/events", answer.headers["location"])
            assert (await fetch(base, place)).status == 200
        else:
            assert "location" not in answer.headers


async def test_a_repeated_append_with_its_key_answers_the_first_receipts() -> None:
    async with served() as (log, base, _):
        request: dict[str, Any] = {"method": "POST", "headers": JSON | {"idempotency-key": "k-\u00c3\u00a9"}}
        first = await fetch(base, "/v1/events", **request, body=b'{"topics":[["a"]]}')
        again = await fetch(base, "/v1/events", **request, body=b'[{"topics":[["a"]]}]')
        assert first.json == again.json
        # On the wire the header is UTF-8: the key is the same text as everywhere else.
        assert await log.append_many([event("a")], idempotency_key="k-é") == (
            await log.append_many([event("a")], idempotency_key="k-é")
        )
        assert (await log.append_many([event("a")], idempotency_key="k-é"))[0].id == first.json["receipts"][0]["id"]
        other = await fetch(base, "/v1/events", **request, body=b'{"topics":[["b"]]}')
        assert (other.status, other.json["code"], other.json["parameter"]) == (409, "conflict", "idempotency_key")
        assert log.info().size == 1


@pytest.mark.parametrize(
    ("headers", "body", "status", "code", "parameter"),
    [
        (JSON, b"", 400, "parse_error", None),
        (JSON, b"{nonsense", 400, "parse_error", None),
        (JSON, b"[]", 400, "invalid_params", "events"),
        (LINES, b"\n\n", 400, "invalid_params", "events"),
        (JSON, b"[{}]", 400, "invalid_params", "events[0].topics"),
        (JSON, b'{"topics":[["a"]],"bad":1}', 400, "invalid_params", "events[0].bad"),
        (JSON, b'{"topics":[["a/b"]]}', 400, "invalid_params", "events[0].topics[0][0]"),
        (JSON, b'{"topics":[]}', 400, "invalid_params", "events[0].topics"),
        (JSON, b'{"topics":[["audit"]]}', 400, "invalid_params", "events[0].topics[0]"),
        (JSON, b'{"topics":[["a"]],"data":"' + b"x" * 70_000 + b'"}', 413, "too_large", "events[0]"),
        (LINES, b'{"topics":[["a"]]}\n' * 1_001, 413, "too_large", "events"),
        (JSON | {"idempotency-key": ""}, b'{"topics":[["a"]]}', 400, "invalid_params", "idempotency_key"),
        (JSON | {"idempotency-key": "\u00ff"}, b'{"topics":[["a"]]}', 400, "invalid_params", "idempotency_key"),
        ({}, b'{"topics":[["a"]]}', 415, "unsupported_media_type", None),
        ({"content-type": "text/plain"}, b'{"topics":[["a"]]}', 415, "unsupported_media_type", None),
        ({"content-type": "application/x-www-form-urlencoded"}, b"a=b", 415, "unsupported_media_type", None),
        ({"content-type": "multipart/form-data; boundary=x"}, b"--x--", 415, "unsupported_media_type", None),
    ],
)
async def test_a_bad_append_writes_nothing_and_is_told_why(
    headers: dict[str, str], body: bytes, status: int, code: str, parameter: str | None
) -> None:
    async with served() as (log, base, _):
        answer = await fetch(base, "/v1/events", method="POST", headers=headers, body=body)
        assert (answer.status, answer.json["code"], answer.json.get("parameter")) == (status, code, parameter)
        assert log.info().size == 0


async def test_an_unknown_parameter_of_an_append_is_refused() -> None:
    async with served() as (log, base, _):
        answer = await fetch(base, "/v1/events?topic=a", method="POST", headers=JSON, body=b'{"topics":[["a"]]}')
        assert (answer.status, answer.json["parameter"]) == (400, "topic")
        assert log.info().size == 0


async def test_a_call_of_four_megabytes_is_taken() -> None:
    big = json.dumps([{"topics": [["a"]], "data": "x" * 65_000}] * 64).encode()
    async with served() as (log, base, _):
        assert (await fetch(base, "/v1/events", method="POST", headers=JSON, body=big)).status == 201
        assert log.info().size == 64


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_is_too_large_is_refused_while_it_comes(chunked: bool) -> None:
    piece = b" " * 2**16
    async with served() as (_, base, _), raw(base) as (reader, writer):
        length = b"transfer-encoding: chunked" if chunked else b"content-length: 99999999999"
        writer.write(
            b"POST /v1/events HTTP/1.1\r\nhost: [::]\r\ncontent-type: application/json\r\n" + length + b"\r\n\r\n"
        )
        # Far less than was announced: the answer is there all the same.
        for _ in range(81 if chunked else 1):
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 413 " in head.split(b"\r\n")[0]
        assert b"too_large" in await reader.readuntil(b"}")


async def test_a_body_that_never_comes_whole_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit.server.bodies.READ_S", 0.05)
    async with served() as (log, base, _), raw(base) as (reader, writer):
        writer.write(
            b"POST /v1/events HTTP/1.1\r\nhost: [::]\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n["
        )
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'"code":"timeout"' in answer
        assert log.info().size == 0


async def test_a_peer_that_leaves_amid_its_body_appends_nothing() -> None:
    async with served() as (log, base, server):
        async with raw(base) as (_, writer):
            writer.write(
                b"POST /v1/events HTTP/1.1\r\nhost: [::]\r\ncontent-length: 99\r\n"
                b"content-type: application/json\r\n\r\n["
            )
            await writer.drain()
        traffic = server.traffic
        await until(lambda: traffic.requests.get(("events.append", "disconnected")))
        assert log.info().size == 0


async def test_many_may_append_and_read_at_once() -> None:
    async with served() as (log, base, _):

        async def one(number: int) -> int:
            body = json.dumps({"topics": [["n", str(number)]]}).encode()
            answer = await fetch(base, "/v1/events", method="POST", headers=JSON, body=body)
            index: int = answer.json["receipts"][0]["index"]
            return index

        indexes = await asyncio.gather(*[one(number) for number in range(40)])
        assert sorted(indexes) == list(range(40))
        assert len((await fetch(base, "/v1/events?topic=n")).json["events"]) == 40
        assert log.info().size == 40


# -- refusals of the log


async def test_a_full_disk_refuses_appends_for_now_and_serves_reads() -> None:
    class Full(Room):
        def check(self) -> None:
            raise DiskFull("/secret/path: no room")

    async with served(memory_audit(room=Full())) as (_, base, _):
        answer = await fetch(base, "/v1/events", method="POST", headers=JSON, body=b'{"topics":[["a"]]}')
        assert (answer.status, answer.json["code"], answer.json["retryable"]) == (503, "unavailable", True)
        assert answer.headers["retry-after"] == "1"
        assert (await fetch(base, "/v1/events")).status == 200


async def test_a_closed_log_is_unavailable() -> None:
    async with served() as (log, base, _):
        await log.close()
        for path in ("/v1/events", "/v1/topics", "/v1/events/stream"):
            answer = await fetch(base, path)
            assert (answer.status, answer.json["code"]) == (503, "unavailable")


async def test_a_fault_of_ours_is_internal_and_says_nothing_more(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with served() as (log, base, _):

        def broken(*_: object, **__: object) -> None:
            raise RuntimeError("/secret/path")

        monkeypatch.setattr(log, "list", broken)
        monkeypatch.setattr(log._core, "tail", broken)
        for path in ("/v1/events", "/v1/events/stream"):
            answer = await fetch(base, path)
            assert (answer.status, answer.json["code"], answer.json["detail"]) == (500, "internal", "internal error")
            assert b"secret" not in answer.body
        assert "/secret/path" in caplog.text


# -- who asks


class Guard(OpenAccess):
    """Knows Ada, who may do everything, and Bob, who may read below `b`."""

    async def authenticate(self, scope: Any) -> Principal:
        name = dict(scope["headers"]).get(b"authorization", b"").decode()
        if name not in {"ada", "bob"}:
            raise Unauthorized("who are you?")
        return Principal(name)

    def authorise(self, principal: Principal, ask: Ask) -> None:
        if principal.name == "bob" and not (ask.verb == "read" and all(topic[:1] == ("b",) for topic in ask.topics)):
            raise Forbidden("that is not yours")


@pytest.mark.parametrize("path", ["/v1/events", "/v1/topics", "/v1/events/stream", "/metrics"])
async def test_every_call_is_authenticated_and_authorised(path: str) -> None:
    async with served(access=Guard()) as (_, base, _):
        nobody = await fetch(base, path)
        assert (nobody.status, nobody.json["code"]) == (401, "unauthorized")
        assert nobody.headers["www-authenticate"]
        bob = await fetch(base, path, headers={"authorization": "bob"})
        assert (bob.status, bob.json["code"]) == (403, "forbidden")


async def test_access_is_asked_about_the_topics_themselves() -> None:
    async with served(access=Guard()) as (log, base, _):
        await log.append(event("b", "c"))
        bob, ada = {"authorization": "bob"}, {"authorization": "ada"}
        assert len((await fetch(base, "/v1/events?topic=b/c", headers=bob)).json["events"]) == 1
        assert (await fetch(base, "/v1/events?topic=b&topic=a", headers=bob)).status == 403
        post: dict[str, Any] = {"method": "POST", "body": b'{"topics":[["b"]]}'}
        assert (await fetch(base, "/v1/events", headers=JSON | bob, **post)).status == 403
        assert (await fetch(base, "/v1/events", headers=JSON | ada, **post)).status == 201
        assert log.info().size == 2


# -- browsers


async def test_a_page_of_another_site_can_neither_append_nor_read_the_answer() -> None:
    async with served() as (log, base, _):
        await log.append(event("a"))
        for origin in (EVIL, "null", base.replace("http:", "https:"), base + ".evil.example"):
            headers = JSON | {"origin": origin}
            refused = await fetch(base, "/v1/events", method="POST", headers=headers, body=b'{"topics":[["a"]]}')
            assert (refused.status, refused.json["code"]) == (403, "forbidden")
            for answer in (refused, await fetch(base, "/v1/events", headers={"origin": origin})):
                assert "access-control-allow-origin" not in answer.headers
        assert log.info().size == 1


async def test_a_page_of_the_server_itself_or_of_an_allowed_origin_may_append() -> None:
    async with served() as (_, base, _):
        for origin in (base, OK):
            headers = JSON | {"origin": origin}
            answer = await fetch(base, "/v1/events", method="POST", headers=headers, body=b'{"topics":[["a"]]}')
            assert answer.status == 201
            assert answer.headers.get("access-control-allow-origin") == (OK if origin == OK else None)


async def test_an_allowed_origin_may_read_the_headers_it_needs() -> None:
    async with served() as (_, base, _):
        answer = await fetch(base, "/v1/events", headers={"origin": OK})
        assert answer.headers["access-control-allow-origin"] == OK
        assert "origin" in answer.headers["vary"].lower()
        assert {"Audit-Cursor", "Link"} <= set(answer.headers["access-control-expose-headers"].split(", "))
        # An error, too: a page must be able to tell one from a broken network.
        assert (await fetch(base, "/v1/events?x=1", headers={"origin": OK})).headers[
            "access-control-allow-origin"
        ] == OK


async def test_browsers_are_told_beforehand_what_they_may_send() -> None:
    asked = {
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type,idempotency-key,authorization",
    }
    async with served() as (log, base, _):
        allowed = await fetch(base, "/v1/events", method="OPTIONS", headers=asked | {"origin": OK})
        assert (allowed.status, allowed.headers["access-control-allow-origin"]) == (200, OK)
        refused = await fetch(base, "/v1/events", method="OPTIONS", headers=asked | {"origin": EVIL})
        assert refused.status == 400
        assert "access-control-allow-origin" not in refused.headers
        assert log.info().size == 0


# -- peers that do not behave


async def test_a_peer_that_does_not_take_its_answer_is_aborted() -> None:
    async with served(send_timeout_s=0.1) as (log, base, server):
        await log.append_many([NewEvent(topics=[("a",)], data="x" * 60_000)] * 20)
        async with raw(base, receive_buffer=4_096) as (reader, writer):
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(b"GET /v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n")
            await until(lambda: server.traffic.aborted)
            await until(lambda: not server._server.server_state.connections)  # type: ignore[union-attr]
            assert not reader.at_eof()


@pytest.mark.parametrize("sent", [b"", b"GET /v1/eve", b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\nGET /v1/ev"])
async def test_a_peer_that_never_ends_its_headers_is_aborted(sent: bytes) -> None:
    async with served(handshake_timeout_s=0.05) as (_, base, _), raw(base) as (reader, writer):
        writer.write(sent)
        # It breaks off, or ends; on an open connection this would wait for ever.
        with contextlib.suppress(ConnectionResetError):
            await reader.read()


@pytest.mark.parametrize("sent", [b"nonsense\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"GET\r\n\r\n", b"\x00" * 100])
async def test_what_is_no_http_is_refused_and_harms_nobody(sent: bytes) -> None:
    async with served() as (_, base, _):
        async with raw(base) as (reader, writer):
            writer.write(sent)
            writer.write_eof()
            assert (await reader.read()).startswith((b"HTTP/1.1 400", b""))
        assert (await fetch(base, "/healthz")).status == 200
