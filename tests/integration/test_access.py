"""Access over real sockets: who gets in, what they may do there, and when that ends."""

import asyncio
import gzip
import itertools
import json
import os
import re
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest
from websockets.asyncio.client import connect as websocket
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from audit import Actor, NewEvent
from audit.client import connect
from audit.log.clock import SystemClock
from audit.model.errors import Forbidden, NotFound, Overloaded, Unauthorized
from audit.model.topic import Topic, parse_topic
from audit.protocol.errors import from_wire, to_wire
from audit.server.access.addresses import parse_network
from audit.server.access.callers import SESSION_MS
from audit.server.access.guard import GuardedAccess
from audit.server.access.rules import ROLES, VERBS, AccessRules, Assigned, Role
from audit.testing import FakeClock, memory_audit
from tests.docs.documents import ROOT
from tests.doors import Door, bearer, door
from tests.web import JSON, fetch, stream

PAGE: Final = (ROOT / "docs" / "access.md").read_text(encoding="utf-8")
UPLOADER: Final = Role(verbs=frozenset({"append"}), pinned=True)


# -- the matrix

_TOPICS: Final[dict[str, Topic]] = {
    "a/b": ("a", "b"),
    "a/b/c": ("a", "b", "c"),
    "a": ("a",),
    "a/x": ("a", "x"),
    "a/bc": ("a", "bc"),
}


def _roles() -> dict[str, set[str]]:
    """Return what each role of the page's table may do."""
    table = PAGE.split("| role |")[1].split("\n\n")[0].splitlines()
    verbs = re.findall(r"`(\w+)`", table[0])
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]
    return {row[0].strip("`"): {verb for verb, cell in zip(verbs, row[1:], strict=True) if cell} for row in rows}


def _answers() -> dict[str, dict[str, str]]:
    """Return what each asked-for thing of the page's table answers, by topic."""
    table = PAGE.split("| asked for |")[1].split("\n\n")[0].splitlines()
    asked = re.findall(r"`([\w/]+)`", table[0])
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]
    return {row[0]: dict(zip(asked, row[1:], strict=True)) for row in rows}


def test_the_table_of_roles_is_theirs() -> None:
    assert _roles() == {name: set(role.verbs) for name, role in ROLES.items()}
    assert set().union(*_roles().values()) == set(VERBS)


async def _code(call: Any) -> str:
    try:
        await call
    except Forbidden:
        return "`forbidden`"
    except NotFound:
        return "`not_found`"
    return "yes"


async def _over_rpc(door: Door, log: Any, what: str, topic: Topic, event_id: str) -> str:
    if what == "append":
        return await _code(log.append(NewEvent(topics=[topic])))
    if what == "page":
        return await _code(log.list(topic))
    if what == "one event":
        return await _code(log.get(event_id))
    if what == "subscription":

        async def first() -> None:
            async with log.subscribe(topic) as tail:
                await tail.read(1)

        return await _code(first())
    if what == "metrics":
        return await _code(log.metrics.get(measure="count", topic=list(topic)))
    if what == "metrics followed":

        async def snapshot() -> None:
            async with log.metrics.subscribe(measure="count", topic=list(topic)) as live:
                await live.snapshot()

        return await _code(snapshot())
    return await _topics_of(log, topic)


async def _topics_of(log: Any, topic: Topic) -> str:
    try:
        page = await log.topics(topic)
    except Forbidden:
        return "`forbidden`"
    below = [row.topic for row in page.topics]
    return "what leads to `a/b`" if topic == ("a",) and below == [("a", "b")] else "yes"


