"""Each method of the wire as an operation of the log: parameters in, encoded result out.

What memory can answer is answered at once; for the rest a call returns an awaitable, which runs in a task of the
connection.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, Final

from audit.log.reader import Page
from audit.log.topics import TopicPage
from audit.model.topic import Topic
from audit.protocol.frames import encode, encode_page
from audit.protocol.limits import SUBPROTOCOL
from audit.protocol.messages import (
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
from audit.server.access import Ask, Principal
from audit.server.context import ServerContext

__all__ = ["READS", "asked_topics", "version"]

_TOPICS_BYTES: Final = 960 * 1024
_NAME: Final = "audit"

Result = bytes | Awaitable[bytes]


@cache
def version() -> str:
    """Return this package's version."""
    return importlib.metadata.version("audit-store")


def asked_topics(params: ListParams | SubscribeParams | TopicsParams) -> list[Topic]:
    """Return the topics that a query is about, as it was given."""
    union = getattr(params, "topics", None)
    return [tuple(topic) for topic in union] if union else [tuple(params.topic)]


def _info(context: ServerContext, principal: Principal, _params: InfoParams) -> Result:
    context.access.authorise(principal, Ask("read", [()]))
    info = context.core.info()
    return encode(
        InfoResult(
            name=_NAME,
            version=version(),
            protocol=SUBPROTOCOL,
            store=StoreResult(id=info.store_id, size=info.size, first_id=info.first_id, last_id=info.last_id),
            limits=context.options.limits,
        )
    )


def _get(context: ServerContext, principal: Principal, params: GetParams) -> Result:
    context.access.authorise(principal, Ask("read", [()]))
    reader = context.core.reader
    found = reader.get_nowait(params.id)
    return found if found is not None else context.core.threads.run(lambda: reader.get(params.id))


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
        return _page(page)
    return context.core.threads.run(lambda: _page(reader.page(request)))


def _page(page: Page) -> bytes:
    return encode_page(page.slices, page.cursor, has_more=page.has_more)


def _topics(context: ServerContext, principal: Principal, params: TopicsParams) -> Result:
    context.access.authorise(principal, Ask("read", asked_topics(params)))

    def work() -> bytes:
        limit = params.limit
        while True:
            found = encode(_children(context.core.topics(tuple(params.topic), limit, params.cursor)))
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


READS: Final[dict[str, Callable[[ServerContext, Principal, Any], Result]]] = {
    "server.info": _info,
    "events.get": _get,
    "events.list": _list,
    "topics.list": _topics,
}
