"""The head as the writer has it: the segment that grows, and the idempotency keys of its events.

A failed write may have grown it by events that are not in the store: it is loaded again then.
"""

from __future__ import annotations

from collections.abc import Sequence

from audit.codec.commits import Claim, Commit
from audit.codec.events import event_value
from audit.codec.segments import Segment
from audit.log.claims import known_claim
from audit.log.recent import Snapshot
from audit.proof.frontier import Frontier
from audit.storage.port import Head, KnownClaim, Storage

__all__ = ["Growing"]


class Growing:
    """The writer's alone."""

    def __init__(self) -> None:
        self.segment = Segment(0)
        self._claims: dict[bytes, Claim] = {}
        """As committed, by the digest of the key."""

    def load(self, head: Head, tree: Frontier, erasures: int) -> Snapshot:
        """Take over the unsealed head, as found on disk; return what is to be published."""
        segment = Segment(head.first_index)
        last_id = head.last_sealed_id
        for key, commit in head.commits:
            segment.add(commit, 0, len(commit.events))
            segment.commits.append(key)
            last_id = event_value(commit.events[-1])
        self.replace(segment)
        return Snapshot(head.first_index + len(segment), last_id, (segment,), tree, erasures)

    def grow(self, segment: Segment, commit: Commit) -> None:
        """Go on with the segment that a commit was added to, and sealed none by."""
        self.segment = segment
        if commit.claims:
            self._claims.update([(claim.digest, claim) for claim in segment.claims[-len(commit.claims) :]])

    def replace(self, segment: Segment) -> None:
        """Go on with another segment, or with one some of whose events were erased."""
        self.segment = segment
        self._claims = {claim.digest: claim for claim in segment.claims}

    def known(self, digests: Sequence[bytes], storage: Storage) -> dict[bytes, KnownClaim]:
        """Return the claims there are of some keys, in the head or in sealed segments."""
        own = self._claims
        sealed = [digest for digest in digests if digest not in own]
        found = storage.claims(sealed) if sealed else {}
        for digest in own.keys() & digests:
            found[digest] = known_claim(self.segment, own[digest])
        return found
