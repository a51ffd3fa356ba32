"""Secrets and personal data stay out of the log, and the event says so."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit import Actor, NewEvent, Target
from audit.log.prepare import prepare_call
from audit.log.scrub import GDPR, SCRUBBED, Rule, Scrub
from audit.log.secrets import MASK, is_secret_name
from audit.model.errors import InvalidParameter

KEY = b"k" * 16
SECRET = "hunter2-\u00e9"  # noqa: S105 - what must not get through

names = st.sampled_from(["password", "user", "accessToken", "n", "authorization", "x", "apiKey"])
json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.just(SECRET),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=12,
)


def scrubbed(scrub: Scrub, **members: Any) -> NewEvent:
    return scrub.events([NewEvent(topics=[("a", "b")], **members)])[0]


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        *[(name, True) for name in ("password", "Password", "user_password", "accessToken", "access-token", "token")],
        *[(name, True) for name in ("client_secret", "Authorization", "apiKey", "api_key", "X-API-Key", "privateKey")],
        *[(name, False) for name in ("token_count", "secretName", "passwordless", "key", "authorized", "", "é", "123")],
        *[(name, False) for name in ("accessKeyId", "tokens", "authorizationId", "keyApi")],
    ],
)
def test_the_last_word_makes_a_name_one_of_a_secret(name: str, secret: bool) -> None:
    assert is_secret_name(name) == secret


@given(json)
def test_no_secret_gets_through_and_all_else_stays(data: Any) -> None:
    event = NewEvent(topics=[("a",)], data=data)
    (after,) = Scrub().events([event])
    expected, done = _plainly(data, "data")
    assert after.data == expected
    assert set(after.context.get(SCRUBBED, "").split()) == done
    if not done:
        assert after is event
    assert Scrub().events([after])[0] is after


def _plainly(value: Any, path: str) -> tuple[Any, set[str]]:
    """Return what masking comes to, written with no thought of speed."""
    done: set[str] = set()
    if isinstance(value, list):
        pairs = [_plainly(one, path) for one in value]
        return [one for one, _ in pairs], set().union(*[more for _, more in pairs])
    if not isinstance(value, dict):
        return value, done
    found = {}
    for name, one in value.items():
        if is_secret_name(name) and not isinstance(one, dict) and one is not None and not isinstance(one, bool):
            found[name] = MASK
            done.add(f"{path}.{name}:mask")
        else:
            found[name], more = _plainly(one, f"{path}.{name}")
            done |= more
    return found, done


def test_a_retry_of_a_scrubbed_event_is_the_same_event() -> None:
    scrub = Scrub(GDPR, key=KEY)
    event = NewEvent(
        topics=[("a",)], actor=Actor(type="user", id="ada@example.org"), data={"token": "t"}, idempotency_key="k"
    )
    first, second = (prepare_call(scrub.events([event])).events[0] for _ in range(2))
    assert (first.key, first.fingerprint) == (second.key, second.fingerprint)


def test_the_profile_takes_out_what_is_personal() -> None:
    event = scrubbed(
        Scrub(GDPR, key=KEY),
        action="mail.sent",
        actor=Actor(type="user", id="u-7", name="Ada"),
        targets=[Target(type="vault", id="v-1", name="Ada's")],
        context={"ip": "192.0.2.77", "user_agent": "Firefox", "request_id": "r"},
        data={"to": ["ada@example.org", "x"], "note": "from 10.1.2.3 to bob@example.org", "n": 1},
    )
    assert event.actor is not None
    assert event.actor.name is None
    assert event.actor.id != "u-7"
    assert event.targets == [Target(type="vault", id="v-1")]
    assert event.context["ip"] == "192.0.2.0"
    assert "user_agent" not in event.context
    assert event.context["request_id"] == "r"
    assert "@" not in str(event.data)
    assert event.data["note"].startswith("from 10.1.2.0 to ")
    assert event.data["n"] == 1
    assert event.action == "mail.sent"
    told = event.context[SCRUBBED].split()
    assert {"context.ip:truncate_ip", "context.user_agent:remove", "actor.id:hash", "data.note:hash"} <= set(told)
    again = scrubbed(Scrub(GDPR, key=KEY), actor=Actor(type="user", id="u-7"))
    assert again.actor == Actor(type="user", id=event.actor.id)
    other = scrubbed(Scrub(GDPR, key=b"j" * 16), actor=Actor(type="user", id="u-7"))
    assert other.actor != again.actor


@pytest.mark.parametrize(
    ("rule", "data", "after"),
    [
        (Rule(way="mask", field="data.card"), {"card": "4111", "x": "4111"}, {"card": MASK, "x": "4111"}),
        (Rule(way="remove", field="data.*.iban"), {"a": {"iban": "x", "n": 1}}, {"a": {"n": 1}}),
        (Rule(way="remove", field="data.list"), {"list": ["a", "b", 1]}, {"list": [1]}),
        (Rule(way="mask", pattern=r"\d{4}"), {"t": "is 4111!"}, {"t": f"is {MASK}!"}),
        (Rule(way="remove", field="data.t", pattern="secret"), {"t": "a secret"}, {}),
        (Rule(way="remove", field="data.t", pattern="secret"), {"t": "none"}, {"t": "none"}),
        (Rule(way="truncate_ip", field="data.ip"), {"ip": "2001:db8:1:2::3"}, {"ip": "2001:db8:1::"}),
        (Rule(way="truncate_ip", field="data.ip"), {"ip": "no address"}, {"ip": MASK}),
        (Rule(way="mask", field="data.x", topics=(("z",),)), {"x": "kept"}, {"x": "kept"}),
        (Rule(way="mask", field="data.x", topics=(("a",),)), {"x": "gone"}, {"x": MASK}),
    ],
)
def test_a_rule_does_what_it_says(rule: Rule, data: Any, after: Any) -> None:
    assert scrubbed(Scrub([rule]), data=data).data == after


@pytest.mark.parametrize(
    ("rules", "key", "named"),
    [
        ([Rule(way="hash")], None, "scrub[0].way"),
        ([Rule(way="mask"), Rule(way="burn")], None, "scrub[1].way"),  # type: ignore[arg-type]
        ([Rule(way="mask", pattern="(")], None, "scrub[0].pattern"),
        ([Rule(way="mask", field="data..x")], None, "scrub[0].field"),
        ([Rule(way="remove", pattern="x")], None, "scrub[0].field"),
        ([Rule(way="mask", topics=(("a/b",),))], None, "scrub[0].topics[0]"),
        ([], b"short", "key"),
    ],
)
def test_a_rule_out_of_form_is_refused_by_name(rules: list[Rule], key: bytes | None, named: str) -> None:
    with pytest.raises(InvalidParameter) as raised:
        Scrub(rules, key=key)
    assert raised.value.parameter == named


def test_what_was_done_always_fits() -> None:
    event = scrubbed(Scrub(), data={f"{'x' * 60}_{number}": {"password": "p"} for number in range(100)})
    assert len(event.context[SCRUBBED].encode()) <= 1024
    assert event.context[SCRUBBED].split()[-1].startswith("+")
    with pytest.raises(InvalidParameter, match="must leave room for 'scrubbed'"):
        scrubbed(Scrub(), data={"password": "p"}, context={f"f{number}": "" for number in range(32)})


def test_what_is_no_event_is_left_for_the_log_to_refuse() -> None:
    odd: Any = [3, NewEvent(topics=[("a/b",)], data={"password": "p"}), NewEvent(topics=[], data={1: {"token": "t"}})]
    after: Any = Scrub([Rule(way="mask")]).events(odd)
    assert after[0] == 3
    deep: Any = {}
    for _ in range(5_000):
        deep = {"a": deep}
    Scrub([Rule(way="mask")]).events([NewEvent(topics=[("a",)], data=deep)])


def test_an_actor_whose_id_goes_goes_as_a_whole() -> None:
    rule = Rule(way="remove", field="actor.id")
    assert scrubbed(Scrub([rule]), actor=Actor(type="user", id="u")).actor is None
