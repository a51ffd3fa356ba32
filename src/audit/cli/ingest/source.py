"""Where the bytes come from: a file or standard input, compressed with gzip or not, told apart by their first bytes."""

from __future__ import annotations

import gzip
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, cast

from audit.model.errors import InvalidParameter

__all__ = ["STDIN", "Source", "open_source"]

STDIN: Final = "-"
_GZIP_MAGIC: Final = b"\x1f\x8b"


class Source(NamedTuple):
    """An open stream of bytes.

    Attributes:
        name: What to call it in messages.
        identity: What tells it from other sources in idempotency keys.
        read: Returns 1 to n bytes as they come, decompressed; none at the end.
        position: How many bytes have been read of the file as it lies on disk; not for a pipe.
        size: Bytes of that file; None for a pipe.
    """

    name: str
    identity: str
    read: Callable[[int], bytes]
    position: Callable[[], int]
    size: int | None


@contextmanager
def open_source(path: str) -> Iterator[Source]:
    """Open a file, or standard input for ``-``.

    Raises:
        InvalidParameter: there is no such file, or it can't be read.
    """
    if path == STDIN:
        yield _source("standard input", STDIN, sys.stdin.buffer)
        return
    try:
        file = Path(path).open("rb")  # noqa: SIM115 - an error while reading it is another one
    except (OSError, ValueError) as error:
        raise InvalidParameter(path, getattr(error, "strerror", None) or str(error)) from error
    with file:
        yield _source(path, os.path.realpath(path), file)


def _source(name: str, identity: str, file: BinaryIO) -> Source:
    # Every file opened for reading in binary is buffered; the type of the standard streams does not say so.
    buffered = cast("BufferedReader", file)
    size = os.fstat(buffered.fileno()).st_size or None
    read = buffered.read1
    if buffered.peek(len(_GZIP_MAGIC)).startswith(_GZIP_MAGIC):
        read = gzip.GzipFile(fileobj=buffered).read1
    return Source(name, identity, read, buffered.tell, size)