async def _over_http(door: Door, token: str, what: str, topic: Topic, event_id: str) -> str:
    text = "/".join(topic)
    headers = bearer(token)
    if what == "append":
        body = b'{"topics":[[%s]]}' % ",".join(f'"{part}"' for part in topic).encode()
        answer = await fetch(door.base, "/v1/events", method="POST", headers=JSON | headers, body=body)
    elif what == "stream":
        async with stream(door.base, f"/v1/events/stream?topic={text}", headers=headers) as opened:
            return "yes" if opened.status == 200 else "`forbidden`" if opened.status == 403 else str(opened.status)
    else:
        path = {
            "page": f"/v1/events?topic={text}",
            "one event": f"/v1/events/{event_id}",
            "topics": f"/v1/topics?topic={text}",
            "metrics": f"/v1/metrics?measure=count&topic={text}",
        }[what]
        answer = await fetch(door.base, path, headers=headers)
    if answer.status < 400:
        found = [row["topic"] for row in answer.json.get("topics", [])] if what == "topics" else None
        return "what leads to `a/b`" if topic == ("a",) and found == [["a", "b"]] else "yes"
    return f"`{answer.json['code']}`"


async def test_every_role_gets_on_every_topic_and_transport_what_the_page_says(tmp_path: Path) -> None:
    answers = _answers()
    all_below = ("page", "stream", "subscription", "append", "metrics", "metrics followed")
    expected = {
        **dict.fromkeys(all_below, answers["page, stream, subscription, append, metrics"]),
        "one event": answers["one event"],
        "topics": answers["topics below it"],
    }
    async with door(tmp_path) as place:
        ids = {name: (await place.log.append(NewEvent(topics=[topic]))).id for name, topic in _TOPICS.items()}
        for role, verbs in _roles().items():
            token = place.token(role, "a/b")
            async with connect(place.url, token=token) as log:
                for what, (name, topic) in itertools.product(expected, _TOPICS.items()):
                    verb = "append" if what == "append" else "metrics" if what in all_below[-2:] else "read"
                    allowed = verb in verbs
                    wanted = expected[what][name] if allowed else "`forbidden`"
                    if what != "stream":
                        found = await _over_rpc(place, log, what, topic, ids[name])
                        assert found == wanted, (role, what, name, "rpc")
                    if what not in {"subscription", "metrics followed"}:
                        found = await _over_http(place, token, what, topic, ids[name])
                        assert found == wanted, (role, what, name, "http")


async def test_what_is_about_the_whole_log_needs_all_of_it(tmp_path: Path) -> None:
    async with door(tmp_path) as place:
        await place.log.append(NewEvent(topics=[("a",)]))
        for role, verbs in _roles().items():
            for topics in (("a/b",), ("/",)):
                headers = bearer(place.token(role, *topics))
                for path, verb in (
                    *(("/v1/backup", "admin"), ("/metrics", "metrics"), ("/checkpoint", "prove")),
                    *(
                        ("/tile/0/000.p/1", "prove"),
                        ("/tile/entries/000.p/1", "prove"),
                        ("/v1/metrics?measure=count", "metrics"),
                    ),
                ):
                    answer = await fetch(place.base, path, headers=headers)
                    assert (answer.status == 200) == (verb in verbs and topics == ("/",)), (role, topics, path)


async def _erase(door: Door, token: str, what: str, event_id: str) -> str:
    if what == "rpc":
        async with connect(door.url, token=token) as log:
            return await _code(log.erase([event_id], reason="r"))
    body = json.dumps({"ids": [event_id], "reason": "r"}).encode()
    answer = await fetch(door.base, "/v1/events/erase", method="POST", headers=JSON | bearer(token), body=body)
    return "yes" if answer.status < 400 else f"`{answer.json['code']}`"


