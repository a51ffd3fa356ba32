"""Policies in front of a served log: what they leave of a permission on each transport, and when they change."""

import asyncio
import hashlib
import itertools
import random
from pathlib import Path
from typing import Any, Final

import pytest

from audit import NewEvent
from audit.client import connect
from audit.model.errors import Forbidden, NotFound
from audit.model.region import Extent, Region
from audit.model.topic import Topic, format_topic
from audit.server.access.cedar import CedarPolicies
from audit.server.access.policies import Policies
from audit.server.access.rules import ROLES
from audit.testing import memory_audit
from tests.doors import Door, bearer, door
from tests.web import JSON, fetch, stream

POLICIES: Final = """
permit(principal, action, resource in Topic::"a") unless { resource in Topic::"a/secret" };
permit(principal, action == Action::"append", resource in Topic::"q");
forbid(principal, action == Action::"append", resource == Topic::"q");
permit(principal, action == Action::"read", resource in Topic::"w/x/y");
permit(principal in Role::"admin", action, resource);
forbid(principal, action == Action::"admin", resource in Topic::"z");
"""

TOPICS: Final[dict[str, Topic]] = {
    text: tuple(text.split("/")) if text != "/" else ()
    for text in ("/", "a", "a/open", "a/open/x", "a/secret", "a/secret/x", "a/secrets", "q", "q/r", "w", "w/x/y", "z")
}
READ: Final = {"a/open", "a/open/x", "a/secrets", "w/x/y"}
"""What an auditor of everything may ask for: `a` has something below it that they may not see."""
FOUND: Final = {*READ, "a"}
"""Whose events they may see: those of `a` itself, too."""
APPEND: Final = {"a", "a/open", "a/open/x", "a/secrets", "q/r"}
LISTED: Final = {"/", "a", *READ, "w"}


def policies(tmp_path: Path, text: str = POLICIES) -> Policies:
    file = tmp_path / "p.cedar"
    file.write_text(text)
    return Policies([file], lambda texts: CedarPolicies(texts, roles=ROLES, tenant="", places=["p.cedar"]))


async def _allowed(call: Any) -> bool:
    try:
        await call
    except (Forbidden, NotFound):
        return False
    return True


async def _first(log: Any, topic: Topic) -> None:
    async with log.subscribe(topic) as tail:
        await tail.read(1)


async def _over_rpc(log: Any, what: str, topic: Topic, event_id: str) -> bool:
    if what == "append":
        return await _allowed(log.append(NewEvent(topics=[topic or ("no",)])))
    if what == "page":
        return await _allowed(log.list(topic))
    if what == "subscription":
        return await _allowed(_first(log, topic))
    if what == "metrics":
        return await _allowed(log.metrics.get(measure="count", topic=list(topic)))
    return await _allowed(log.get(event_id) if what == "one event" else log.topics(topic))


async def _over_http(place: Door, headers: dict[str, str], what: str, topic: Topic, event_id: str) -> bool:
    text = format_topic(topic)
    if what == "stream":
        async with stream(place.base, f"/v1/events/stream?topic={text}", headers=headers) as opened:
            return opened.status == 200
    if what == "append":
        body = b'{"topics":[[%s]]}' % ",".join(f'"{part}"' for part in topic or ("no",)).encode()
        answer = await fetch(place.base, "/v1/events", method="POST", headers=JSON | headers, body=body)
    else:
        path = {
            "page": f"/v1/events?topic={text}",
            "metrics": f"/v1/metrics?measure=count&topic={text}",
            "one event": f"/v1/events/{event_id}",
            "topics": f"/v1/topics?topic={text}",
        }[what]
        answer = await fetch(place.base, path, headers=headers)
    assert answer.status < 400 or answer.json["code"] in {"forbidden", "not_found"}
    return answer.status < 400


