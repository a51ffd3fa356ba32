"""Policies in Cedar: what they come to against a plain evaluation of every topic, and which are refused."""

import itertools
import json
import logging
import re
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.model.errors import InvalidParameter
from audit.model.region import EVERYTHING, NOTHING, Region
from audit.model.topic import Topic, format_topic
from audit.server.access.cedar import CedarPolicies
from audit.server.access.cedarshape import MOST_TOPICS
from audit.server.access.policies import Policies
from audit.server.access.port import Ask, Principal
from audit.server.access.rules import ROLES, VERBS, Grant
from tests.docs.documents import ROOT

SEGMENTS: Final = ("a", "b", "other")
"""`other` stands for any name that no policy has."""
WORLD: Final = [topic for depth in range(4) for topic in itertools.product(SEGMENTS, repeat=depth)]
FULL: Final = Grant(frozenset(VERBS), ((),))


def somebody(role: str = "reader", address: str = "10.0.0.7", name: str = "t1", kind: str = "token") -> Principal:
    return Principal(name, kind, role, FULL, address=address)


def judged(policies: str, verb: str = "read", who: Principal | None = None, entities: Any = None) -> Region:
    judgement = made(policies, entities).judge(who or somebody(), verb)
    assert not judgement.errors
    return judgement.region


def made(policies: str, entities: Any = None) -> CedarPolicies:
    texts = [policies] if entities is None else [policies, json.dumps(entities)]
    return CedarPolicies(texts, roles=ROLES, tenant="", places=["p.cedar", "e.json"][: len(texts)])


# -- against a plain evaluation


class Clause(NamedTuple):
    """A comparison of the topic with one that is named."""

    operator: str
    topic: Topic

    def holds(self, topic: Topic) -> bool:
        if self.operator == "in":
            return topic[: len(self.topic)] == self.topic
        return (topic == self.topic) == (self.operator == "==")

    def text(self) -> str:
        return f'resource {self.operator} Topic::"{format_topic(self.topic)}"'


class Policy(NamedTuple):
    """A policy, as it is written and as it is meant."""

    permits: bool
    role: str | None
    verbs: tuple[str, ...]
    scope: Clause | None
    when: tuple[Clause, ...]
    unless: tuple[Clause, ...]

    def applies(self, role: str, verb: str, topic: Topic) -> bool:
        if (self.role is not None and self.role != role) or (self.verbs and verb not in self.verbs):
            return False
        if self.scope is not None and not self.scope.holds(topic):
            return False
        if self.when and not all(clause.holds(topic) for clause in self.when):
            return False
        return not (self.unless and any(clause.holds(topic) for clause in self.unless))

    def text(self) -> str:
        who = "principal" if self.role is None else f'principal in Role::"{self.role}"'
        verbs = ", ".join(f'Action::"{verb}"' for verb in self.verbs)
        what = f"action in [{verbs}]" if self.verbs else "action"
        scope = "resource" if self.scope is None else self.scope.text()
        when = f" when {{ {' && '.join(clause.text() for clause in self.when)} }}" if self.when else ""
        unless = f" unless {{ {' || '.join(clause.text() for clause in self.unless)} }}" if self.unless else ""
        return f"{'permit' if self.permits else 'forbid'}({who}, {what}, {scope}){when}{unless};"


named_topics = st.lists(st.sampled_from(("a", "b")), max_size=2).map(tuple)
clauses = st.builds(Clause, st.sampled_from(("==", "!=", "in")), named_topics)
policy = st.builds(
    Policy,
    st.sampled_from((True, True, False)),
    st.sampled_from((None, "reader", "admin")),
    st.lists(st.sampled_from(("read", "append")), max_size=2, unique=True).map(tuple),
    st.none() | st.builds(Clause, st.sampled_from(("==", "in")), named_topics),
    st.lists(clauses, max_size=2).map(tuple),
    st.lists(clauses, max_size=2).map(tuple),
)


@given(st.lists(policy, max_size=6))
@settings(max_examples=150)
def test_every_topic_is_judged_as_a_plain_reading_of_the_policies_has_it(policies: list[Policy]) -> None:
    found = made("\n".join(one.text() for one in policies))
    for role, verb in itertools.product(("reader", "admin"), ("read", "append")):
        judgement = found.judge(somebody(role), verb)
        assert not judgement.errors
        region = judgement.region
        allowed = {
            topic
            for topic in WORLD
            if any(one.permits and one.applies(role, verb, topic) for one in policies)
            and not any(not one.permits and one.applies(role, verb, topic) for one in policies)
        }
        assert {topic for topic in WORLD if region.covers(topic)} == allowed
        # Policies name topics of two segments at most: three reach below all of them.
        for topic in WORLD:
            if len(topic) < 3:
                below = [other for other in WORLD if other[: len(topic)] == topic]
                assert region.whole(topic) == (allowed >= set(below)), topic


