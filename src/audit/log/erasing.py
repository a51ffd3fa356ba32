"""Erasing: the payloads of some events are destroyed, and an event says by whom, why, and which they were.

The writer does it, as a commit of its own: the erasure and its record become durable together. Segments in memory are
replaced, never changed, so that whoever is reading one goes on with what it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from audit.codec.commits import Commit
from audit.codec.cursors import Position
from audit.codec.erasing import ERASED_TOPIC, erase_in_segment, head_commits
from audit.codec.events import decode_event, is_erased
from audit.codec.segments import Segment
from audit.log.known import is_text
from audit.log.prepare import Errand, PreparedCall, prepare_call
from audit.model.errors import InvalidParameter, NotFound, TooLarge
from audit.model.event import MAX_ERASED, MAX_REASON_BYTES, Actor, NewEvent
from audit.model.ids import format_id, parse_id
from audit.model.topic import INTERNAL_ROOT
from audit.storage.gather import position_of

__all__ = ["ErasedMemory", "Erasing", "Purging", "check_erasing", "erase_in_memory", "erasing_call", "purging_call"]

_KEPT: Final = frozenset({ERASED_TOPIC, (INTERNAL_ROOT, "key")})
"""Topics of events without which nobody could tell what was erased, or which keys the log was signed with."""


class Erasing(Errand):
    """Which events are to be erased, why and by whom.

    Attributes:
        places: Where those are that the writer found and has erased, in order; events erased before are not among them.
    """

    __slots__ = ("_actor", "_ids", "_occurred_at", "_reason", "places")

    def __init__(self, ids: list[int], reason: str, actor: Actor | None, occurred_at: datetime | None) -> None:
        self._ids = ids
        self._reason = reason
        self._actor = actor
        self._occurred_at = occurred_at
        self.places: list[Position] = []

    def record(self, ids: Sequence[int]) -> NewEvent:
        """Return the event that says that these were erased."""
        return NewEvent(
            topics=[ERASED_TOPIC],
            action="audit.erased",
            actor=self._actor,
            occurred_at=self._occurred_at,
            data={"reason": self._reason, "events": [format_id(one) for one in ids]},
        )

    def resolved(self, find: Callable[[int], bytes | None]) -> PreparedCall:
        """Look the events up and note their places; return the call that records it, without events if none is left.

        Args:
            find: Returns the stored event with an id, or None.

        Raises:
            NotFound: there is no event with one of the ids; nothing is erased.
            InvalidParameter: one of the events is needed to tell an erasure from tampering.
        """
        self.places = []
        for number, value in enumerate(self._ids):
            event = find(value)
            if event is None:
                raise NotFound(f"ids[{number}]: no event has the id {format_id(value)}")
            if is_erased(event):
                continue
            if not _KEPT.isdisjoint(decode_event(event).topics):
                raise InvalidParameter(f"ids[{number}]", "records an erasure or a new key, and can't be erased")
            self.places.append(position_of(event))
        self.places.sort(key=lambda place: place.index)
        if not self.places:
            return PreparedCall([], 0, None, b"", keyed=False)
        return prepare_call([self.record([place.last_id for place in self.places])], many=False, internal=True)


class Purging(Errand):
    """Erasures whose bytes are in no table any more: what is left of them is to go, by opening the store anew."""

    __slots__ = ("keys",)

    def __init__(self, keys: list[bytes]) -> None:
        self.keys = keys


def check_erasing(ids: Any, reason: Any) -> list[int]:
    """Return the ids of events to be erased, each once.

    Raises:
        InvalidParameter: an id or the reason is out of form or bounds.
        TooLarge: there are more than 1,000.
    """
    if isinstance(ids, str | bytes) or not isinstance(ids, Sequence):
        raise InvalidParameter("ids", f"must be a list of event ids, got {type(ids).__name__}")
    if not ids:
        raise InvalidParameter("ids", f"must hold 1-{MAX_ERASED} ids, holds none")
    if len(ids) > MAX_ERASED:
        raise TooLarge("ids", f"must hold 1-{MAX_ERASED} ids, holds {len(ids)}")
    values = dict.fromkeys([parse_id(one, f"ids[{number}]") for number, one in enumerate(ids)])
    try:
        size = len(reason.encode()) if is_text(reason) else 0
    except UnicodeEncodeError as error:
        raise InvalidParameter("reason", "must be valid UTF-8, holds a lone surrogate") from error
    if not 1 <= size <= MAX_REASON_BYTES:
        raise InvalidParameter("reason", f"must be a string of 1-{MAX_REASON_BYTES} bytes, got {reason!r:.40}")
    return list(values)


def erasing_call(
    ids: Sequence[str], reason: str, actor: Actor | None = None, occurred_at: datetime | None = None
) -> PreparedCall:
    """Return the call that erases some events.

    Args:
        ids: 1-1,000 ids of events.
        reason: Why; kept for ever, so that it must not name who is to be forgotten.
        actor: Who erases them.
        occurred_at: When it was erased first, if that was in the log that this one was restored from.

    Raises:
        InvalidParameter: an argument is out of form or bounds.
        TooLarge: there are more than 1,000 ids.
    """
    values = check_erasing(ids, reason)
    errand = Erasing(values, reason, actor, occurred_at)
    try:
        call = prepare_call([errand.record(values)], many=False, internal=True)
    except InvalidParameter as error:
        raise type(error)(error.parameter.removeprefix("event."), error.problem) from error
    return call._replace(errand=errand)


def purging_call(keys: list[bytes]) -> PreparedCall:
    """Return the call that ends what `Storage.purge` has begun."""
    return PreparedCall([], 0, None, b"", keyed=False, errand=Purging(keys))


class ErasedMemory(NamedTuple):
    """What an erasure changes in memory.

    Attributes:
        segments: All segments, those replaced that change.
        commits: Key and new contents of each of the head's commits that change.
    """

    segments: tuple[Segment, ...]
    commits: list[tuple[bytes, Commit]]


def erase_in_memory(segments: tuple[Segment, ...], places: Sequence[Position]) -> ErasedMemory:
    """Return what erasing the events at some places changes in memory; the last segment is the head."""
    erased = [place.index for place in places]
    after = tuple([erase_in_segment(segment, erased) for segment in segments])
    return ErasedMemory(after, head_commits(segments[-1], after[-1]) if after[-1] is not segments[-1] else [])
