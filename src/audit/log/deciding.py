"""Deciding a commit and applying it: two steps, both deterministic. Thread, disk, clock: none; all is passed in.

`number_events` decides: ids and indexes for prepared events. `apply_commit` turns the commit into what is to be written
and into the new head. A node that is handed the same commits applies the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, cast

from audit.codec.commits import Commit, commit_key
from audit.codec.segments import Layout, Segment
from audit.log.prepare import Prepared
from audit.log.tree import grow_tree
from audit.model.errors import Unavailable
from audit.model.event import Receipt
from audit.model.ids import MAX_VALUE, RANDOM_BITS, EventId, format_id
from audit.proof.entries import number_bodies
from audit.proof.frontier import Frontier
from audit.storage.port import Batch

__all__ = ["Applied", "Numbered", "apply_commit", "number_events"]

_STEP_BITS: Final = 8  # within a millisecond ids grow by a random step of 1-256
_FRESH_BITS: Final = RANDOM_BITS - 1  # the top bit stays clear, so that growing within a millisecond rarely carries
_LOW_BITS: Final = 20
_LOW_MASK: Final = (1 << _LOW_BITS) - 1
_TEXT: Final = tuple(format_id(value)[-2:] for value in range(1024))


class Numbered(NamedTuple):
    """Prepared events with their ids and indexes.

    Attributes:
        events: The stored JSON of each.
        leaves: The hash of each in the Merkle tree.
        receipts: A receipt for each.
        last_id: The last one's id.
    """

    events: list[bytes]
    leaves: list[bytes]
    receipts: list[Receipt]
    last_id: int


def number_events(
    prepared: Sequence[Prepared], first_index: int, last_id: int, now_ms: int, random_bits: Callable[[int], int]
) -> Numbered:
    """Give each event the next id and index, and put its stored JSON together.

    Args:
        prepared: Checked events, in order.
        first_index: Index of the first of them.
        last_id: Id of the event before; -1: none.
        now_ms: Wall clock; ids stay ahead of `last_id` even when it is behind.
        random_bits: Returns a random integer of so many bits.

    Raises:
        Unavailable: ids are used up, 9,000 years from now.
    """
    if now_ms > last_id >> RANDOM_BITS:
        # One below a fresh id, so that the first step lands in the new millisecond.
        last_id = now_ms << RANDOM_BITS | random_bits(_FRESH_BITS)
    count = len(prepared)
    steps = random_bits(_STEP_BITS * count).to_bytes(count, "little")
    ids, last_id = _ids_after(last_id, steps)
    # The greater part of the work was done by whoever appends.
    bodies, entries = [one.body for one in prepared], [one.entry for one in prepared]
    events, leaves = number_bodies(bodies, entries, ids, first_index)
    return Numbered(events, leaves, list(map(Receipt, ids, range(first_index, first_index + count))), last_id)


def _ids_after(last_id: int, steps: bytes) -> tuple[list[EventId], int]:
    """Return the texts of ids that grow by one and a step each, and the last one as an integer."""
    # Small integers are several times faster than ids, and all texts between two carries start alike.
    high, low = last_id >> _LOW_BITS, last_id & _LOW_MASK
    prefix = format_id(last_id)[:22]
    pairs = _TEXT
    texts: list[str] = []
    for step in steps:
        low += 1 + step
        if low > _LOW_MASK:
            high += 1
            low &= _LOW_MASK
            if high > MAX_VALUE >> _LOW_BITS:
                raise Unavailable("ids are used up: the newest one is at the end of time")
            prefix = format_id(high << _LOW_BITS)[:22]
        texts.append(f"{prefix}{pairs[low >> 10]}{pairs[low & 1023]}")
    return cast("list[EventId]", texts), high << _LOW_BITS | low


class Applied(NamedTuple):
    """What a commit does.

    Attributes:
        batch: What is to be written, in one go.
        head: The head after it: the same segment, grown, or a new one.
        tree: The Merkle tree after it.
    """

    batch: Batch
    head: Segment
    tree: Frontier


def apply_commit(head: Segment, tree: Frontier, commit: Commit, leaves: Sequence[bytes], layout: Layout) -> Applied:
    """Add a commit to the head, sealing each segment that it fills, and to the tree its events' leaf hashes.

    The head grows in place; readers don't see it before it is published. If the write fails the head is of no use any
    more, and is loaded again.
    """
    events = commit.events
    sealed: list[Segment] = []
    dropped: list[bytes] = []
    at = 0
    while True:
        room = head.room_for(events, at, layout)
        head.add(commit, at, at + room)
        at += room
        if at == len(events) and len(head) < layout.segment_events:
            break
        dropped += head.commits
        head.seal()
        sealed.append(head)
        head = Segment(commit.first_index + at)
        if at == len(events):
            break
    rest = _rest(commit, len(events) - len(head)) if sealed else commit
    if rest is not None:
        head.commits.append(commit_key(rest.events[0]))
    growth = grow_tree(tree, leaves)
    return Applied(Batch(sealed, rest, dropped, growth.tiles, growth.head), head, growth.tree)


def _rest(commit: Commit, start: int) -> Commit | None:
    """Return the part of a commit from `start` on, or None when nothing is left."""
    if start == len(commit.events):
        return None
    claims = [claim.moved(-start) for claim in commit.claims if claim.position >= start]
    return Commit(commit.first_index + start, commit.events[start:], commit.terms[start:], claims)
