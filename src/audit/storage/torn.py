"""The last write before a power cut, which may be there in part; LevelDB takes it for damage, and refuses the store.

A file system may have kept the new size of the write-ahead log, but not each sector of what was being written: such a
sector reads as zeros. Only the newest record can be like that, since a write begins once the one before it is synced;
it was never acknowledged. So what is cut off is the last record, only if a sector of it is all zeros, and only if
LevelDB finds nothing wrong with all that is before it: a bit that flipped is none of that, and stays an error.

What reads as anything but zeros stays an error, too: a file system does not give out what others wrote before, and what
was acknowledged and damaged later could not be told from it. A store that was closed in order has nothing in its
write-ahead log (`LevelDBStorage.close`), so none of this touches it. No record of ours has a sector of zeros in it.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["TornTail", "cut_torn_tail", "torn_at"]

# LevelDB's log: records with checksum, length and kind before their data. Each, or each part of one, is in one block.
_BLOCK: Final = 32 * 1024
_HEADER: Final = struct.Struct("<IHB")
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_SECTOR: Final = 512
# Fewer zeros, in the first sector of a record, may stand there by chance.
_FEWEST: Final = 8


class TornTail(NamedTuple):
    """What was cut off a file."""

    file: Path
    start: int
    content: bytes

    def restore(self) -> None:
        """Put it back."""
        with self.file.open("r+b") as file:
            file.seek(self.start)
            file.write(self.content)


def cut_torn_tail(path: Path) -> TornTail | None:
    """Cut the last record off the newest write-ahead log of a database, if it was torn by a power cut.

    Nobody may have the database open. Whoever calls opens it then, and if that fails, restores what was cut.
    """
    logs = [file for file in path.glob("*.log") if file.stem.isdecimal()]
    if not logs:
        return None
    file = max(logs, key=lambda one: int(one.stem))
    content = file.read_bytes()
    start = torn_at(content)
    if start is None:
        return None
    with file.open("r+b") as stream:
        stream.truncate(start)
    return TornTail(file, start, content[start:])


def torn_at(content: bytes) -> int | None:
    """Return where the last record of a log starts, if a sector of it is all zeros."""
    start = _last_record(content)
    end = len(content)
    for sector in range(start - start % _SECTOR, end, _SECTOR):
        piece = content[max(start, sector) : sector + _SECTOR]
        if (len(piece) >= _FEWEST or sector + _SECTOR >= end) and not any(piece):
            return start
    return None


def _last_record(content: bytes) -> int:
    """Return where the last record starts: one in several blocks, with its first part."""
    start = at = 0
    inside = False
    while at + _HEADER.size <= len(content):
        left = _BLOCK - at % _BLOCK
        if left < _HEADER.size:
            at += left
            continue
        _, length, kind = _HEADER.unpack_from(content, at)
        if not inside:
            start = at
        if kind not in {_FULL, _FIRST, _MIDDLE, _LAST} or length > left - _HEADER.size:
            break
        inside = kind in {_FIRST, _MIDDLE}
        at += _HEADER.size + length
    return start
