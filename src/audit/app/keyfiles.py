"""Keys as files: private ones for their owner's eyes alone, and never inside a store, which an attacker may have."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from audit.log.durable import sync_directory
from audit.model.errors import InvalidParameter, ProofMalformed, Unavailable
from audit.proof.keys import ED25519, SEED_BYTES, SigningKey, VerifierKey

__all__ = ["create_key", "load_signing_key", "load_verifier_key", "read_text"]

_MAX_BYTES: Final = 1_000_000
_OTHERS: Final = 0o077


def create_key(path: Path, name: str, algorithm: int = ED25519, parameter: str = "path") -> SigningKey:
    """Make a key, and write it to a new file of mode 0600; its public half to the same with `.pub`.

    Raises:
        InvalidParameter: the name can't be a key's, the file is there already, or it would lie inside a store.
        Unavailable: it can't be written.
    """
    key = SigningKey.new(name, os.urandom(SEED_BYTES), algorithm)
    for folder in path.resolve().parents:
        if (folder / "log" / "CURRENT").exists():
            raise InvalidParameter(parameter, f"{path} is in the store {folder}: who gets that would get the key")
    _write(path, key.text, 0o600, parameter)
    _write(path.with_name(f"{path.name}.pub"), key.verifier.text, 0o644, parameter)
    return key


def _write(path: Path, line: str, mode: int, parameter: str) -> None:
    try:
        with open(path, "x", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(f"{line}\n")
            file.flush()
            os.fsync(file.fileno())
        sync_directory(path.parent)
    except FileExistsError as error:
        raise InvalidParameter(parameter, f"{path} is there already") from error
    except OSError as error:
        raise Unavailable(f"can't write {path}: {error.strerror or error}") from error


def load_signing_key(path: Path, parameter: str = "key") -> SigningKey:
    """Return the key of a private key's file.

    Raises:
        InvalidParameter: it can't be read, others than its owner may read it, or it holds no private key.
    """
    text = read_text(path, parameter)
    mode = path.stat().st_mode
    if mode & _OTHERS:
        raise InvalidParameter(parameter, f"{path} may be read by others than its owner: chmod 600 {path}")
    try:
        return SigningKey.parse(text.strip())
    except ProofMalformed as error:
        raise InvalidParameter(parameter, f"{path}: {error}") from error


def load_verifier_key(given: str, parameter: str = "key") -> VerifierKey:
    """Return a public key that is given as its text, or as the file that holds it.

    Raises:
        InvalidParameter: it is neither.
    """
    text = given if "+" in given and not Path(given).exists() else read_text(Path(given), parameter)
    try:
        return VerifierKey.parse(text.strip())
    except ProofMalformed as error:
        raise InvalidParameter(parameter, f"{given}: {error}") from error


def read_text(path: Path, parameter: str) -> str:
    """Return what a small file holds.

    Raises:
        InvalidParameter: it can't be read, or is no text.
    """
    try:
        with path.open("rb") as file:
            return file.read(_MAX_BYTES + 1).decode()
    except OSError as error:
        raise InvalidParameter(parameter, f"can't read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InvalidParameter(parameter, f"{path} is no text in UTF-8") from error
