"""Events <-> JSON: header (`id`, `index`, `topics`), then payload (`salt` and the rest), encoded once and never again.

The stored text of an event always starts `{"id":"`, 26 characters, `","index":`: id and index are read by slicing.
The payload begins at the first `,"salt":"`; a quote inside a topic is escaped, so nothing before it can look like that.
Of an erased event only the payload's hash is left in its place: `,"payload_hash":"`, 43 characters, `"}`.
"""

from __future__ import annotations

import binascii
import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from audit.model.event import Actor, Event, Outcome, Target
from audit.model.ids import value_of
from audit.model.topic import Topic

__all__ = [
    "HEADER_BYTES",
    "SALT_CHARACTERS",
    "SALT_STRIDE",
    "Body",
    "decode_event",
    "decode_events",
    "encode_bodies",
    "encode_topics",
    "erase_event",
    "event_id_text",
    "event_index",
    "event_topics",
    "event_value",
    "is_erased",
    "join_events",
    "salt_texts",
    "salted",
    "split_event",
    "without_salt",
]

SALT_STRIDE: Final = 18
"""Random bytes to draw for a salt: 16, and two that make the rest easy."""
SALT_CHARACTERS: Final = 22
ID_SLICE: Final = slice(7, 33)
_INDEX_AT: Final = 43
_CUT: Final = b',"salt":"'
_ERASED: Final = b',"payload_hash":"'
_HASH_CHARACTERS: Final = 43
_ERASED_BYTES: Final = len(_ERASED) + _HASH_CHARACTERS + len('"}')
_ERASED_AT: Final = slice(-_ERASED_BYTES, len(_ERASED) - _ERASED_BYTES)
HEADER_BYTES: Final = len(b'{"id":"","index":,') + 26 + 20 + 1
"""Bytes of what stands before an event's body, for the largest index, and one to spare."""


class Body(msgspec.Struct, omit_defaults=True, gc=False):
    """All of an event but its id and index: the members in their order on disk.

    Attributes:
        topics: As JSON, from `encode_topics`.
        salt: Empty; the 16 random bytes come in once the body is encoded.
    """

    topics: msgspec.Raw
    salt: str
    action: str | None = None
    occurred_at: datetime | None = None
    actor: Actor | None = None
    targets: list[Target] = []
    outcome: Outcome | None = None
    context: dict[str, str] = {}
    data: Any = None


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Event)


class _Topics(msgspec.Struct, gc=False):
    topics: list[Topic]


_topics_decoder: Final = msgspec.json.Decoder(_Topics)
_list_decoder: Final = msgspec.json.Decoder(list[Event])


def encode_topics(topics: Sequence[Topic]) -> msgspec.Raw:
    """Return an event's topics as JSON."""
    return msgspec.Raw(_encoder.encode(topics))


def encode_bodies(bodies: list[Body]) -> list[bytes]:
    """Return each body from `"topics":` to the closing brace, as it is stored but for its salt (`salted`).

    Raises:
        TypeError, ValueError: `data` holds something that is no JSON. NaN, Infinity, bytes and integers beyond 64 bits
            do NOT raise (msgspec writes something else for them): the caller checks for them first.
    """
    # One call for all. A line break inside a string is escaped, so one before a brace is always between two bodies.
    return _encoder.encode_lines(bodies)[1:-1].split(b"\n{")


def salted(body: bytes, salt: bytes) -> tuple[bytes, bytes]:
    """Return an encoded body with its salt: what belongs to the header, and the payload."""
    at = body.index(_NO_SALT)
    return body[:at], _CUT + salt + body[at + len(_CUT) :]


def without_salt(body: bytes) -> bytes:
    """Return an encoded body as an event's fingerprint is made of: its topics, a comma, and what follows the salt."""
    at = body.index(_NO_SALT)
    return body[len(_TOPICS) : at + 1] + body[at + len(_NO_SALT) :]


def salt_texts(random_bytes: bytes) -> list[bytes]:
    """Return one salt of 16 bytes in base64url for each 18 of some random bytes."""
    count = len(random_bytes) // SALT_STRIDE
    # Two zero bytes after each salt make every text start at a whole character: all are encoded in one go.
    padded = bytearray(random_bytes)
    padded[16::SALT_STRIDE] = bytes(count)
    padded[17::SALT_STRIDE] = bytes(count)
    text = binascii.b2a_base64(padded, newline=False).translate(_URL_SAFE)
    return [text[start : start + SALT_CHARACTERS] for start in range(0, 24 * count, 24)]


_TOPICS: Final = b'"topics":'
_NO_SALT: Final = _CUT + b'"'
_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")


def event_id_text(event: bytes) -> bytes:
    """Return the text of a stored event's id."""
    return event[ID_SLICE]


def event_index(event: bytes) -> int:
    """Return the index of a stored event."""
    return int(event[_INDEX_AT : event.index(b",", _INDEX_AT)])


def split_event(event: bytes) -> tuple[bytes, bytes]:
    """Return a stored event's header and payload, or what is left of it; both together are the event."""
    at = len(event) - _ERASED_BYTES if is_erased(event) else event.index(_CUT)
    return event[:at], event[at:]


def payload_start(event: bytes) -> int:
    """Return where the payload of a stored event begins; of a body, too."""
    return event.index(_CUT)


def is_erased(event: bytes) -> bool:
    """Return whether a stored event's payload has been erased.

    By its end: no member that a caller fills can end like that, as quotes inside a text are escaped.
    """
    return event[_ERASED_AT] == _ERASED


def erase_event(event: bytes) -> bytes:
    """Return what is stored of an event once it is erased: header and SHA-256 of the payload. Erasing twice is once."""
    header, payload = split_event(event)
    if is_erased(event):
        return event
    digest = binascii.b2a_base64(hashlib.sha256(payload).digest(), newline=False).translate(_URL_SAFE)
    return b"".join((header, _ERASED, digest[:_HASH_CHARACTERS], b'"}'))


def decode_event(event: bytes) -> Event:
    """Return the event of its stored JSON.

    Raises:
        msgspec.MsgspecError, UnicodeDecodeError: the bytes are no event.
    """
    return _decoder.decode(event)


def join_events(events: Sequence[bytes]) -> bytes:
    """Return a JSON array of stored events."""
    return b"[" + b",".join(events) + b"]"


def decode_events(events: Sequence[bytes]) -> list[Event]:
    """Return the events of their stored JSON, decoded in one go."""
    return _list_decoder.decode(join_events(events))


def event_topics(event: bytes) -> list[Topic]:
    """Return the topics of a stored event, decoding no more than them."""
    return _topics_decoder.decode(event).topics


def event_value(event: bytes) -> int:
    """Return a stored event's id as an integer."""
    return value_of(event[ID_SLICE])
