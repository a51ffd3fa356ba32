"""CSV with a fixed header, for spreadsheets: a text that one would take for a formula gets a quote in front. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from audit.codec.texts import instant, targets_text
from audit.model.event import Actor, Target
from audit.model.ids import EventId, recorded_at
from audit.model.topic import Topic, format_topic

__all__ = ["EVENT_COLUMNS", "encode_events", "encode_rows", "harmless"]

EVENT_COLUMNS: Final = (
    *("index", "id", "recorded_at", "occurred_at", "topics", "action", "actor_type", "actor_id", "outcome"),
    *("targets", "ip", "request_id", "data", "payload_hash"),
)
# A tab or a carriage return too: spreadsheets skip them and look at what follows.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


class _Stored(msgspec.Struct, frozen=True):
    """An event whose time and data stay the text they are stored as."""

    id: EventId
    index: int
    topics: list[Topic]
    action: str = ""
    occurred_at: str = ""
    actor: Actor | None = None
    targets: list[Target] = []
    outcome: str = ""
    context: dict[str, str] = {}
    data: msgspec.Raw = msgspec.Raw()
    payload_hash: str = ""


_decoder: Final = msgspec.json.Decoder(_Stored)


def encode_rows(rows: Iterable[Sequence[object]]) -> bytes:
    """Return rows as CSV (RFC 4180), quoted where that is needed."""
    text = io.StringIO()
    # Its own line end is CRLF. With another, Python before 3.13 leaves a lone carriage return without quotes.
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def encode_events(events: Iterable[bytes]) -> bytes:
    """Return stored events as CSV rows under `EVENT_COLUMNS`."""
    return encode_rows(_row(_decoder.decode(event)) for event in events)


def harmless(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _row(event: _Stored) -> tuple[object, ...]:
    actor = event.actor
    return (
        event.index,
        event.id,
        instant(recorded_at(event.id)),
        event.occurred_at,
        harmless(" ".join([format_topic(topic) for topic in event.topics])),
        harmless(event.action),
        harmless(actor.type if actor else ""),
        harmless(actor.id if actor else ""),
        event.outcome,
        harmless(targets_text(event.targets)),
        harmless(event.context.get("ip", "")),
        harmless(event.context.get("request_id", "")),
        bytes(event.data).decode(),
        harmless(event.payload_hash),
    )
