"""What policies in Cedar ask of topics, read off their syntax tree, and whether it can be judged for all topics.

Pure. The tree is Cedar's own, in JSON. Sound is a policy that compares the topic by `==`, `!=` and `in` with topics
that it names, and nothing else: no attribute, no variable in their place. What is named is checked as well, since a
policy that forbids what nobody can be or do forbids nothing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, NamedTuple

from audit.model.errors import InvalidParameter
from audit.model.topic import Topic, format_topic, parse_topic
from audit.server.access.rules import VERBS

__all__ = ["ACTION", "KINDS", "MOST_TOPICS", "ROLE", "TOPIC", "Shape", "check_text", "shape_of"]

TOPIC: Final = "Topic"
ACTION: Final = "Action"
ROLE: Final = "Role"
KINDS: Final[Mapping[str, str]] = {"token": "Token", "jwt": "Jwt", "certificate": "Certificate", "user": "User"}
"""Types of those who ask, by how it is known who they are."""
MOST_TOPICS: Final = 100
_MOST_CHARACTERS: Final = 8_192
_MOST_LEVELS: Final = 32
_QUOTED: Final = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*', re.DOTALL)
"""Texts and comments."""
_BRACKET: Final = re.compile(r"[(\[{]|[)\]}]")

_COMPARED: Final = 'the topic may only be compared, as in: resource in Topic::"a/b", or resource == Topic::"a/b"'

Node = Mapping[str, Any]


class Shape(NamedTuple):
    """What a set of policies goes by.

    Attributes:
        topics: The topics that it names.
        alone: Those that it compares by `==`: what holds for one need not hold for what is nested below it.
        by_context: Whether it asks for anything of the request's context.
    """

    topics: frozenset[Topic]
    alone: frozenset[Topic]
    by_context: bool


def check_text(text: str, place: str) -> None:
    """Check that policies are not nested so deeply that who reads them runs out of stack, and the process ends.

    Raises:
        InvalidParameter: one of them is too long, or has too many brackets within brackets.
    """
    bare = _QUOTED.sub('""', text)
    longest = max(map(len, bare.split(";")))
    if longest > _MOST_CHARACTERS:
        problem = f"a policy may have {_MOST_CHARACTERS} characters beside texts and comments, one has {longest}"
        raise InvalidParameter(place, problem)
    level = 0
    for bracket in _BRACKET.findall(bare):
        level += 1 if bracket in "([{" else -1
        if level > _MOST_LEVELS:
            raise InvalidParameter(place, f"brackets may be nested {_MOST_LEVELS} deep")


def shape_of(tree: Node, place: str, *, roles: Collection[str], types: Collection[str]) -> Shape:
    """Return what a set of policies goes by.

    Args:
        tree: The set, as Cedar writes it in JSON.
        place: How errors call it.
        roles: Names of the roles that there are.
        types: Types of entities that are known, beside those of who asks.

    Raises:
        InvalidParameter: a policy asks what can't be judged for all topics, or names what there is not.
    """
    if tree["templates"]:
        raise InvalidParameter(place, f"must hold no templates, has {len(tree['templates'])}")
    found = _Looked(roles, {*KINDS.values(), ROLE, *types})
    for name, policy in tree["staticPolicies"].items():
        try:
            found.look(policy)
        except RecursionError as error:
            raise InvalidParameter(place, f"policy {_called(name, policy)}: is nested too deeply") from error
        except _Unsound as problem:
            raise InvalidParameter(place, f"policy {_called(name, policy)}: {problem}") from None
    if len(found.topics) > MOST_TOPICS:
        raise InvalidParameter(place, f"may name {MOST_TOPICS} topics, names {len(found.topics)}")
    return Shape(frozenset(found.topics), frozenset(found.alone), found.by_context)


def _called(name: str, policy: Node) -> str:
    """Return what a policy is called: its annotation `@id`, or else its number, from 0."""
    return repr(policy.get("annotations", {}).get("id") or name)


class _Unsound(Exception):
    """Why a policy is not taken."""


class _Looked:
    def __init__(self, roles: Collection[str], types: Collection[str]) -> None:
        self._roles = roles
        self._types = types
        self.topics: set[Topic] = set()
        self.alone: set[Topic] = set()
        self.by_context = False

    def look(self, policy: Node) -> None:
        """Look at one policy.

        Raises:
            _Unsound: it is not sound.
        """
        self._who(policy["principal"])
        for uid in _entities_in(policy["action"]):
            self._action(uid)
        resource = policy["resource"]
        for uid in _entities_in(resource):
            self._topic(uid, alone=resource["op"] == "==")
        self._type(resource.get("entity_type", TOPIC), {TOPIC})
        for condition in policy["conditions"]:
            self._expression(condition["body"])

    def _who(self, scope: Node) -> None:
        self._type(scope.get("entity_type"), self._types)
        for uid in _entities_in(scope):
            self._entity(uid)

    def _expression(self, node: Any) -> None:
        """Look at an expression, and what it is made of."""
        if isinstance(node, list):
            for part in node:
                self._expression(part)
        elif isinstance(node, dict):
            for operator, operands in node.items():
                self._operation(operator, operands)

    def _operation(self, operator: str, operands: Any) -> None:
        if operator == "Var":
            self._variable(operands)
        elif operator == "Value":
            self._value(operands)
        elif isinstance(operands, dict) and _is_resource(operands.get("left")):
            self._compare(operator, operands)
        else:
            # Not by its names: those of a record are its own to choose, such as Var.
            self._expression(list(operands.values()) if isinstance(operands, dict) else operands)

    def _value(self, value: Any) -> None:
        """Look at a literal, which may be made of others."""
        if isinstance(value, list):
            for part in value:
                self._value(part)
        elif isinstance(value, dict) and "__entity" in value:
            self._entity(value["__entity"])
        elif isinstance(value, dict):
            self._value(list(value.values()))

    def _variable(self, name: str) -> None:
        if name == "context":
            self.by_context = True
        elif name == "resource":
            raise _Unsound(_COMPARED)

    def _compare(self, operator: str, operands: Node) -> None:
        """Look at an operator whose left side is the topic."""
        if operator == "is":
            self._type(operands.get("entity_type"), {TOPIC})
            right = operands.get("in")
        elif operator in {"==", "!=", "in"}:
            right = operands["right"]
        else:
            raise _Unsound(_COMPARED)
        for uid in () if right is None else _named_by(right):
            self._topic(uid, alone=operator in {"==", "!="})

    def _topic(self, uid: Node, *, alone: bool) -> None:
        self._type(uid["type"], {TOPIC})
        text = uid["id"]
        try:
            topic = parse_topic(text)
        except InvalidParameter as error:
            raise _Unsound(f"Topic::{text!r:.80} is none: it {error.problem}") from error
        if format_topic(topic) != text:
            raise _Unsound(f"Topic::{text!r:.80} is written {format_topic(topic)!r}")
        self.topics.add(topic)
        if alone:
            self.alone.add(topic)

    def _action(self, uid: Node) -> None:
        self._type(uid["type"], {ACTION})
        if uid["id"] not in VERBS:
            raise _Unsound(f"actions are {', '.join(VERBS)}, got {uid['id']!r:.60}")

    def _entity(self, uid: Node) -> None:
        """Look at an entity that is named anywhere but as the topic."""
        if uid["type"] == ACTION:
            self._action(uid)
            return
        self._type(uid["type"], self._types)
        if uid["type"] == ROLE and uid["id"] not in self._roles:
            raise _Unsound(f"roles are {', '.join(self._roles)}, got {uid['id']!r:.60}")

    def _type(self, name: str | None, known: Collection[str]) -> None:
        if name is not None and name not in known:
            raise _Unsound(f"here the type must be one of {', '.join(sorted(known))}, got {name!r:.60}")


def _is_resource(node: Any) -> bool:
    return isinstance(node, dict) and node.get("Var") == "resource"


def _entities_in(scope: Node) -> Iterator[Node]:
    """Yield the entities that a policy's scope names."""
    if "in" in scope and isinstance(scope["in"], dict):
        scope = scope["in"]
    if "entity" in scope:
        yield scope["entity"]
    yield from scope.get("entities", ())


def _named_by(node: Any) -> Iterator[Node]:
    """Yield the entities of a literal, or of a set of literals.

    Raises:
        _Unsound: it is neither.
    """
    value = node.get("Value", node) if isinstance(node, dict) else node
    if isinstance(value, dict) and "Set" in value:
        for part in value["Set"]:
            yield from _named_by(part)
    elif isinstance(value, dict) and "__entity" in value:
        yield value["__entity"]
    else:
        raise _Unsound('the topic must be compared with topics that are named, as Topic::"a/b" or [Topic::"a", …]')
