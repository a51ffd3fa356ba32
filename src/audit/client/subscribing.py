"""The feeds of a client: each is subscribed, being subscribed, or waits for its next try, over all connections."""

from __future__ import annotations

import asyncio

from audit.client.connection import Connection
from audit.client.feed import Feed, again
from audit.client.link import Link, Lost, Result, contents
from audit.client.metricfeed import MetricFeed
from audit.client.news import Resumed
from audit.client.options import ClientOptions
from audit.log.tail import End
from audit.model.errors import AuditError, Overloaded, StoreClosed, Unavailable
from audit.protocol.client import Note
from audit.protocol.errors import from_wire
from audit.protocol.messages import CancelParams, EndNote, SubscribeResult

__all__ = ["AnyFeed", "Feeds"]

AnyFeed = Feed | MetricFeed


class Feeds:
    """What a client follows, and where each of it is subscribed."""

    def __init__(self, connection: Connection, options: ClientOptions) -> None:
        self._connection = connection
        self._options = options
        self._places: dict[AnyFeed, _Place] = {}
        connection.on_up = self._subscribe_all
        connection.on_end = self._finish_all

    def __len__(self) -> int:
        return len(self._places)

    def add(self, feed: AnyFeed) -> None:
        """Subscribe a feed, now or when there is a connection, and keep it so until it is over."""
        if self._connection.failure is not None:
            raise again(self._connection.failure)
        self._places[feed] = _Place()
        self._subscribe(feed)

    def drop(self, feed: AnyFeed) -> None:
        """Forget a feed, and have the server do so; nothing more comes of it."""
        feed.close()
        place = self._places.pop(feed, None)
        if place is not None and (left := place.leave()) is not None:
            self._cancel(*left)

    def refill(self, feed: AnyFeed) -> None:
        """Let the server send what the feed's reader has made room for."""
        place = self._places.get(feed)
        if place is not None and place.link is not None and (events := feed.grant()):
            place.link.grant(place.name, events)

    def _subscribe_all(self) -> None:
        for feed in list(self._places):
            self._subscribe(feed)

    def _finish_all(self, reason: AuditError) -> None:
        places, self._places = self._places, {}
        for feed, place in places.items():
            place.leave()
            if isinstance(reason, StoreClosed):
                feed.finish(End(feed.resume_at or feed.cursor or "", "shutdown"))
            else:
                feed.finish(reason)

    def _subscribe(self, feed: AnyFeed) -> None:
        place = self._places.get(feed)
        link = self._connection.link
        if place is None or link is None:
            return
        place.leave()
        params = feed.request(self._connection.info.limits.credit)
        if params is None:
            del self._places[feed]
            return

        def done(outcome: Result | AuditError) -> None:
            self._subscribed(feed, link, outcome)

        link.request(feed.method, params, done)

    def _subscribed(self, feed: AnyFeed, link: Link, outcome: Result | AuditError) -> None:
        place = self._places.get(feed)
        if isinstance(outcome, AuditError):
            # A connection that was lost is followed by another one, on which all feeds are subscribed.
            if place is not None and not isinstance(outcome, Lost):
                self._trouble(feed, place, outcome)
            return
        name: str = contents(outcome, SubscribeResult).subscription
        if place is None:
            self._cancel(link, name)
            return
        place.link, place.name = link, name
        link.route(name, lambda note: self._note(feed, note))
        if feed.started:
            self._connection.tell(Resumed(feed.topics, feed.resume_at))
        feed.started = True
        self.refill(feed)

    def _note(self, feed: AnyFeed, note: Note) -> None:
        place = self._places.get(feed)
        if place is None:
            return
        if not isinstance(note.params, EndNote):
            place.failures = 0
            place.down_since = None
            feed.receive(note)
            return
        place.leave()
        end = note.params
        feed.move(end.cursor)
        if end.reason in {"seek_end", "limit", "cancelled"}:
            del self._places[feed]
            feed.finish(End(end.cursor, end.reason))
        elif end.error is not None:
            self._trouble(feed, place, from_wire(end.error))
        elif end.reason == "error":
            self._trouble(feed, place, AuditError("the server failed to go on with a subscription"))
        else:
            self._trouble(feed, place, Unavailable(f"the server ended a subscription: {end.reason}"))

    def _trouble(self, feed: AnyFeed, place: _Place, error: AuditError) -> None:
        """Try a feed again later, if there is a point."""
        loop = asyncio.get_running_loop()
        delay_s = self._options.backoff.wait_s(place.failures, error)
        place.failures += 1
        place.down_since = loop.time() if place.down_since is None else place.down_since
        limit_s = self._options.reconnect_timeout_s
        if not error.retryable or (limit_s is not None and loop.time() + delay_s - place.down_since > limit_s):
            del self._places[feed]
            feed.finish(error)
            return
        place.timer = loop.call_later(delay_s, self._subscribe, feed)

    def _cancel(self, link: Link, name: str) -> None:
        link.unroute(name)
        if link.over.is_set():
            return

        def done(outcome: Result | AuditError) -> None:
            # Left open, it would hold its place among the connection's subscriptions.
            if isinstance(outcome, Overloaded):
                delay_s = self._options.backoff.wait_s(0, outcome)
                asyncio.get_running_loop().call_later(delay_s, self._cancel, link, name)

        link.request("subscription.cancel", CancelParams(subscription=name), done)


class _Place:
    """Where a feed is subscribed, or when it will be."""

    def __init__(self) -> None:
        self.link: Link | None = None
        self.name = ""
        self.timer: asyncio.TimerHandle | None = None
        self.failures = 0
        self.down_since: float | None = None

    def leave(self) -> tuple[Link, str] | None:
        """Be subscribed nowhere; return where it was."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        left, self.link = self.link, None
        return None if left is None else (left, self.name)
