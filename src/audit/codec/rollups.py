"""Rollups: a topic's events by minute, hour and day, many of them in one record, so that years are few reads.

A record has the counts of one hour's minutes, of one day's hours, or of 64 days; each level is the one below it, added
up. Time is that of recording. The key is level, topic term without its kind, number of the record: so the records of
one topic and level lie next to each other, in order.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final, NamedTuple

from audit.codec.checksum import open_record, seal_record
from audit.codec.keys import ROLLUP, describe
from audit.codec.terms import term_of_topic
from audit.model.errors import StoreCorrupt
from audit.model.topic import Topic

__all__ = [
    "DAY",
    "HOUR",
    "LEVELS",
    "MINUTE",
    "Level",
    "decode_rollup",
    "encode_rollup",
    "prefix_of_rollups",
    "rollup_key",
]


class Level(NamedTuple):
    """One grain of time.

    Attributes:
        letter: In the key.
        unit_ms: What one count is of.
        counts: Counts in a record.
    """

    letter: bytes
    unit_ms: int
    counts: int

    @property
    def record_ms(self) -> int:
        """Time that one record is of."""
        return self.unit_ms * self.counts


MINUTE: Final = Level(b"m", 60_000, 60)
HOUR: Final = Level(b"h", 3_600_000, 24)
DAY: Final = Level(b"d", 86_400_000, 64)
LEVELS: Final = (MINUTE, HOUR, DAY)
_NUMBER: Final = struct.Struct(">I")


def prefix_of_rollups(topic: Topic, level: Level) -> bytes:
    """Return what the keys of a topic's rollups start with; the number of a record completes one."""
    return ROLLUP + level.letter + term_of_topic(topic)[1:]


def rollup_key(prefix: bytes, number: int) -> bytes:
    """Return the key of the n-th record: that of the times from n times its length on."""
    return prefix + _NUMBER.pack(number)


def encode_rollup(key: bytes, counts: Mapping[int, int]) -> bytes:
    """Return the record of some counts, by place: the first place, then one number for each up to the last."""
    first = min(counts)
    numbers = [counts.get(place, 0) for place in range(first, max(counts) + 1)]
    return seal_record(key, struct.pack(f"<B{len(numbers)}I", first, *numbers))


def decode_rollup(key: bytes, record: bytes, level: Level) -> dict[int, int]:
    """Return the counts of a record that are not 0, by place.

    Raises:
        StoreCorrupt: the checksum or the form is wrong.
    """
    body = open_record(key, record)
    many, rest = divmod(len(body) - 1, 4)
    if many < 1 or rest or body[0] + many > level.counts:
        raise StoreCorrupt(describe(key), f"holds {len(body)} bytes, which no counts have")
    first, *numbers = struct.unpack(f"<B{many}I", body)
    return {place: count for place, count in enumerate(numbers, first) if count}
