"""C2SP checkpoints: origin, size and root of a log, signed by it; and the cosignatures of witnesses.

`Checkpoint` is a value; its note, the signed text, is what is kept and sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from audit.model.errors import (
    CheckpointAhead,
    CheckpointBehind,
    HashMismatch,
    HistoryForked,
    ProofMalformed,
    SignatureInvalid,
    WrongKey,
    WrongOrigin,
)
from audit.proof.hashing import EMPTY_ROOT, HASH_BYTES
from audit.proof.keys import COSIGNATURE, SigningKey, VerifierKey, decode_base64, encode_base64
from audit.proof.notes import Signature, add_signature, parse_note, sign_note
from audit.proof.verifying import verify_consistency

__all__ = [
    "MAX_SIZE",
    "Checkpoint",
    "Cosigned",
    "cosign",
    "cosignatures",
    "open_checkpoint",
    "parse_body",
    "read_checkpoint",
    "require_witnesses",
    "sign_checkpoint",
    "verify_newer",
    "verify_tree",
]

MAX_SIZE: Final = 2**63 - 1
MAX_SKEW_S: Final = 300
"""How far ahead of the reader's clock a witness' may be."""
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_TIME: Final = 8


class Checkpoint(NamedTuple):
    """What a log says of itself.

    Attributes:
        origin: Which log.
        size: Number of events.
        root: Root of their tree.
        extensions: Further lines, which mean nothing here.
    """

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @property
    def body(self) -> str:
        """The text that is signed."""
        lines = (self.origin, str(self.size), encode_base64(self.root), *self.extensions)
        return "".join(f"{line}\n" for line in lines)


def parse_body(body: str) -> Checkpoint:
    """Return the checkpoint of a body: three lines or more, unsigned.

    Raises:
        ProofMalformed: it has another form.
    """
    lines = body.split("\n")
    if lines.pop() or len(lines) < 3 or not all(lines):  # noqa: PLR2004 - origin, size, root
        raise ProofMalformed("checkpoint", "must be lines of origin, size and root")
    origin, size, root, *extensions = lines
    if not _SIZE.fullmatch(size) or int(size) > MAX_SIZE:
        raise ProofMalformed("checkpoint", f"must have a size of 0 to {MAX_SIZE} in its second line")
    hashed = decode_base64(root, "checkpoint: root")
    if len(hashed) != HASH_BYTES:
        raise ProofMalformed("checkpoint", f"must have a root of {HASH_BYTES} bytes")
    checkpoint = Checkpoint(origin, int(size), hashed, tuple(extensions))
    if not checkpoint.size and hashed != EMPTY_ROOT:
        raise ProofMalformed("checkpoint", "has no event, but not the root of the empty tree")
    return checkpoint


def read_checkpoint(note: str) -> Checkpoint:
    """Return what a note says, signed or not: to show, or to find out whose key to check it with. Nothing to trust.

    Raises:
        ProofMalformed: it is neither a checkpoint's note nor its body.
    """
    return parse_body(parse_note(note).text if "\n\n" in note else note)


def sign_checkpoint(checkpoint: Checkpoint, *keys: SigningKey) -> str:
    """Return the note of a checkpoint, signed by log keys; without any, its body."""
    return sign_note(checkpoint.body, *keys) if keys else checkpoint.body


def open_checkpoint(note: str, keys: Iterable[VerifierKey], origin: str) -> Checkpoint:
    """Return the checkpoint of a note once one of these log keys is found to have signed it.

    Raises:
        ProofMalformed: it is no checkpoint's note.
        WrongKey: it is signed by others, or by nobody.
        SignatureInvalid: one of the keys is named, but did not sign this.
        WrongOrigin: it is another log's.
    """
    if "\n\n" not in note:
        parse_body(note)
        raise WrongKey("checkpoint", "is not signed: the log runs without a key")
    parsed = parse_note(note)
    parsed.check(keys)
    checkpoint = parse_body(parsed.text)
    if checkpoint.origin != origin:
        raise WrongOrigin("checkpoint", f"is of the log {checkpoint.origin!r}, not of {origin!r}")
    return checkpoint


def verify_newer(trusted: Checkpoint, newer: Checkpoint, hashes: Sequence[bytes]) -> None:
    """Check that one checkpoint goes on from another that was trusted before, given the consistency proof.

    Raises:
        WrongOrigin: they are of two logs.
        CheckpointBehind: it covers fewer events.
        HistoryForked: it tells another history; or, with fewer hashes than it takes, ProofMalformed.
    """
    if newer.origin != trusted.origin:
        raise WrongOrigin("checkpoint", f"is of the log {newer.origin!r}, not of {trusted.origin!r}")
    if newer.size < trusted.size:
        raise CheckpointBehind("checkpoint", f"covers {newer.size} events; {trusted.size} were there before")
    if newer.size == trusted.size and newer.root != trusted.root:
        raise HistoryForked(f"checkpoint of size {newer.size}", "has another root than the trusted one of this size")
    verify_consistency(trusted.size, trusted.root, newer.size, newer.root, hashes)


def verify_tree(checkpoint: Checkpoint, size: int, root: bytes, subject: str) -> None:
    """Check that what is there, `size` events of which the checkpoint's have this root, is what was signed.

    Raises:
        CheckpointAhead: there are fewer events.
        HashMismatch: one of them is another one.
    """
    if size < checkpoint.size:
        raise CheckpointAhead(
            f"checkpoint of size {checkpoint.size}",
            f"{subject} ends after {size}: the newest events were cut off, or it is an older copy",
        )
    if root != checkpoint.root:
        raise HashMismatch(
            f"checkpoint of size {checkpoint.size}", f"{subject} has another root: an event was changed, or its place"
        )


class Cosigned(NamedTuple):
    """A witness' word that a checkpoint is the newest of this log that it knows, and goes on from all before."""

    key: VerifierKey
    time_s: int


