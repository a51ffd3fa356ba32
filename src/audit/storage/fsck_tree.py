"""Checking the Merkle tree of a store: hashed again from the events, and compared tile by tile with what is stored.

A leaf that differs names its event: its bytes are not those that were committed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from audit.codec.events import event_id_text
from audit.codec.keys import TREE, describe, key_of_tile
from audit.proof.checkpoints import read_checkpoint
from audit.proof.frontier import Frontier
from audit.proof.hashing import HASH_BYTES
from audit.proof.leaves import leaf_hashes
from audit.proof.proving import read_root
from audit.proof.tiles import TILE_WIDTH, Tile, TileName
from audit.storage.port import TreeHead
from audit.storage.records import decode_checkpoint, decode_tile, decode_tree

__all__ = ["TreeCheck"]

Note = Callable[[str, str], None]


class TreeCheck:
    """The tree of the events read so far.

    Attributes:
        tiles: Full tiles that there must be.
    """

    def __init__(self, database: Any, note: Note) -> None:
        """Take a snapshot of the database, and what notes a finding: a record, and what is wrong with it."""
        self._database = database
        self._note = note
        self._tree = Frontier()
        self._ids: list[bytes] = []
        self.tiles = 0

    def add(self, events: Sequence[bytes]) -> None:
        """Hash the next events, and compare the tiles that they fill.

        Raises:
            ProofMalformed: an event can't be cut.
            StoreCorrupt: a tile is damaged or missing.
        """
        self._ids += [event_id_text(event) for event in events]
        self._tree, tiles = self._tree.grow(leaf_hashes(events))
        self.tiles += len(tiles)
        ids = self._ids
        self._ids = ids[len(ids) - self._tree.size % TILE_WIDTH :]
        for tile in tiles:
            stored = self._stored(tile.name)
            if tile.name.level == 0:
                own, ids = ids[:TILE_WIDTH], ids[TILE_WIDTH:]
                if stored != tile.hashes:
                    self._name_events(tile, stored, own)
            elif stored != tile.hashes:
                name = describe(key_of_tile(tile.name.level, tile.name.number))
                self._note(name, "is not what the tiles below it come to")

    def _name_events(self, tile: Tile, stored: bytes, ids: Sequence[bytes]) -> None:
        for place, event_id in enumerate(ids):
            own = slice(place * HASH_BYTES, (place + 1) * HASH_BYTES)
            if tile.hashes[own] != stored[own]:
                name = describe(key_of_tile(0, tile.name.number))
                self._note(f"event {event_id.decode()}", f"is not what was committed: {name} has another hash for it")

    def _stored(self, name: TileName) -> bytes:
        key = key_of_tile(name.level, name.number)
        return decode_tile(key, self._database.get(key, verify_checksums=True))

    def head(self) -> None:
        """Check the stored root, once all events are read.

        Raises:
            StoreCorrupt: the record is damaged.
        """
        size = self._tree.size - self._tree.size % TILE_WIDTH
        record = self._database.get(TREE, verify_checksums=True)
        stored = None if record is None else decode_tree(record)
        expected = TreeHead(size, self.root_at(size)) if size else None
        if stored != expected:
            self._note(
                describe(TREE), "is missing" if stored is None else f"is not the root of the first {size} events"
            )

    def checkpoint(self, key: bytes, record: bytes) -> None:
        """Check a stored checkpoint, but for its signature, once all events are read.

        Raises:
            StoreCorrupt: the record is damaged.
            ProofMalformed: its text is no checkpoint.
        """
        kept = decode_checkpoint(key, record)
        said = read_checkpoint(kept.note)
        if said.size != kept.size:
            self._note(describe(key), f"is of {said.size} events")
        elif said.size > self.size:
            self._note(describe(key), f"is of more events than the {self.size} that are there")
        elif said.root != self.root_at(said.size):
            self._note(describe(key), f"has another root than the first {said.size} events")

    def root_at(self, size: int) -> bytes:
        """Return the root of the first `size` events."""
        return read_root(size, self._tree.reading(self._stored))

    @property
    def size(self) -> int:
        """Events hashed."""
        return self._tree.size
