"""Who looked: what access was given and refused, as events under `audit/access`, few enough to be read.

The same thing done again by the same one is counted and told once a minute; what exceeds the bounds is counted and told
as a number. So reading the log, also these events themselves, never floods it. Pure: time comes in, events come out.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple

from audit.model.event import Actor, NewEvent, Outcome, Target
from audit.model.topic import INTERNAL_ROOT, Topic, format_topic
from audit.server.access.tokens import Token

__all__ = ["ROOT", "Journal", "Note", "policies_event", "token_events", "topics_of"]

ROOT: Final = (INTERNAL_ROOT, "access")
_QUIET_MS: Final = 60_000
"""How long the same thing is only counted after it was told."""
_MOST: Final = 1_000
"""Different things that are remembered; more are only counted."""
_MOST_TOPICS: Final = 16
_MOST_CHARACTERS: Final = 200


class Note(NamedTuple):
    """Something that somebody did, or wanted to do.

    Attributes:
        what: `login`, or a verb of access: `read`, `admin` …
        kind: How it is known who: `token`, `jwt` …
        name: Who.
        address: Where from.
        outcome: `success` or `denied`.
        topics: On what.
        detail: Why it was denied.
    """

    what: str
    kind: str
    name: str
    address: str
    outcome: Outcome
    topics: tuple[Topic, ...] = ()
    detail: str = ""


@dataclass
class _Count:
    number: int
    first_ms: int
    last_ms: int
    due_ms: int


class Journal:
    """What is still to be told."""

    def __init__(self) -> None:
        self._counts: OrderedDict[Note, _Count] = OrderedDict()
        self._more = 0

    def note(self, note: Note, now_ms: int) -> None:
        """Remember something that happened."""
        count = self._counts.get(note)
        if count is not None:
            count.first_ms = count.first_ms if count.number else now_ms
            count.number += 1
            count.last_ms = now_ms
        elif len(self._counts) >= _MOST:
            self._more += 1
        else:
            self._counts[note] = _Count(1, now_ms, now_ms, now_ms)

    def due(self, now_ms: int, *, everything: bool = False) -> list[NewEvent]:
        """Return what is to be told at a time; `everything`: also what would be counted a while longer."""
        events: list[NewEvent] = []
        for note, count in list(self._counts.items()):
            if now_ms < count.due_ms and not everything:
                continue
            if count.number:
                events.append(_event(note, count))
                count.number = 0
                count.due_ms = now_ms + _QUIET_MS
            else:
                # Quiet for a minute: as good as new.
                del self._counts[note]
        if self._more:
            action, data = f"{INTERNAL_ROOT}.access.more", {"count": self._more}
            events.append(NewEvent(topics=[(*ROOT, "more")], action=action, data=data))
            self._more = 0
        return events


def token_events(token: Token) -> list[NewEvent]:
    """Return what is told of a token: that it was made, and that it was revoked. The same for the same token."""
    moments = [("created", token.created_ms)]
    if token.revoked_ms is not None:
        moments.append(("revoked", token.revoked_ms))
    data = {"role": token.role, "topics": [_plain(format_topic(topic)) for topic in token.topics[:_MOST_TOPICS]]}
    return [
        NewEvent(
            topics=[(*ROOT, "token")],
            action=f"{INTERNAL_ROOT}.access.token.{what}",
            occurred_at=datetime.fromtimestamp(ms / 1000, UTC),
            targets=[Target(type="token", id=token.id)],
            data=data,
            idempotency_key=f"{INTERNAL_ROOT}/access/token/{token.id}/{what}",
        )
        for what, ms in moments
    ]


def policies_event(digests: Sequence[str]) -> NewEvent:
    """Return what is told of policies that came into force: which they are, by the digests of their files."""
    return NewEvent(
        topics=[(*ROOT, "policies")], action=f"{INTERNAL_ROOT}.access.policies", data={"sha256": list(digests)}
    )


def _event(note: Note, count: _Count) -> NewEvent:
    data: dict[str, object] = {"count": count.number}
    if count.number > 1:
        data |= {"first_at": _moment(count.first_ms), "last_at": _moment(count.last_ms)}
    if note.topics:
        data["topics"] = [_plain(format_topic(topic)) for topic in note.topics[:_MOST_TOPICS]]
    if note.detail:
        data["reason"] = _plain(note.detail)
    return NewEvent(
        topics=[(*ROOT, note.what)],
        action=f"{INTERNAL_ROOT}.access.{note.what}",
        occurred_at=datetime.fromtimestamp(count.first_ms / 1000, UTC),
        actor=Actor(type=note.kind, id=_plain(note.name) or "unknown"),
        outcome=note.outcome,
        context={"ip": _plain(note.address)} if note.address else {},
        data=data,
    )


def _plain(text: str) -> str:
    """Return a text as events may hold it: short, and valid UTF-8."""
    return text[:_MOST_CHARACTERS].encode(errors="backslashreplace").decode()


def _moment(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def topics_of(asked: Sequence[Topic]) -> tuple[Topic, ...]:
    """Return asked topics as a note holds them."""
    return tuple(asked[:_MOST_TOPICS])
