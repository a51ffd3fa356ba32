"""Proofs of the open log: its checkpoint, an event's inclusion, one size's consistency with another, and its tiles.

Every one is made from what is published, and blocks on the disk for a few tiles at most.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from audit.codec.events import event_id_text, event_index
from audit.log.by_index import events_between
from audit.log.checkpoints import Checkpoints
from audit.log.handle import Handle
from audit.log.reader import Reader
from audit.log.sequencer import Sequencer
from audit.log.tree import stored_tiles
from audit.model.errors import InvalidParameter, NotFound, StoreCorrupt
from audit.model.query import MAX_LIMIT
from audit.proof.answers import Consistency, Inclusion
from audit.proof.hashing import HASH_BYTES
from audit.proof.leaves import leaf_hash, log_entries
from audit.proof.proving import prove_consistency, prove_inclusion
from audit.proof.selections import prove_selection
from audit.proof.tiles import ENTRIES, TILE_WIDTH, TileName, encode_bundle
from audit.storage.port import Storage

__all__ = ["Proofs"]

_LEAVES: Final = 0


class Proofs:
    """Makes proofs; any thread may ask."""

    def __init__(self, handle: Handle, reader: Reader, sequencer: Sequencer, checkpoints: Checkpoints) -> None:
        self._handle = handle
        self._reader = reader
        self._sequencer = sequencer
        self._checkpoints = checkpoints

    def checkpoint(self) -> str:
        """Return the note of a checkpoint of all that is committed; its body alone when the log runs unsigned."""
        self._handle.check()
        return self._covering(self._sequencer.snapshot.size)

    def _covering(self, size: int) -> str:
        return self._checkpoints.covering(size, lambda: self._sequencer.snapshot.tree).note

    def inclusion(self, event_id: str) -> Inclusion:
        """Return the proof that an event is in the log.

        Raises:
            InvalidParameter: no event id.
            NotFound: no event has this id.
            StoreCorrupt: the event is not the one that was committed.
        """
        event = self._reader.get(event_id)
        index = event_index(event)
        covering = self._checkpoints.covering(index + 1, lambda: self._sequencer.snapshot.tree)
        # What was signed is published: the tree of now reaches at least as far.
        tree = self._sequencer.snapshot.tree
        leaf = leaf_hash(event)

        def prove(storage: Storage) -> list[bytes]:
            read = tree.reading(stored_tiles(storage))
            tile, place = divmod(index, TILE_WIDTH)
            committed = read(TileName(_LEAVES, tile))[place * HASH_BYTES : (place + 1) * HASH_BYTES]
            if committed != leaf:
                raise StoreCorrupt(f"event {event_id_text(event).decode()}", "is not what was committed")
            return prove_inclusion(index, covering.size, read)

        return Inclusion(index, leaf, self._handle.read(prove), covering.note)

    def consistency(self, from_: int, to: int) -> Consistency:
        """Return the proof that the log of `to` events starts with that of `from_` events.

        Raises:
            InvalidParameter: they are no sizes that the log has had, or `from_` is the greater.
        """
        size = self._sequencer.snapshot.size
        for name, value in (("from", from_), ("to", to)):
            if type(value) is not int or not 0 <= value <= size:
                raise InvalidParameter(name, f"must be a size the log has had, 0 to {size}, got {value!r:.40}")
        if from_ > to:
            raise InvalidParameter("from", f"must not be above to, {to}, is {from_}")
        note = self._covering(to)
        tree = self._sequencer.snapshot.tree
        hashes = self._handle.read(lambda storage: prove_consistency(from_, to, tree.reading(stored_tiles(storage))))
        return Consistency(hashes, note)

    def selection(self, indexes: Sequence[int], size: int) -> list[bytes]:
        """Return the proof that some events, 1-1,000 of them, are in the log of `size` events.

        Raises:
            InvalidParameter: too many or not ascending, or the log never had that size.
        """
        tree = self._sequencer.snapshot.tree
        if not 1 <= len(indexes) <= MAX_LIMIT:
            raise InvalidParameter("indexes", f"must be 1-{MAX_LIMIT}, are {len(indexes)}")
        if type(size) is not int or not 0 <= size <= tree.size:
            raise InvalidParameter("size", f"must be a size the log has had, 0 to {tree.size}, got {size!r:.40}")
        return self._handle.read(lambda storage: prove_selection(indexes, size, tree.reading(stored_tiles(storage))))

    def tile(self, name: TileName) -> bytes:
        """Return a tile, or an entry bundle, as C2SP tlog-tiles has them.

        Raises:
            NotFound: the tree has none such, or not so many hashes in it yet.
        """
        tree = self._sequencer.snapshot.tree
        level = max(name.level, _LEAVES)
        there = min(TILE_WIDTH, (tree.size >> 8 * level) - name.number * TILE_WIDTH)
        if there < name.width:
            raise NotFound(f"the log of {tree.size} events has no {name.path}")
        if name.level == ENTRIES:
            start = name.number * TILE_WIDTH
            events = events_between(self._handle, lambda: self._sequencer.snapshot, start, start + name.width)
            return encode_bundle(log_entries(events))
        read = self._handle.read(lambda storage: tree.reading(stored_tiles(storage))(name))
        return read[: name.width * HASH_BYTES]
