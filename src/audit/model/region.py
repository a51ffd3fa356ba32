"""Regions of topics: which topics belong to one, and of which all that is nested below belongs to it, too.

A region is said by what holds at some named topics and below each of them, up to the next one that is named. That
covers everything below some topics, all but what lies below others, and single topics; and what two regions share.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from audit.model.topic import Topic

__all__ = ["EVERYTHING", "NOTHING", "Extent", "Region"]


class Extent(NamedTuple):
    """What holds at a named topic.

    Attributes:
        here: Whether the topic itself belongs to the region.
        below: Whether what is nested below it does, as long as no nearer topic is named.
    """

    here: bool
    below: bool


class Region:
    """Some topics. Immutable; every question costs as many look-ups as the topic has segments, at most."""

    __slots__ = ("_extents", "_holed", "_leading")

    def __init__(self, extents: Mapping[Topic, Extent]) -> None:
        """Take what holds at the named topics; of everything else nothing belongs to the region."""
        named: dict[Topic, Extent] = {(): extents.get((), Extent(here=False, below=False))}
        for topic in sorted(extents, key=len):
            below = named[_nearest(named, topic)].below
            if not topic or extents[topic] != (below, below):
                named[topic] = extents[topic]
        self._extents = named
        self._holed = _paths(topic for topic, extent in named.items() if not (extent.here and extent.below))
        """Topics at or below which something does not belong to the region."""
        self._leading = _paths(topic for topic, extent in named.items() if extent.below)
        """Topics at or below which some topic is in the region with all that is below it."""

    @classmethod
    def below(cls, topics: Iterable[Topic]) -> Region:
        """Return the region of some topics and all that is nested below them."""
        return _below(tuple(topics))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Region) and self._extents == other._extents

    def __hash__(self) -> int:
        return hash(frozenset(self._extents.items()))

    def __repr__(self) -> str:
        return f"Region({self._extents})"

    def __bool__(self) -> bool:
        """Return whether any topic belongs to it."""
        return any(extent.here or extent.below for extent in self._extents.values())

    def __and__(self, other: Region) -> Region:
        """Return what belongs to both."""
        extents = {}
        for topic in (*self._extents, *other._extents):
            one, two = self._at(topic), other._at(topic)
            extents[topic] = Extent(one.here and two.here, one.below and two.below)
        return Region(extents)

    def covers(self, topic: Topic) -> bool:
        """Return whether a topic belongs to it, by itself."""
        return self._at(topic).here

    def whole(self, topic: Topic) -> bool:
        """Return whether a topic belongs to it with all that is, or may ever be, nested below."""
        return topic not in self._holed and self._extents[_nearest(self._extents, topic)].below

    def unnamed(self, topic: Topic) -> bool:
        """Return whether the children of a topic belong to it, each whole, other than those that lead to named ones."""
        return self._extents[_nearest(self._extents, topic)].below

    def leads(self, topic: Topic) -> bool:
        """Return whether a topic, or one below it, belongs to it whole."""
        return topic in self._leading or self.unnamed(topic)

    def named(self, topic: Topic) -> set[str]:
        """Return the last segments of the children of a topic that are named, or lead to what is."""
        depth = len(topic)
        return {found[depth] for found in self._extents if len(found) > depth and found[:depth] == topic}

    def _at(self, topic: Topic) -> Extent:
        extent = self._extents.get(topic)
        if extent is None:
            below = self.unnamed(topic)
            extent = Extent(below, below)
        return extent


def _nearest(extents: Mapping[Topic, Extent], topic: Topic) -> Topic:
    """Return the longest of a topic's ancestors, or itself, that is named."""
    while topic not in extents and topic:
        topic = topic[:-1]
    return topic


def _paths(topics: Iterable[Topic]) -> frozenset[Topic]:
    return frozenset(topic[:length] for topic in topics for length in range(len(topic) + 1))


@lru_cache(1_024)
def _below(topics: tuple[Topic, ...]) -> Region:
    """Return the same region for the same topics: a permission is asked for by every call."""
    return Region(dict.fromkeys(topics, Extent(here=True, below=True)))


EVERYTHING: Final = Region.below([()])
NOTHING: Final = Region({})
