"""Who looks on, and what they see: terminals told from pipes, hostile text made harmless, progress for people only."""

from __future__ import annotations

import json
import os
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Final

from rich.console import Console

__all__ = [
    "complain",
    "console",
    "flush",
    "hint",
    "person_at",
    "printable",
    "printable_json",
    "progress",
    "reader_left",
    "write",
]

_PIPE_WIDTH: Final = 132
"""Columns of a table where no terminal says how many it has."""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave a closed pipe to `program`, as every other writer does; rich would exit with a failure."""
        raise  # noqa: PLE0704 - rich calls this while it handles the error


def person_at(stream: IO[str]) -> bool:
    """Return whether a person looks at this stream."""
    return stream.isatty()


def console() -> Console:
    """Return a console on stdout that takes text as it is: no markup, no emoji codes."""
    width = None if person_at(sys.stdout) or "COLUMNS" in os.environ else _PIPE_WIDTH
    return _Console(file=sys.stdout, width=width, markup=False, emoji=False, highlight=False)


def printable(text: str) -> str:
    """Return `text` on one line, with what could steer a terminal or reorder text shown as its escape.

    An event's texts come from anyone: without this, one could clear the screen of the admin who reads it, or hide.
    """
    if text.isprintable():
        return text
    return "".join([char if char.isprintable() else char.encode("unicode_escape").decode() for char in text])


def printable_json(text: str) -> str:
    """Return JSON with the same characters as in `printable` as JSON's own escapes; they occur inside strings only."""
    return "".join([char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text])


def complain(message: str) -> None:
    """Write a line to stderr; stdout carries nothing but values."""
    sys.stderr.write(printable(message) + "\n")


def hint(message: str) -> None:
    """Say on stderr what may help."""
    complain(f"hint: {message}")


def write(chunk: bytes) -> None:
    """Write bytes to stdout, as they are."""
    sys.stdout.buffer.write(chunk)


def flush() -> None:
    """Send on what was written so far."""
    sys.stdout.flush()


def reader_left() -> bool:
    """Return whether stdout is a pipe whose reader is gone, which nothing else says until the next write."""
    try:
        descriptor = sys.stdout.fileno()
    except OSError:
        return False
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(event & (select.POLLERR | select.POLLNVAL) for _, event in poll.poll(0))


@contextmanager
def progress(label: str, total: int | None) -> Iterator[Callable[[int, int | None], None]]:
    """Show a progress bar on stderr while a person looks at it, and nothing at all otherwise.

    Args:
        label: What is under way.
        total: How much there is of it; None where that is not known.

    Yields:
        A function that takes how much is done, and the total if that has changed.
    """
    if not person_at(sys.stderr):
        yield lambda _done, _total: None
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415 - slow to import, rarely needed

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda done, of: bar.update(task, completed=done, total=of)