async def test_policies_leave_of_each_permission_what_they_say(tmp_path: Path) -> None:
    expected: dict[str, set[str]] = {
        "page": READ,
        "stream": READ,
        "subscription": READ,
        "metrics": READ - {"w/x/y"},
        "append": APPEND,
        "one event": FOUND,
        "topics": LISTED,
    }
    async with door(tmp_path, policies=policies(tmp_path)) as place:
        ids = {}
        for name, topic in TOPICS.items():
            ids[name] = (await place.log.append(NewEvent(topics=[topic or ("no",)]))).id
        for role in ("emitter", "auditor", "admin"):
            token = place.token(role, "/")
            async with connect(place.url, token=token) as log:
                for what, (name, topic) in itertools.product(expected, TOPICS.items()):
                    verb = what if what in {"append", "metrics"} else "read"
                    allowed = verb in ROLES[role].verbs and (role == "admin" or name in expected[what])
                    if role == "admin" and what == "append" and name == "q":
                        allowed = False
                    if what != "stream":
                        assert (await _over_rpc(log, what, topic, ids[name])) == allowed, (role, what, name, "rpc")
                    if what != "subscription":
                        found = await _over_http(place, bearer(token), what, topic, ids[name])
                        assert found == allowed, (role, what, name, "http")


async def test_policies_give_nobody_more_than_they_have(tmp_path: Path) -> None:
    rules = policies(tmp_path, "permit(principal, action, resource);")
    async with door(tmp_path, policies=rules) as place, connect(place.url, token=place.token("reader", "a/b")) as log:
        await log.list(("a", "b"))
        for topic in ((), ("a",), ("b",)):
            with pytest.raises(Forbidden):
                await log.list(topic)
        with pytest.raises(Forbidden):
            await log.append(NewEvent(topics=[("a", "b")]))


async def test_topics_are_shown_where_both_lead_to_the_same(tmp_path: Path) -> None:
    rules = policies(tmp_path, 'permit(principal, action, resource in Topic::"a/c");')
    async with door(tmp_path, policies=rules) as place:
        await place.log.append(NewEvent(topics=[("a", "b")]))
        await place.log.append(NewEvent(topics=[("a", "c")]))
        async with connect(place.url, token=place.token("reader", "a/b")) as log:
            for topic in ((), ("a",), ("a", "b"), ("a", "c")):
                with pytest.raises(Forbidden):
                    await log.topics(topic)
        async with connect(place.url, token=place.token("reader", "a/b", "a/c")) as log:
            assert [row.topic for row in (await log.topics(("a",))).topics] == [("a", "c")]


async def test_what_is_about_the_whole_log_needs_policies_that_allow_all_of_it(tmp_path: Path) -> None:
    async with door(tmp_path, policies=policies(tmp_path)) as place:
        await place.log.append(NewEvent(topics=[("a",)]))
        for role, path, status in (
            ("auditor", "/checkpoint", 403),
            ("admin", "/checkpoint", 200),
            ("admin", "/tile/entries/000.p/1", 200),
            # Something below it is forbidden.
            ("admin", "/v1/backup", 403),
        ):
            answer = await fetch(place.base, path, headers=bearer(place.token(role, "/")))
            assert answer.status == status, (role, path)


async def test_an_event_of_several_topics_is_for_who_may_see_one_of_them(tmp_path: Path) -> None:
    async with door(tmp_path, policies=policies(tmp_path)) as place:
        both = await place.log.append(NewEvent(topics=[("a", "secret"), ("a", "open")]))
        hidden = await place.log.append(NewEvent(topics=[("a", "secret"), ("q",)]))
        async with connect(place.url, token=place.token("reader", "/")) as log:
            assert (await log.get(both.id)).id == both.id
            assert [event.id for event in (await log.list(("a", "open"))).events] == [both.id]
            with pytest.raises(NotFound):
                await log.get(hidden.id)
            with pytest.raises(Forbidden, match="to read a is more than the policies allow"):
                await log.list(("a",))


async def _read_on(tail: Any) -> None:
    async with asyncio.timeout(30):
        while True:
            await tail.read(1)


