"""The definitions of RFC 6962, section 2.1, word for word: slow, and what the package's trees are measured by."""

from collections.abc import Sequence
from hashlib import sha256

from audit.proof.frontier import Frontier
from audit.proof.tiles import ReadTile, Tile, TileName

__all__ = ["Stored", "consistency", "inclusion", "leaves", "root"]


def leaves(count: int) -> list[bytes]:
    return [sha256(b"\0" + str(number).encode()).digest() for number in range(count)]


def _split(count: int) -> int:
    middle = 1
    while middle * 2 < count:
        middle *= 2
    return middle


def root(below: Sequence[bytes]) -> bytes:
    if not below:
        return sha256(b"").digest()
    if len(below) == 1:
        return below[0]
    middle = _split(len(below))
    return sha256(b"\1" + root(below[:middle]) + root(below[middle:])).digest()


def inclusion(index: int, below: Sequence[bytes]) -> list[bytes]:
    if len(below) == 1:
        return []
    middle = _split(len(below))
    if index < middle:
        return [*inclusion(index, below[:middle]), root(below[middle:])]
    return [*inclusion(index - middle, below[middle:]), root(below[:middle])]


def consistency(old: int, below: Sequence[bytes], *, whole: bool = True) -> list[bytes]:
    if old == len(below):
        return [] if whole else [root(below)]
    middle = _split(len(below))
    if old <= middle:
        return [*consistency(old, below[:middle], whole=whole), root(below[middle:])]
    return [*consistency(old - middle, below[middle:], whole=False), root(below[:middle])]


class Stored:
    """A tree as a log keeps it: full tiles, and the frontier."""

    def __init__(self, *grown_by: int, known: Sequence[bytes] | None = None) -> None:
        self.leaves = list(leaves(sum(grown_by)) if known is None else known)
        self.tiles: dict[TileName, bytes] = {}
        self.frontier = Frontier()
        for count in grown_by:
            at = self.frontier.size
            self.frontier, full = self.frontier.grow(self.leaves[at : at + count])
            self.keep(full)

    def keep(self, full: list[Tile]) -> None:
        for name, hashes in full:
            assert name not in self.tiles
            assert name.width == 256
            assert len(hashes) == 8192
            self.tiles[name] = hashes

    @property
    def read(self) -> ReadTile:
        return self.frontier.reading(self.tiles.__getitem__)
