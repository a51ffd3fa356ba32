"""Pieces of what is in memory: which events match, and how many a minute, is what looking at each of them says."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from audit.codec.events import decode_event, event_index
from audit.codec.segments import Layout
from audit.codec.terms import Match, event_terms, term_of_action, term_of_topic
from audit.log import pieces
from audit.log.pieces import next_piece
from audit.metrics.fields import recorded_ms
from audit.storage.options import StoreOptions
from audit.testing.clock import FakeClock
from audit.testing.logs import memory_log
from tests.streams import random_event

MATCHES = [
    Match((), ()),
    Match((term_of_topic(("node",)),), ()),
    Match((term_of_action("up"), term_of_action("down")), (term_of_topic(("vault",)),)),
    Match((term_of_topic(("no", "such")),), ()),
]


def matches(match: Match, event: bytes) -> bool:
    terms = set(event_terms(decode_event(event)))
    return terms.issuperset(match.all_of) and (not match.any_of or not terms.isdisjoint(match.any_of))


@pytest.mark.parametrize("seed", range(10))
def test_pieces_cover_memory_and_say_what_matches(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "_EVENTS", 20)
    choose = random.Random(seed)
    clock = FakeClock()
    layout = Layout(segment_events=16, chunk_blocks=2, block_events=4)
    with memory_log(layout=layout, clock=clock, options=StoreOptions(recent_bytes=30_000), seed=seed) as log:
        for _ in range(60):
            clock.advance(choose.choice([0, 7, 20_000]))
            log.append_many([random_event(choose, clock.wall_ms()) for _ in range(choose.randrange(1, 6))])
        snapshot = log._core.sequencer.snapshot
        assert snapshot.first_index > 0
        assert next_piece(snapshot, snapshot.first_index - 1) is None
        assert next_piece(snapshot, snapshot.size) is None
        at = choose.randrange(snapshot.first_index, snapshot.size)
        while at < snapshot.size:
            piece = next_piece(snapshot, at)
            assert piece is not None
            assert [event_index(event) for event in piece.events] == list(range(at, at + piece.size))
            for match in MATCHES:
                expected = [place for place, event in enumerate(piece.events) if matches(match, event)]
                assert list(piece.places(match)) == expected
                for unit_ms in (1_000, 60_000):
                    counted = Counter({ms // unit_ms: 0 for ms in map(recorded_ms, piece.events)})
                    counted.update(recorded_ms(piece.events[place]) // unit_ms for place in expected)
                    found: Counter[int] = Counter()
                    for ms, count in piece.count(match, unit_ms).items():
                        found[ms // unit_ms] += count
                    assert found == counted
            at += piece.size
            assert piece.end.index == at - 1
        assert at == snapshot.size
