"""What turns a line into an event: one pure function for each shape of line, chosen once for a whole ingest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import msgspec

from audit.cli.ingest.lines import Line
from audit.model.event import NewEvent
from audit.model.topic import Topic

__all__ = ["BadLine", "Mapping", "decode_new_event", "decode_object", "events_as_given", "keyed", "objects_under"]

Mapping = Callable[[Line], NewEvent]
"""MUST depend on nothing but the line, or a second ingest would not recognise what the first one appended."""

_Value = TypeVar("_Value")
_KEY_HEX: Final = 40
_new_event: Final = msgspec.json.Decoder(NewEvent)
_anything: Final = msgspec.json.Decoder()


class BadLine(Exception):
    """A line that is no event; the message says why, without its number."""


def decode_object(text: bytes) -> dict[str, object]:
    """Return the JSON object in `text`; of duplicate keys the last wins.

    Raises:
        BadLine: it is not JSON, not UTF-8, nested too deeply, or no object.
    """
    value = _decoded(_anything, text)
    if not isinstance(value, dict):
        raise BadLine(f"must be a JSON object, is {_KINDS.get(type(value), 'a number')}")
    return value


_KINDS: Final = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}


def decode_new_event(text: bytes) -> NewEvent:
    """Return the event whose members `text` gives, as `events.append` takes them; the log checks their bounds.

    Raises:
        BadLine: it is not JSON, or has other members than a NewEvent.
    """
    return _decoded(_new_event, text)


def events_as_given(line: Line) -> NewEvent:
    """Return the event of a line that is a NewEvent."""
    return decode_new_event(line.text)


def objects_under(topics: Sequence[Topic]) -> Mapping:
    """Return a mapping of any JSON object to an event under `topics`, with the object as its data."""

    def to_event(line: Line) -> NewEvent:
        return NewEvent(topics=list(topics), data=decode_object(line.text))

    return to_event


def keyed(mapping: Mapping, identity: str) -> Mapping:
    """Return the same mapping, which gives each event that lacks an idempotency key one of its own.

    The key stands for the source, the line's number and its text: the same line of the same file is one event however
    often it is ingested, while two equal lines are two events.

    Args:
        mapping: The mapping to wrap.
        identity: What tells this source, and how its lines are mapped, from any other.
    """
    prefix = hashlib.sha256(identity.encode(errors="surrogateescape"))

    def to_event(line: Line) -> NewEvent:
        event = mapping(line)
        if event.idempotency_key is not None:
            return event
        digest = prefix.copy()
        digest.update(b"\0%d\0%b" % (line.number, line.text))
        return msgspec.structs.replace(event, idempotency_key=f"line:{digest.hexdigest()[:_KEY_HEX]}")

    return to_event


def _decoded(decoder: msgspec.json.Decoder[_Value], text: bytes) -> _Value:
    try:
        return decoder.decode(text)
    except msgspec.ValidationError as error:
        raise BadLine(str(error)) from error
    except UnicodeDecodeError as error:
        raise BadLine(f"is not valid UTF-8: {error.reason}") from error
    except msgspec.DecodeError as error:
        raise BadLine(f"is not JSON: {error}") from error
    except RecursionError as error:
        raise BadLine("is nested too deeply") from error
