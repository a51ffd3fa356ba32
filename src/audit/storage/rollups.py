"""Rollups in LevelDB: written with each segment that is sealed, read as of one moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import lru_cache
from itertools import groupby
from typing import Any, Final

from cachetools import LRUCache

from audit.codec.events import event_value
from audit.codec.rollups import LEVELS, MINUTE, Level, decode_rollup, encode_rollup, prefix_of_rollups, rollup_key
from audit.codec.segments import Segment
from audit.codec.terms import TOPIC, topic_of_term
from audit.model.ids import RANDOM_BITS
from audit.model.topic import Topic
from audit.storage.port import RollupRange

__all__ = ["RollupWriter", "add_minutes", "minutes_of", "read_rollups"]

_CACHE: Final = 16_384
_EVERYTHING: Final[Topic] = ()


def minutes_of(
    events: Sequence[bytes], postings: Mapping[bytes, Sequence[int]]
) -> Iterator[tuple[Topic, Mapping[int, int]]]:
    """Yield each topic of a segment, everything among them, with its events by minute since 1970."""
    first, last = _minute(events[0]), _minute(events[-1])
    if first == last:
        # A busy log fills segments within a minute.
        yield _EVERYTHING, {first: len(events)}
        for topic, positions in _topics(postings):
            yield topic, {first: len(positions)}
        return
    minutes = list(map(_minute, events))
    yield _EVERYTHING, Counter(minutes)
    for topic, positions in _topics(postings):
        yield topic, Counter([minutes[position] for position in positions])


def _minute(event: bytes) -> int:
    return (event_value(event) >> RANDOM_BITS) // MINUTE.unit_ms


def _topics(postings: Mapping[bytes, Sequence[int]]) -> Iterator[tuple[Topic, Sequence[int]]]:
    for term, positions in postings.items():
        topic = topic_of_term(term) if term[0] == TOPIC[0] else None
        if topic is not None:
            yield topic, positions


@lru_cache(_CACHE)
def _prefixes(topic: Topic) -> tuple[bytes, ...]:
    return tuple([prefix_of_rollups(topic, level) for level in LEVELS])


def add_minutes(
    records: dict[bytes, dict[int, int]],
    topic: Topic,
    minutes: Mapping[int, int],
    read: Callable[[bytes, Level], dict[int, int]],
) -> None:
    """Add a topic's events by minute to its records of each level; `read` returns those not among them yet."""
    for level, prefix in zip(LEVELS, _prefixes(topic), strict=True):
        size = level.unit_ms // MINUTE.unit_ms
        for minute, count in minutes.items():
            number, place = divmod(minute // size, level.counts)
            key = rollup_key(prefix, number)
            counts = records.get(key)
            if counts is None:
                counts = records[key] = read(key, level)
            counts[place] = counts.get(place, 0) + count


class RollupWriter:
    """Adds segments to rollups. The writer's alone; keeps those written last, to be added to without reading them."""

    def __init__(self, database: Any) -> None:
        self._database = database
        self._kept: LRUCache[bytes, dict[int, int]] = LRUCache(_CACHE)

    def added(self, segments: Sequence[Segment]) -> dict[bytes, dict[int, int]]:
        """Return the records that segments change, by key; `written` makes it count."""
        records: dict[bytes, dict[int, int]] = {}
        for segment in segments:
            for topic, minutes in minutes_of(segment.events, segment.postings):
                add_minutes(records, topic, minutes, self._read)
        return records

    def _read(self, key: bytes, level: Level) -> dict[int, int]:
        known = self._kept.get(key)
        if known is not None:
            return dict(known)
        record = self._database.get(key, verify_checksums=True)
        return {} if record is None else decode_rollup(key, record, level)

    def put(self, puts: Any, records: Mapping[bytes, Mapping[int, int]]) -> None:
        """Put changed records into a LevelDB batch."""
        for key, counts in records.items():
            puts.put(key, encode_rollup(key, counts))

    def written(self, records: Mapping[bytes, dict[int, int]]) -> None:
        """Take note that records are on disk."""
        self._kept.update(records)


def read_rollups(snapshot: Any, topic: Topic, ranges: Sequence[RollupRange]) -> dict[int, int]:
    """Return a topic's counts in some ranges of time, by the start of each.

    Raises:
        StoreCorrupt: a record is damaged.
    """
    found: dict[int, int] = {}
    with closing(snapshot.raw_iterator(verify_checksums=True)) as iterator:
        for level, some in groupby(ranges, key=lambda one: one.level):
            prefix = prefix_of_rollups(topic, level)
            for one in some:
                _read_range(iterator, prefix, one, found)
    return found


def _read_range(iterator: Any, prefix: bytes, wanted: RollupRange, found: dict[int, int]) -> None:
    level = wanted.level
    iterator.seek(rollup_key(prefix, wanted.low_ms // level.record_ms))
    while iterator.valid():
        key: bytes = iterator.key()
        if not key.startswith(prefix):
            return
        start_ms = int.from_bytes(key[-4:], "big") * level.record_ms
        if start_ms >= wanted.high_ms:
            return
        for place, count in decode_rollup(key, iterator.value(), level).items():
            ms = start_ms + place * level.unit_ms
            if wanted.low_ms <= ms < wanted.high_ms:
                found[ms] = found.get(ms, 0) + count
        iterator.next()
