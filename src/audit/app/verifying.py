"""Checking files of a log without the log: a proof, an export, backups, a checkpoint. Only public keys are trusted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

from audit.codec.backups import Decoder
from audit.codec.events import event_id_text, is_erased
from audit.model.errors import BackupInvalid, InvalidParameter, ProofMalformed
from audit.model.ids import recorded_at
from audit.proof.checkpoints import Checkpoint, open_checkpoint, require_witnesses, verify_tree
from audit.proof.exports import MAX_LINE_BYTES, verify_export
from audit.proof.files import PROOF_HEAD, parse_proof
from audit.proof.frontier import Frontier
from audit.proof.keys import VerifierKey
from audit.proof.leaves import leaf_hashes

__all__ = ["Trust", "verify_files"]

_BACKUP: Final = b"AUDITBKP"
_EXPORT: Final = b'{"export":'
_MAX_TEXT: Final = 2_000_000
_BUFFER_BYTES: Final = 1 << 20

Advance = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Trust:
    """What a check relies on; nothing in the files themselves.

    Attributes:
        keys: Of the log; several where its key was replaced.
        origin: Of the log.
        witnesses: Each of which must have cosigned the checkpoint.
        now_s: The time, in Unix seconds.
    """

    keys: Sequence[VerifierKey]
    origin: str
    witnesses: Sequence[VerifierKey]
    now_s: int

    def checkpoint(self, note: str) -> Checkpoint:
        """Return the checkpoint of a note, once it is checked.

        Raises:
            ProofInvalid: it does not hold.
        """
        checkpoint = open_checkpoint(note, self.keys, self.origin)
        require_witnesses(note, self.witnesses, self.now_s)
        return checkpoint


def verify_files(paths: Sequence[Path], trust: Trust, note: str | None, advance: Advance) -> list[str]:
    """Check a file by what it is: a proof, an export, a checkpoint, or backups (a full one, then increments).

    Args:
        paths: One; or several backups in their order.
        trust: Whose word counts.
        note: The checkpoint to hold backups against.
        advance: Told how many events of how many were checked.

    Returns:
        What was found to be true, in plain words.

    Raises:
        ProofInvalid: it is not what was signed.
        BackupInvalid: a backup is damaged.
        InvalidParameter: a file can't be read, or something is missing, or was given for nothing.
    """
    start = _start_of(paths[0])
    if start.startswith(_BACKUP):
        if note is None:
            raise InvalidParameter("--checkpoint", "a backup has none of its own: give the one to hold it against")
        return _verify_backups(paths, trust, note, advance)
    if len(paths) > 1:
        raise InvalidParameter("FILE", "give one file, or backups: a full one, then its increments")
    if note is not None:
        raise InvalidParameter("--checkpoint", "is for backups: the file has one of its own")
    if start.startswith(_EXPORT):
        with _opened(paths[0]) as file:
            return _verify_export(file, trust)
    text = _text_of(paths[0])
    if text.startswith(PROOF_HEAD):
        return _verify_proof(text, trust)
    checkpoint = trust.checkpoint(text)
    return [f"the checkpoint holds: {_covers(checkpoint)}", *_signers(text, trust)]


def _verify_proof(text: str, trust: Trust) -> list[str]:
    proof = parse_proof(text)
    trust.checkpoint(proof.note)
    checkpoint = proof.verify(trust.keys, trust.origin)
    identity = event_id_text(proof.event)
    when = recorded_at(identity.decode()).isoformat(timespec="milliseconds")
    found = [f"event {identity.decode()} is number {proof.index} of the log, recorded {when}"]
    if is_erased(proof.event):
        found.append("its payload was erased; its topics, its place and its payload's hash are proved")
    return [*found, f"the checkpoint holds: {_covers(checkpoint)}", *_signers(proof.note, trust)]


def _verify_export(file: BinaryIO, trust: Trust) -> list[str]:
    lines = iter(lambda: file.readline(MAX_LINE_BYTES + 1), b"")
    export = verify_export(lines, trust.keys, trust.origin)
    trust.checkpoint(export.note)
    size = export.checkpoint.size
    if not export.events:
        found = ["the export has no events"]
    elif export.dense:
        found = [f"{export.events} events are in the log, number {export.first} to {export.last}, none left out"]
        if export.events == size:
            found.append("they are all that the checkpoint covers")
    else:
        found = [f"{export.events} events are in the log, between number {export.first} and {export.last}"]
        found.append("whether others that fit were left out, an export of part of a log can't show")
    if export.erased:
        found.append(f"the payloads of {export.erased} of them were erased; their hashes are proved")
    return [*found, f"the checkpoint holds: {_covers(export.checkpoint)}", *_signers(export.note, trust)]


def _verify_backups(paths: Sequence[Path], trust: Trust, note: str, advance: Advance) -> list[str]:
    checkpoint = trust.checkpoint(note)
    tree = Frontier()
    size = 0
    for path in paths:
        with _opened(path) as file:
            decoder = Decoder(file.read, str(path))
            if decoder.header.first_index != size:
                raise BackupInvalid(str(path), decoder.place, f"goes on after {decoder.header.first_index}, not {size}")
            for commit in decoder.commits():
                leaves = leaf_hashes(commit.events)
                size += len(leaves)
                # Of what came after the checkpoint, it says nothing.
                tree, _ = tree.grow(leaves[: max(0, checkpoint.size - tree.size)])
                advance(size, decoder.header.size)
    verify_tree(checkpoint, size, tree.root(), "the backup")
    found = [f"the backup has {size} events; the first {checkpoint.size} are those that were signed, none left out"]
    if size > checkpoint.size:
        found.append(f"{size - checkpoint.size} came after the checkpoint, which says nothing of them")
    return [*found, f"the checkpoint holds: {_covers(checkpoint)}", *_signers(note, trust)]


def _covers(checkpoint: Checkpoint) -> str:
    return f"{checkpoint.origin} signed for its first {checkpoint.size} events"


def _signers(note: str, trust: Trust) -> list[str]:
    return [
        f"witness {key.name} cosigned it {_moment(time_s)}"
        for key, time_s in require_witnesses(note, trust.witnesses, trust.now_s)
    ]


def _moment(time_s: int) -> str:
    return datetime.fromtimestamp(time_s, UTC).isoformat()


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb", buffering=_BUFFER_BYTES)
    except OSError as error:
        raise InvalidParameter("FILE", f"can't read {path}: {error.strerror or error}") from error


def _start_of(path: Path) -> bytes:
    with _opened(path) as file:
        return file.read(len(_EXPORT))


def _text_of(path: Path) -> str:
    with _opened(path) as file:
        raw = file.read(_MAX_TEXT + 1)
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise ProofMalformed(str(path), "is neither a proof, an export, a backup nor a checkpoint") from error
