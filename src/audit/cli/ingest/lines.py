"""Lines of a byte stream, numbered from 1, each of bounded length: what is held never grows with the stream.

A line that can't be read (over its length, or behind damage in the stream) is yielded with its problem, not raised, so
that the caller can report its number and go on.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

__all__ = ["MAX_LINE_BYTES", "Line", "read_lines"]

MAX_LINE_BYTES: Final = 1024 * 1024
"""Far above any event (64 KiB encoded): spaces and escapes may make its text longer, never this much longer."""
_CHUNK_BYTES: Final = 64 * 1024
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class Line(NamedTuple):
    """One line of the stream, without its end.

    Attributes:
        number: Its place, from 1; blank lines count, and are not yielded.
        text: Its bytes; empty when there is a problem.
        problem: Why it can't be read.
    """

    number: int
    text: bytes
    problem: str | None = None


def read_lines(read: Callable[[int], bytes], max_bytes: int = MAX_LINE_BYTES) -> Iterator[Line]:
    r"""Yield the lines of a stream that are not blank; `\n` and `\r\n` end one, and the last may lack its end.

    Args:
        read: Returns 1 to n bytes, or none at the end; such as `BufferedReader.read1`.
        max_bytes: A longer line is skipped to its end and yielded as a problem.
    """
    number = 1
    held = bytearray()
    skipping = False
    while True:
        try:
            chunk = read(_CHUNK_BYTES)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            # Nothing behind the damage can be trusted, the beginning of this line included.
            yield Line(number, b"", f"the compressed stream is damaged here: {error}")
            return
        if not chunk:
            break
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            if not skipping:
                held += chunk[start:end]
            yield from _line(number, held, max_bytes, skipping=skipping)
            held.clear()
            skipping = False
            number += 1
            start = end + 1
        if not skipping:
            held += chunk[start:]
            # One byte more: a carriage return is no part of the line.
            if len(held) > max_bytes + 1:
                skipping = True
                held.clear()
    if held or skipping:
        yield from _line(number, held, max_bytes, skipping=skipping)


def _line(number: int, held: bytearray, max_bytes: int, *, skipping: bool) -> Iterator[Line]:
    text = bytes(held).removesuffix(b"\r")
    if skipping or len(text) > max_bytes:
        yield Line(number, b"", f"is longer than {max_bytes:,} bytes")
        return
    if number == 1:
        text = text.removeprefix(_BYTE_ORDER_MARK)
    if not text.isspace() and text:
        yield Line(number, text)
