"""Posting lists: set arithmetic on sorted positions, of lists that are sealed or still growing."""

from hypothesis import given
from hypothesis import strategies as st

from audit.codec.postings import intersect, match_positions, unite
from audit.codec.terms import Match

LISTS = st.lists(st.integers(0, 30), unique=True, max_size=20).map(sorted)
TERMS = [b"a", b"b", b"c"]


@given(st.lists(LISTS, min_size=1, max_size=4), st.booleans())
def test_union_and_intersection_are_those_of_sets(lists: list[list[int]], packed: bool) -> None:
    given_lists = [bytes(one) for one in lists] if packed else lists
    assert list(unite(given_lists)) == sorted(set().union(*lists))
    assert list(intersect(given_lists)) == sorted(set(lists[0]).intersection(*lists))


@given(
    st.dictionaries(st.sampled_from(TERMS), LISTS),
    st.lists(st.sampled_from(TERMS), max_size=3),
    st.lists(st.sampled_from(TERMS), max_size=3),
    st.integers(0, 32),
)
def test_matching_is_any_of_some_and_all_of_others(
    known: dict[bytes, list[int]], any_of: list[bytes], all_of: list[bytes], count: int
) -> None:
    found = match_positions(Match(tuple(any_of), tuple(all_of)), known.get, count)
    expected = [
        position
        for position in range(count)
        if (not any_of or any(position in known.get(term, ()) for term in any_of))
        and all(position in known.get(term, ()) for term in all_of)
    ]
    assert list(found) == expected


@given(st.integers(0, 5), st.sampled_from([Match((b"t",), ()), Match((), (b"t",)), Match((b"t", b"u"), ())]))
def test_what_the_writer_adds_later_stays_unseen(count: int, match: Match) -> None:
    # The head grows in place before its commit is published: a reader's answer must not grow with it.
    growing = list(range(count))
    found = match_positions(match, {b"t": growing}.get, count)
    growing.append(count)
    assert list(found) == list(range(count))
