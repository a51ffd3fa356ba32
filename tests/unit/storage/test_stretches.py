"""Stretches: whatever is said of a place is what is there, however they were cut, joined and thrown out."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from audit.codec.terms import Match
from audit.storage.stretches import Stretch, Stretches

MATCHES = (Match((), (b"a",)), Match((), (b"b",)))
HITS = ([1, 2, 5, 8, 9], range(0, 20, 3))
"""Segments, by number, in which each of them matches."""


def key(number: int) -> bytes:
    return number.to_bytes(1, "big")


def truth(match: int, low: bytes, high: bytes) -> tuple[list[bytes], list[Sequence[int]]]:
    found = [number for number in HITS[match] if low <= key(number) < high]
    return [key(number) for number in found], [bytes([number, number + 1]) for number in found]


def walked(match: int, low: bytes, high: bytes) -> Stretch:
    return Stretch(MATCHES[match], low, high, *truth(match, low, high))


PLACES = st.tuples(st.integers(0, 1), st.integers(0, 20), st.integers(0, 20), st.booleans())


@given(st.lists(PLACES), st.sampled_from([0, 500, 2_000, 1 << 20]))
def test_a_stretch_says_what_is_there(walks: list[tuple[int, int, int, bool]], most: int) -> None:
    stretches = Stretches(most)
    known: list[set[int]] = [set(), set()]
    for match, start, stop, behind in walks:
        # Bounds lie on segments, or right behind them.
        low, high = key(min(start, stop)), key(max(start, stop)) + b"\0" * (1 + behind)
        stretches.add(walked(match, low, high))
        known[match].update(range(min(start, stop), max(start, stop) + 1))
        for one in range(2):
            for number in range(21):
                for found in (
                    stretches.holding(MATCHES[one], key(number)),
                    stretches.before(MATCHES[one], key(number) + b"\0"),
                ):
                    assert found is not None or most < 1 << 20 or number not in known[one]
                    if found is not None:
                        assert found.low <= key(number) < found.high
                        assert (found.segments, found.positions) == truth(one, found.low, found.high)


def test_the_match_not_asked_for_longest_is_thrown_out() -> None:
    stretches = Stretches(walked(0, key(0), key(3)).size_bytes + walked(1, key(0), key(3)).size_bytes)
    stretches.add(walked(0, key(0), key(3)))
    stretches.add(walked(1, key(0), key(3)))
    assert stretches.holding(MATCHES[0], key(1)) is not None
    stretches.add(walked(1, key(10), key(11)))
    assert stretches.holding(MATCHES[0], key(1)) is not None
    assert stretches.holding(MATCHES[1], key(1)) is None
    stretches.clear()
    assert stretches.holding(MATCHES[0], key(1)) is None
