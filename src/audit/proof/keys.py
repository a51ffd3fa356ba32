"""Ed25519 keys of C2SP signed notes: whose signature to trust (verifier keys), and what to sign with.

A key has a name, as a rule the log's origin, and an id of four bytes over name, algorithm and public key. The public
form is `NAME+ID+BASE64`; the private one, of Go's `sumdb/note`, `PRIVATE+KEY+NAME+ID+BASE64`.
"""

from __future__ import annotations

import binascii
import re
from hashlib import sha256
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from audit.model.errors import InvalidParameter, ProofMalformed

__all__ = [
    "COSIGNATURE",
    "ED25519",
    "SEED_BYTES",
    "SigningKey",
    "VerifierKey",
    "decode_base64",
    "encode_base64",
    "valid_name",
]

ED25519: Final = 1
"""Signs a note's text: a log's key."""
COSIGNATURE: Final = 4
"""Signs a checkpoint with the time: a witness' key."""
SEED_BYTES: Final = 32
MAX_NAME_BYTES: Final = 256


def encode_base64(raw: bytes) -> str:
    """Return standard base64, padded."""
    return binascii.b2a_base64(raw, newline=False).decode()


def decode_base64(text: str, subject: str) -> bytes:
    """Return the bytes of standard base64, padded; one value has one spelling.

    Raises:
        ProofMalformed: it is something else.
    """
    try:
        raw = binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:  # binascii.Error, or characters beyond ASCII
        raise ProofMalformed(subject, "is not base64") from error
    if encode_base64(raw) != text:
        raise ProofMalformed(subject, "is not base64 in its one spelling")
    return raw


def valid_name(name: str) -> bool:
    """Return whether this may be a key's name, and stand in a signature line."""
    return bool(name) and name.isprintable() and "+" not in name and not any(map(str.isspace, name))


class VerifierKey(NamedTuple):
    """Whose signature to trust.

    Attributes:
        name: As in the signature line.
        algorithm: `ED25519` or `COSIGNATURE`.
        public: 32 bytes.
    """

    name: str
    algorithm: int
    public: bytes

    @property
    def key_id(self) -> bytes:
        """The four bytes by which a signature names its key."""
        return sha256(f"{self.name}\n".encode() + bytes([self.algorithm]) + self.public).digest()[:4]

    @property
    def text(self) -> str:
        """The public form, one line without its end."""
        return f"{self.name}+{self.key_id.hex()}+{encode_base64(bytes([self.algorithm]) + self.public)}"

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """Return the key of its public form.

        Raises:
            ProofMalformed: it has another form or algorithm, or an id that is not its own.
        """
        found = _PUBLIC.fullmatch(text)
        if found is None or not valid_name(found[1]):
            raise ProofMalformed("public key", "must have the form NAME+ID+BASE64")
        algorithm, public = _decode_key(found[3], "public key")
        key = cls(found[1], algorithm, public)
        if key.key_id.hex() != found[2]:
            raise ProofMalformed("public key", f"has the id {found[2]}, should have {key.key_id.hex()}")
        return key

    def signed(self, message: bytes, signature: bytes) -> bool:
        """Return whether this key made this Ed25519 signature of this message."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except InvalidSignature:
            return False
        return True


class SigningKey(NamedTuple):
    """What to sign with; never kept inside the store, and never printed.

    Attributes:
        name: As in the signature line.
        algorithm: `ED25519` or `COSIGNATURE`.
        seed: 32 random bytes.
    """

    name: str
    algorithm: int
    seed: bytes

    def __repr__(self) -> str:
        return f"SigningKey(name={self.name!r})"

    @classmethod
    def new(cls, name: str, seed: bytes, algorithm: int = ED25519) -> SigningKey:
        """Return the key of 32 random bytes.

        Raises:
            InvalidParameter: the name is empty, too long, or has spaces, control characters or a plus.
        """
        if not valid_name(name) or len(name.encode()) > MAX_NAME_BYTES:
            raise InvalidParameter(
                "name", f"must have 1 to {MAX_NAME_BYTES} bytes, without spaces, control characters or +, is {name!r}"
            )
        return cls(name, algorithm, seed)

    @property
    def verifier(self) -> VerifierKey:
        """The public half."""
        public = Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw()
        return VerifierKey(self.name, self.algorithm, public)

    @property
    def text(self) -> str:
        """The private form, one line without its end: a secret."""
        encoded = encode_base64(bytes([self.algorithm]) + self.seed)
        return f"PRIVATE+KEY+{self.name}+{self.verifier.key_id.hex()}+{encoded}"

    @classmethod
    def parse(cls, text: str) -> SigningKey:
        """Return the key of its private form.

        Raises:
            ProofMalformed: it has another form or algorithm, or an id that is not its own; its text is not told.
        """
        found = _PRIVATE.fullmatch(text)
        if found is None or not valid_name(found[1]):
            raise ProofMalformed("private key", "must have the form PRIVATE+KEY+NAME+ID+BASE64")
        algorithm, seed = _decode_key(found[3], "private key")
        key = cls(found[1], algorithm, seed)
        if key.verifier.key_id.hex() != found[2]:
            raise ProofMalformed("private key", "has an id that is not its own")
        return key

    def sign(self, message: bytes) -> bytes:
        """Return the Ed25519 signature of a message."""
        return Ed25519PrivateKey.from_private_bytes(self.seed).sign(message)


_PUBLIC: Final = re.compile(r"([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)", re.ASCII)
_PRIVATE: Final = re.compile(r"PRIVATE\+KEY\+([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)", re.ASCII)


def _decode_key(text: str, subject: str) -> tuple[int, bytes]:
    raw = decode_base64(text, subject)
    if raw[:1] not in {bytes([ED25519]), bytes([COSIGNATURE])} or len(raw) != 1 + SEED_BYTES:
        raise ProofMalformed(subject, "must be an Ed25519 key, of type 1 (logs) or 4 (witnesses)")
    return raw[0], raw[1:]
