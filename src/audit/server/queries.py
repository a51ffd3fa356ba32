"""Query strings as the parameters of the log's verbs. An unknown one is an error: a typo must not widen a query."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from audit.metrics.query import MetricQuery, query_of
from audit.model.errors import InvalidParameter
from audit.model.query import Filter
from audit.model.span import parse_bound
from audit.model.topic import Topic, parse_topic
from audit.protocol.messages import ListParams, SubscribeParams, TopicsParams

__all__ = [
    "LIST_NAMES",
    "METRIC_NAMES",
    "STREAM_NAMES",
    "TOPICS_NAMES",
    "Query",
    "list_params",
    "metric_params",
    "stream_params",
    "topics_params",
]

_FILTER: Final = Filter.__struct_fields__
LIST_NAMES: Final = ("topic", "seek", "seek_end", "inclusive", "order", "limit", "cursor", *_FILTER)
STREAM_NAMES: Final = ("topic", "seek", "seek_end", "inclusive", "limit", "cursor", *_FILTER)
TOPICS_NAMES: Final = ("topic", "limit", "cursor")
_METRIC: Final = tuple([name for name in MetricQuery.__struct_fields__ if name not in {"topic", "topics", "filter"}])
METRIC_NAMES: Final = ("topic", *_METRIC, *_FILTER)

_NO_FILTER: Final = Filter()
_MAX_FIELDS: Final = 200
_MAX_DIGITS: Final = 18


class Query:
    """The parameters of one request; only `topic` may be given more than once."""

    def __init__(self, text: bytes, known: Collection[str]) -> None:
        """Take a query string.

        Raises:
            InvalidParameter: it holds a parameter that is not `known`, one twice, or no UTF-8.
        """
        try:
            self._pairs = parse_qsl(
                text.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS, separator="&"
            )
        except UnicodeDecodeError as error:
            raise InvalidParameter("query", "must be valid UTF-8, percent-encoded") from error
        except ValueError as error:
            raise InvalidParameter("query", f"must have at most {_MAX_FIELDS} parameters") from error
        self._one: dict[str, str] = {}
        for name, value in self._pairs:
            if name not in known:
                raise InvalidParameter(name[:40] or "query", f"is unknown; known are {', '.join(known)}")
            if name in self._one and name != "topic":
                raise InvalidParameter(name, "is given twice")
            self._one[name] = value

    def text(self, name: str) -> str | None:
        """Return a parameter's text; None: it is not given."""
        return self._one.get(name)

    def choice(self, name: str, default: str) -> Any:
        """Return a parameter that is one of a few words; which they are is for the log to say."""
        return self._one.get(name, default)

    def number(self, name: str, default: int) -> int:
        """Return a parameter as an integer; its bounds are for the log to check.

        Raises:
            InvalidParameter: it is none.
        """
        text = self._one.get(name)
        if text is None:
            return default
        if not text.isascii() or not text.isdigit() or len(text) > _MAX_DIGITS:
            raise InvalidParameter(name, f"must be an integer, got {text!r:.40}")
        return int(text)

    def bound(self, name: str) -> str | int | None:
        """Return a parameter as a bound."""
        text = self._one.get(name)
        return None if text is None else parse_bound(text)

    @property
    def topics(self) -> list[Topic]:
        """The topics asked for; none is everything.

        Raises:
            InvalidParameter: one of them is malformed.
        """
        return [parse_topic(value) for name, value in self._pairs if name == "topic"]

    @property
    def filter(self) -> Filter:
        """The equalities asked for; the log checks their values."""
        return Filter(**{name: self._one[name] for name in _FILTER if name in self._one})  # type: ignore[arg-type]

    def after(self, cursor: str) -> str:
        """Return the query string that goes on at a cursor."""
        pairs = [(name, value) for name, value in self._pairs if name != "cursor"]
        return urlencode([*pairs, ("cursor", cursor)])


def _union(query: Query) -> list[list[str]] | None:
    # Normalised by now: what access is asked about is what is read.
    return [list(topic) for topic in query.topics] or None


def list_params(query: Query) -> ListParams:
    """Return the parameters of `events.list`.

    Raises:
        InvalidParameter: one of them is out of form.
    """
    return ListParams(
        topics=_union(query),
        seek=query.bound("seek"),
        seek_end=query.bound("seek_end"),
        inclusive=query.choice("inclusive", "left"),
        order=query.choice("order", "asc"),
        limit=query.number("limit", 100),
        cursor=query.text("cursor"),
        filter=query.filter,
    )


def stream_params(query: Query, last_event_id: str | None) -> SubscribeParams:
    """Return the parameters of `events.subscribe`.

    Args:
        query: As first sent, and sent again by a browser that reconnects.
        last_event_id: The header that a browser adds then: it goes before the query's own cursor.

    Raises:
        InvalidParameter: one of them is out of form.
    """
    return SubscribeParams(
        topics=_union(query),
        seek=query.bound("seek"),
        seek_end=query.bound("seek_end"),
        inclusive=query.choice("inclusive", "left"),
        limit=query.number("limit", 0) if query.text("limit") is not None else None,
        cursor=last_event_id or query.text("cursor"),
        filter=query.filter,
    )


def topics_params(query: Query) -> TopicsParams:
    """Return the parameters of `topics.list`.

    Raises:
        InvalidParameter: one of them is out of form, or there is more than one topic.
    """
    topics = query.topics
    if len(topics) > 1:
        raise InvalidParameter("topic", "is given twice")
    return TopicsParams(
        topic=list(topics[0]) if topics else [], limit=query.number("limit", 100), cursor=query.text("cursor")
    )


def metric_params(query: Query) -> MetricQuery | None:
    """Return the parameters of `metrics.get`; None: there are none at all.

    Raises:
        InvalidParameter: one of them is out of form.
    """
    members: dict[str, Any] = {name: text for name in _METRIC if (text := query.text(name)) is not None}
    members |= {name: query.bound(name) for name in ("seek", "seek_end") if name in members}
    if "planned" in members:
        members["planned"] = members["planned"].split(",")
    if "quantiles" in members:
        try:
            members["quantiles"] = [float(text) for text in members["quantiles"].split(",")]
        except ValueError as error:
            raise InvalidParameter("quantiles", f"must be numbers, got {members['quantiles']!r:.40}") from error
    if topics := _union(query):
        members["topics"] = topics
    if query.filter != _NO_FILTER:
        members["filter"] = query.filter
    return query_of(None, members) if members else None