def cosign(note: str, key: SigningKey, time_s: int) -> str:
    """Return a checkpoint's note with a witness' cosignature added, its older one replaced."""
    stamp = time_s.to_bytes(_TIME, "big")
    signature = stamp + key.sign(_cosigned_text(parse_note(note).text, time_s))
    return add_signature(note, Signature(key.name, key.verifier.key_id, signature))


def cosignatures(note: str, keys: Iterable[VerifierKey], now_s: int) -> list[Cosigned]:
    """Return which of these witnesses cosigned a checkpoint's note, and when.

    Raises:
        ProofMalformed: it is no note.
        SignatureInvalid: a witness is named, but did not sign this.
        CheckpointAhead: a witness signed it more than 5 minutes ahead of `now_s`.
    """
    parsed = parse_note(note)
    witnesses = [key for key in keys if key.algorithm == COSIGNATURE]
    found = []
    for signature in parsed.signatures:
        for key in witnesses:
            if not signature.is_by(key):
                continue
            stamp, signed = signature.signature[:_TIME], signature.signature[_TIME:]
            time_s = int.from_bytes(stamp, "big")
            if not key.signed(_cosigned_text(parsed.text, time_s), signed):
                raise SignatureInvalid("cosignature", f"is not one by {key.name} of this checkpoint")
            if time_s > now_s + MAX_SKEW_S:
                raise CheckpointAhead("cosignature", f"{key.name} dates it {time_s - now_s} s ahead of this clock")
            found.append(Cosigned(key, time_s))
    return found


def require_witnesses(note: str, keys: Sequence[VerifierKey], now_s: int) -> list[Cosigned]:
    """Check that each of these witnesses cosigned a checkpoint's note.

    Raises:
        WrongKey: one did not.
        ProofMalformed, SignatureInvalid, CheckpointAhead: see `cosignatures`.
    """
    found = cosignatures(note, keys, now_s)
    for key in keys:
        if key not in {one.key for one in found}:
            raise WrongKey("cosignature", f"there is none by the witness {key.name}+{key.key_id.hex()}")
    return found


def _cosigned_text(body: str, time_s: int) -> bytes:
    return f"cosignature/v1\ntime {time_s}\n{body}".encode()
