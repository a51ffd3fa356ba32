"""Sizes of one store's buffers and caches, so that several stores in one process can share a budget."""

from __future__ import annotations

import msgspec

__all__ = ["StoreOptions"]

_MIB = 1024 * 1024


class StoreOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much memory and disk a store may use for itself.

    Attributes:
        write_buffer_bytes: LevelDB's write buffer; up to two exist. Larger: fewer tables, slower appends and opening.
        driver_cache_bytes: LevelDB's own cache of table blocks.
        block_cache_bytes: What is kept of sealed events: decompressed blocks, and where searches found what.
        recent_bytes: Newest events, kept in memory with their posting lists.
        queue_events: Events that may wait for the writer.
        queue_bytes: Encoded bytes that may wait for the writer.
        min_free_bytes: Appends are refused while the disk has less free space than this.
        reserve_bytes: Size of the file that is given up when the disk is full, so that the store can be reopened.
    """

    write_buffer_bytes: int = 8 * _MIB
    driver_cache_bytes: int = 8 * _MIB
    block_cache_bytes: int = 64 * _MIB
    recent_bytes: int = 8 * _MIB
    queue_events: int = 10_000
    queue_bytes: int = 64 * _MIB
    min_free_bytes: int = 128 * _MIB
    reserve_bytes: int = 32 * _MIB