async def test_policies_that_change_hold_for_what_is_open_too(tmp_path: Path) -> None:
    before, after = "permit(principal, action, resource);", 'permit(principal, action, resource in Topic::"a");'
    rules = policies(tmp_path, before)
    async with door(tmp_path, policies=rules) as place:
        token = place.token("reader", "/")
        async with (
            connect(place.url, token=token) as log,
            log.subscribe(("a",)) as allowed,
            log.subscribe(("b",)) as forbidden,
            stream(place.base, "/v1/events/stream?topic=b", headers=bearer(token)) as opened,
        ):
            await allowed.read(1)
            await forbidden.read(1)
            file = tmp_path / "p.cedar"
            file.with_suffix(".new").write_text(after)
            file.with_suffix(".new").replace(file)
            # They connect again by themselves, and what is allowed goes on.
            with pytest.raises(Forbidden, match="more than the policies allow"):
                await _read_on(forbidden)
            receipt = await place.log.append(NewEvent(topics=[("a",)]))
            async with asyncio.timeout(30):
                async for event in allowed:
                    assert event.id == receipt.id
                    break
            last = None
            while (message := await opened.message()) is not None:
                last = message
            assert last is not None
            assert (last.kind, last.json["reason"]) == ("end", "shutdown")
            # Which policies held when is in the log.
            async with place.log.subscribe(("audit", "access", "policies")) as told, asyncio.timeout(30):
                found = [(await anext(told)).data["sha256"] for _ in range(2)]
            assert found == [[hashlib.sha256(text.encode()).hexdigest()] for text in (before, after)]
        assert (await fetch(place.base, "/v1/events?topic=b", headers=bearer(token))).status == 403


async def test_a_policy_that_fails_is_counted(tmp_path: Path) -> None:
    failing = """
        permit(principal, action, resource);
        forbid(principal, action == Action::"read", resource) when { principal.x };
    """
    async with door(tmp_path, policies=policies(tmp_path, failing)) as place:
        headers = bearer(place.token("reader", "/"))
        assert (await fetch(place.base, "/v1/events", headers=headers)).status == 403
        numbers = (await fetch(place.base, "/metrics", headers=headers)).body.decode()
        assert "audit_policy_errors_total 1.0" in numbers
        assert (await fetch(place.base, "/v1/events", headers=bearer("x"))).status == 401
        assert "audit_refused_logins_total 1.0" in (await fetch(place.base, "/metrics", headers=headers)).body.decode()


# -- topics within a region


def _listed(events: list[list[Topic]], parent: Topic, region: Region) -> dict[str, int]:
    """Return the children of a topic that lead to what is whole, with the events of each such part, counted plainly."""
    topics = {topic[:length] for event in events for topic in event for length in range(1, len(topic) + 1)}
    whole = {topic for topic in topics if region.whole(topic)}
    # The highest ones: what lies below one is counted with it.
    parts = {topic for topic in whole if topic[:-1] not in whole or topic[:-1] == parent}
    found: dict[str, int] = {}
    for part in parts:
        if len(part) > len(parent) and part[: len(parent)] == parent:
            count = sum(any(topic[: len(part)] == part for topic in event) for event in events)
            found[part[len(parent)]] = found.get(part[len(parent)], 0) + count
    return found


async def test_topics_show_what_may_be_asked_for_and_its_events_alone() -> None:
    draw = random.Random(8)
    segments = ("a", "b", "c")
    world = [topic for depth in range(1, 4) for topic in itertools.product(segments, repeat=depth)]
    async with memory_audit() as log:
        events = [draw.sample(world, draw.randint(1, 3)) for _ in range(400)]
        for start in range(0, len(events), 100):
            await log.append_many([NewEvent(topics=topics) for topics in events[start : start + 100]])
        for _ in range(60):
            named = draw.sample([(), *world], draw.randint(1, 5))
            region = Region({topic: Extent(draw.random() < 0.5, draw.random() < 0.5) for topic in named})
            for parent in ((), ("a",), ("b", "a")):
                found: dict[str, int] = {}
                cursor = None
                while True:
                    page = log._core.topics(parent, 2, cursor, region)
                    found |= {row.topic[-1]: row.events for row in page.topics}
                    cursor = page.cursor
                    if not page.has_more:
                        break
                assert found == _listed(events, parent, region), (parent, region)
