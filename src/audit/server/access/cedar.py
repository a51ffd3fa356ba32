"""Policies in Cedar. Needs the extra `cedar`.

Who asks is an entity of the type `Token`, `Jwt`, `Certificate` or `User`, in `Role::"NAME"`; what is done is
`Action::"read"` and so on; what it is done to is `Topic::"a/b"`, which is in `Topic::"a"`, and that in `Topic::"/"`.

A query is about all that is nested below a topic, and there may be anything. So policies are held to what can be judged
for all of it: they may compare a topic by `==` and `in` with topics that they name, and ask nothing else of it
(`topics_of`). Then all topics below the same named ones are judged alike, and one of each kind, given to Cedar itself,
tells of all others: exactly, in a finite number of questions.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from cedarpy import Entities, PolicySet, is_authorized_batch, policies_to_json_str

from audit.model.errors import InvalidParameter
from audit.model.region import NOTHING, Extent, Region
from audit.model.topic import Topic, format_topic
from audit.server.access.cedarshape import ACTION, KINDS, ROLE, TOPIC, Shape, check_text, shape_of
from audit.server.access.policies import Judgement
from audit.server.access.port import Principal

__all__ = ["CedarPolicies"]

_NOBODY: Final = "//"
"""Last segment of a topic that stands for all that nobody has named: no segment can be that."""

Entity = dict[str, Any]


class CedarPolicies:
    """A set of policies; see `policies.PolicySet`."""

    def __init__(self, texts: Sequence[str], *, roles: Collection[str], tenant: str, places: Sequence[str]) -> None:
        """Read policies, and check that they are sound.

        Args:
            texts: That of the policies, and perhaps what else is known of those who ask: entities, in Cedar's JSON.
            roles: Names of the roles that there are.
            tenant: Whose log it is; "": that without a name.
            places: How errors call the texts.

        Raises:
            InvalidParameter: one of them is malformed, or a policy asks what can't be judged; it is named.
        """
        policies, place = texts[0], places[0]
        given = [
            entity for one, where in zip(texts[1:], places[1:], strict=True) for entity in _entities_of(one, where)
        ]
        check_text(policies, place)
        try:
            self._policies = PolicySet.from_str(policies)
            tree = json.loads(policies_to_json_str(policies))
        except (ValueError, RecursionError) as error:
            raise InvalidParameter(place, f"is no set of Cedar policies: {error}") from error
        types = {entity["uid"]["type"] for entity in given} | {
            parent["type"] for entity in given for parent in entity["parents"]
        }
        shape = shape_of(tree, place, roles=roles, types=types)
        self.by_address = shape.by_context
        self._kinds = _kinds(shape)
        self._tenant = tenant
        self._known = {(e["uid"]["type"], e["uid"]["id"]): e for e in given if e["uid"]["type"] in KINDS.values()}
        others = [entity for entity in given if entity["uid"]["type"] not in KINDS.values()]
        try:
            self._entities = Entities.from_json_str(json.dumps([*others, *_topic_entities(self._kinds)]))
            # Those who ask are looked at one by one, later: what is wrong with them is to be found now.
            self._entities.with_added_json_str(json.dumps(list(self._known.values())))
        except ValueError as error:
            raise InvalidParameter(places[-1], f"holds no entities: {error}") from error

    def judge(self, principal: Principal, verb: str) -> Judgement:
        """Return what is allowed to somebody; see `policies.PolicySet`."""
        kind = KINDS.get(principal.kind)
        if kind is None:
            return Judgement(NOTHING, [f"nobody is a {principal.kind}"])
        who = {"type": kind, "id": principal.name}
        request = {
            "principal": who,
            "action": {"type": ACTION, "id": verb},
            "context": json.dumps(_context(principal, self._tenant)),
        }
        requests = [{**request, "resource": _uid(topic)} for topic in self._kinds]
        try:
            entities = self._entities.with_added_json_str(json.dumps([self._entity(who, principal.role)]))
            answers = is_authorized_batch(requests, self._policies, entities)
        except ValueError as error:
            return Judgement(NOTHING, [str(error)])
        # Cedar leaves out a policy that fails, so that one which forbids would allow.
        allowed = {
            topic: answer.allowed and not answer.diagnostics.errors
            for topic, answer in zip(self._kinds, answers, strict=True)
        }
        errors = dict.fromkeys(error for answer in answers for error in answer.diagnostics.errors)
        return Judgement(Region(_extents(allowed)), list(errors))

    def _entity(self, who: Mapping[str, str], role: str) -> Entity:
        known = self._known.get((who["type"], who["id"]), {"attrs": {}, "parents": []})
        return {**known, "uid": dict(who), "parents": [*known["parents"], {"type": ROLE, "id": role}]}


def _kinds(shape: Shape) -> list[Topic]:
    """Return a topic of each kind: the named ones, and one below each where that may make a difference."""
    kinds: list[Topic] = []
    for topic in sorted({(), *shape.topics}):
        kinds.append(topic)
        if topic in shape.alone:
            kinds.append((*topic, _NOBODY))
    return kinds


def _extents(allowed: Mapping[Topic, bool]) -> dict[Topic, Extent]:
    named = [topic for topic in allowed if topic[-1:] != (_NOBODY,)]
    return {topic: Extent(allowed[topic], allowed.get((*topic, _NOBODY), allowed[topic])) for topic in named}


def _uid(topic: Topic) -> dict[str, str]:
    return {"type": TOPIC, "id": format_topic(topic)}


def _topic_entities(topics: Iterable[Topic]) -> list[Entity]:
    paths = {topic[:length] for topic in topics for length in range(len(topic) + 1)}
    return [
        {"uid": _uid(topic), "attrs": {}, "parents": [_uid(topic[:-1])] if topic else []} for topic in sorted(paths)
    ]


def _context(principal: Principal, tenant: str) -> dict[str, Any]:
    context: dict[str, Any] = {"tenant": tenant}
    try:
        address = ipaddress.ip_address(principal.address)
    except ValueError:
        # A unix socket has none. What asks for it nevertheless fails, and denies.
        return context
    if not (isinstance(address, ipaddress.IPv6Address) and address.scope_id):
        context["address"] = {"__extn": {"fn": "ip", "arg": str(address)}}
    return context


def _entities_of(text: str, place: str) -> list[Entity]:
    """Return entities, each with its `uid`, `attrs` and `parents`.

    Raises:
        InvalidParameter: it is no list of entities, or holds what is not for it to say.
    """
    try:
        # As Cedar reads them, with the uids in one form, which is checked by that.
        found = json.loads(str(Entities.from_json_str(text)))
    except (ValueError, RecursionError) as error:
        raise InvalidParameter(place, f"holds no entities: {error}") from error
    for entity in found:
        entity["uid"] = entity["uid"].get("__entity", entity["uid"])
        entity["parents"] = [parent.get("__entity", parent) for parent in entity["parents"]]
        for uid in (entity["uid"], *entity["parents"]):
            if uid["type"] in {TOPIC, ACTION}:
                raise InvalidParameter(place, f"must hold no {uid['type']}: those are the log's")
    return list(found)
