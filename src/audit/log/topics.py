"""The children of a topic with their counts: what is sealed, read from disk, and the head, counted in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple

from audit.codec.cursors import decode_name_cursor, encode_name_cursor, query_digest
from audit.codec.events import event_value
from audit.codec.terms import topic_of_term
from audit.log.handle import Handle
from audit.log.recent import Snapshot
from audit.model.errors import TooLarge
from audit.model.ids import EventId, format_id
from audit.model.query import check_limit, to_query
from audit.model.region import EVERYTHING, Region
from audit.model.topic import Topic, format_topic
from audit.storage.port import ChildCount, Storage

__all__ = ["TopicCount", "TopicPage", "list_topics"]

_PIECE: Final = 1_000
_MOST_PIECES: Final = 10_000
"""Children that are looked at for the count of a topic of which only a part may be seen."""


class TopicCount(NamedTuple):
    """A topic's events, those nested below it included, each counted once.

    Attributes:
        topic: Its full path.
        events: How many.
        first_id: The oldest one's id.
        last_id: The newest one's id.
    """

    topic: Topic
    events: int
    first_id: EventId
    last_id: EventId


class TopicPage(NamedTuple):
    """Children of a topic, by name. `cursor` continues right after them."""

    topics: list[TopicCount]
    cursor: str
    has_more: bool


def list_topics(  # noqa: PLR0917 - the verb's own parameters come last
    handle: Handle,
    snapshot: Callable[[], Snapshot],
    store_id: str,
    topic: object,
    limit: object,
    cursor: object,
    within: Region = EVERYTHING,
) -> TopicPage:
    """Return the children of a topic, by name in UTF-8 order; blocks on the disk.

    Args:
        handle: The storage.
        snapshot: Returns the log as it is now.
        store_id: What cursors are bound to, beside the topic.
        topic: The parent; `()` lists the first level.
        limit: 1-1,000.
        cursor: From an earlier page of the same topic, or None.
        within: Only topics that belong to it with all that is below them are listed and counted. What leads to several
            of them has the events of each, counted once for each.

    Raises:
        InvalidParameter: a parameter is out of form or bounds.
        CursorInvalid: the cursor is damaged, or of another store or topic.
        TooLarge: what leads to a part of `within` has too many children to be counted.
    """
    query = to_query(topic)
    parent = query.topics[0]
    digest = query_digest(store_id, query, "topics")
    after = "" if cursor is None else decode_name_cursor(cursor, digest)
    most = check_limit(limit)
    if within.whole(parent):
        look = partial(_merge, parent=parent, after=after, limit=most + 1)
    else:
        look = partial(_merge_within, parent=parent, region=within, after=after, limit=most + 1)
    while True:
        children = handle.read(partial(look, snapshot=snapshot()))
        if children is not None:
            break
    kept = children[:most]
    rows = [TopicCount((*parent, c.segment), c.events, format_id(c.first_id), format_id(c.last_id)) for c in kept]
    name = kept[-1].segment if kept else after
    return TopicPage(rows, encode_name_cursor(digest, name), len(children) > most)


def _merge_within(  # noqa: PLR0917 - as `_merge`
    storage: Storage, snapshot: Snapshot, parent: Topic, region: Region, after: str, limit: int
) -> list[ChildCount] | None:
    """Return the children of a topic that lead to some part of a region, with the events of that alone."""
    found: list[ChildCount] = []
    for children in _candidates(storage, snapshot, parent, region, after, limit):
        if children is None:
            return None
        for name, known in children:
            counts = _pieces(storage, snapshot, (*parent, name), region, known)
            if counts is None:
                return None
            if counts:
                found.append(_sum(name, counts))
            if len(found) == limit:
                return found
    return found


_Candidates = list[tuple[str, ChildCount | None]]


def _candidates(  # noqa: PLR0917 - as `_merge`
    storage: Storage, snapshot: Snapshot, parent: Topic, region: Region, after: str, limit: int
) -> Iterator[_Candidates | None]:
    """Yield the children of a topic that may lead to some part of a region, by name, with all of their events.

    Where only named ones do, these are told without looking at the log, which may have any number of others. None: look
    again.
    """
    if not region.unnamed(parent):
        names = sorted((name for name in region.named(parent) if name.encode() > after.encode()), key=str.encode)
        yield [(name, None) for name in names]
        return
    while True:
        children = _merge(storage, snapshot, parent, after, limit)
        if children is None:
            yield None
            return
        if not children:
            return
        yield [(child.segment, child) for child in children]
        after = children[-1].segment


def _pieces(
    storage: Storage, snapshot: Snapshot, topic: Topic, region: Region, known: ChildCount | None
) -> list[ChildCount] | None:
    """Return the counts of a topic, or of all topics below it that belong to a region whole; None: look again.

    Raises:
        TooLarge: there are too many of them.
    """
    if region.whole(topic):
        return [known] if known is not None else _merge(storage, snapshot, topic[:-1], "", 1, only=topic[-1])
    counts: list[ChildCount] = []
    if not region.leads(topic):
        return counts
    looked = 0
    for children in _candidates(storage, snapshot, topic, region, "", _PIECE):
        if children is None:
            return None
        looked += len(children)
        if looked > _MOST_PIECES:
            problem = f"{format_topic(topic)} has over {_MOST_PIECES} topics beside what you may not see: ask for that"
            raise TooLarge("topic", problem)
        for name, count in children:
            found = _pieces(storage, snapshot, (*topic, name), region, count)
            if found is None:
                return None
            counts += found
    return counts


def _sum(name: str, counts: Sequence[ChildCount]) -> ChildCount:
    events = sum(count.events for count in counts)
    return ChildCount(name, events, min(c.first_id for c in counts), max(c.last_id for c in counts))


def _merge(  # noqa: PLR0917 - the verb's parameters, and what it reads
    storage: Storage, snapshot: Snapshot, parent: Topic, after: str, limit: int, only: str | None = None
) -> list[ChildCount] | None:
    """Return sealed and unsealed counts put together, or None if a segment was sealed in between: look again."""
    own = _head_counts(snapshot, parent)
    if only is None:
        names = sorted((name for name in own if name.encode() > after.encode()), key=str.encode)
        found = {child.segment: child for child in storage.children(parent, after, limit)}
    else:
        names = [only] if only in own else []
        sealed_count = storage.topic_counts([(*parent, only)])[0]
        found = {} if sealed_count is None else {only: sealed_count}
    unread = [name for name in names[:limit] if name not in found]
    for child in storage.topic_counts([(*parent, name) for name in unread]):
        if child is not None:
            found[child.segment] = child
    head_first = snapshot.segments[-1].first_id
    if any(child.last_id >= head_first for child in found.values()):
        return None
    for name in names[:limit]:
        sealed, fresh = found.get(name), own[name]
        if sealed is not None:
            fresh = fresh._replace(events=fresh.events + sealed.events, first_id=sealed.first_id)
        found[name] = fresh
    return sorted(found.values(), key=lambda child: child.segment.encode())[:limit]


def _head_counts(snapshot: Snapshot, parent: Topic) -> dict[str, ChildCount]:
    """Return the counts of a topic's children among the events that are not sealed."""
    head = snapshot.segments[-1]
    count = snapshot.visible(head)
    counts = {}
    # A copy: the writer may add terms while we look.
    for term, positions in list(head.postings.items()):
        topic = topic_of_term(term)
        if topic is None or len(topic) != len(parent) + 1 or topic[:-1] != parent:
            continue
        shown = [position for position in positions if position < count]
        if shown:
            ids = (event_value(head.events[shown[0]]), event_value(head.events[shown[-1]]))
            counts[topic[-1]] = ChildCount(topic[-1], len(shown), *ids)
    return counts
