"""What may be done, who somebody is, how often, and what is told of it: each by itself, without a server."""

import contextlib
import hashlib
import ipaddress
import os
import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.model.errors import InvalidParameter, NotFound, Overloaded, Unauthorized, Unavailable
from audit.server.access.addresses import address_of, parse_network
from audit.server.access.identity import TENANT, Peer, shown_by
from audit.server.access.journal import Journal, Note
from audit.server.access.port import ANONYMOUS, Principal
from audit.server.access.rates import Bucket
from audit.server.access.rules import ROLES, VERBS, Grant, covers, refusal
from audit.server.access.tickets import Secrets
from audit.server.access.tokenfile import add_token, read_tokens, revoke_token, stamp_of
from audit.server.access.tokens import (
    ID_BYTES,
    SECRET_BYTES,
    Token,
    Tokens,
    check_token,
    decode_tokens,
    encode_tokens,
    new_token,
)
from audit.server.hosts import known_host
from audit.server.peer import subject_of

segments = st.text("ab/é", min_size=1, max_size=3).map(lambda text: text.replace("/", "-"))
topics = st.lists(segments, max_size=4).map(tuple)


def token(number: int = 0, **more: Any) -> tuple[str, Token]:
    drawn = hashlib.sha512(number.to_bytes(4, "big")).digest()[: ID_BYTES + SECRET_BYTES]
    given = {"role": "reader", "topics": [("a",)], "roles": ROLES} | more
    return new_token(drawn, 1_000, **given)


# -- rules


@given(st.lists(topics, max_size=3), topics)
def test_a_topic_is_covered_by_itself_and_what_it_lies_below(prefixes: list[tuple[str, ...]], topic: Any) -> None:
    ancestors = {topic[:length] for length in range(len(topic) + 1)}
    assert covers(prefixes, topic) == bool(ancestors & set(prefixes))


@given(
    st.sets(st.sampled_from(VERBS)), st.lists(topics, max_size=3), st.sampled_from(VERBS), st.lists(topics, max_size=3)
)
def test_nothing_is_allowed_that_is_not_granted(verbs: set[str], held: Any, verb: str, asked: Any) -> None:
    grant = Grant(frozenset(verbs), tuple(held))
    allowed = verb in verbs and all(covers(held, topic) for topic in asked)
    assert (refusal(grant, verb, asked) is None) == allowed
    leads = [covers(held, topic) or any(one[: len(topic)] == topic for one in held) for topic in asked]
    assert (refusal(grant, verb, asked, leading=True) is None) == (verb in verbs and all(leads))


def test_by_itself_nobody_may_do_anything() -> None:
    for verb in VERBS:
        assert refusal(ANONYMOUS.grant, verb, [("a",)]) is not None
        assert refusal(ANONYMOUS.grant, verb, []) is not None


# -- tokens


def test_a_token_is_known_by_its_text_alone_and_only_a_digest_is_kept() -> None:
    text, kept = token()
    assert check_token(text, {kept.id: kept}, 1_001) == kept
    secret = text.split("_", 2)[2]
    assert secret.encode() not in encode_tokens(Tokens(tokens=[kept]))
    assert kept.hash == hashlib.sha256(secret.encode()).hexdigest()


@given(st.integers(0, 57), st.sampled_from("aZ2_-\n é"))
def test_a_text_that_differs_in_one_character_is_no_token(place: int, character: str) -> None:
    text, kept = token()
    other = text[:place] + character + text[place + 1 :]
    if other != text:
        with pytest.raises(Unauthorized, match="not known here"):
            check_token(other, {kept.id: kept}, 1_001)


def test_an_ended_token_says_why_only_to_who_has_it() -> None:
    text, kept = token(expires_ms=2_000)
    assert check_token(text, {kept.id: kept}, 1_999) == kept
    with pytest.raises(Unauthorized, match="has expired"):
        check_token(text, {kept.id: kept}, 2_000)
    revoked = msgspec.structs.replace(kept, revoked_ms=1_500)
    with pytest.raises(Unauthorized, match="was revoked"):
        check_token(text, {kept.id: revoked}, 1_600)
    with pytest.raises(Unauthorized, match="not known here"):
        check_token(text[:-1] + ("A" if text[-1] != "A" else "B"), {kept.id: revoked}, 1_600)


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"role": "king"}, "role"),
        ({"topics": []}, "topic"),
        ({"topics": [("a",)] * 65}, "topic"),
        ({"topics": [("a/b",)]}, "topic"),
        ({"label": "x" * 129}, "label"),
        ({"label": "a\nb"}, "label"),
        ({"expires_ms": 1_000}, "expires"),
    ],
)
def test_a_token_out_of_bounds_is_refused_by_name(more: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidParameter) as raised:
        token(**more)
    assert raised.value.parameter.startswith(named)