async def test_proofs_and_erasures_are_for_who_may(tmp_path: Path) -> None:
    async with door(tmp_path) as place:
        event = await place.log.append(NewEvent(topics=[("a", "b")]))
        for role, verbs in _roles().items():
            for topic in ("a/b", "/"):
                async with connect(place.url, token=place.token(role, topic)) as log:
                    may_prove = "prove" in verbs and topic == "/"
                    assert (await _code(log.checkpoint())) == ("yes" if may_prove else "`forbidden`"), (role, topic)
                    assert (await _code(log.inclusion(event.id))) == ("yes" if may_prove else "`forbidden`")
                    assert (await _code(log.consistency(1, 1))) == ("yes" if may_prove else "`forbidden`")
                    assert (await _code(log.selection([0], 1))) == ("yes" if may_prove else "`forbidden`")
                for what in ("rpc", "http"):
                    may_erase = "erase" in verbs and topic == "/"
                    event = await place.log.append(NewEvent(topics=[("a", "b")]))
                    found = await _erase(place, place.token(role, topic), what, event.id)
                    assert found == ("yes" if may_erase else "`forbidden`"), (role, topic, what)
                    assert (await place.log.get(event.id)).erased == may_erase


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (JSON, b"[" * 2_000_000),
        (JSON, b'[{"topics":[["a"]],"data":' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}]"),
        (JSON, b'{"a":' * 500_000),
        (JSON | {"content-encoding": "gzip"}, gzip.compress(b"[" + b" " * 50_000_000 + b"]")),
        (JSON | {"content-encoding": "deflate"}, zlib.compress(b"0" * 10_000_000)),
    ],
    ids=["brackets", "levels", "braces", "gzip", "deflate"],
)
async def test_a_bomb_in_a_body_costs_nothing(tmp_path: Path, headers: dict[str, str], body: bytes) -> None:
    async with door(tmp_path) as place:
        known = bearer(place.token("admin", "/"))
        answer = await fetch(place.base, "/v1/events", method="POST", headers=headers | known, body=body)
        assert 400 <= answer.status < 500
        assert (await place.log.list(("a",))).slices == []


async def test_an_event_of_several_topics_is_for_who_may_read_one_of_them(tmp_path: Path) -> None:
    async with door(tmp_path) as place:
        found = await place.log.append(NewEvent(topics=[("a",), ("b",)]))
        for topic, status in (("a", 200), ("b", 200), ("c", 404)):
            answer = await fetch(place.base, f"/v1/events/{found.id}", headers=bearer(place.token("reader", topic)))
            assert answer.status == status
        async with connect(place.url, token=place.token("emitter", "a")) as log:
            with pytest.raises(Forbidden, match="to append b is more"):
                await log.append(NewEvent(topics=[("a",), ("b",)]))


async def test_topics_are_compared_as_they_are_kept(tmp_path: Path) -> None:
    async with door(tmp_path) as place, connect(place.url, token=place.token("admin", "\u00e9")) as log:
        await log.append(NewEvent(topics=[("e\u0301",)]))
        assert len((await log.list(("e\u0301",))).events) == 1


async def test_topics_that_lead_to_several_have_the_events_of_those(tmp_path: Path) -> None:
    async with door(tmp_path) as place:
        for topic in ("a/b", "a/b", "a/c", "a/d", "e"):
            await place.log.append(NewEvent(topics=[parse_topic(topic)]))
        async with connect(place.url, token=place.token("reader", "a/b", "a/c", "no/such")) as log:
            assert [(row.topic, row.events) for row in (await log.topics()).topics] == [(("a",), 3)]
            first = await log.topics(("a",), limit=1)
            assert [(row.topic, row.events) for row in first.topics] == [(("a", "b"), 2)]
            rest = await log.topics(("a",), limit=1, cursor=first.cursor)
            assert [(row.topic, row.events) for row in rest.topics] == [(("a", "c"), 1)]
            assert not rest.has_more


# -- the end


async def _read_on(tail: Any) -> None:
    async with asyncio.timeout(30):
        while True:
            await tail.read(1)


