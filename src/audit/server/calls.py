"""Each method of the wire as an operation of the log: parameters in, encoded result out.

What memory can answer is answered at once; for the rest a call returns an awaitable, which runs in a task of the
connection.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from typing import Any, Final

from audit.codec.events import event_id_text, event_topics
from audit.log.measuring import Spend
from audit.log.reader import Page
from audit.log.topics import TopicPage
from audit.model.errors import NotFound
from audit.model.event import NewEvent
from audit.model.region import EVERYTHING
from audit.model.topic import Topic, to_topic
from audit.proof.keys import encode_base64
from audit.protocol.frames import encode, encode_page
from audit.protocol.limits import SUBPROTOCOL
from audit.protocol.messages import (
    EraseParams,
    EraseResult,
    GetParams,
    InfoParams,
    InfoResult,
    ListParams,
    StoreResult,
    SubscribeParams,
    TopicResult,
    TopicsParams,
    TopicsResult,
)
from audit.protocol.proofmessages import (
    CheckpointParams,
    CheckpointResult,
    ConsistencyParams,
    ConsistencyResult,
    InclusionParams,
    InclusionResult,
    SelectionParams,
    SelectionResult,
)
from audit.server.access import Ask, Principal
from audit.server.charging import charged
from audit.server.context import ServerContext
from audit.server.metriccalls import METRIC_READS

__all__ = ["READS", "appended_topics", "asked_topics", "erase", "page_result", "version"]

_TOPICS_BYTES: Final = 960 * 1024
_NORMAL_TOPICS: Final = 4_096
_normal: Final[dict[Topic, Topic]] = {}
"""Topics as they came, with what they are once normalised: most events have the same few."""
_NAME: Final = "audit"

Result = bytes | Awaitable[bytes]


@cache
def version() -> str:
    """Return this package's version."""
    return importlib.metadata.version("audit-store")


def asked_topics(params: ListParams | SubscribeParams) -> list[Topic]:
    """Return the topics that a query is about, normalised as they will be looked for.

    Raises:
        InvalidParameter: one is malformed.
    """
    if params.topics:
        return [to_topic(topic, f"topics[{number}]") for number, topic in enumerate(params.topics)]
    return [to_topic(params.topic)]


def appended_topics(events: Sequence[NewEvent]) -> list[Topic]:
    """Return the topics that events are to be appended to, each once, normalised as they will be found.

    Raises:
        InvalidParameter: one is malformed.
    """
    found: dict[Topic, None] = {}
    for number, event in enumerate(events):
        for place, topic in enumerate(event.topics):
            normal = _normal.get(topic)
            if normal is None:
                normal = to_topic(topic, f"events[{number}].topics[{place}]")
                if len(_normal) >= _NORMAL_TOPICS:
                    _normal.clear()
                _normal[topic] = normal
            found[normal] = None
    return list(found)


def _info(context: ServerContext, _principal: Principal, _params: InfoParams) -> Result:
    # Whoever is known may know what this is; how large it is tells less than any answer.
    info = context.core.info()
    return encode(
        InfoResult(
            name=_NAME,
            version=version(),
            protocol=SUBPROTOCOL,
            store=StoreResult(
                id=info.store_id,
                size=info.size,
                first_id=info.first_id,
                last_id=info.last_id,
                origin=info.origin,
                key=info.key,
            ),
            limits=context.options.limits,
            auth="required" if context.access.required else "off",
        )
    )


def _get(context: ServerContext, principal: Principal, params: GetParams) -> Result:
    # Before anything is looked for: one who may read nothing learns nothing.
    context.access.authorise(principal, Ask("read", []))
    context.access.charge(principal, events=1)
    reader = context.core.reader
    found = reader.get_nowait(params.id)
    if found is not None:
        return _shown(context, principal, found)
    return context.core.threads.run(lambda: _shown(context, principal, reader.get(params.id)))


def _shown(context: ServerContext, principal: Principal, found: bytes) -> bytes:
    """Return an event to one who may read it."""
    visible = context.access.visible(principal)
    if visible is not EVERYTHING and not any(visible.covers(topic) for topic in event_topics(found)):
        # As if there were none: whether there is one is more than they may know.
        raise NotFound(f"no event has the id {event_id_text(found).decode()}")
    return found


