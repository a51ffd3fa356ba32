"""Re-verifying a whole open log: every event, in both orders, by id, under each of its terms and under no other.

Reads through the public verbs, and compares with what the storage holds. Slow on purpose: it asks for everything.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

from audit.codec.events import decode_events, event_id_text, event_index, event_value, split_event
from audit.codec.terms import match_of
from audit.log.sync import SyncAudit
from audit.log.tree import load_tree
from audit.metrics.fields import time_ms
from audit.metrics.frames import MAX_WINDOWS
from audit.model.event import Event
from audit.model.ids import timestamp_ms
from audit.model.query import to_query
from audit.model.span import EVERYTHING
from audit.model.topic import Topic
from audit.proof.frontier import Frontier
from audit.proof.hashing import root_of
from audit.proof.leaves import leaf_hashes
from audit.proof.tiles import TILE_WIDTH
from audit.storage.port import Search, Storage

__all__ = ["check_log"]

_Filter = dict[str, str] | None
_Question = tuple[str, Any]
_Questions = dict[_Question, list[bytes]]


def check_log(log: SyncAudit) -> list[Event]:
    """Check a whole log, while nobody appends to it, and return its events.

    Checked: indexes are dense and ids strictly increase; both orders agree; every event is found by its id, under each
    of its topics, their ancestors, and its actor, action, outcome, targets and request, and under nothing else; the
    counts of topics, also over time; that the storage, sealed events and head together, holds just these events; and
    that the Merkle tree, in memory and as stored, is theirs.

    Raises:
        AssertionError: something is wrong; the message says what.
    """
    stored = _everything(log, "asc")
    events = decode_events(stored)
    _check_order(log, stored)
    if _everything(log, "desc") != stored[::-1]:
        raise AssertionError("the two orders disagree")
    for raw in stored:
        if log.get_raw(event_id_text(raw).decode()) != raw:
            raise AssertionError(f"event {event_id_text(raw).decode()} is not found by its id")
    for question, expected in _questions(stored, events).items():
        _check_question(log, question, expected)
    _check_topics(log, stored, events)
    _check_counts(log, events)
    core = log._core  # noqa: SLF001 - the storage is no one else's to show
    tree = core.sequencer.snapshot.tree
    core.handle.read(lambda storage: _check_storage(storage, stored, tree))
    return events


def _everything(log: SyncAudit, order: str, topic: Topic = (), filter: _Filter = None) -> list[bytes]:  # noqa: A002
    found: list[bytes] = []
    page = log.list(topic, order=order, limit=1_000, filter=filter)
    found += page.slices
    while page.has_more:
        page = log.list(topic, order=order, limit=1_000, cursor=page.cursor, filter=filter)
        found += page.slices
    return found


def _check_order(log: SyncAudit, stored: list[bytes]) -> None:
    size = log.info().size
    first = event_index(stored[0]) if stored else size
    if [event_index(raw) for raw in stored] != list(range(first, size)):
        raise AssertionError(f"indexes are not dense from {first} to {size}")
    ids = [event_id_text(raw).decode() for raw in stored]
    for before, after in pairwise(ids):
        if after <= before:
            raise AssertionError(f"id {after} follows {before}")
    ends = (log.info().first_id, log.info().last_id)
    if ends != ((ids[0], ids[-1]) if ids else (None, None)):
        raise AssertionError(f"the log says that its ends are {ends}")
    for raw in stored:
        header, payload = split_event(raw)
        if header + payload != raw or not header.endswith(b"]]"):
            raise AssertionError(f"event {event_id_text(raw).decode()} does not split into header and payload")


def _questions(stored: list[bytes], events: list[Event]) -> _Questions:
    """Return each question that some event answers, with all the events that do."""
    questions: _Questions = defaultdict(list)
    for raw, event in zip(stored, events, strict=True):
        for question in _questions_of(event):
            questions[question].append(raw)
    return questions


def _questions_of(event: Event) -> Iterator[_Question]:
    for node in _nodes(event):
        yield "topic", node
    if event.actor is not None:
        yield "actor", event.actor.id
    if event.action is not None:
        yield "action", event.action
    if event.outcome is not None:
        yield "outcome", event.outcome
    for target in {target.id for target in event.targets}:
        yield "target", target
    if "request_id" in event.context:
        yield "request_id", event.context["request_id"]


def _nodes(event: Event) -> set[Topic]:
    return {topic[:depth] for topic in event.topics for depth in range(1, len(topic) + 1)}


def _check_question(log: SyncAudit, question: _Question, expected: list[bytes]) -> None:
    kind, value = question
    for order, wanted in (("asc", expected), ("desc", expected[::-1])):
        found = _everything(log, order, value) if kind == "topic" else _everything(log, order, (), {kind: value})
        if found != wanted:
            raise AssertionError(
                f"{kind} {value!r}, {order}: found {[event_index(raw) for raw in found]}, "
                f"expected {[event_index(raw) for raw in wanted]}"
            )


def _check_topics(log: SyncAudit, stored: list[bytes], events: list[Event]) -> None:
    children: dict[Topic, dict[Topic, list[str]]] = defaultdict(lambda: defaultdict(list))
    for raw, event in zip(stored, events, strict=True):
        for node in _nodes(event):
            children[node[:-1]][node].append(event_id_text(raw).decode())
    for parent in [(), *(node for level in list(children.values()) for node in level)]:
        known = children.get(parent, {})
        expected = [(node, len(ids), ids[0], ids[-1]) for node, ids in known.items()]
        expected.sort(key=lambda row: row[0][-1].encode())
        page = log.topics(parent, limit=1_000)
        rows = list(page.topics)
        while page.has_more:
            page = log.topics(parent, limit=1_000, cursor=page.cursor)
            rows += page.topics
        if [tuple(row) for row in rows] != expected:
            raise AssertionError(f"the children of {parent!r} are {rows}, expected {expected}")


def _check_counts(log: SyncAudit, events: list[Event]) -> None:
    """Compare every topic's counts by minute, hour and day with the events' times."""
    times: dict[Topic, list[int]] = defaultdict(list)
    for event in events:
        for node in [(), *_nodes(event)]:
            times[node].append(timestamp_ms(event.id))
    for topic, at in times.items():
        for window, size in (("1m", 60_000), ("1h", 3_600_000), ("1d", 86_400_000)):
            if at[-1] // size - at[0] // size >= MAX_WINDOWS:
                continue
            result = log.metrics.get(measure="count", topic=topic, window=window, seek=at[0], seek_end=at[-1] + 1)
            found = {time_ms(one.start) // size: one.count for one in result.windows if one.value}
            if found != Counter([ms // size for ms in at]) or result.total != len(at):
                raise AssertionError(f"topic {topic!r} has {found} by {window}, {result.total} in all of {len(at)}")


def _check_storage(storage: Storage, stored: list[bytes], tree: Frontier) -> None:
    never: Callable[[], bool] = lambda: False  # noqa: E731 - named for what it says
    everything = match_of(to_query())
    sealed: list[bytes] = []
    span = EVERYTHING
    while True:
        search = Search(everything, span, descending=False, limit=1_000, max_bytes=1 << 24)
        found = storage.search(search, never)
        sealed += found.events
        if found.stopped is None:
            break
        span = span.above(found.stopped.last_id + 1)
    head = storage.load()
    unsealed = [event for _, commit in head.commits for event in commit.events]
    if sealed + unsealed != stored:
        raise AssertionError(f"{len(sealed)} sealed and {len(unsealed)} unsealed events are not the {len(stored)} read")
    last_sealed = event_value(sealed[-1]) if sealed else -1
    if head.last_sealed_id != last_sealed:
        raise AssertionError("the storage names another event as the last sealed one")
    _check_tree(tree, storage, stored)


def _check_tree(tree: Frontier, storage: Storage, stored: list[bytes]) -> None:
    leaves = leaf_hashes(stored)
    if tree.size != len(leaves) or tree.root() != root_of(leaves):
        raise AssertionError(f"the tree in memory, of {tree.size} events, is not that of the {len(leaves)} read")
    if load_tree(storage.load(), storage) != tree:
        raise AssertionError("the stored tree is not the one in memory")
    for number in range(len(leaves) // TILE_WIDTH):
        if storage.tile(0, number) != b"".join(leaves[number * TILE_WIDTH : (number + 1) * TILE_WIDTH]):
            raise AssertionError(f"tile {number} is not what its events come to")
