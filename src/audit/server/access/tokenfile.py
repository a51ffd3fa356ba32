"""The file that tokens are kept in: `tokens.json` beside the store, for its owner's eyes only.

It is replaced as a whole, so that whoever reads it finds either all of the old one or all of the new one. One who
changes it holds a lock meanwhile; the server that reads it needs none. Every function here blocks.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from audit.model.errors import InvalidParameter, NotFound, Unavailable
from audit.server.access.tokens import Token, Tokens, decode_tokens, encode_tokens

__all__ = ["NAME", "Stamp", "add_token", "read_tokens", "revoke_token", "stamp_of"]

NAME: Final = "tokens.json"
_LOCK: Final = "tokens.lock"
_MODE: Final = 0o600


class Stamp(NamedTuple):
    """What changes when the file does."""

    inode: int
    size: int
    modified_ns: int


def stamp_of(path: Path) -> Stamp | None:
    """Return the file's stamp; None: there is no file."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return Stamp(found.st_ino, found.st_size, found.st_mtime_ns)


def read_tokens(path: Path) -> Tokens:
    """Return the tokens of a file; one that is not there holds none.

    Raises:
        InvalidParameter: it is damaged.
        Unavailable: it can't be read, or others than its owner may read it.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if mode & 0o077:
                raise Unavailable(f"{path} may be read by others than its owner: chmod 600 {path}")
            text = file.read()
    except FileNotFoundError:
        return Tokens()
    except OSError as error:
        raise Unavailable(f"can't read {path}: {error.strerror or error}") from error
    return decode_tokens(text, str(path))


def add_token(path: Path, token: Token) -> None:
    """Add a token.

    Raises:
        InvalidParameter, Unavailable: as `read_tokens`; or it can't be written.
    """
    with _locked(path):
        kept = read_tokens(path)
        if token.id in kept.by_id():
            raise InvalidParameter("id", f"there is a token {token.id} already")
        _write(path, Tokens(tokens=[*kept.tokens, token]))


def revoke_token(path: Path, name: str, now_ms: int) -> Token:
    """End a token, at once; return it as it is kept from now on. One that has been revoked stays as it is.

    Raises:
        NotFound: there is none of this id.
        InvalidParameter, Unavailable: as `read_tokens`; or it can't be written.
    """
    with _locked(path):
        kept = read_tokens(path)
        found = kept.by_id().get(name)
        if found is None:
            raise NotFound(f"there is no token {name!r:.40}")
        if found.revoked_ms is not None:
            return found
        ended = msgspec.structs.replace(found, revoked_ms=now_ms)
        _write(path, Tokens(tokens=[ended if token.id == name else token for token in kept.tokens]))
        return ended


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let nobody else change the file meanwhile."""
    try:
        lock = os.open(path.with_name(_LOCK), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, _MODE)
    except OSError as error:
        raise Unavailable(f"can't write beside {path}: {error.strerror or error}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _write(path: Path, tokens: Tokens) -> None:
    new = path.with_name(f"{path.name}.new")
    try:
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, _MODE), "wb") as file:
            file.write(encode_tokens(tokens))
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # A revocation that was told must outlive a power cut.
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise Unavailable(f"can't write {path}: {error.strerror or error}") from error