def test_a_topic_that_is_forbidden_does_not_come_with_what_is_above_it() -> None:
    region = judged(
        'permit(principal, action, resource in Topic::"a"); forbid(principal, action, resource in Topic::"a/x");'
    )
    assert [region.whole(topic) for topic in ((), ("a",), ("a", "x"), ("a", "y"), ("a", "xx"))] == [
        *(False, False, False),
        *(True, True),
    ]


def test_without_a_policy_that_allows_it_nothing_is_allowed() -> None:
    assert judged("") == NOTHING
    assert judged("forbid(principal, action, resource);") == NOTHING
    assert judged('permit(principal, action == Action::"append", resource);') == NOTHING
    assert judged("permit(principal, action, resource);") == EVERYTHING


def test_who_asks_is_known_by_kind_role_groups_and_address() -> None:
    entities = [
        {"uid": {"type": "Jwt", "id": "ada"}, "attrs": {"team": "ops"}, "parents": [{"type": "Group", "id": "staff"}]},
        {"uid": {"type": "Group", "id": "staff"}, "attrs": {}, "parents": []},
    ]
    ada = somebody(name="ada", kind="jwt")
    for condition in (
        'principal == Jwt::"ada"',
        "principal is Jwt",
        'principal in Group::"staff"',
        'principal in Role::"reader"',
        'principal has team && principal.team == "ops"',
        'context.address.isInRange(ip("10.0.0.0/8"))',
        'context.tenant == ""',
        'Jwt::"ada" == principal',
        '[Jwt::"ada", Jwt::"bob"].contains(principal)',
        "!(principal is Token)",
    ):
        text = f"permit(principal, action, resource) when {{ {condition} }};"
        assert judged(text, who=ada, entities=entities) == EVERYTHING, condition
    other = somebody("admin", "192.0.2.1", "t9")
    assert judged('permit(principal in Group::"staff", action, resource);', who=other, entities=entities) == NOTHING
    near = 'permit(principal, action, resource) when { context.address.isInRange(ip("10.0.0.0/8")) };'
    assert judged(near, who=other) == NOTHING
    assert made(near).by_address
    assert not made("permit(principal, action, resource);").by_address


def test_the_policies_of_the_page_say_what_it_says_of_them() -> None:
    page = (ROOT / "docs" / "access.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```text\n(permit .*?)```", page, re.DOTALL)
    region = judged(text)
    assert [region.whole(topic) for topic in (("shop",), ("shop", "orders"), ("shop", "salaries"))] == [
        *(False, True, False),
    ]
    assert judged(text, who=somebody(address="192.0.2.1")) == judged(text, who=somebody(address="local")) == NOTHING


# -- what is refused

REFUSED: Final = {
    "permit(principal, action": "is no set of Cedar policies: unexpected end",
    'permit(principal, action, resource in Topic::"a") when { resource.kind == "x" };': "may only be compared",
    "permit(principal, action, resource) when { resource has x };": "may only be compared",
    'permit(principal, action, resource) when { resource.x like "a*" };': "may only be compared",
    'permit(principal, action, resource) when { resource.hasTag("x") };': "may only be compared",
    "permit(principal, action, resource) when { resource in principal.topics };": "compared with topics that are named",
    "permit(principal, action, resource) when { resource == principal };": "compared with topics that are named",
    "permit(principal, action, resource) when { [resource].contains(principal) };": "may only be compared",
    'permit(principal, action, resource) when { Topic::"a" == resource };': "here the type must be one of",
    "permit(principal, action, resource) when { {Var: resource}.Var == principal };": "may only be compared",
    "permit(principal, action, resource) when { {left: resource} == principal };": "may only be compared",
    "permit(principal, action, resource) when { {Value: resource} has x };": "may only be compared",
    'permit(principal == Topic::"a", action, resource);': "here the type must be one of",
    'permit(principal in Rol::"reader", action, resource);': "here the type must be one of",
    "permit(principal is Tokn, action, resource);": "here the type must be one of",
    'permit(principal, action, resource in Tpoic::"a");': "here the type must be one of Topic",
    "permit(principal, action, resource is Topik);": "here the type must be one of Topic",
    'permit(principal in Role::"king", action, resource);': "roles are emitter, reader, auditor, admin, got 'king'",
    'permit(principal, action == Action::"reed", resource);': "actions are append, read, metrics",
    'permit(principal, action in [Action::"read", Action::"x"], resource);': "actions are append, read, metrics",
    'permit(principal, action, resource in Topic::"a//b");': "Topic::'a//b' is none",
    'permit(principal, action, resource in Topic::"");': "is written '/'",
    'permit(principal, action, resource in Topic::"e\\u{301}");': "is written 'é'",
    "permit(principal == ?principal, action, resource);": "must hold no templates",
    'permit(principal, action, resource is Topic in Topic::"a/");': "is none",
}


