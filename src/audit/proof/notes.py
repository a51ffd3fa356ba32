"""C2SP signed notes: text, a blank line, signature lines. Nothing of the text is to be trusted before `check`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from audit.model.errors import ProofMalformed, SignatureInvalid, WrongKey
from audit.proof.keys import ED25519, SigningKey, VerifierKey, decode_base64, encode_base64, valid_name

__all__ = ["MAX_NOTE_BYTES", "MAX_SIGNATURES", "Note", "Signature", "add_signature", "parse_note", "sign_note"]

MAX_NOTE_BYTES: Final = 1_000_000
MAX_SIGNATURES: Final = 100
_KEY_ID_BYTES: Final = 4
_DASH: Final = "\u2014 "


class Signature(NamedTuple):
    """One signature line.

    Attributes:
        name: The key's.
        key_id: Four bytes.
        signature: What follows them; its form is the algorithm's.
    """

    name: str
    key_id: bytes
    signature: bytes

    @property
    def line(self) -> str:
        """The line, with its end."""
        return f"{_DASH}{self.name} {encode_base64(self.key_id + self.signature)}\n"

    def is_by(self, key: VerifierKey) -> bool:
        """Return whether it says that this key made it."""
        return self.name == key.name and self.key_id == key.key_id


class Note(NamedTuple):
    """A text and its signatures, none of them checked.

    Attributes:
        text: With the end of its last line.
        signatures: At least one.
    """

    text: str
    signatures: tuple[Signature, ...]

    @property
    def encoded(self) -> str:
        """The note as it is kept and sent."""
        return self.text + "\n" + "".join(signature.line for signature in self.signatures)

    def check(self, keys: Iterable[VerifierKey]) -> list[VerifierKey]:
        """Return those of these log keys that signed the text: one at least.

        Raises:
            SignatureInvalid: a line has the name and the id of one of the keys, which did not sign this.
            WrongKey: there is no signature by any of the keys.
        """
        trusted = [key for key in keys if key.algorithm == ED25519]
        message = self.text.encode()
        found = []
        # Others are ignored: a note may bear signatures of keys that its reader never heard of.
        for signature in self.signatures:
            for key in trusted:
                if signature.is_by(key):
                    if not key.signed(message, signature.signature):
                        raise SignatureInvalid("signature", f"is not one by {key.name} of this text")
                    found.append(key)
        if not found:
            asked = ", ".join(f"{key.name}+{key.key_id.hex()}" for key in trusted) or "no log's key"
            borne = ", ".join(f"{one.name}+{one.key_id.hex()}" for one in self.signatures)
            raise WrongKey("signature", f"is by {borne}; trusted is {asked}")
        return found


def parse_note(encoded: str) -> Note:
    """Return a note, its signatures unchecked.

    Raises:
        ProofMalformed: it has not the form of a signed note, over 1 MB or over 100 signatures.
    """
    try:
        size = len(encoded.encode())
    except UnicodeEncodeError as error:
        raise ProofMalformed("note", "must be text that UTF-8 can hold") from error
    if size > MAX_NOTE_BYTES:
        raise ProofMalformed("note", f"must have at most {MAX_NOTE_BYTES} bytes")
    if any(char < " " and char != "\n" for char in encoded):
        raise ProofMalformed("note", "must not have control characters")
    text, blank, rest = encoded.rpartition("\n\n")
    if not blank or not rest.endswith("\n"):
        raise ProofMalformed(
            "note", "must be lines of text, a blank line and signature lines: is it signed, and whole?"
        )
    lines = rest[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise ProofMalformed("note", f"must have at most {MAX_SIGNATURES} signatures, has {len(lines)}")
    return Note(text + "\n", tuple(map(_parse_line, lines)))


def _parse_line(line: str) -> Signature:
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not space or not valid_name(name):
        raise ProofMalformed("signature", "must be a dash, a key's name and base64, with a space between")
    raw = decode_base64(encoded, "signature")
    if len(raw) <= _KEY_ID_BYTES:
        raise ProofMalformed("signature", "is too short")
    return Signature(name, raw[:_KEY_ID_BYTES], raw[_KEY_ID_BYTES:])


def sign_note(text: str, *keys: SigningKey) -> str:
    """Return a text that ends with a newline, signed by log keys."""
    message = text.encode()
    signatures = (Signature(key.name, key.verifier.key_id, key.sign(message)) for key in keys)
    return Note(text, tuple(signatures)).encoded


def add_signature(encoded: str, signature: Signature) -> str:
    """Return the note with one signature more, in place of an older one by the same key."""
    note = parse_note(encoded)
    others = [one for one in note.signatures if one[:2] != signature[:2]]
    return Note(note.text, (*others, signature)).encoded
