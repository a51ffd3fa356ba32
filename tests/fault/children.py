"""Processes that do something to a store and tell of it, one line of JSON at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

__all__ = ["Child", "started"]

_HERE: Final = Path(__file__).parent
_ROOT: Final = _HERE.parent.parent


class Child:
    """A running program of this directory; it is told things by lines, and tells by lines."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = process.pid

    def line(self) -> Any:
        """Return what the next whole line says, or None at the end."""
        assert self._process.stdout is not None
        text = self._process.stdout.readline()
        # Whoever is killed in the middle of a line has not said it.
        return json.loads(text) if text.endswith("\n") else None

    def lines(self) -> Iterator[Any]:
        """Return what all further lines say."""
        return iter(self.line, None)

    def tell(self, text: str) -> None:
        """Send the child a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{text}\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        """End it as no program can prevent."""
        self._process.kill()

    def wait(self) -> int:
        """Wait for its end; return its exit code."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self._process.wait(60)


@contextmanager
def started(program: str, *arguments: object, environment: Mapping[str, str] | None = None) -> Iterator[Child]:
    """Start a program of this directory, with more in its environment; when it is left, it is over."""
    command = [sys.executable, str(_HERE / program), *map(str, arguments)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        cwd=_ROOT,
        env={**os.environ, **(environment or {})},
    ) as process:
        try:
            yield Child(process)
        finally:
            process.kill()
