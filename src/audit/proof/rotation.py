"""A log's new key, signed for by the old one and by the new one: whoever trusts the old key can go on with the new.

The statement is a signed note of four lines: what it is, the log's origin, the old public key, the new public key.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from audit.model.errors import ProofMalformed, WrongKey, WrongOrigin
from audit.proof.keys import ED25519, SigningKey, VerifierKey
from audit.proof.notes import parse_note, sign_note

__all__ = ["ROTATION_HEAD", "follow_rotations", "sign_rotation"]

ROTATION_HEAD: Final = "audit key rotation v1"
_LINES: Final = 4


def sign_rotation(origin: str, old: SigningKey, new: SigningKey) -> str:
    """Return the statement that a log's checkpoints are signed by another key from now on."""
    return sign_note(f"{ROTATION_HEAD}\n{origin}\n{old.verifier.text}\n{new.verifier.text}\n", old, new)


def follow_rotations(key: VerifierKey, statements: Iterable[str], origin: str) -> list[VerifierKey]:
    """Return the keys to trust, given one that is trusted and statements in their order; the newest comes last.

    Raises:
        ProofMalformed: one is no such statement.
        WrongOrigin: one is of another log.
        WrongKey: one is not signed by the key trusted before it, or not by the one that it names.
        SignatureInvalid: a signature of one of the two does not hold.
    """
    trusted = [key]
    for statement in statements:
        note = parse_note(statement)
        lines = note.text.split("\n")[:-1]
        if len(lines) != _LINES or lines[0] != ROTATION_HEAD:
            raise ProofMalformed("rotation", f"must have {_LINES} lines, the first `{ROTATION_HEAD}`")
        if lines[1] != origin:
            raise WrongOrigin("rotation", f"is of the log {lines[1]!r}, not of {origin!r}")
        if lines[2] != trusted[-1].text:
            raise WrongKey("rotation", f"is from the key {lines[2]}; trusted is {trusted[-1].text}")
        new = VerifierKey.parse(lines[3])
        if new.algorithm != ED25519:
            raise ProofMalformed("rotation", "must name a log's key as the new one")
        # Each must have signed: the old one hands over, the new one shows that somebody holds it.
        for one in (trusted[-1], new):
            note.check([one])
        trusted.append(new)
    return trusted
