"""Reading ahead, so that the first to ask after a restart do not wait for the disk, one after the other.

The newest segments are read, as far as what is kept has room for them; what was kept before stays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from audit.codec.keys import SEGMENT
from audit.codec.segments import decode_directory
from audit.storage.kept import Kept
from audit.storage.leveldb_read import SealedReader

__all__ = ["keep_newest"]

_BEYOND: Final = SEGMENT + b"\xff" * 17


def keep_newest(reader: SealedReader, kept: Kept, block_events: int, expired: Callable[[], bool]) -> None:
    """Keep the newest segments, until there is no more room for one or `expired` says so.

    Args:
        reader: Reads them; closed by the caller.
        kept: What it keeps them in.
        block_events: Events of a block.
        expired: Asked after each segment.
    """
    iterator = reader.new_iterator(verify=False)
    # The end mark makes it land somewhere, so that stepping back is possible.
    iterator.seek(_BEYOND)
    iterator.prev()
    segments = []
    largest = 0
    while iterator.valid() and (key := iterator.key()).startswith(SEGMENT):
        segment = key[1:]
        directory = decode_directory(key, iterator.value())
        kept.directories.add(segment, directory)
        before = kept.blocks.size_bytes
        for number in range(-(-directory.length // block_events)):
            reader.load(segment, number)
        segments.append(segment)
        largest = max(largest, kept.blocks.size_bytes - before)
        if kept.blocks.size_bytes + largest > kept.blocks.max_bytes or kept.directories.full or expired():
            break
        iterator.prev()
    # In the order of their age: the newest are to be thrown out last.
    for segment in reversed(segments):
        kept.blocks.get(segment)
