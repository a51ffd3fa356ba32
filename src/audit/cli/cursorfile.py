"""The file in which `audit tail` remembers how far it came, for the next run to go on there.

Invariant: the file holds a whole cursor or is not there, whatever happens; and it is never ahead of what was printed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

from audit.model.errors import InvalidParameter

__all__ = ["CursorFile", "whole"]

_MAX_BYTES: Final = 4096


class CursorFile:
    """One such file.

    Attributes:
        path: Where it is.
        cursor: What it holds; None: it is not there yet.
    """

    def __init__(self, path: Path) -> None:
        """Read the file, if there is one.

        Raises:
            InvalidParameter: it holds something else than a cursor.
            OSError: it can't be read, or its directory is missing.
        """
        self.path = path
        self.cursor: str | None = None
        try:
            with path.open("rb") as file:
                text = file.read(_MAX_BYTES)
        except FileNotFoundError:
            if not path.parent.is_dir():
                raise
            return
        cursor = text.decode("ascii", errors="replace").strip()
        # An empty file was put there to be filled: by `mktemp`, say.
        if cursor:
            if not cursor.replace("-", "").replace("_", "").isalnum():
                raise InvalidParameter("--cursor-file", f"{path} holds no cursor")
            self.cursor = cursor

    def save(self, cursor: str) -> None:
        """Have the file hold a cursor, on disk; what is printed up to it must have been flushed.

        Raises:
            OSError: it can't be written.
        """
        if cursor == self.cursor:
            return
        descriptor, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
        try:
            with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
                file.write(cursor.encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, self.path)  # noqa: PTH105 - a name as mkstemp returns it
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)  # noqa: PTH108 - the same
            raise
        _sync_directory(self.path.parent)
        self.cursor = cursor


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def whole() -> Iterator[None]:
    """Do not let Ctrl-C or SIGTERM part what is printed from what is remembered: they wait for the end of the block.

    A second one does not wait: whoever reads the output may have stopped, and the block with it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers: dict[int, Any] = {}
    waiting: list[int] = []

    def later(number: int, frame: FrameType | None) -> None:
        if waiting and callable(handlers[number]):
            handlers[number](number, frame)
        waiting.append(number)

    for held in (signal.SIGINT, signal.SIGTERM):
        handlers[held] = signal.signal(held, later)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for first in waiting[:1]:
            signal.raise_signal(first)
