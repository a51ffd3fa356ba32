"""Keys of the store: one letter for the kind of record, then what orders it. Byte order is id order.

    B  segment id, chunk     256 events' JSON, in compressed blocks
    C  id of first event     a commit not yet sealed
    D  name, pane            a registered metric, and its panes
    H  level, number         a full tile of the Merkle tree
    I  key's digest          where an idempotency key's events are
    K  segment id            the idempotency keys of a segment's events
    M  name                  metadata: format, store id, bounds; how far call keys have expired; the tree's root
    N  size                  a signed checkpoint: the newest
    P  term, segment id      posting list
    R  level, topic, number  events of a topic by minute, hour or day
    S  segment id            a segment's directory
    T  parent, child         events of a sealed topic, counted
    X  id of erasure         an erasure whose bytes may still be in some file
    ~                        the end: every seek lands on a record

A segment's id is the id of its first event.
"""

from __future__ import annotations

from typing import Final

from audit.codec.terms import term_of_topic
from audit.model.ids import format_id_bytes
from audit.model.topic import Topic, format_topic

__all__ = [
    "CHECKPOINT",
    "CHUNK",
    "COMMIT",
    "END",
    "ERASURE",
    "EXPIRED",
    "ID_BYTES",
    "META",
    "METRIC",
    "PANE",
    "PANE_ZERO",
    "POSTING",
    "RECEIPT",
    "ROLLUP",
    "SEGMENT",
    "SEGMENT_RECEIPTS",
    "TILE",
    "TOPIC",
    "TREE",
    "describe",
    "id_key",
    "key_of_checkpoint",
    "key_of_chunk",
    "key_of_tile",
    "key_of_topic",
    "prefix_of_children",
    "prefix_of_postings",
]

CHUNK: Final = b"B"
COMMIT: Final = b"C"
METRIC: Final = b"Dm"
PANE: Final = b"Dp"
TILE: Final = b"H"
CHECKPOINT: Final = b"N"
RECEIPT: Final = b"I"
SEGMENT_RECEIPTS: Final = b"K"
META: Final = b"Mformat"
EXPIRED: Final = b"Mexpired"
TREE: Final = b"Mtree"
POSTING: Final = b"P"
ROLLUP: Final = b"R"
SEGMENT: Final = b"S"
TOPIC: Final = b"T"
ERASURE: Final = b"X"
END: Final = b"~"
ID_BYTES: Final = 16
PANE_ZERO: Final = 1 << 63
"""Added to a pane's start, so that bytes order panes as times do."""


def id_key(value: int) -> bytes:
    """Return an id as the 16 bytes keys hold; past the last id, bytes above them all."""
    return b"\xff" * (ID_BYTES + 1) if value >> 128 else value.to_bytes(ID_BYTES, "big")


def key_of_chunk(segment: bytes, chunk: int) -> bytes:
    """Return the key of a segment's n-th chunk."""
    return CHUNK + segment + chunk.to_bytes(1, "big")


def key_of_tile(level: int, number: int) -> bytes:
    """Return the key of a tile of the Merkle tree; level 0 has the leaves."""
    return TILE + level.to_bytes(1, "big") + number.to_bytes(8, "big")


def key_of_checkpoint(size: int) -> bytes:
    """Return the key of the checkpoint of a log of so many events."""
    return CHECKPOINT + size.to_bytes(8, "big")


def prefix_of_postings(term: bytes) -> bytes:
    """Return what the keys of a term's posting lists start with; a segment's id completes one."""
    return POSTING + term


def prefix_of_children(parent: Topic) -> bytes:
    """Return what the keys of a topic's children start with; the child's last segment completes one."""
    return TOPIC + term_of_topic(parent)[1:]


def key_of_topic(topic: Topic) -> bytes:
    """Return the key of a topic's count."""
    return prefix_of_children(topic[:-1]) + topic[-1].encode()


_NAMES: Final = {
    CHECKPOINT: "checkpoint",
    CHUNK: "chunk",
    COMMIT: "commit",
    METRIC[:1]: "metric",
    RECEIPT: "receipt",
    SEGMENT_RECEIPTS: "receipts of segment",
    POSTING: "posting list",
    ROLLUP: "rollup",
    SEGMENT: "segment",
    TILE: "tile",
    TOPIC: "topic count",
    ERASURE: "erasure",
    META[:1]: "metadata",
    END: "end mark",
}


def describe(key: bytes) -> str:
    """Return a record's name for people: its kind and the event or value that it belongs to."""
    kind = key[:1]
    name = _NAMES.get(kind, "unknown record")
    if kind in (COMMIT, ERASURE, SEGMENT, SEGMENT_RECEIPTS) and len(key) == 1 + ID_BYTES:
        return f"{name} {format_id_bytes(key[1:])}"
    if kind == CHUNK and len(key) == 2 + ID_BYTES:
        return f"{name} {key[-1]} of segment {format_id_bytes(key[1:-1])}"
    if kind == TILE and len(key) == 10:  # noqa: PLR2004 - a letter, a level and a number
        return f"{name} {int.from_bytes(key[2:], 'big')} of level {key[1]}"
    if kind == CHECKPOINT and len(key) == 9:  # noqa: PLR2004 - a letter and a size
        return f"{name} of {int.from_bytes(key[1:], 'big')} events"
    if kind == POSTING and len(key) > 4 + ID_BYTES:
        return f"{name} of {_term_name(key[1:-ID_BYTES])} in segment {format_id_bytes(key[-ID_BYTES:])}"
    if kind == TOPIC and len(key) > 3:  # noqa: PLR2004 - a letter and a length
        parent = 3 + int.from_bytes(key[1:3], "big")
        topic = [*_segments(key[3:parent]), key[parent:].decode(errors="replace")]
        return f"{name} of {format_topic(topic)}"
    if kind == META[:1]:
        return f"{name} {key[1:].decode(errors='replace')!r}"
    if kind == ROLLUP and len(key) >= 8:  # noqa: PLR2004 - two letters, a length and a number
        level = _LEVEL_NAMES.get(key[1:2], "unknown")
        return f"{name} by {level} number {int.from_bytes(key[-4:], 'big')} of {format_topic(_segments(key[4:-4]))}"
    if key.startswith(METRIC):
        return f"{name} {key[2:].decode(errors='replace')}"
    if key.startswith(PANE) and len(key) >= 11:  # noqa: PLR2004 - two letters, a zero byte and a time
        start = int.from_bytes(key[-8:], "big", signed=False) - PANE_ZERO
        return f"pane {start} of {name} {key[2:-9].decode(errors='replace')}"
    return f"{name} {key[1:].hex()}"


_LEVEL_NAMES: Final = {b"m": "minute", b"h": "hour", b"d": "day"}
_TERM_NAMES: Final = {b"c": "action", b"a": "actor", b"o": "outcome", b"r": "request", b"g": "target"}


def _term_name(term: bytes) -> str:
    value = term[3:]
    if term[:1] == b"t":
        return f"topic {format_topic(_segments(value))}"
    return f"{_TERM_NAMES.get(term[:1], 'term')} {value.decode(errors='replace')!r}"


def _segments(value: bytes) -> list[str]:
    """Return a topic's segments, as far as they can be read."""
    parts = []
    at = 0
    while at < len(value):
        parts.append(value[at + 1 : at + 1 + value[at]].decode(errors="replace"))
        at += 1 + value[at]
    return parts