async def test_a_token_that_is_revoked_ends_what_is_open_within_a_second(tmp_path: Path) -> None:
    async with door(tmp_path) as place:
        token = place.token("reader", "a")
        async with (
            connect(place.url, token=token) as log,
            log.subscribe(("a",)) as tail,
            stream(place.base, "/v1/events/stream?topic=a", headers=bearer(token)) as opened,
        ):
            await tail.read(1)
            await asyncio.to_thread(place.revoke, token)
            # The file is looked at four times a second; on a machine that is not overloaded it takes no longer.
            with pytest.raises(Unauthorized, match="revoked"):
                await _read_on(tail)
            last = None
            while (message := await opened.message()) is not None:
                last = message
            assert last is not None
            assert (last.kind, last.json["error"]["data"]["code"]) == ("end", "unauthorized")
        with pytest.raises(Unauthorized, match="revoked"):
            await connect(place.url, token=token)


async def test_a_token_that_expires_ends_what_is_open(tmp_path: Path) -> None:
    clock = FakeClock()
    async with door(tmp_path, clock=clock) as place:
        token = place.token("reader", "a", expires_ms=clock.wall_ms() + 10_000)
        async with connect(place.url, token=token) as log, log.subscribe(("a",)) as tail:
            await tail.read(1)
            clock.advance(9_999)
            assert (await log.list(("a",))).slices == []
            clock.advance(1)
            with pytest.raises(Unauthorized, match="expired"):
                await _read_on(tail)


# -- browsers


async def _ticket(place: Door, token: str) -> str:
    answer = await fetch(place.base, "/v1/tickets", method="POST", headers=bearer(token))
    assert answer.status == 201
    return str(answer.json["subprotocol"])


async def test_a_ticket_opens_one_websocket_once(tmp_path: Path) -> None:
    async with door(tmp_path) as place:
        protocol = await _ticket(place, place.token("reader", "a"))
        offered = [Subprotocol("audit.v1.json"), Subprotocol(protocol)]
        async with websocket(place.url, subprotocols=offered) as socket:
            assert socket.subprotocol == "audit.v1.json"
            await socket.send('{"jsonrpc":"2.0","id":1,"method":"server.info"}')
            assert '"auth":"required"' in str(await socket.recv())
        async with websocket(place.url, subprotocols=offered) as replayed:
            with pytest.raises(ConnectionClosed) as closed:
                await replayed.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 4401


async def test_a_ticket_ends_with_its_token(tmp_path: Path) -> None:
    async with door(tmp_path) as place:
        token = place.token("reader", "a")
        protocol = await _ticket(place, token)
        place.revoke(token)
        place.access._callers.reread()
        async with websocket(place.url, subprotocols=[Subprotocol("audit.v1.json"), Subprotocol(protocol)]) as socket:
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 4401


async def test_a_session_is_a_cookie_that_no_script_reads(tmp_path: Path) -> None:
    async with door(tmp_path) as place:
        answer = await fetch(place.base, "/v1/session", method="POST", headers=bearer(place.token("reader", "a")))
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert answer.json["role"] == "reader"
        headers = {"cookie": cookie.split(";")[0]}
        assert (await fetch(place.base, "/v1/events?topic=a", headers=headers)).status == 200
        assert (await fetch(place.base, "/v1/events?topic=b", headers=headers)).status == 403
        evil = headers | {"origin": "https://evil.example"}
        assert (await fetch(place.base, "/v1/session", method="DELETE", headers=evil)).status == 403
        assert (await fetch(place.base, "/v1/session", method="DELETE", headers=headers)).status == 204
        assert (await fetch(place.base, "/v1/events?topic=a", headers=headers)).status == 401


