"""From a stored event to its leaf: SHA-256(0 ‖ header ‖ SHA-256(payload)), the same before and after it is erased.

`header ‖ SHA-256(payload)` is the log entry of RFC 6962: what entry bundles carry; it shows nothing of the payload.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable
from typing import Final

from audit.model.errors import ProofMalformed
from audit.proof.hashing import HASH_BYTES, hash_leaves
from audit.proof.sha256 import hash_each

__all__ = ["leaf_hash", "leaf_hashes", "log_entries"]

_SALT: Final = b',"salt":"'
_ERASED: Final = b',"payload_hash":"'
_ERASED_BYTES: Final = len(_ERASED) + 43 + len(b'"}')


def leaf_hash(event: bytes) -> bytes:
    """Return the leaf hash of a stored event, erased or not.

    Raises:
        ProofMalformed: it has neither a payload nor a payload's hash.
    """
    return leaf_hashes((event,))[0]


def leaf_hashes(events: Iterable[bytes]) -> list[bytes]:
    """Return the leaf hash of each stored event, erased or not.

    Raises:
        ProofMalformed: one has neither a payload nor a payload's hash.

    Two SHA-256 an event.
    """
    return hash_leaves(log_entries(events))


def log_entries(events: Iterable[bytes]) -> list[bytes]:
    """Return what RFC 6962 calls the entry of each stored event, erased or not: header, then the payload's hash.

    Raises:
        ProofMalformed: one has neither a payload nor a payload's hash.
    """
    headers: list[bytes] = []
    payloads: list[bytes] = []
    erased: dict[int, bytes] = {}
    for number, event in enumerate(events):
        at = event.find(_SALT)
        if at < 0:
            header, erased[number] = _cut_erased(event)
            headers.append(header)
            payloads.append(b"")
        else:
            headers.append(event[:at])
            payloads.append(event[at:])
    digests = hash_each(b"", payloads)
    for number, digest in erased.items():
        digests[number] = digest
    return [header + digest for header, digest in zip(headers, digests, strict=True)]


def _cut_erased(event: bytes) -> tuple[bytes, bytes]:
    header, tail = event[:-_ERASED_BYTES], event[-_ERASED_BYTES:]
    if not (header and tail.startswith(_ERASED) and tail.endswith(b'"}')):
        raise ProofMalformed("event", "has neither a payload nor a payload's hash")
    text = tail[len(_ERASED) : -2]
    try:
        digest = binascii.a2b_base64(text.translate(_FROM_URL) + b"=", strict_mode=True)
    except binascii.Error as error:
        raise ProofMalformed("event", "its payload's hash is not base64url") from error
    # One digest has one spelling: the unused bits of the last character are zero.
    if len(digest) != HASH_BYTES or _encode(digest) != text:
        raise ProofMalformed("event", "its payload's hash is not base64url of 32 bytes")
    return header, digest


def _encode(digest: bytes) -> bytes:
    return binascii.b2a_base64(digest, newline=False).translate(_TO_URL)[:43]


_TO_URL: Final = bytes.maketrans(b"+/", b"-_")
_FROM_URL: Final = bytes.maketrans(b"-_+/", b"+/!!")
