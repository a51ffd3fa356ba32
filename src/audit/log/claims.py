"""Idempotency keys within the writer: which events of a call are new, and which were there before.

A key counts from the commit that is being filled. Known events answer their old receipts, the rest is committed; a
conflict fails its own call only, and leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from audit.codec.commits import CALL_KEY_MS, NO_FINGERPRINT, Claim
from audit.codec.events import event_value
from audit.codec.segments import Segment
from audit.log.prepare import Prepared, PreparedCall
from audit.model.errors import Conflict
from audit.model.event import Receipt
from audit.model.ids import RANDOM_BITS, EventId, format_id
from audit.storage.port import KnownClaim

__all__ = ["Filling", "digests_of", "known_claim"]

Slots = range | list[Receipt | int]
"""Where the receipts of a call come from: old receipts, or offsets among the new events of the commit."""


def digests_of(calls: Iterable[PreparedCall]) -> list[bytes]:
    """Return the digests of every key in some calls."""
    found = []
    for call in calls:
        if call.key is not None:
            found.append(call.key)
        elif call.keyed:
            found.extend(event.key for event in call.events if event.key is not None)
    return found


def known_claim(segment: Segment, claim: Claim) -> KnownClaim:
    """Return a claim of a segment in memory as one that stands by itself."""
    first_id = event_value(segment.events[claim.position])
    index = segment.first_index + claim.position
    return KnownClaim(claim.fingerprint, first_id, index, claim.length, claim.of_call)


class Filling:
    """A commit being filled: new events and claims, and for each call the slots its receipts will come from."""

    def __init__(
        self, known: dict[bytes, KnownClaim], now_ms: int, receipts_of: Callable[[KnownClaim], list[Receipt]]
    ) -> None:
        """Start a commit.

        Args:
            known: Claims of earlier commits, among the keys of the calls to come.
            now_ms: Wall clock, to tell which call keys have expired.
            receipts_of: Looks up the receipts of a call that was committed before.
        """
        self.events: list[Prepared] = []
        self.claims: list[Claim] = []
        self._known = known
        self._now_ms = now_ms
        self._receipts_of = receipts_of
        self._filled: dict[bytes, Claim] = {}

    def add(self, call: PreparedCall) -> Slots:
        """Add what is new in a call; return where each of its receipts will come from.

        Raises:
            Conflict: a key was used before with another request; nothing of the call is added.
        """
        if not call.keyed:
            start = len(self.events)
            self.events += call.events
            return range(start, len(self.events))
        return self._add_keyed_call(call, call.key) if call.key is not None else self._add_keyed_events(call)

    def _add_keyed_call(self, call: PreparedCall, key: bytes) -> Slots:
        filled = self._filled.get(key)
        if filled is not None:
            _check(filled.fingerprint, call.fingerprint, call)
            return range(filled.position, filled.position + filled.length)
        known = self._known.get(key)
        if known is not None and (known.first_id >> RANDOM_BITS) + CALL_KEY_MS > self._now_ms:
            _check(known.fingerprint, call.fingerprint, call)
            return list(self._receipts_of(known))
        start, count = len(self.events), len(call.events)
        self.events += call.events
        claim = self._filled[key] = Claim(key, call.fingerprint, start, count, of_call=True)
        self.claims.append(claim)
        return range(start, start + count)

    def _add_keyed_events(self, call: PreparedCall) -> Slots:
        keys = {event.key for event in call.events}
        seen = self._known.keys() & keys or self._filled.keys() & keys
        if seen or len(keys) < len(call.events):
            return self._add_one_by_one(call)
        # Nearly every call: all its keys are new.
        start = len(self.events)
        self.events += call.events
        self._claim(
            [
                Claim(event.key, event.fingerprint, offset, 1, of_call=False)
                for offset, event in enumerate(call.events, start)
                if event.key is not None
            ]
        )
        return range(start, len(self.events))

    def _add_one_by_one(self, call: PreparedCall) -> Slots:
        slots: list[Receipt | int] = []
        new: list[Prepared] = []
        own: dict[bytes, Claim] = {}
        for number, event in enumerate(call.events):
            key = event.key
            offset = len(self.events) + len(new)
            if key is not None:
                known = self._known.get(key)
                if known is not None:
                    _check(known.fingerprint, event.fingerprint, call, number)
                    slots.append(Receipt(EventId(format_id(known.first_id)), known.first_index))
                    continue
                filled = self._filled.get(key) or own.get(key)
                if filled is not None:
                    _check(filled.fingerprint, event.fingerprint, call, number)
                    slots.append(filled.position)
                    continue
                own[key] = Claim(key, event.fingerprint, offset, 1, of_call=False)
            slots.append(offset)
            new.append(event)
        self.events += new
        self._claim(list(own.values()))
        return slots

    def _claim(self, claims: list[Claim]) -> None:
        self.claims += claims
        self._filled.update([(claim.digest, claim) for claim in claims])


def _check(kept: bytes, asked: bytes, call: PreparedCall, number: int | None = None) -> None:
    # Of a request with an erased event nothing can tell what it was: its key alone says that it was made.
    if kept not in (asked, NO_FINGERPRINT):
        event = "" if number is None else f"events[{number}]." if call.many else "event."
        raise Conflict(f"{event}idempotency_key", "was used before, with a different request")