@pytest.mark.parametrize("by", ["cookie", "ticket"])
@pytest.mark.parametrize("end", ["signed out", "expired"])
async def test_what_was_opened_by_a_session_ends_with_it(tmp_path: Path, by: str, end: str) -> None:
    clock = FakeClock()
    async with door(tmp_path, clock=clock) as place:
        known = bearer(place.token("reader", "a"))
        cookie = (await fetch(place.base, "/v1/session", method="POST", headers=known)).headers["set-cookie"]
        headers = {"cookie": cookie.split(";")[0]}
        offered = [Subprotocol("audit.v1.json")]
        if by == "ticket":
            answer = await fetch(place.base, "/v1/tickets", method="POST", headers=headers)
            offered.append(Subprotocol(answer.json["subprotocol"]))
        shown = headers if by == "cookie" else {}
        async with (
            websocket(place.url, subprotocols=offered, additional_headers=shown) as socket,
            stream(place.base, "/v1/events/stream?topic=a", headers=headers) as opened,
        ):
            await socket.send('{"jsonrpc":"2.0","id":1,"method":"events.subscribe","params":{"topic":["a"]}}')
            assert "subscription" in str(await socket.recv())
            clock.advance(SESSION_MS - 1)
            await place.access.look()
            await socket.send('{"jsonrpc":"2.0","id":2,"method":"events.list","params":{"topic":["a"]}}')
            if end == "expired":
                clock.advance(1)
            else:
                assert (await fetch(place.base, "/v1/session", method="DELETE", headers=headers)).status == 204
            await place.access.look()
            with pytest.raises(ConnectionClosed, match=r"4401 .* the session is over"):
                await _receive_all(socket)
            last = None
            while (message := await opened.message()) is not None:
                last = message
            assert last is not None
            assert last.json["error"]["data"]["code"] == "unauthorized"


async def _receive_all(socket: Any) -> None:
    async with asyncio.timeout(30):
        while True:
            await socket.recv()


# -- the doors


@pytest.mark.parametrize("path", ["/v1/events?token=%s", "/v1/events?access_token=%s", "/v1/events?authorization=%s"])
async def test_a_token_in_a_url_is_no_token(tmp_path: Path, path: str) -> None:
    async with door(tmp_path) as place:
        assert (await fetch(place.base, path % place.token("admin", "/"))).status == 401


@pytest.mark.parametrize("trusted", [False, True])
async def test_where_somebody_comes_from_is_not_theirs_to_say(tmp_path: Path, *, trusted: bool) -> None:
    proxies = [parse_network("127.0.0.0/8")] if trusted else []
    rules = AccessRules(roles=dict(ROLES) | {"uploader": UPLOADER}, trusted_proxies=proxies)
    async with door(tmp_path, rules) as place:
        headers = JSON | bearer(place.token("uploader", "a")) | {"x-forwarded-for": "6.6.6.6, 192.0.2.7"}
        answer = await fetch(place.base, "/v1/events", method="POST", headers=headers, body=b'[{"topics":[["a"]]}]')
        assert answer.status == 201
        event = (await place.log.list(("a",))).events[0]
        assert event.context["ip"] == ("192.0.2.7" if trusted else "127.0.0.1")


@pytest.mark.parametrize("bomb", ["[" * 1_000_000, '{"a":' * 500_000, "[" * 1_000_000 + "]" * 1_000_000 + "}}"])
async def test_a_million_levels_over_a_websocket_are_an_error(tmp_path: Path, bomb: str) -> None:
    async with door(tmp_path) as place:
        known = _as(place.token("admin", "/"))
        async with websocket(place.url, **known) as socket:
            await socket.send('{"jsonrpc":"2.0","id":1,"method":"events.append","params":{"events":' + bomb)
            # Told as what it is, or thrown out as no JSON.
            told = ""
            with suppress(ConnectionClosed):
                told = str(await socket.recv())
            assert "error" in told if told else socket.close_code == 4400
        async with websocket(place.url, **known) as socket:
            await socket.send('{"jsonrpc":"2.0","id":2,"method":"server.info"}')
            assert json.loads(await socket.recv())["id"] == 2


async def test_a_websocket_takes_nothing_that_is_compressed(tmp_path: Path) -> None:
    async with door(tmp_path) as place, websocket(place.url, **_as(place.token("reader", "/"))) as socket:
        # The client offers it by itself.
        assert socket.protocol.extensions == []


