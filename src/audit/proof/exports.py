"""Exports: events as JSON lines, with a checkpoint before them and, after each run of them, their proof.

{"export":1,"checkpoint":"…"}            the checkpoint's note; all that follows is proved against it
{"id":…}                                 an event, exactly as it is stored; ascending, 1,000 in a run at most
{"proof":{"events":2,"hashes":["…"]}}    the hashes from the events since the line before to the checkpoint's root
{"end":{"events":2}}                     how many there were in all: a file without it is cut short
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple, TypeVar

import msgspec

from audit.codec.events import event_index, is_erased
from audit.model.errors import HashMismatch, ProofMalformed
from audit.proof.checkpoints import Checkpoint, open_checkpoint
from audit.proof.keys import VerifierKey, decode_base64, encode_base64
from audit.proof.leaves import leaf_hashes
from audit.proof.selections import selection_root

__all__ = [
    "MAX_LINE_BYTES",
    "MAX_RUN",
    "ExportCheck",
    "encode_end",
    "encode_head",
    "encode_run",
    "verify_export",
    "verify_selection",
]

MAX_RUN: Final = 1000
MAX_LINE_BYTES: Final = 8_000_000


class _Head(msgspec.Struct, forbid_unknown_fields=True):
    export: int
    checkpoint: str


class _Run(msgspec.Struct, forbid_unknown_fields=True):
    events: int
    hashes: list[str]


class _Proof(msgspec.Struct, forbid_unknown_fields=True):
    proof: _Run


class _Count(msgspec.Struct, forbid_unknown_fields=True):
    events: int


class _End(msgspec.Struct, forbid_unknown_fields=True):
    end: _Count


def encode_head(note: str) -> bytes:
    """Return the first line of an export."""
    return msgspec.json.encode(_Head(1, note)) + b"\n"


def encode_run(events: Sequence[bytes], hashes: Sequence[bytes]) -> bytes:
    """Return the lines of some stored events, 1,000 at most, and of their selection's proof."""
    proof = msgspec.json.encode(_Proof(_Run(len(events), list(map(encode_base64, hashes)))))
    return b"".join([event + b"\n" for event in (*events, proof)])


def encode_end(events: int) -> bytes:
    """Return the last line of an export of so many events."""
    return msgspec.json.encode(_End(_Count(events))) + b"\n"


class ExportCheck(NamedTuple):
    """What an export was found to hold.

    Attributes:
        checkpoint: That covers all of it.
        note: The checkpoint's.
        events: How many.
        first: Index of the first; -1: there is none.
        last: Index of the last.
        erased: How many have no payload any more.
    """

    checkpoint: Checkpoint
    note: str
    events: int
    first: int
    last: int
    erased: int

    @property
    def dense(self) -> bool:
        """Whether nothing between the first and the last is left out."""
        return self.events == self.last - self.first + 1


def verify_export(lines: Iterable[bytes], keys: Sequence[VerifierKey], origin: str) -> ExportCheck:
    """Check all of an export, line by line, in bounded memory.

    Args:
        lines: With their ends, as a binary file yields them.
        keys: Of the log.
        origin: Of the log.

    Raises:
        ProofInvalid: something is not as it was signed; the class and the subject say what, and where.
    """
    numbered = _checked(lines)
    number, line = next(numbered, (1, b""))
    head = _decoded(line, _Head, number)
    if head.export != 1:
        raise ProofMalformed("line 1", f"is of an export of version {head.export}, this version of audit reads 1")
    checkpoint = open_checkpoint(head.checkpoint, keys, origin)
    total, first, last, erased = 0, -1, -1, 0
    run: list[bytes] = []
    for number, line in numbered:
        if line.startswith(_EVENT):
            run.append(line)
            if len(run) > MAX_RUN:
                raise ProofMalformed(f"line {number}", f"is event {MAX_RUN + 1} without a proof")
        elif line.startswith(_PROOF):
            proof = _decoded(line, _Proof, number).proof
            if proof.events != len(run):
                raise ProofMalformed(
                    f"line {number}", f"is the proof of {proof.events} events, {len(run)} stand before"
                )
            hashes = [decode_base64(text, f"line {number}") for text in proof.hashes]
            verify_selection(run, hashes, checkpoint)
            indexes = [event_index(event) for event in run]
            if indexes and indexes[0] <= last:
                raise ProofMalformed(f"line {number}", f"event {indexes[0]} stands after event {last}")
            if indexes:
                first, last = indexes[0] if first < 0 else first, indexes[-1]
            total += len(run)
            erased += sum(map(is_erased, run))
            run = []
        else:
            end = _decoded(line, _End, number).end
            if run or end.events != total:
                raise ProofMalformed(f"line {number}", f"says there are {end.events} events; {total} are proved")
            for number, _ in numbered:  # noqa: PLW2901 - there must be none
                raise ProofMalformed(f"line {number}", "stands after the end")
            return ExportCheck(checkpoint, head.checkpoint, total, first, last, erased)
    raise ProofMalformed(f"line {number}", "is not the end: the file is cut short")


def verify_selection(events: Sequence[bytes], hashes: Sequence[bytes], checkpoint: Checkpoint) -> None:
    """Check that a checkpoint covers these stored events, ascending, each at the place that it says.

    Raises:
        HashMismatch: it does not cover one of them as it stands here.
        ProofMalformed: something is no event, or the proof is not theirs by its form.
    """
    leaves = leaf_hashes(events)
    try:
        indexes = [event_index(event) for event in events]
    except ValueError as error:
        raise ProofMalformed("event", "does not say its index") from error
    if selection_root(indexes, leaves, checkpoint.size, hashes) != checkpoint.root:
        first, last = (indexes[0], indexes[-1]) if indexes else (-1, -1)
        named = f"event {first}" if first == last else f"one of {len(indexes)} events, {first} to {last}"
        raise HashMismatch(named, f"is not the one that the checkpoint of size {checkpoint.size} covers")


def _checked(lines: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield number and contents of each line, all of them ended."""
    for number, line in enumerate(lines, 1):
        if not line.endswith(b"\n") or len(line) > MAX_LINE_BYTES:
            raise ProofMalformed(f"line {number}", "has no end: the file is cut short")
        yield number, line[:-1]


_EVENT: Final = b'{"id":"'
_PROOF: Final = b'{"proof":'


T = TypeVar("T", _Head, _Proof, _End)


def _decoded(line: bytes, kind: type[T], number: int) -> T:
    try:
        found = msgspec.json.decode(line, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ProofMalformed(f"line {number}", "is no line of an export") from error
    # One line has one spelling: a space or an escape more would go unseen.
    if msgspec.json.encode(found) != line:
        raise ProofMalformed(f"line {number}", "is not spelled as an export spells it")
    return found
