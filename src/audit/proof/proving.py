"""Making proofs: the hashes a verifier needs, from tiles, for any size the tree has had.

A proof reads at most two tiles a level. The rows between those of the tiles are hashed anew, 255 hashes a tile, and
those of the last 64 tiles are remembered: of the upper levels there are few, and every proof goes through them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from audit.model.errors import InvalidParameter
from audit.proof.hashing import EMPTY_ROOT, HASH_BYTES, hash_row, join_peaks, split_point
from audit.proof.tiles import TILE_HEIGHT, TILE_WIDTH, ReadTile, TileName

__all__ = ["prove_consistency", "prove_inclusion", "read_hashes", "read_root"]


def prove_inclusion(index: int, size: int, read: ReadTile) -> list[bytes]:
    """Return the audit path of a leaf in the tree of the first `size` leaves, from the leaf's sibling up.

    Raises:
        InvalidParameter: the tree does not reach to the leaf.
    """
    if not 0 <= index < size:
        raise InvalidParameter("index", f"must be below the tree's size, {size}, is {index}")
    beside = []
    start, end = 0, size
    while end - start > 1:
        middle = start + split_point(end - start)
        if index < middle:
            beside.append((middle, end))
            end = middle
        else:
            beside.append((start, middle))
            start = middle
    return read_hashes(reversed(beside), size, read)


def prove_consistency(old_size: int, size: int, read: ReadTile) -> list[bytes]:
    """Return the proof that the tree of `size` leaves starts with all leaves of the one of `old_size`.

    Nothing need be proved of an empty tree, nor of two of one size.

    Raises:
        InvalidParameter: `old_size` is greater than `size`, or negative.
    """
    if not 0 <= old_size <= size:
        raise InvalidParameter("from", f"must be between 0 and the tree's size, {size}, is {old_size}")
    if old_size in {0, size}:
        return []
    beside = []
    start, end = 0, size
    while end != old_size:
        middle = start + split_point(end - start)
        if old_size <= middle:
            beside.append((middle, end))
            end = middle
        else:
            beside.append((start, middle))
            start = middle
    # From leaf 0 on, what is left is the old tree itself, whose root the verifier has.
    if start:
        beside.append((start, end))
    return read_hashes(reversed(beside), size, read)


def read_root(size: int, read: ReadTile) -> bytes:
    """Return the root of the tree of the first `size` leaves."""
    return read_hashes([(0, size)], size, read)[0] if size else EMPTY_ROOT


def read_hashes(ranges: Iterable[tuple[int, int]], size: int, read: ReadTile) -> list[bytes]:
    """Return the subtree hash of each range of leaves, from start to end, such as the tree of `size` is made of."""
    tiles: dict[tuple[int, int], tuple[bytes, ...]] = {}

    def node(height: int, number: int) -> bytes:
        level, row = divmod(height, TILE_HEIGHT)
        tile, first = divmod(number << row, TILE_WIDTH)
        rows = tiles.get((level, tile))
        if rows is None:
            if len(tiles) == _MAX_TILES:
                tiles.clear()
            width = min(TILE_WIDTH, (size >> TILE_HEIGHT * level) - tile * TILE_WIDTH)
            rows = tiles[level, tile] = _rows(read(TileName(level, tile, width)))
        at = (first >> row) * HASH_BYTES
        return rows[row][at : at + HASH_BYTES]

    return [join_peaks(node(height, number) for height, number in _peaks(*span)) for span in ranges]


def _peaks(start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield height and number of each subtree without a gap in a range, the last one first."""
    while start < end:
        # The last leaves form a subtree as wide as the lowest bit of how many there are.
        height = ((end - start) & (start - end)).bit_length() - 1
        end -= 1 << height
        yield height, end >> height


_MAX_TILES = 64


@lru_cache(_MAX_TILES)
def _rows(hashes: bytes) -> tuple[bytes, ...]:
    """Return the rows within a tile, hashes back to back: its own, the one of 2 each, of 4 … of 128."""
    rows = [hashes]
    for _ in range(TILE_HEIGHT - 1):
        rows.append(hash_row(rows[-1]))
    return tuple(rows)
