"""What never gets into the log: secrets and personal data, taken out of an event before it is encoded. Pure.

By itself, values of members that are named like secrets are masked. Rules, from settings, name fields or patterns. The
event says what was done (`context.scrubbed`); what was there is neither stored nor logged. The same event is scrubbed
to the same event, so that a retry stays one.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, get_args

import msgspec

from audit.log.secrets import MASK, Secrets
from audit.model.errors import InvalidParameter
from audit.model.event import MAX_CONTEXT_BYTES, MAX_CONTEXT_FIELDS, MAX_DATA_DEPTH, NewEvent
from audit.model.topic import Topic, to_topic

__all__ = ["GDPR", "SCRUBBED", "Rule", "Scrub"]

Way = Literal["remove", "mask", "hash", "truncate_ip"]

SCRUBBED: Final = "scrubbed"
"""Name of the context field that says what was done."""
_MIN_KEY_BYTES: Final = 16
_HASH_CHARACTERS: Final = 32
_GONE: Final = object()
_IP_BITS: Final = {4: 24, 6: 48}


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is done to some texts.

    Attributes:
        way: `remove`, `mask`, `hash` (with a key: the same text gives the same hash), or `truncate_ip` (/24, /48).
        field: Which: `data.user.email`, `context.ip`, `actor.name`, `actor.id`, `targets.name`; `*` is any one member,
            and the members of a list are named as the list is. Absent: all texts of an event but its topics and action.
        pattern: Only what matches this regular expression, within the text; absent: all of it.
        topics: Only in events below one of these topics.
    """

    way: Way
    field: str | None = None
    pattern: str | None = None
    topics: tuple[Topic, ...] = ((),)


