"""Checking erasures: erased events have their form and nothing else, and what is said to be erased is.

No fingerprint may be left of a request with an erased event. Its posting lists and its leaf in the tree are checked
with those of all other events.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable
from typing import Final

import msgspec

from audit.codec.commits import NO_FINGERPRINT
from audit.codec.erasing import erased_ids
from audit.codec.events import is_erased
from audit.model.event import Event
from audit.model.ids import parse_id

__all__ = ["ErasureCheck"]

Note = Callable[[str, str], None]

_HASH: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_SALT: Final = re.compile(r"[A-Za-z0-9_-]{22}")


class ErasureCheck:
    """What was erased among the events read so far."""

    def __init__(self, note: Note) -> None:
        """Take what notes a finding: a record, and what is wrong with it."""
        self._note = note
        self._ids: set[int] = set()
        self._indexes: list[int] = []

    def add(self, raw: bytes, event: Event, value: int, index: int) -> None:
        """Check one event; they come in order.

        Args:
            raw: Its stored JSON.
            event: The same, decoded.
            value: Its id.
            index: Its place.
        """
        name = f"event {event.id}"
        if is_erased(raw):
            self._ids.add(value)
            self._indexes.append(index)
            bare = Event(id=event.id, index=event.index, topics=event.topics, payload_hash=event.payload_hash)
            if event != bare or not _HASH.fullmatch(event.payload_hash or ""):
                self._note(name, "is erased, and has something else than id, index, topics and the payload's hash")
            return
        if not _SALT.fullmatch(event.salt) or event.erased:
            self._note(name, "has neither a salt nor, in its place, the hash of its payload")
        try:
            named = [parse_id(one) for one in erased_ids(event)]
        except (msgspec.MsgspecError, ValueError) as error:
            self._note(name, f"records an erasure in a form that can't be read: {error}")
            return
        for one, text in zip(named, erased_ids(event), strict=True):
            if one not in self._ids:
                self._note(name, f"says that event {text} was erased, which it was not")

    def claim(self, record: str, fingerprint: bytes, first_index: int, length: int) -> None:
        """Check an idempotency key, once all events were read."""
        at = bisect_left(self._indexes, first_index)
        if at < len(self._indexes) and self._indexes[at] < first_index + length and fingerprint != NO_FINGERPRINT:
            self._note(record, "has the fingerprint of a request with an erased event")
