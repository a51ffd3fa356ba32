"""The log's checkpoints: which is the newest, when the next is due, and whether an opened store is what they say.

Owns the newest one. Any thread may ask for one that covers a size; each covers at least what the one before did.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from audit.log.checkpointfile import CheckpointFile
from audit.log.clock import Clock
from audit.log.signing import Signing
from audit.log.tree import stored_tiles, tree_root
from audit.model.errors import ProofInvalid, WrongKey
from audit.proof.checkpoints import Checkpoint, open_checkpoint, read_checkpoint, sign_checkpoint, verify_tree
from audit.proof.frontier import Frontier
from audit.proof.proving import read_root
from audit.storage.port import SignedCheckpoint, Storage

__all__ = ["Checkpoints"]

_UNSIGNED: Final = Signing()


class Checkpoints:
    """Makes, keeps and compares checkpoints of one open log."""

    def __init__(self, store_id: str, clock: Clock, signing: Signing = _UNSIGNED) -> None:
        self._keys = signing.keys
        self._verifiers = [key.verifier for key in signing.keys]
        named = signing.keys[0].name if signing.keys else f"audit/{store_id}"
        self.origin = signing.origin or named
        self._file = None if signing.checkpoint_file is None else CheckpointFile(signing.checkpoint_file)
        self._clock = clock
        self._interval_ms = signing.interval_s * 1000
        self._made_ms = clock.monotonic_ms()
        self._newest: SignedCheckpoint | None = None
        self._stored = 0
        """Size of the one that the store has."""
        self._lock = threading.Lock()

    @property
    def signer(self) -> str | None:
        """The public key that checkpoints are signed with, in its text form; None: the log runs unsigned."""
        return self._verifiers[0].text if self._verifiers else None

    @property
    def signed(self) -> str | None:
        """The newest note, if it is signed; it need not cover all events."""
        newest = self._newest
        return newest.note if newest is not None and self._keys else None

    def adopt(self, tree: Frontier, storage: Storage, stored: SignedCheckpoint | None) -> None:
        """Compare a store that is being opened with its own newest checkpoint, and with the one kept outside.

        Raises:
            CheckpointAhead: it has fewer events: the newest were cut off, or it is an older copy.
            HashMismatch: one of its events is another one, or stands elsewhere.
            WrongKey, SignatureInvalid, WrongOrigin, ProofMalformed: the checkpoint outside is none of this log's.
            Unavailable: the file can't be read.
        """
        read = tree.reading(stored_tiles(storage))
        outside = None if self._file is None else self._file.read()
        for note, opened in ((stored and stored.note, self._stored_one), (outside, self._outside_one)):
            if note is None:
                continue
            checkpoint = opened(note)
            size = min(checkpoint.size, tree.size)
            verify_tree(checkpoint, tree.size, read_root(size, read), "the store")
            if self._is_ours(note) and (self._newest is None or checkpoint.size > self._newest.size):
                self._newest = SignedCheckpoint(checkpoint.size, note)
        if stored is not None and self._is_ours(stored.note):
            self._stored = stored.size

    def _stored_one(self, note: str) -> Checkpoint:
        # Who can write the store can put any key's here: what it says must be so, whose it is proves nothing.
        return read_checkpoint(note)

    def _outside_one(self, note: str) -> Checkpoint:
        try:
            if self._verifiers:
                return open_checkpoint(note, self._verifiers, self.origin)
            if "\n\n" in note:
                raise WrongKey("checkpoint", "is signed, and the log is opened without a key")
            return read_checkpoint(note)
        except ProofInvalid as error:
            place = "" if self._file is None else f"{self._file.path}: "
            raise type(error)(place + error.subject, error.problem) from error

    def _is_ours(self, note: str) -> bool:
        if not self._verifiers:
            return "\n\n" not in note
        try:
            open_checkpoint(note, self._verifiers, self.origin)
        except ProofInvalid:
            return False
        return True

    def covering(self, size: int, tree: Callable[[], Frontier]) -> SignedCheckpoint:
        """Return a checkpoint of at least `size` events, making one of the whole log if need be.

        Args:
            size: What it must cover; committed.
            tree: Returns the tree of all that is committed.
        """
        found = self._covering(size, tree)
        if self._file is not None:
            self._file.write(*found)
        return found

    def _covering(self, size: int, tree: Callable[[], Frontier]) -> SignedCheckpoint:
        with self._lock:
            if self._newest is None or self._newest.size < size:
                now = tree()
                note = sign_checkpoint(Checkpoint(self.origin, now.size, tree_root(now)), *self._keys)
                self._newest = SignedCheckpoint(now.size, note)
                self._made_ms = self._clock.monotonic_ms()
            return self._newest

    # -- the writer's ----------------------------------------------------------------------------------------------

    def due_in_s(self, size: int) -> float | None:
        """Return in how many seconds the store is to get a checkpoint of a log of this size; None: not at all."""
        if not (self._keys or self._file) or size <= self._stored:
            return None
        return max(0.0, (self._made_ms + self._interval_ms - self._clock.monotonic_ms()) / 1000)

    def due(self, tree: Frontier) -> SignedCheckpoint:
        """Return the one that the store is to get."""
        found = self._covering(tree.size, lambda: tree)
        if self._file is not None:
            self._file.write_soon(*found)
        return found

    def stored(self, checkpoint: SignedCheckpoint) -> None:
        """Note that the store has this one."""
        self._stored = checkpoint.size

    def close(self) -> None:
        """Wait until the newest one is where it is kept outside."""
        if self._file is not None:
            self._file.close()
