"""Tiles of C2SP tlog-tiles: 256 consecutive hashes of every eighth row of the tree, their paths, and entry bundles.

A tile of level L holds hashes of subtrees of 256**L events; tile N of it the subtrees N·256 to N·256+255. A partial
tile is the start of the full one, so whoever has more of a tile than a tree needs has what it needs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from audit.model.errors import ProofMalformed

__all__ = [
    "ENTRIES",
    "TILE_HEIGHT",
    "TILE_WIDTH",
    "ReadTile",
    "Tile",
    "TileName",
    "decode_bundle",
    "encode_bundle",
    "parse_tile_path",
    "tile_widths",
]

TILE_HEIGHT: Final = 8
TILE_WIDTH: Final = 1 << TILE_HEIGHT
ENTRIES: Final = -1
"""The level under which entry bundles are named."""


class TileName(NamedTuple):
    """Which tile.

    Attributes:
        level: 0 for leaf hashes, 1 for hashes above 256 leaves, 2 for 65,536 …; `ENTRIES` for an entry bundle.
        number: Its place within the level, from 0.
        width: Hashes (or entries) in it: 256, or less of a partial one.
    """

    level: int
    number: int
    width: int = TILE_WIDTH

    @property
    def path(self) -> str:
        """The path under a log's URL, such as `tile/0/x001/234.p/8`."""
        level = "entries" if self.level == ENTRIES else str(self.level)
        digits = str(self.number)
        digits = digits.zfill(-len(digits) // 3 * -3)
        groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
        place = "/".join([f"x{group}" for group in groups[:-1]] + groups[-1:])
        return f"tile/{level}/{place}" + (f".p/{self.width}" if self.width < TILE_WIDTH else "")


class Tile(NamedTuple):
    """A tile: its name, and its hashes back to back."""

    name: TileName
    hashes: bytes


ReadTile = Callable[[TileName], bytes]
"""Returns a tile's hashes back to back: as many as its name says or more, as a full tile serves for a partial one."""


def tile_widths(size: int) -> list[int]:
    """Return the width of the last, partial tile of each level of a tree of this size; 0 where there is none."""
    widths = []
    while size:
        widths.append(size % TILE_WIDTH)
        size //= TILE_WIDTH
    return widths


_PATH: Final = re.compile(r"tile/(0|[1-9][0-9]?|entries)/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?", re.ASCII)


def parse_tile_path(path: str) -> TileName:
    """Return the tile of a path under a log's URL.

    Raises:
        ProofMalformed: it is no path of C2SP tlog-tiles, or not the one spelling of it.
    """
    found = _PATH.fullmatch(path)
    if found is None:
        raise ProofMalformed("path", f"is no path of a tile: {path!r}")
    level = ENTRIES if found[1] == "entries" else int(found[1])
    name = TileName(level, int(found[2].replace("x", "").replace("/", "")), int(found[3] or TILE_WIDTH))
    # A number with more groups than it needs, a width of 256 or more, a level beyond 63.
    if level > _MAX_LEVEL or name.path != path:
        raise ProofMalformed("path", f"is no path of a tile: {path!r}")
    return name


_MAX_LEVEL: Final = 63


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """Return an entry bundle: each log entry after its length in two bytes."""
    # An event has at most 64 KiB, of which a payload's 33 bytes at least give way to a hash of 32: it always fits.
    return b"".join([len(entry).to_bytes(2, "big") + entry for entry in entries])


def decode_bundle(bundle: bytes) -> list[bytes]:
    """Return the log entries of an entry bundle.

    Raises:
        ProofMalformed: it ends within an entry.
    """
    entries: list[bytes] = []
    at = 0
    while at < len(bundle):
        start = at + 2
        at = start + int.from_bytes(bundle[at:start], "big")
        if start > len(bundle) or at > len(bundle):
            raise ProofMalformed("bundle", f"ends within entry {len(entries)}")
        entries.append(bundle[start:at])
    return entries