GDPR: Final = (
    Rule(way="truncate_ip", field="context.ip"),
    Rule(way="remove", field="context.user_agent"),
    Rule(way="hash", field="actor.id"),
    Rule(way="remove", field="actor.name"),
    Rule(way="remove", field="targets.name"),
    Rule(way="hash", pattern=r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+"),
    Rule(way="truncate_ip", pattern=r"\b(?:\d{1,3}\.){3}\d{1,3}\b"),
)
"""Personal data that audit events usually hold: addresses, names, e-mail addresses, and who did it, by a keyed hash."""

_Apply = Callable[[str], Any]


class _Compiled:
    """A rule, ready."""

    def __init__(self, number: int, rule: Rule, key: bytes | None) -> None:
        place = f"scrub[{number}]"
        if rule.way not in get_args(Way):
            raise InvalidParameter(f"{place}.way", f"must be one of {', '.join(get_args(Way))}, got {rule.way!r:.40}")
        if rule.way == "hash" and key is None:
            raise InvalidParameter(f"{place}.way", "hash needs a key")
        if rule.way == "remove" and rule.pattern is not None and rule.field is None:
            raise InvalidParameter(f"{place}.field", "is missing: to remove what matches anywhere, mask it")
        self.topics = [to_topic(topic, f"{place}.topics") for topic in rule.topics]
        self.path = None if rule.field is None else tuple(rule.field.split("."))
        if self.path is not None and not all(self.path):
            raise InvalidParameter(f"{place}.field", f"must be names with dots between, got {rule.field!r:.60}")
        self.way = rule.way
        self._open = self.path is not None and "*" in self.path
        try:
            self._pattern = None if rule.pattern is None else re.compile(rule.pattern)
        except re.error as error:
            raise InvalidParameter(f"{place}.pattern", f"is no regular expression: {error}") from error
        self._replace: _Apply = {
            "remove": lambda _: _GONE,
            "mask": lambda _: MASK,
            "hash": lambda text: _hashed(text, key or b""),
            "truncate_ip": _truncated,
        }[rule.way]

    def concerns(self, topics: Sequence[Topic]) -> bool:
        return any(tuple(topic[: len(prefix)]) == prefix for topic in topics for prefix in self.topics)

    def apply(self, text: str) -> Any:
        """Return what a text becomes, itself if nothing, `_GONE` if it goes."""
        if self._pattern is None:
            return self._replace(text)
        if self.way == "remove":
            return _GONE if self._pattern.search(text) else text
        return self._pattern.sub(lambda found: str(self._replace(found[0])), text)

    def matches(self, path: tuple[str, ...]) -> bool:
        own = self.path
        if own is None or own == path:
            return True
        return self._open and len(own) == len(path) and all(a in ("*", b) for a, b in zip(own, path, strict=True))


class Scrub:
    """What is done to each event before it is encoded. Any thread may use it."""

    def __init__(self, rules: Sequence[Rule] = (), *, key: bytes | None = None, secrets: bool = True) -> None:
        """Check the rules.

        Args:
            rules: Applied in this order.
            key: Of hashes: at least 16 bytes, kept as long as hashes are to be compared.
            secrets: Whether values of members named like secrets are masked, after the rules.

        Raises:
            InvalidParameter: a rule is out of form, or the key too short.
        """
        if key is not None and len(key) < _MIN_KEY_BYTES:
            raise InvalidParameter("key", f"must have at least {_MIN_KEY_BYTES} bytes, has {len(key)}")
        self._rules = [_Compiled(number, rule, key) for number, rule in enumerate(rules)]
        self._secrets = Secrets() if secrets else None

    def events(self, events: Sequence[NewEvent]) -> Sequence[NewEvent]:
        """Return events without what is not to be stored: the same list when there is nothing of that.

        What is no event, or out of form, stays as it is: it will be refused by name.

        Raises:
            InvalidParameter: the event has no room to say what was done.
        """
        changed: list[NewEvent] | None = None
        secrets = None if self._rules else self._secrets
        for number, event in enumerate(events):
            if type(event) is NewEvent:
                if secrets is not None and secrets.absent(event.data):
                    context = event.context
                    # Most have none.
                    if not context or secrets.absent(context):
                        continue
                scrubbed = self._event(event, number)
                if scrubbed is not event:
                    changed = list(events) if changed is None else changed
                    changed[number] = scrubbed
        return events if changed is None else changed

    def _event(self, event: NewEvent, number: int) -> NewEvent:
        done: dict[str, None] = {}
        after: dict[str, Any] = {"data": event.data, "context": event.context}
        rules = [rule for rule in self._rules if rule.concerns(_topics(event))] if self._rules else ()
        if rules:
            after["actor"], after["targets"] = msgspec.to_builtins((event.actor, event.targets))
            after = {name: _ruled(value, rules, (name,), done, 0) for name, value in after.items()}
        if self._secrets is not None:
            after["data"] = self._secrets.masked(after["data"], "data", done)
            if after["context"]:
                after["context"] = self._secrets.masked(after["context"], "context", done)
        return _rebuilt(event, after, done, number) if done else event


def _topics(event: NewEvent) -> list[Topic]:
    try:
        return [to_topic(topic) for topic in event.topics]
    except (InvalidParameter, TypeError):
        # It will be refused; until then all rules concern it.
        return [()]


def _ruled(value: Any, rules: Sequence[_Compiled], path: tuple[str, ...], done: dict[str, None], depth: int) -> Any:
    """Return a value with rules applied, in their order, to each of its texts."""
    if isinstance(value, str):
        for rule in rules:
            if not rule.matches(path):
                continue
            new = rule.apply(value)
            if new != value:
                done[f"{'.'.join(path)}:{rule.way}"] = None
                if new is _GONE:
                    return new
                value = new
        return value
    if depth > MAX_DATA_DEPTH:
        return value
    if isinstance(value, dict):
        pairs = ((name, _ruled(one, rules, (*path, str(name)), done, depth + 1)) for name, one in value.items())
        return {name: one for name, one in pairs if one is not _GONE}
    if isinstance(value, (list, tuple)):
        found = (_ruled(one, rules, path, done, depth + 1) for one in value)
        return [one for one in found if one is not _GONE]
    return value


def _rebuilt(event: NewEvent, after: Mapping[str, Any], done: Mapping[str, None], number: int) -> NewEvent:
    context = dict(after["context"])
    if len(context) >= MAX_CONTEXT_FIELDS and SCRUBBED not in context:
        problem = f"must leave room for {SCRUBBED!r}, which says what was taken out, has {len(context)} fields"
        raise InvalidParameter(f"events[{number}].context", problem)
    context[SCRUBBED] = " ".join(_fitting(done))
    changes: dict[str, Any] = {"data": None if after["data"] is _GONE else after["data"], "context": context}
    for name in ("actor", "targets"):
        if name in after:
            kind = type(getattr(event, name)) if name == "actor" else None
            changes[name] = _named(event, name, after[name], kind)
    return msgspec.structs.replace(event, **changes)


def _named(event: NewEvent, name: str, value: Any, kind: Any) -> Any:
    if name == "actor":
        # One without an id is none: it goes as a whole.
        return kind(**value) if isinstance(value, dict) and {"type", "id"} <= value.keys() else None
    kinds = [type(one) for one in event.targets]
    return [one(**fields) for one, fields in zip(kinds, value, strict=False) if {"type", "id"} <= fields.keys()]


def _fitting(done: Mapping[str, None]) -> Iterator[str]:
    """Yield as many of the fields' names as one context field holds, and at the end how many more there are."""
    room = MAX_CONTEXT_BYTES - 16
    for number, text in enumerate(done):
        plain = text.encode(errors="backslashreplace").decode()
        room -= len(plain.encode()) + 1
        if room < 0:
            yield f"+{len(done) - number}"
            return
        yield plain


def _hashed(text: str, key: bytes) -> str:
    return hmac.digest(key, text.encode(errors="surrogatepass"), "sha256").hex()[:_HASH_CHARACTERS]


def _truncated(text: str) -> str:
    """Return the network of an address; of a text that is none, the mask."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return MASK
    # By hand: making a network of it takes ten times as long.
    kept = _IP_BITS[address.version]
    whole = address.max_prefixlen
    return str(type(address)(int(address) >> whole - kept << whole - kept))
