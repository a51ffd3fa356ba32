"""Topics: paths of segments, under which events are found. A query for a topic returns it and all nested below it.

A topic is a tuple of segments and never a joined string, so that `("a,b",)` can't hide `("a", "bc")`. Segments are in
Unicode's composed form (NFC), on append and on query alike.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final

from audit.model.errors import InvalidParameter

__all__ = ["INTERNAL_ROOT", "MAX_SEGMENTS", "MAX_SEGMENT_BYTES", "Topic", "format_topic", "parse_topic", "to_topic"]

Topic = tuple[str, ...]

MAX_SEGMENTS: Final = 16
MAX_SEGMENT_BYTES: Final = 128
INTERNAL_ROOT: Final = "audit"
"""First segment of the topics that belong to the log itself."""


def to_topic(value: object, parameter: str = "topic") -> Topic:
    """Return a topic from any sequence of segments, each checked and normalised.

    The empty topic is everything; an event's own topics must not be empty, which is for the caller to check.

    Raises:
        InvalidParameter: not a sequence of strings, over 16 segments, or a segment that is empty, over 128 bytes of
            UTF-8, or holds `/`, a control character or a lone surrogate.
    """
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        hint = f"; did you mean {tuple(value.split('/'))!r}?" if isinstance(value, str) and value else ""
        raise InvalidParameter(parameter, f"must be a sequence of segments, got {value!r:.80}{hint}")
    if len(value) > MAX_SEGMENTS:
        raise InvalidParameter(parameter, f"has {len(value)} segments, at most {MAX_SEGMENTS}")
    return tuple([_segment(part, f"{parameter}[{n}]") for n, part in enumerate(value)])


def _segment(part: object, parameter: str) -> str:
    if not isinstance(part, str):
        raise InvalidParameter(parameter, f"must be a string, got {type(part).__name__} {part!r:.80}")
    # A member of a string enum becomes the plain string that it is.
    part = str.__str__(part)
    part = unicodedata.normalize("NFC", part)
    try:
        size = len(part.encode())
    except UnicodeEncodeError as error:
        raise InvalidParameter(parameter, "must be valid UTF-8, holds a lone surrogate") from error
    if not 1 <= size <= MAX_SEGMENT_BYTES:
        raise InvalidParameter(parameter, f"must be 1-{MAX_SEGMENT_BYTES} bytes of UTF-8, has {size}")
    for character in part:
        if character == "/" or unicodedata.category(character) == "Cc":
            raise InvalidParameter(parameter, f"must not hold {character!r} (no '/' and no control characters)")
    return part


def format_topic(topic: Iterable[str]) -> str:
    """Return a topic as it is written on a command line, such as ``node/connection``; `/` is everything."""
    return "/".join(topic) or "/"


def parse_topic(text: str, parameter: str = "topic") -> Topic:
    """Return the topic written as ``node/connection``; the empty text and ``/`` are everything.

    Raises:
        InvalidParameter: an empty or malformed segment.
    """
    if text in ("", "/"):
        return ()
    return to_topic(text.split("/"), parameter)
