"""What an erasure changes: events, the terms that they are found by no more, the fingerprints of their requests. Pure.

Topics stay, as they are in the header; so do the digests of idempotency keys, or a retry would append the event anew.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from audit.codec.commits import NO_FINGERPRINT, Claim, Commit
from audit.codec.events import decode_event, erase_event, event_value, is_erased
from audit.codec.segments import Segment
from audit.codec.terms import event_terms
from audit.model.event import Event
from audit.model.topic import INTERNAL_ROOT, Topic

__all__ = [
    "ERASED_TOPIC",
    "Changes",
    "changes_of",
    "erase_in_segment",
    "erased_ids",
    "head_commits",
    "without_fingerprints",
]

ERASED_TOPIC: Topic = (INTERNAL_ROOT, "erased")
"""Where erasures are recorded."""


class Changes(NamedTuple):
    """What erasing does to some events of a segment.

    Attributes:
        events: What is left of each, by its position.
        gone: For each term, the positions that carry it no more.
    """

    events: dict[int, bytes]
    gone: dict[bytes, set[int]]


def changes_of(events: Sequence[bytes], positions: Iterable[int]) -> Changes:
    """Return what erasing the events at some positions of a segment changes; those erased before do not change."""
    left: dict[int, bytes] = {}
    gone: defaultdict[bytes, set[int]] = defaultdict(set)
    for position in positions:
        event = events[position]
        if is_erased(event):
            continue
        left[position] = erased = erase_event(event)
        for term in {*event_terms(decode_event(event))}.difference(event_terms(decode_event(erased))):
            gone[term].add(position)
    return Changes(left, dict(gone))


def without_fingerprints(claims: list[Claim], first_index: int, erased: Sequence[int]) -> list[Claim]:
    """Return claims, without the fingerprint of each request that had an erased event in it.

    Args:
        claims: Of a segment or commit.
        first_index: Index of its first event.
        erased: Indexes of the erased events, sorted; in this segment or in those that follow.
    """
    found = []
    for claim in claims:
        start = first_index + claim.position
        at = bisect_left(erased, start)
        if at < len(erased) and erased[at] < start + claim.length:
            claim = Claim(claim.digest, NO_FINGERPRINT, claim.position, claim.length, claim.of_call)  # noqa: PLW2901
        found.append(claim)
    return found


def erase_in_segment(segment: Segment, erased: Sequence[int]) -> Segment:
    """Return a segment in memory with the events at these sorted indexes erased; itself, if nothing of it changes."""
    first = segment.first_index
    low, high = bisect_left(erased, first), bisect_left(erased, first + len(segment))
    changes = changes_of(segment.events, [index - first for index in erased[low:high]])
    claims = without_fingerprints(segment.claims, first, erased)
    if not changes.events and claims == segment.claims:
        return segment
    return segment.with_erased(changes.events, changes.gone, claims)


def head_commits(before: Segment, after: Segment) -> list[tuple[bytes, Commit]]:
    """Return key and contents of each commit of the head that differs after an erasure; terms are left out."""
    found = []
    starts = [_place(before, key) for key in before.commits]
    for key, start, stop in zip(before.commits, starts, [*starts[1:], len(before)], strict=True):
        commits = [
            Commit(
                segment.first_index + start,
                segment.events[start:stop],
                [],
                [claim.moved(-start) for claim in segment.claims if start <= claim.position < stop],
            )
            for segment in (before, after)
        ]
        if commits[0] != commits[1]:
            found.append((key, commits[1]))
    return found


def _place(head: Segment, key: bytes) -> int:
    return bisect_left(head.events, int.from_bytes(key[1:], "big"), key=event_value)


class _Erasure(msgspec.Struct):
    events: list[str]


def erased_ids(event: Event) -> list[str]:
    """Return the ids of the events whose erasure an event records; none, if it records no erasure.

    Only the log itself appends under its own topics, so that what stands there can be believed.
    """
    if ERASED_TOPIC not in event.topics or event.erased:
        return []
    return msgspec.convert(event.data, _Erasure).events
