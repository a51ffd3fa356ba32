"""Posting lists of one segment: the sorted positions (below 256) of the events that carry a term.

Sealed, a list is one byte a position; in the head it is a growing list of integers. The functions take either.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence

from audit.codec.terms import Match

__all__ = ["intersect", "match_positions", "unite"]

Positions = Sequence[int]


def unite(lists: Sequence[Positions]) -> Positions:
    """Return the positions found in at least one list, sorted."""
    if len(lists) == 1:
        return lists[0]
    return sorted(set().union(*lists))


def intersect(lists: Sequence[Positions]) -> Positions:
    """Return the positions found in every list, sorted."""
    if len(lists) == 1:
        return lists[0]
    by_length = sorted(lists, key=len)
    return sorted(set(by_length[0]).intersection(*by_length[1:]))


def match_positions(match: Match, look_up: Callable[[bytes], Positions | None], count: int) -> Positions:
    """Return the positions of a segment's events that match.

    Args:
        match: What is asked of an event's terms.
        look_up: The posting list of a term in this segment, or None.
        count: Number of events to look at, from the segment's start.
    """
    if match.everything:
        return range(count)
    lists = []
    for term in match.all_of:
        found = look_up(term)
        if not found:
            return ()
        lists.append(found)
    if match.any_of:
        some = [found for found in map(look_up, match.any_of) if found]
        if not some:
            return ()
        lists.append(unite(some))
    positions = intersect(lists)
    # The head grows before its commit is published: what lies beyond `count` must stay unseen, also if it comes later.
    return positions[: bisect_left(positions, count)]
