"""The verbs of a log elsewhere. What can be checked here is checked here, with the errors of a log in this process."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from audit.client.appending import EncodedCall, encode_events
from audit.client.core import RemoteCore
from audit.client.feed import Feed, FeedQuery, events_of
from audit.client.metrics import RemoteMetrics
from audit.client.tail import RemoteTail
from audit.client.verifying import TailCheck, Verification
from audit.codec.cursors import Position, decode_cursor, encode_cursor, query_digest
from audit.codec.events import decode_event, event_id_text, event_value
from audit.log.core import StoreInfo
from audit.log.erasing import erasing_call
from audit.log.reader import Page
from audit.log.tail import check_tail_limit
from audit.log.topics import TopicCount, TopicPage
from audit.model.errors import Conflict, InvalidParameter, TamperDetected
from audit.model.event import Actor, Erased, Event, NewEvent, Receipt
from audit.model.ids import EventId, parse_id
from audit.model.query import Filter, Query, check_limit, to_query
from audit.model.span import Bound, check_order, to_span
from audit.model.topic import to_topic
from audit.proof.answers import Consistency, Inclusion
from audit.proof.keys import decode_base64
from audit.protocol.client import EventPage, SlicePage
from audit.protocol.messages import (
    AppendResult,
    EraseParams,
    EraseResult,
    GetParams,
    InfoParams,
    InfoResult,
    ListParams,
    SubscribeParams,
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

__all__ = ["RemoteAudit"]

_NO_FILTER: Final = Filter()


class RemoteAudit:
    """A log elsewhere, used from the event loop that it was connected in. `async with connect(url) as log: …`.

    Every call may also raise `Unavailable` (no answer within `call_timeout_s`, all tries included), `Unauthorized`,
    `Forbidden`, and `StoreClosed` once the client is closed.
    """

    def __init__(self, core: RemoteCore) -> None:
        self._core = core
        self.metrics = RemoteMetrics(core)
        """Metrics: `list`, `get`, `subscribe`."""
        verify = core.options.verify
        self._verification = None if verify is None else Verification(verify, self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def append(self, event: NewEvent) -> Receipt:
        """Append one event; it is durable, and visible to readers, when this returns.

        Tried again as often as need be: an event without an idempotency key goes with one made for this call.

        Raises:
            InvalidParameter, TooLarge: the event is out of form or bounds.
            Conflict: its idempotency key was used before, with a different event.
            ClockSuspect: the server's clock jumped; nothing is appended until the operator accepts it.
            Unavailable: nothing was written in time.
            OutcomeUnknown: there was no answer in time; only a retry with the event's own idempotency key is safe.
        """
        call = encode_events((event,), None, many=False)
        try:
            receipts = await self._append(call)
        except (InvalidParameter, Conflict) as error:
            if not error.parameter.startswith("events[0]"):
                raise
            raise type(error)(f"event{error.parameter.removeprefix('events[0]')}", error.problem) from error
        return receipts[0]

    async def append_many(self, events: Sequence[NewEvent], *, idempotency_key: str | None = None) -> list[Receipt]:
        """Append 1-1,000 events of at most 4 MiB as one commit: all or none.

        Args:
            events: In the order they are to have; an event whose own idempotency key is known is not appended again.
            idempotency_key: For the whole call, kept for 7 days; the events then have none of their own. If no event
                has one either, one is made for this call; if only some have, one for each of the others.

        Returns:
            A receipt for each event, in order.

        Raises:
            As `append`; parameters are named `events[n].…`.
        """
        return await self._append(encode_events(events, idempotency_key))

    async def _append(self, call: EncodedCall) -> list[Receipt]:
        result: AppendResult = await self._core.call("events.append", call, AppendResult, writes=True)
        return result.receipts

    async def get(self, event_id: str) -> Event:
        """Return one event.

        Raises:
            InvalidParameter: no event id.
            NotFound: no event has this id.
        """
        return decode_event(await self.get_raw(event_id))

    async def get_raw(self, event_id: str) -> bytes:
        """Return one event's stored JSON; errors as of `get`."""
        value = parse_id(event_id)
        event = bytes(await self._core.call("events.get", GetParams(id=event_id), msgspec.Raw))
        if self._verification is not None:
            await self._verification.check([event])
            if event_value(event) != value:
                raise TamperDetected(f"event {event_id}", f"another one was sent: {event_id_text(event).decode()}")
        return event

    async def list(
        self,
        topic: Sequence[str] = (),
        *,
        topics: Sequence[Sequence[str]] | None = None,
        seek: Bound | None = None,
        seek_end: Bound | None = None,
        inclusive: str = "left",
        order: str = "asc",
        limit: int = 100,
        cursor: str | None = None,
        filter: Filter | dict[str, str] | None = None,  # noqa: A002 - the wire's name
    ) -> Page:
        """Return one page of events, oldest or newest first. Arguments and errors as of `Audit.list`."""
        query = to_query(topic, topics, filter)
        to_span(seek, seek_end, inclusive)
        check_order(order)
        check_limit(limit)
        params = ListParams(
            **_query_params(query),
            seek=_bound(seek),
            seek_end=_bound(seek_end),
            inclusive=inclusive,  # type: ignore[arg-type]
            order=order,  # type: ignore[arg-type]
            limit=limit,
            cursor=cursor,
        )
        found: EventPage | SlicePage = await self._core.call("events.list", params, SlicePage)
        page = Page(events_of(found), found.cursor, has_more=found.has_more)
        if self._verification is not None:
            await self._verification.check(page.slices, all_of_it=_is_everything(query))
        return page

    def subscribe(
        self,
        topic: Sequence[str] = (),
        *,
        topics: Sequence[Sequence[str]] | None = None,
        seek: Bound | None = None,
        seek_end: Bound | None = None,
        inclusive: str = "left",
        limit: int | None = None,
        cursor: str | None = None,
        filter: Filter | dict[str, str] | None = None,  # noqa: A002 - the wire's name
    ) -> RemoteTail:
        """Return a tail: history from a bound or cursor, then live events, without gap or duplicate.

        It is asked for at once, and resumes by itself when the connection is lost. Arguments as of `Audit.subscribe`;
        `"now"` is when the server gets to it: `async with` waits for that.

        Raises:
            InvalidParameter: a parameter is out of form or bounds.
            CursorInvalid: the cursor is damaged or foreign.
        """
        query = to_query(topic, topics, filter)
        now = isinstance(seek, str) and seek == "now"
        span = to_span(None if now else seek, seek_end, inclusive)
        limit = check_tail_limit(limit)
        digest = query_digest(self._store_id, query, "asc")
        start: str | None
        if cursor is not None:
            decode_cursor(cursor, digest)
            start = cursor
        else:
            start = None if now else encode_cursor(digest, Position(-1, 0, span.low))
        params = SubscribeParams(
            **_query_params(query),
            seek=_bound(seek),
            seek_end=_bound(seek_end),
            inclusive=inclusive,  # type: ignore[arg-type]
            limit=limit,
            cursor=cursor,
        )
        feed = Feed(FeedQuery(params, digest, start), self._core.options.credit)
        check = None
        if self._verification is not None:
            check = TailCheck(self._verification, all_of_it=_is_everything(query))
        tail = RemoteTail(self._core, feed, check)
        self._core.feeds.add(feed)
        return tail

    async def erase(self, ids: Sequence[str], *, reason: str, actor: Actor | None = None) -> Erased:
        """Erase some events. Arguments and errors as of `Audit.erase`.

        Tried again when the connection is lost: then the answer may be that there was nothing left to erase.
        """
        erasing_call(ids, reason, actor)
        params = EraseParams(ids=list(ids), reason=reason, actor=actor)
        result: EraseResult = await self._core.call("events.erase", params, EraseResult, writes=True)
        return Erased(result.erased, result.receipt)

    async def topics(self, topic: Sequence[str] = (), *, limit: int = 100, cursor: str | None = None) -> TopicPage:
        """Return the children of a topic with their counts, by name.

        Raises:
            InvalidParameter: a parameter is out of form or bounds.
            CursorInvalid: the cursor is damaged, or of another store or topic.
        """
        params = TopicsParams(topic=list(to_topic(topic)), limit=check_limit(limit), cursor=cursor)
        page: TopicsResult = await self._core.call("topics.list", params, TopicsResult)
        rows = [
            TopicCount(tuple(row.topic), row.events, EventId(row.first_id), EventId(row.last_id)) for row in page.topics
        ]
        return TopicPage(rows, page.cursor, page.has_more)

    async def checkpoint(self) -> str:
        """Return the note of a checkpoint of all that is committed; three lines, if the log runs unsigned."""
        told: CheckpointResult = await self._core.call("log.checkpoint", CheckpointParams(), CheckpointResult)
        return told.checkpoint

    async def inclusion(self, event_id: str) -> Inclusion:
        """Return the proof that an event is in the log, as the server gives it, unchecked.

        Raises:
            InvalidParameter: no event id.
            NotFound: no event has this id.
        """
        parse_id(event_id)
        told: InclusionResult = await self._core.call("log.inclusion", InclusionParams(id=event_id), InclusionResult)
        return Inclusion(told.index, _hash(told.leaf_hash), list(map(_hash, told.hashes)), told.checkpoint)

    async def consistency(self, from_: int, to: int) -> Consistency:
        """Return the proof that the log of `to` events begins with that of `from_`, as the server gives it, unchecked.

        Raises:
            InvalidParameter: one is no size that the log has had, or `from_` is the greater.
        """
        params = ConsistencyParams(from_=from_, to=to)
        told: ConsistencyResult = await self._core.call("log.consistency", params, ConsistencyResult)
        return Consistency(list(map(_hash, told.hashes)), told.checkpoint)

    async def selection(self, indexes: Sequence[int], size: int) -> Sequence[bytes]:
        """Return the proof that some events are in the log of `size` events, as the server gives it, unchecked.

        Raises:
            InvalidParameter: they are not 1-1,000, ascending and below `size`, or the log never had that size.
        """
        params = SelectionParams(indexes=[*indexes], size=size)
        told: SelectionResult = await self._core.call("log.selection", params, SelectionResult)
        return [_hash(one) for one in told.hashes]

    async def info(self) -> StoreInfo:
        """Return the store's id, its size, and the ids of its first and last event."""
        store = (await self.server_info()).store
        return StoreInfo(
            store.id,
            store.size,
            None if store.first_id is None else EventId(store.first_id),
            None if store.last_id is None else EventId(store.last_id),
            store.origin,
            store.key,
        )

    async def server_info(self) -> InfoResult:
        """Return what the server says of itself: name, version, protocol, store and limits."""
        found: InfoResult = await self._core.call("server.info", InfoParams(), InfoResult)
        return found

    @property
    def trusted(self) -> str | None:
        """Note of the newest checkpoint trusted, with `verify=True`: keep it, and give it to the next client."""
        return None if self._verification is None else self._verification.note

    async def trust_newest(self) -> str:
        """Check that the log's newest checkpoint goes on from the one trusted before; trust it, and return its note.

        Raises:
            InvalidParameter: the client was not connected with `verify=True`.
            ProofInvalid: it does not; the class says why, and the one before stays trusted.
        """
        if self._verification is None:
            raise InvalidParameter("verify", "must be True, with the log's key, when connecting")
        return await self._verification.renew()

    async def close(self) -> None:
        """End every tail with reason `shutdown` and every call with an error, and close the connection."""
        await self._core.connection.close()

    @property
    def _store_id(self) -> str:
        return self._core.connection.info.store.id


def _query_params(query: Query) -> dict[str, Any]:
    filter_ = None if query.filter == _NO_FILTER else query.filter
    if len(query.topics) == 1:
        return {"topic": list(query.topics[0]), "filter": filter_}
    return {"topics": [list(topic) for topic in query.topics], "filter": filter_}


def _is_everything(query: Query) -> bool:
    """Return whether a query leaves nothing out, so that nothing may be missing between two events."""
    return query.filter == _NO_FILTER and () in query.topics


def _bound(bound: Bound | None) -> str | int | None:
    return bound.isoformat() if isinstance(bound, datetime) else bound


def _hash(text: str) -> bytes:
    return decode_base64(text, "proof: hash")
