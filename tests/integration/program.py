"""The command line as a process of its own, on one store."""

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Final

from audit.app import Audit
from audit.model.event import NewEvent
from tests.integration.preloaded import run_forked

__all__ = ["AUDIT", "Program"]

AUDIT: Final = (sys.executable, "-m", "audit")


class Program:
    """Runs commands on the store at `path`, each in a new process, forked from one that has imported `audit`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(("AUDIT_", "COLUMNS"))}
        self.env["AUDIT_DATA"] = str(path)

    def __call__(self, *arguments: str, stdin: bytes = b"", code: int = 0) -> subprocess.CompletedProcess[bytes]:
        """Run a command to its end, which must be with this exit code, and never with a trace."""
        with TemporaryFile() as given, TemporaryFile() as printed, TemporaryFile() as said:
            given.write(stdin)
            given.seek(0)
            returned = run_forked(arguments, stdin=given, stdout=printed, stderr=said, environment=self.env)
            printed.seek(0)
            said.seek(0)
            done = subprocess.CompletedProcess([*AUDIT, *arguments], returned, printed.read(), said.read())
        assert done.returncode == code, (done.returncode, done.stdout[-2_000:], done.stderr[-2_000:])
        assert b"Traceback" not in done.stderr, done.stderr
        return done

    def create(self) -> None:
        """Create the store, without a process for it."""
        Audit.init(self.path)

    def append(self, *topics: str) -> None:
        """Append an event to each of these topics, without a process for it."""
        with Audit.open_sync(self.path) as log:
            log.append_many([NewEvent(topics=[(topic,)]) for topic in topics])

    def stored(self) -> list[dict[str, Any]]:
        """Return every event of the store, without a process to ask."""
        found: list[dict[str, Any]] = []
        with Audit.open_sync(self.path) as log:
            cursor, more = None, True
            while more:
                page = log.list(limit=1_000, cursor=cursor)
                found += [json.loads(event) for event in page.slices]
                cursor, more = page.cursor, page.has_more
        return found

    def start(self, *arguments: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        """Start a command, and leave it running."""
        return subprocess.Popen(
            [*AUDIT, *arguments], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.env
        )

    def events(self, *arguments: str) -> list[dict[str, Any]]:
        """Return the events that `audit list` prints."""
        return [json.loads(line) for line in self("list", "--format", "jsonl", *arguments).stdout.splitlines()]