@given(st.binary(max_size=300))
def test_any_file_is_a_list_of_tokens_or_an_error_of_ours(text: bytes) -> None:
    with contextlib.suppress(InvalidParameter):
        decode_tokens(text, "tokens.json")


def test_a_file_with_a_topic_in_another_form_is_refused() -> None:
    _, kept = token()
    odd = msgspec.structs.replace(kept, topics=[("e\u0301",)])
    with pytest.raises(InvalidParameter, match="not normalised"):
        decode_tokens(encode_tokens(Tokens(tokens=[odd])), "f")


# -- the file


def test_the_file_is_its_owners_alone_and_changes_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    assert read_tokens(path) == Tokens()
    assert stamp_of(path) is None
    kept = [token(number)[1] for number in range(3)]
    for one in kept:
        add_token(path, one)
    before = stamp_of(path)
    assert read_tokens(path).tokens == kept
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    ended = revoke_token(path, kept[1].id, 5_000)
    assert ended.revoked_ms == 5_000
    assert revoke_token(path, kept[1].id, 6_000) == ended
    assert [one.revoked_ms for one in read_tokens(path).tokens] == [None, 5_000, None]
    assert stamp_of(path) != before
    with pytest.raises(NotFound, match="no token 'nobody'"):
        revoke_token(path, "nobody", 1)
    with pytest.raises(InvalidParameter, match="already"):
        add_token(path, kept[0])


def test_a_file_that_others_may_read_is_not_trusted(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    add_token(path, token()[1])
    path.chmod(0o640)
    with pytest.raises(Unavailable, match="chmod 600"):
        read_tokens(path)


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="can't write beside"):
        add_token(tmp_path / "none" / "tokens.json", token()[1])


# -- tickets


def test_a_ticket_is_good_once_and_for_a_while() -> None:
    tickets = Secrets(30_000, os.urandom, most=3)
    somebody = Principal("t1", "token")
    first, second = tickets.issue(somebody, 0), tickets.issue(somebody, 10)
    assert tickets.spend(first, 29_999) == somebody
    assert tickets.spend(first, 29_999) is None
    assert tickets.spend(second, 30_010) is None
    assert tickets.spend("\udcff", 0) is None
    assert len(tickets) == 0


def test_tickets_are_bounded_and_room_comes_back() -> None:
    tickets = Secrets(30_000, os.urandom, most=2)
    tickets.issue(ANONYMOUS, 0)
    tickets.issue(ANONYMOUS, 1)
    with pytest.raises(Overloaded):
        tickets.issue(ANONYMOUS, 2)
    tickets.issue(ANONYMOUS, 30_000)


# -- rates


@given(st.floats(0.5, 50), st.lists(st.integers(0, 3_000), max_size=60))
def test_no_more_is_given_than_the_rate_and_what_was_saved(rate: float, steps: list[int]) -> None:
    now = 0
    bucket = Bucket(rate, now)
    taken = 0
    for step in steps:
        now += step
        wait = bucket.take(1, now)
        if wait is None:
            taken += 1
        else:
            assert wait > 0
            fresh = bucket.take(1, now + wait)
            assert fresh is None
            now += wait
            taken += 1
        assert taken <= max(1.0, rate * 2) + rate * now / 1000 + 1e-6


def test_what_was_used_already_leaves_a_debt() -> None:
    bucket = Bucket(1_000, 0)
    bucket.spend(5_000, 0)
    assert bucket.take(0, 0) == 3_000
    assert bucket.take(0, 3_000) is None


# -- addresses and headers


def scope(client: Any = ("10.0.0.5", 1), **headers: str) -> dict[str, Any]:
    pairs = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    return {"client": client, "headers": pairs}


PROXIES = [parse_network("10.0.0.0/8"), parse_network("fd00::/8")]


@pytest.mark.parametrize(
    ("peer", "header", "trusted", "found"),
    [
        ("192.0.2.1", "1.2.3.4", [], "192.0.2.1"),
        ("192.0.2.1", "1.2.3.4", PROXIES, "192.0.2.1"),
        ("10.0.0.5", "1.2.3.4", PROXIES, "1.2.3.4"),
        ("10.0.0.5", "6.6.6.6, 1.2.3.4", PROXIES, "1.2.3.4"),
        ("10.0.0.5", "6.6.6.6, 1.2.3.4, 10.0.0.9", PROXIES, "1.2.3.4"),
        ("10.0.0.5", "6.6.6.6, nonsense", PROXIES, "10.0.0.5"),
        ("10.0.0.5", "10.1.1.1", PROXIES, "10.1.1.1"),
        ("fd00::1", "2001:db8::1", PROXIES, "2001:db8::1"),
    ],
)
def test_only_trusted_proxies_are_believed(peer: str, header: str, trusted: Any, found: str) -> None:
    assert address_of(scope((peer, 1), x_forwarded_for=header), trusted) == found


