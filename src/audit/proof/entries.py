"""From encoded bodies to stored events and their leaves, in the two steps in which that is done, many in one call.

Before an event has id and index, it gets its salt, and the greater part of its log entry; then the rest of both.
By `_native.c` where that was built, in a third of the time.
"""

from __future__ import annotations

from typing import Final

from audit.codec.events import salt_texts, salted
from audit.model.ids import EventId
from audit.proof.sha256 import hash_each

__all__ = ["number_bodies", "salt_bodies"]

_LEAF: Final = b"\0"


def _plain_salt(bodies: list[bytes], random_bytes: bytes, /) -> tuple[list[bytes], list[bytes]]:
    """Return each encoded body with its salt, and of each what follows id and index in its log entry.

    Args:
        bodies: As `encode_bodies` returns them.
        random_bytes: `SALT_STRIDE` for each.

    Raises:
        ValueError: a body has no place for a salt, or there are not as many random bytes.
    """
    cut = [salted(body, salt) for body, salt in zip(bodies, salt_texts(random_bytes), strict=True)]
    digests = hash_each(b"", [payload for _, payload in cut])
    full = [header + payload for header, payload in cut]
    return full, [header + digest for (header, _), digest in zip(cut, digests, strict=True)]


def _plain_number(
    bodies: list[bytes], entries: list[bytes], ids: list[EventId], first_index: int, /
) -> tuple[list[bytes], list[bytes]]:
    """Return the stored events of salted bodies, and the leaf hash of each.

    Args:
        bodies: As `salt_bodies` returns them.
        entries: What it returns beside them.
        ids: The id of each.
        first_index: Index of the first of them; each has the one after the one before.

    Raises:
        ValueError: there are not as many of each.
    """
    starts = [f'{{"id":"{text}","index":{index},'.encode() for index, text in enumerate(ids, first_index)]
    events = [start + body for start, body in zip(starts, bodies, strict=True)]
    return events, hash_each(_LEAF, [start + entry for start, entry in zip(starts, entries, strict=True)])


try:
    from audit.proof import _native
except ImportError:  # as in `sha256.py`
    salt_bodies, number_bodies = _plain_salt, _plain_number
else:
    salt_bodies, number_bodies = _native.salt_bodies, _native.number_bodies
