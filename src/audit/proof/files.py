"""`.tlog-proof`, after C2SP tlog-proof: one event, the hashes from it to the root, and the checkpoint, in one file.

The event's stored JSON is the file's `extra`: its leaf is computed from it, so that changing it breaks the proof.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from audit.codec.events import event_index
from audit.model.errors import HashMismatch, ProofMalformed
from audit.proof.checkpoints import Checkpoint, open_checkpoint
from audit.proof.keys import VerifierKey, decode_base64, encode_base64
from audit.proof.leaves import leaf_hash
from audit.proof.verifying import verify_inclusion

__all__ = ["PROOF_HEAD", "EventProof", "check_place", "encode_proof", "parse_proof"]

PROOF_HEAD: Final = "c2sp.org/tlog-proof@v1"
_INDEX: Final = re.compile(r"index (0|[1-9][0-9]{0,18})", re.ASCII)
_EXTRA: Final = "extra "
_MAX_HASHES: Final = 63
_MAX_BYTES: Final = 2_000_000


@dataclass(frozen=True, slots=True)
class EventProof:
    """What a proof file says; nothing of it is checked before `verify`.

    Attributes:
        event: The stored JSON.
        index: The leaf's place in the tree.
        hashes: From the leaf's sibling up.
        note: The checkpoint's.
    """

    event: bytes
    index: int
    hashes: list[bytes]
    note: str

    def verify(self, keys: Iterable[VerifierKey], origin: str) -> Checkpoint:
        """Return the checkpoint that covers the event, once all of it is checked.

        Raises:
            ProofInvalid: it does not hold; the class says why.
        """
        checkpoint = open_checkpoint(self.note, keys, origin)
        leaf = leaf_hash(self.event)
        verify_inclusion(leaf, self.index, checkpoint.size, self.hashes, checkpoint.root)
        check_place(self.event, self.index)
        return checkpoint


def check_place(event: bytes, index: int) -> None:
    """Check that a stored event says of itself the place that the tree has it at.

    Raises:
        HashMismatch: it says another, or none.
    """
    try:
        said = event_index(event)
    except ValueError:
        said = -1
    if said != index:
        raise HashMismatch(f"event {index}", "does not say that this is its place")


def encode_proof(proof: EventProof) -> str:
    """Return the text of a proof file."""
    lines = [PROOF_HEAD, _EXTRA + encode_base64(proof.event), f"index {proof.index}", *map(encode_base64, proof.hashes)]
    return "\n".join(lines) + "\n\n" + proof.note


def parse_proof(text: str) -> EventProof:
    """Return what a proof file says.

    Raises:
        ProofMalformed: it is none, or one without an event.
    """
    if len(text) > _MAX_BYTES:
        raise ProofMalformed("proof", f"must have at most {_MAX_BYTES} bytes")
    head, blank, note = text.partition("\n\n")
    lines = head.split("\n")
    if lines.pop(0) != PROOF_HEAD or not blank:
        raise ProofMalformed(
            "proof", f"must start with the line {PROOF_HEAD}, and have a blank one before the checkpoint"
        )
    if not lines or not lines[0].startswith(_EXTRA):
        raise ProofMalformed("proof", "must have an event in its second line, after `extra`")
    event = decode_base64(lines.pop(0).removeprefix(_EXTRA), "proof: event")
    found = _INDEX.fullmatch(lines.pop(0)) if lines else None
    if found is None:
        raise ProofMalformed("proof", "must have `index` and the event's index in its third line")
    if len(lines) > _MAX_HASHES:
        raise ProofMalformed("proof", f"must have at most {_MAX_HASHES} hashes, has {len(lines)}")
    hashes = [decode_base64(line, f"proof: hash {number}") for number, line in enumerate(lines)]
    return EventProof(event, int(found[1]), hashes, note)