def test_a_unix_socket_has_no_address() -> None:
    assert address_of(scope(None)) == "local"
    assert address_of(scope(("", 0))) == "local"


@given(st.text(max_size=40))
def test_the_address_is_one_whatever_the_header_says(text: str) -> None:
    header = text.encode("latin-1", "replace").decode("latin-1")
    ipaddress.ip_address(address_of(scope(x_forwarded_for=header), PROXIES))


def test_networks_are_checked() -> None:
    with pytest.raises(InvalidParameter):
        parse_network("10.0.0.1/8")


def test_what_a_request_shows_is_read_strictly() -> None:
    assert shown_by(scope(authorization="bearer  x ")).bearer == "x"
    cookie = "a=b; audit_session=s; audit_session_acme=t; c=d"
    assert shown_by(scope(cookie=cookie)).session == "s"
    assert shown_by(scope(cookie=cookie) | {TENANT: "acme"}).session == "t"
    assert shown_by(scope(cookie=cookie) | {TENANT: "zoo"}).session is None
    assert shown_by(scope() | {"subprotocols": ["audit.v1.json", "audit.ticket.t"]}).ticket == "t"
    assert shown_by(scope()) == (None, None, None, Peer())
    for header in ("Basic eDp5", "x", ""):
        with pytest.raises(Unauthorized):
            shown_by(scope(authorization=header))
    twice = scope(authorization="bearer x")
    twice["headers"] *= 2
    with pytest.raises(Unauthorized, match="twice"):
        shown_by(twice)
    with pytest.raises(Unauthorized, match="twice"):
        shown_by(scope() | {"subprotocols": ["audit.ticket.t", "audit.ticket.u"]})


@given(st.binary(max_size=60))
def test_no_cookie_is_too_odd(value: bytes) -> None:
    shown_by({"headers": [(b"cookie", value)]})


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("127.0.0.1:8440", True),
        ("[::1]:8440", True),
        ("localhost", True),
        ("a.localhost:1", True),
        ("", True),
        ("status.example", True),
        ("evil.example:8440", False),
        ("localhost.evil.example", False),
        ("[::1", False),
    ],
)
def test_only_known_hosts_are_answered(host: str, known: bool) -> None:
    assert known_host(host, {"status.example"}) == known


def test_a_subject_cannot_be_made_to_look_like_two() -> None:
    def certificate(*pairs: tuple[str, str]) -> dict[str, Any]:
        return {"subject": tuple(((name, value),) for name, value in pairs)}

    assert subject_of(certificate(("organizationName", "E"), ("commonName", "c"))) == "CN=c,O=E"
    assert subject_of(certificate(("commonName", "c,O=E"))) == "CN=c\\,O\\=E"


# -- the journal


def read(name: str = "t", **more: Any) -> Note:
    return Note(**({"what": "read", "kind": "token", "name": name, "address": "", "outcome": "success"} | more))


def test_the_same_thing_is_told_at_once_and_then_once_a_minute() -> None:
    journal = Journal()
    journal.note(read(), 0)
    assert [event.data["count"] for event in journal.due(0)] == [1]
    for moment in range(1_000, 50_000, 1_000):
        journal.note(read(), moment)
        assert journal.due(moment) == []
    told = journal.due(60_000)
    assert [event.data["count"] for event in told] == [49]
    assert told[0].data["first_at"] == "1970-01-01T00:00:01.000Z"
    assert journal.due(120_000) == []
    journal.note(read(), 120_001)
    assert len(journal.due(120_001)) == 1


def test_the_journal_is_bounded_and_says_what_it_left_out() -> None:
    journal = Journal()
    for number in range(1_500):
        journal.note(read(str(number)), 0)
    events = journal.due(0, everything=True)
    assert len(events) == 1_001
    assert events[-1].action == "audit.access.more"
    assert events[-1].data == {"count": 500}


def test_odd_texts_are_told_in_a_form_that_events_may_hold() -> None:
    journal = Journal()
    journal.note(read("\udcff" * 300, detail="\ud800", topics=(("a", "b"),)), 0)
    (event,) = journal.due(0)
    assert event.actor is not None
    msgspec.json.encode(event)
    assert event.data == {"count": 1, "topics": ["a/b"], "reason": "\\ud800"}
