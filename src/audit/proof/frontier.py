"""The right edge of the tree: all that is needed to add leaves and to tell the root. Immutable, some KiB.

It holds the last, partial tile of each level. A commit whose write fails is undone by keeping the frontier from before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from audit.proof.hashing import EMPTY_ROOT, HASH_BYTES, fold, join_peaks
from audit.proof.tiles import TILE_WIDTH, ReadTile, Tile, TileName, tile_widths

__all__ = ["Frontier", "restore_frontier"]

_TILE_BYTES = TILE_WIDTH * HASH_BYTES


class Frontier(NamedTuple):
    """The tree of the first `size` events, as far as it can still change.

    Attributes:
        size: Number of leaves.
        partials: The hashes of each level's last tile, back to back, 0 to 255 of them.
    """

    size: int = 0
    partials: tuple[bytes, ...] = ()

    def grow(self, leaves: Sequence[bytes]) -> tuple[Frontier, list[Tile]]:
        """Return the frontier after these leaf hashes, and the tiles that became full, lower levels first.

        A leaf costs one node's hash, in one go when its tile is full.
        """
        full: list[Tile] = []
        partials: list[bytes] = []
        size, added = self.size, b"".join(leaves)
        level, rows = 0, len(leaves)
        while added or level < len(self.partials):
            held = self.partials[level] if level < len(self.partials) else b""
            number = (size >> 8 * level) // TILE_WIDTH
            row = held + added
            end = len(row) - len(row) % _TILE_BYTES
            tiles = [row[at : at + _TILE_BYTES] for at in range(0, end, _TILE_BYTES)]
            full += [Tile(TileName(level, number + place), hashes) for place, hashes in enumerate(tiles)]
            partials.append(row[end:])
            added = b"".join(map(fold, tiles))
            level += 1
        return Frontier(size + rows, tuple(partials)), full

    def root(self) -> bytes:
        """Return the root of the tree: at most 255 hashes a level."""
        if not self.size:
            return EMPTY_ROOT
        peaks = []
        for hashes in self.partials:
            end = len(hashes)
            width = end // HASH_BYTES
            # The peaks within a tile are as wide as the bits of its width; the narrowest is the last.
            while width:
                peak = (width & -width) * HASH_BYTES
                peaks.append(fold(hashes[end - peak : end]))
                end -= peak
                width &= width - 1
        return join_peaks(peaks)

    def reading(self, read_full: ReadTile) -> ReadTile:
        """Return what reads every tile of this tree, given what reads the full ones."""

        def read(name: TileName) -> bytes:
            level = name.level
            if level < len(self.partials) and name.number == (self.size >> 8 * level) // TILE_WIDTH:
                return self.partials[level]
            return read_full(TileName(level, name.number))

        return read


def restore_frontier(size: int, leaves: Sequence[bytes], read_full: ReadTile) -> Frontier:
    """Return the frontier of a tree from its full tiles and the leaf hashes after the last full tile of level 0.

    Upper rows are folded from the tiles below, at most 255 a level (some 80 ms each), so that no partial tile
    need be stored.
    """
    partials = [b"".join(leaves)]
    for level, width in enumerate(tile_widths(size)[1:], 1):
        first = (size >> 8 * level) - width
        partials.append(b"".join([fold(read_full(TileName(level - 1, first + at))) for at in range(width)]))
    return Frontier(size, tuple(partials) if size else ())
