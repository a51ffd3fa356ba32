"""What an opened store holds: after a write whose outcome was not known, what it must have kept and may have gained."""

from __future__ import annotations

from typing import Final

from audit.codec.events import decode_event, event_index, event_value
from audit.codec.terms import Match, event_terms
from audit.log.recent import Snapshot
from audit.log.tree import stored_tiles
from audit.model.errors import StoreCorrupt
from audit.model.ids import MAX_VALUE, format_id
from audit.model.span import EVERYTHING, Span
from audit.proof.frontier import Frontier
from audit.proof.proving import read_root
from audit.storage.port import Head, Search, Storage

__all__ = ["check_kept", "check_same_tree", "first_id_of", "gained_terms"]

_EVERYTHING: Final = Match((), ())


def check_kept(acknowledged: Snapshot, head: Head, storage: Storage) -> None:
    """Check that nothing acknowledged is missing from a reopened store.

    Raises:
        StoreCorrupt: it has fewer events, or another one where the last acknowledged one was.
    """
    size = head.first_index + sum(len(commit.events) for _, commit in head.commits)
    if size < acknowledged.size:
        raise StoreCorrupt("the log", f"holds {size} events, {acknowledged.size} were acknowledged")
    if not acknowledged.size:
        return
    wanted = acknowledged.last_id
    in_head = (event for _, commit in head.commits for event in commit.events if event_value(event) == wanted)
    event = next(in_head, None) or storage.get(wanted)
    if event is None or event_index(event) != acknowledged.size - 1:
        raise StoreCorrupt(f"event {format_id(wanted)}", "was acknowledged and is missing")


def check_same_tree(acknowledged: Frontier, found: Frontier, storage: Storage) -> None:
    """Check that the tree of a reopened store begins with all that was acknowledged, as it was.

    Raises:
        StoreCorrupt: an event is another one.
    """
    if read_root(acknowledged.size, found.reading(stored_tiles(storage))) != acknowledged.root():
        raise StoreCorrupt("the log", f"has other events than the {acknowledged.size} that were acknowledged")


def gained_terms(before: Snapshot, head: Head, storage: Storage) -> list[tuple[bytes, ...]]:
    """Return the terms of the events that a failed write did commit: whoever waits for one of them must be woken."""
    terms = [terms for _, commit in head.commits for terms in commit.terms]
    low, high = before.last_id + 1, MAX_VALUE + 1
    while True:
        search = Search(_EVERYTHING, Span(low, high), descending=False, limit=1000, max_bytes=1 << 24)
        events = storage.search(search, lambda: False).events
        if not events:
            return terms
        terms += [event_terms(decode_event(event)) for event in events]
        low = event_value(events[-1]) + 1


def first_id_of(storage: Storage) -> int | None:
    """Return the id of the oldest event on disk, sealed or not; None: there is none."""
    search = Search(_EVERYTHING, EVERYTHING, descending=False, limit=1, max_bytes=1)
    events = storage.search(search, lambda: False).events
    if events:
        return event_value(events[0])
    commits = storage.load().commits
    return event_value(commits[0][1].events[0]) if commits else None