@pytest.mark.parametrize("text", REFUSED)
def test_a_policy_that_cannot_be_judged_for_all_topics_is_refused_by_name(text: str) -> None:
    good = 'permit(principal, action, resource in Topic::"a");\n'
    with pytest.raises(InvalidParameter) as raised:
        made(good + '@id("the bad one")\n' + text)
    assert raised.value.parameter == "p.cedar"
    assert REFUSED[text] in raised.value.problem
    if "set of" not in raised.value.problem and "templates" not in raised.value.problem:
        assert raised.value.problem.startswith("policy 'the bad one': ")


def test_policies_are_bounded() -> None:
    texts = [f'permit(principal, action, resource in Topic::"{number}");' for number in range(MOST_TOPICS + 1)]
    made("".join(texts[:-1]))
    with pytest.raises(InvalidParameter, match=f"may name {MOST_TOPICS} topics, names {MOST_TOPICS + 1}"):
        made("".join(texts))


@pytest.mark.parametrize(
    "body",
    [
        *(
            "(" * 2_000 + "true" + ")" * 2_000,
            "[" * 5_000,
            "{a:" * 3_000,
            "!(" * 3_000,
            " && ".join(["1 == 1"] * 20_000),
        ),
        *("context" + ".a" * 4_000 + " == 1", '"\\"" == "(" && ' * 600, 'context["a"]' * 2_000, "1" + " + 1" * 1_500),
    ],
    ids=["brackets", "sets", "records", "not", "and", "members", "texts", "indexes", "sums"],
)
def test_a_policy_that_would_take_the_stack_is_refused(body: str) -> None:
    # Cedar's own reader ends the process.
    with pytest.raises(InvalidParameter, match=r"p\.cedar"):
        made(f"permit(principal, action, resource) when {{ {body} }};")


@pytest.mark.parametrize(
    ("entities", "problem"),
    [
        ({}, "holds no entities"),
        ([{"uid": {"type": "Topic", "id": "a"}, "attrs": {}, "parents": []}], "must hold no Topic"),
        ([{"uid": {"type": "Jwt", "id": "a"}, "attrs": {}, "parents": [{"type": "Topic", "id": "a"}]}], "no Topic"),
    ],
)
def test_entities_that_are_none_are_refused(entities: Any, problem: str) -> None:
    with pytest.raises(InvalidParameter, match=rf"e\.json: .*{problem}"):
        made("permit(principal, action, resource);", entities)


# -- what fails


def test_a_policy_that_fails_denies_and_is_counted_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    # Cedar leaves out what fails: by itself, this would be allowed.
    text = 'permit(principal, action, resource); @id("oops") forbid(principal, action, resource) when { principal.x };'
    file = tmp_path / "p.cedar"
    file.write_text(text)
    policies = Policies([file], lambda texts: CedarPolicies(texts, roles=ROLES, tenant="", places=["p"]))
    with caplog.at_level(logging.WARNING):
        assert policies.refusal(somebody(), Ask("read", [("a",)])) == "to read a is more than the policies allow"
        assert policies.refusal(somebody(), Ask("read", [])) == "the policies allow nobody like you to read"
    assert policies.errors == 1
    (record,) = caplog.records
    assert record.getMessage().startswith("a policy fails for token 't1', which denies: error while evaluating")


async def test_other_policies_take_the_place_of_the_old_ones_as_a_whole(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "p.cedar"
    file.write_text('permit(principal, action, resource in Topic::"a");')
    policies = Policies([file], lambda texts: CedarPolicies(texts, roles=ROLES, tenant="", places=["p"]))
    await policies.prepare(somebody())
    assert policies.region(somebody(), "read") == Region.below([("a",)])
    await policies.reread()
    assert policies.version == 1
    file.write_text("permit(principal, action, resource in")
    await policies.reread()
    await policies.reread()
    assert (policies.version, policies.region(somebody(), "read")) == (1, Region.below([("a",)]))
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    file.unlink()
    await policies.reread()
    assert policies.region(somebody(), "read") == Region.below([("a",)])
    file.write_text('permit(principal, action, resource in Topic::"b");')
    await policies.reread()
    assert (policies.version, policies.region(somebody(), "read")) == (2, Region.below([("b",)]))


def test_a_file_that_is_not_there_or_too_long_is_said(tmp_path: Path) -> None:
    file = tmp_path / "p.cedar"
    with pytest.raises(InvalidParameter, match="can't be read"):
        Policies([file], lambda _: made(""))
    file.write_bytes(b"//" + b"x" * 1024 * 1024)
    with pytest.raises(InvalidParameter, match="at most 1048576 bytes"):
        Policies([file], lambda _: made(""))
    file.write_bytes(b"\xff")
    with pytest.raises(InvalidParameter, match="valid UTF-8"):
        Policies([file], lambda _: made(""))