def _as(token: str) -> dict[str, Any]:
    return {"additional_headers": bearer(token), "subprotocols": [Subprotocol("audit.v1.json")]}


async def test_nobody_gets_anything(tmp_path: Path) -> None:
    async with door(tmp_path) as place:
        for path in ("/v1/events", "/v1/events/x", "/v1/topics", "/v1/events/stream", "/metrics", "/v1/backup"):
            assert (await fetch(place.base, path)).status == 401, path
        for path in ("/v1/events", "/v1/tickets", "/v1/session", "/v1/fsck"):
            assert (await fetch(place.base, path, method="POST", headers=JSON, body=b"[]")).status == 401, path
        with pytest.raises(Unauthorized, match="say who you are"):
            await connect(place.url)
        with pytest.raises(Unauthorized, match="not known here"):
            await connect(place.url, token="audit_aaaaaaaa_" + "A" * 43)
        assert place.log.info().size == len((await place.log.list(("audit", "access"))).events)


async def test_a_page_that_took_over_the_name_of_this_machine_is_refused(tmp_path: Path) -> None:
    async with memory_audit() as log, log.serve("127.0.0.1:0") as server:
        answer = await fetch(server.addresses[0], "/v1/events", headers={"host": "evil.example"})
        assert answer.status == 421
        answer = await fetch(server.addresses[0], "/v1/events", headers={"host": "localhost:1"})
        assert answer.status == 200


async def test_wrong_tokens_are_answered_later_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with door(tmp_path) as place:
        delays = [place.access._callers.delay_s("192.0.2.1") for _ in range(12)]
        assert delays == sorted(delays)
        assert delays[0] < delays[-1] == 2.0
        assert place.access._callers.delay_s("192.0.2.2") == delays[0]


# -- stamps and rates


async def test_who_is_pinned_can_be_nobody_else(tmp_path: Path) -> None:
    rules = AccessRules(roles=dict(ROLES) | {"uploader": UPLOADER})
    async with door(tmp_path, rules) as place:
        token = place.token("uploader", "a")
        name = token.split("_")[1]
        async with connect(place.url, token=token) as log:
            receipt = await log.append(NewEvent(topics=[("a",)], context={"ip": "6.6.6.6", "request_id": "r"}))
            event = await place.log.get(receipt.id)
            assert event.actor is not None
            assert (event.actor.type, event.actor.id) == ("token", name)
            assert event.context == {"ip": "127.0.0.1", "request_id": "r"}
            forged = NewEvent(topics=[("a",)], actor=type(event.actor)(type="user", id="ada"))
            with pytest.raises(Forbidden, match=r"events\[0\].actor: must be left out"):
                await log.append(forged)


async def test_nobody_has_more_connections_than_may_be(tmp_path: Path) -> None:
    async with door(tmp_path, AccessRules(connections_each=2, connections_per_address=3)) as place:
        token, other = place.token("reader", "a"), place.token("reader", "a")
        async with (
            connect(place.url, token=token),
            connect(place.url, token=token) as log,
            stream(place.base, "/v1/events/stream?topic=a", headers=bearer(other)) as opened,
        ):
            assert opened.status == 200
            with pytest.raises(Overloaded, match="has 2 connections open"):
                await connect(place.url, token=token)
            with pytest.raises(Overloaded, match=r"address 127.0.0.1 has 3 connections open"):
                await connect(place.url, token=other)
            refused = await fetch(place.base, "/v1/events/stream?topic=a", headers=bearer(other))
            assert refused.status == 503
            await log.list(("a",))


