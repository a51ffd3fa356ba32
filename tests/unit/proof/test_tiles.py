"""Paths of tiles, their widths, and entry bundles: the examples of C2SP tlog-tiles, and round trips."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.model.errors import ProofMalformed
from audit.proof.tiles import ENTRIES, TileName, decode_bundle, encode_bundle, parse_tile_path, tile_widths

names = st.builds(TileName, st.integers(ENTRIES, 63), st.integers(0, 2**64), st.integers(1, 256))


@pytest.mark.parametrize(
    ("name", "path"),
    [
        (TileName(0, 0), "tile/0/000"),
        (TileName(0, 273, 112), "tile/0/273.p/112"),
        (TileName(1, 1, 17), "tile/1/001.p/17"),
        (TileName(63, 999), "tile/63/999"),
        (TileName(2, 1000, 1), "tile/2/x001/000.p/1"),
        (TileName(ENTRIES, 1234067), "tile/entries/x001/x234/067"),
        (TileName(ENTRIES, 0, 255), "tile/entries/000.p/255"),
    ],
)
def test_path_is_that_of_the_specification(name: TileName, path: str) -> None:
    assert name.path == path
    assert parse_tile_path(path) == name


@given(names)
def test_path_round_trips(name: TileName) -> None:
    assert parse_tile_path(name.path) == name


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0/0",
        "tile/0/00",
        "tile/0/1000",
        "tile/0/x000/001",
        "tile/0/001/002",
        "tile/0/x001",
        "tile/64/000",
        "tile/00/000",
        "tile/-1/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/000\n",
        "tile/0/\u0660\u0660\u0660",
        "/tile/0/000",
        "tile/data/000",
    ],
)
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(ProofMalformed, match=r"^path: is no path of a tile"):
        parse_tile_path(path)


@pytest.mark.parametrize(
    ("size", "widths"), [(0, []), (1, [1]), (255, [255]), (256, [0, 1]), (70_000, [112, 17, 1]), (65_536, [0, 0, 1])]
)
def test_widths_of_partial_tiles(size: int, widths: list[int]) -> None:
    assert tile_widths(size) == widths


@given(st.lists(st.binary(max_size=300), max_size=10))
def test_bundle_round_trips(entries: list[bytes]) -> None:
    assert decode_bundle(encode_bundle(entries)) == entries


def test_the_longest_entry_fits_and_a_cut_bundle_is_refused() -> None:
    bundle = encode_bundle([b"a", b"", b"x" * 65_535])
    assert [len(entry) for entry in decode_bundle(bundle)] == [1, 0, 65_535]
    for cut in (1, 2, 4, 6, 7, len(bundle) - 1):
        with pytest.raises(ProofMalformed, match=r"^bundle: ends within entry"):
            decode_bundle(bundle[:cut])
