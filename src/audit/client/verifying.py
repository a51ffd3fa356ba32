"""Checking what a server sends against its log's checkpoints. Owns the newest checkpoint that was trusted.

Invariant: a checkpoint is trusted only once it is signed by the log's key and goes on from the one trusted before; no
event is handed on that no trusted checkpoint covers. What is left out of a filtered answer can't be found out; of an
answer with everything, a hole between two events can.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol, TypeVar

from audit.codec.events import event_id_text, event_index
from audit.log.tail import Batch
from audit.model.errors import CheckpointAhead, HashMismatch, InvalidParameter, ProofMalformed, TamperDetected
from audit.proof.answers import Consistency
from audit.proof.checkpoints import Checkpoint, open_checkpoint, verify_newer
from audit.proof.exports import verify_selection
from audit.proof.keys import ED25519, VerifierKey
from audit.proof.rotation import follow_rotations

__all__ = ["Prover", "TailCheck", "Verification", "VerifyOptions"]

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class VerifyOptions:
    """What a client trusts.

    Attributes:
        keys: The log's public key, and those that took its place.
        origin: The log's: the key's name.
        trusted: Note of a checkpoint that was trusted before; None: the first one that the key signed is.
    """

    keys: Sequence[VerifierKey]
    origin: str
    trusted: str | None = None

    @classmethod
    def parse(cls, key: object, trusted: str | None = None, rotations: Iterable[str] = ()) -> VerifyOptions:
        """Return the options of a public key as text, and of statements by which others took its place.

        Raises:
            InvalidParameter: it is none of a log.
            ProofInvalid: a statement, or the checkpoint, does not hold.
        """
        try:
            parsed = VerifierKey.parse(key.strip()) if isinstance(key, str) else None
        except ProofMalformed as error:
            raise InvalidParameter("key", error.problem) from error
        if parsed is None or parsed.algorithm != ED25519:
            raise InvalidParameter("key", "must be the log's public key, which verify=True checks with")
        keys = follow_rotations(parsed, rotations, parsed.name)
        if trusted is not None:
            open_checkpoint(trusted, keys, parsed.name)
        return cls(keys=keys, origin=parsed.name, trusted=trusted)


class Prover(Protocol):
    """Whoever answers for a log; nothing of it is believed."""

    async def checkpoint(self) -> str:
        """Return the note of a checkpoint that covers all that is committed."""
        ...

    async def consistency(self, from_: int, to: int, /) -> Consistency:
        """Return the proof that the log of one size goes on from that of another."""
        ...

    async def selection(self, indexes: Sequence[int], size: int, /) -> Sequence[bytes]:
        """Return the hashes from some events, ascending, to the root of the log of this size."""
        ...


class Verification:
    """What one client has found out about one log. For one event loop."""

    def __init__(self, options: VerifyOptions, prover: Prover) -> None:
        self._options = options
        self._prover = prover
        self._renewing = asyncio.Lock()
        self.note = options.trusted
        """Note of the newest checkpoint that is trusted; None: there is none yet."""
        self._newest = None if options.trusted is None else self._opened(options.trusted)

    def _opened(self, note: str) -> Checkpoint:
        return open_checkpoint(note, self._options.keys, self._options.origin)

    async def renew(self) -> str:
        """Trust the newest checkpoint of the log, if it goes on from the one trusted before; return its note.

        Raises:
            ProofInvalid: it does not; the class says why. The one before stays.
        """
        async with self._renewing:
            return (await self._renew())[1]

    async def _renew(self) -> tuple[Checkpoint, str]:
        note = await self._prover.checkpoint()
        newer = self._opened(note)
        trusted = self._newest
        if trusted is not None:
            hashes: Sequence[bytes] = ()
            if trusted.origin == newer.origin and trusted.size < newer.size:
                hashes = (await _asked(self._prover.consistency(trusted.size, newer.size), newer.size)).hashes
            verify_newer(trusted, newer, hashes)
        self._newest, self.note = newer, note
        return newer, note

    async def check(self, events: Sequence[bytes], *, all_of_it: bool = False, after: int | None = None) -> None:
        """Check that events are in the log, each at its place, before anybody gets to see them.

        Args:
            events: As they are stored, in either order.
            all_of_it: Whether nothing may be left out between them.
            after: Index of the event that came before; None: none did.

        Raises:
            TamperDetected: one is not what was signed, or is missing; the error names it.
            ProofInvalid: the log shows no checkpoint that could be trusted, or a proof that is none.
        """
        if not events:
            return
        try:
            numbered = sorted((event_index(event), event) for event in events)
        except ValueError as error:
            raise ProofMalformed("event", "does not say its index") from error
        indexes = [index for index, _ in numbered]
        for before, index in pairwise(indexes if after is None else [after, *indexes]):
            if index <= before:
                raise ProofMalformed(f"event {index}", "was sent twice")
            if all_of_it and index != before + 1:
                raise TamperDetected(f"event {before + 1}", f"is missing between events {before} and {index}")
        last = indexes[-1]
        checkpoint = self._newest
        if checkpoint is None or checkpoint.size <= last:
            async with self._renewing:
                checkpoint = self._newest
                if checkpoint is None or checkpoint.size <= last:
                    checkpoint, _ = await self._renew()
        if checkpoint.size <= last:
            raise HashMismatch(f"event {last}", f"is beyond the newest checkpoint, of size {checkpoint.size}")
        await self._check_against(numbered, checkpoint)

    async def _check_against(self, numbered: list[tuple[int, bytes]], checkpoint: Checkpoint) -> None:
        indexes = [index for index, _ in numbered]
        events = [event for _, event in numbered]
        hashes = await _asked(self._prover.selection(indexes, checkpoint.size), checkpoint.size)
        try:
            verify_selection(events, hashes, checkpoint)
        except HashMismatch as error:
            if len(events) == 1:
                named = f"event {indexes[0]} ({event_id_text(events[0]).decode(errors='replace')})"
                raise HashMismatch(named, error.problem) from error
            # Which one: the half that does not hold, and so on.
            middle = len(numbered) // 2
            await self._check_against(numbered[:middle], checkpoint)
            await self._check_against(numbered[middle:], checkpoint)
            raise


async def _asked(answer: Awaitable[T], size: int) -> T:
    try:
        return await answer
    except InvalidParameter as error:
        # What was signed once must be there for ever.
        raise CheckpointAhead(f"checkpoint of size {size}", f"the log has no such history: {error}") from error


class TailCheck:
    """Checks each batch of one tail before anything of it is handed on."""

    def __init__(self, verification: Verification, *, all_of_it: bool) -> None:
        self._verification = verification
        self._all_of_it = all_of_it
        self._checked: Batch | None = None
        self._last: int | None = None

    async def check(self, batch: Batch) -> None:
        """Check a batch, unless it is the one checked last; errors as of `Verification.check`."""
        if batch is self._checked:
            return
        await self._verification.check(batch.slices, all_of_it=self._all_of_it, after=self._last)
        self._checked, self._last = batch, event_index(batch.slices[-1])