async def test_who_is_pinned_erases_as_nobody_else(tmp_path: Path) -> None:
    role = Role(verbs=frozenset({"erase"}), pinned=True)
    async with door(tmp_path, AccessRules(roles=dict(ROLES) | {"eraser": role})) as place:
        token = place.token("eraser", "/")
        receipts = await place.log.append_many([NewEvent(topics=[("a",)])] * 3)
        async with connect(place.url, token=token) as log:
            with pytest.raises(Forbidden, match=r"actor: must be left out"):
                await log.erase([receipts[0].id], reason="r", actor=Actor(type="user", id="ada"))
            await log.erase([receipts[0].id], reason="r")
            body = json.dumps({"ids": [receipts[1].id], "reason": "r", "actor": {"type": "x", "id": "ada"}}).encode()
            headers = JSON | bearer(token)
            refused = await fetch(place.base, "/v1/events/erase", method="POST", headers=headers, body=body)
            assert refused.status == 403
        (told,) = (await place.log.list(("audit", "erased"))).events
        assert told.actor == Actor(type="token", id=token.split("_")[1])


# -- users of this machine


async def test_a_user_of_this_machine_needs_no_token(tmp_path: Path) -> None:
    users = {os.getuid(): Assigned("reader", (("a",),))}
    access = GuardedAccess(tmp_path / "tokens.json", AccessRules(users=users), SystemClock())
    async with (
        memory_audit() as log,
        log.serve(f"unix:{tmp_path}/s", access=access) as server,
        connect(server.urls[0]) as client,
    ):
        assert (await client.list(("a",))).slices == []
        with pytest.raises(Forbidden):
            await client.list()


# -- who looked


async def test_who_looked_is_in_the_log(tmp_path: Path) -> None:
    async with door(tmp_path) as place:
        token = place.token("reader", "a")
        async with connect(place.url, token=token) as log:
            await log.list(("a",))
            with pytest.raises(Forbidden):
                await log.list(("b",))
        with pytest.raises(Unauthorized):
            await connect(place.url, token="audit_aaaaaaaa_" + "A" * 43)
        await place.access._recorder.record(
            lambda events: place.log._core.submit(events, None, asyncio.get_running_loop(), internal=True),
            everything=True,
        )
        events = (await place.log.list(("audit", "access"))).events
        told = {(event.action, event.outcome, event.actor.id if event.actor else "") for event in events}
        name = token.split("_")[1]
        assert told == {
            ("audit.access.login", "success", name),
            ("audit.access.login", "denied", "unknown"),
            ("audit.access.read", "success", name),
            ("audit.access.read", "denied", name),
        }
        assert all(token not in str(event) for event in events)


async def test_what_became_of_tokens_is_in_the_log_once(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    token = ""
    async with memory_audit() as log:
        for _ in range(2):
            access = GuardedAccess(path, AccessRules(), SystemClock())
            async with log.serve("127.0.0.1:0", access=access) as server:
                place = Door(log, server, path, access)
                if not place.access._callers.tokens:
                    token = place.token("reader", "a")
                    place.revoke(token)
                access._callers.reread()
                record: Any = server._served and server._served._record
                await access._recorder.record_tokens(access._callers.tokens, record)
        events = (await log.list(("audit", "access", "token"))).events
        assert [event.action for event in events] == ["audit.access.token.created", "audit.access.token.revoked"]
        assert {event.targets[0].id for event in events} == {token.split("_")[1]}


async def test_a_server_that_stops_writes_down_who_looked(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    access = GuardedAccess(path, AccessRules(), SystemClock())
    async with memory_audit() as log:
        async with log.serve("127.0.0.1:0", access=access) as server:
            place = Door(log, server, path, access)
            await fetch(place.base, "/v1/events?topic=a", headers=bearer(place.token("reader", "a")))
        events = (await log.list(("audit", "access", "read"))).events
        assert [event.outcome for event in events] == ["success"]


def test_overload_keeps_its_time_over_the_wire() -> None:
    told = from_wire(to_wire(Overloaded("too many calls", retry_after_ms=1_500)))
    assert isinstance(told, Overloaded)
    assert told.retry_after_ms == 1_500