def erase(context: ServerContext, principal: Principal, params: EraseParams) -> Awaitable[bytes]:
    """Return what erasing comes to, once awaited. An id says nothing of topics: who erases may do so on everything."""
    context.access.authorise(principal, Ask("erase", [()]))

    actor = context.access.actor(principal, params.actor, "actor")

    async def work() -> bytes:
        done = await context.log.erase(params.ids, reason=params.reason, actor=actor)
        return encode(EraseResult(erased=done.erased, receipt=done.receipt))

    return work()


def _list(context: ServerContext, principal: Principal, params: ListParams) -> Result:
    context.access.authorise(principal, Ask("read", asked_topics(params)))
    reader = context.core.reader
    request = reader.request(
        tuple(params.topic),
        params.topics,
        params.seek,
        params.seek_end,
        params.inclusive,
        params.order,
        params.limit,
        params.cursor,
        params.filter,
    )
    page = reader.page_nowait(request)
    if page is not None:
        context.access.charge(principal, events=len(page))
        return page_result(context, page)

    def work(spend: Spend) -> bytes:
        found = reader.page(request)
        spend(len(found))
        return page_result(context, found)

    return charged(context, principal, work)


def page_result(context: ServerContext, page: Page) -> bytes:
    """Return the result of `events.list`."""
    return encode_page(page.slices, page.cursor, has_more=page.has_more, checkpoint=context.core.checkpoints.signed)


def _topics(context: ServerContext, principal: Principal, params: TopicsParams) -> Result:
    parent = to_topic(params.topic)
    # What leads to what they may read is shown, with the events of that alone.
    context.access.authorise(principal, Ask("read", [parent], leading=True))
    visible = context.access.visible(principal)

    def work() -> bytes:
        limit = params.limit
        while True:
            found = encode(_children(context.core.topics(parent, limit, params.cursor, visible)))
            # Names of many long segments, all of them escaped, can exceed a frame: fewer of them then.
            if len(found) <= _TOPICS_BYTES:
                return found
            limit //= 2

    return context.core.threads.run(work)


def _children(page: TopicPage) -> TopicsResult:
    children = [
        TopicResult(topic=list(row.topic), events=row.events, first_id=row.first_id, last_id=row.last_id)
        for row in page.topics
    ]
    return TopicsResult(topics=children, cursor=page.cursor, has_more=page.has_more)


def _checkpoint(context: ServerContext, principal: Principal, _params: CheckpointParams) -> Result:
    # A hash shows nothing of an event: the verb alone is asked for.
    context.access.authorise(principal, Ask("prove", [()]))
    proofs = context.core.proofs
    return context.core.threads.run(lambda: encode(CheckpointResult(checkpoint=proofs.checkpoint())))


def _inclusion(context: ServerContext, principal: Principal, params: InclusionParams) -> Result:
    context.access.authorise(principal, Ask("prove", [()]))

    def work() -> bytes:
        _shown(context, principal, context.core.reader.get(params.id))
        found = context.core.proofs.inclusion(params.id)
        return encode(
            InclusionResult(
                index=found.index,
                leaf_hash=encode_base64(found.leaf_hash),
                hashes=list(map(encode_base64, found.hashes)),
                checkpoint=found.checkpoint,
            )
        )

    return context.core.threads.run(work)


def _consistency(context: ServerContext, principal: Principal, params: ConsistencyParams) -> Result:
    context.access.authorise(principal, Ask("prove", [()]))

    def work() -> bytes:
        found = context.core.proofs.consistency(params.from_, params.to)
        return encode(ConsistencyResult(hashes=list(map(encode_base64, found.hashes)), checkpoint=found.checkpoint))

    return context.core.threads.run(work)


def _selection(context: ServerContext, principal: Principal, params: SelectionParams) -> Result:
    context.access.authorise(principal, Ask("prove", [()]))

    def work() -> bytes:
        hashes = context.core.proofs.selection(params.indexes, params.size)
        return encode(SelectionResult(hashes=list(map(encode_base64, hashes))))

    return context.core.threads.run(work)


READS: Final[dict[str, Callable[[ServerContext, Principal, Any], Result]]] = {
    "server.info": _info,
    "events.get": _get,
    "events.list": _list,
    "topics.list": _topics,
    **METRIC_READS,
    "log.checkpoint": _checkpoint,
    "log.inclusion": _inclusion,
    "log.consistency": _consistency,
    "log.selection": _selection,
}
