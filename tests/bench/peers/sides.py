"""What a benchmark asks of each side: a server (or a file) of its own, and connections that do the same few things.

Every side is given the same events and hands out decoded ones; what one cannot do, it does not offer.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import msgspec

from audit import NewEvent
from tests.bench.workload import DENSE

__all__ = [
    "ACTION",
    "ACTOR",
    "LIVE",
    "PAGE",
    "TOPIC",
    "Link",
    "Side",
    "Told",
    "decode",
    "encode",
    "free_port",
    "owner",
    "paths",
    "wait_until",
]

TOPIC: Final = DENSE
"""What pages and replays ask for: half of the log."""
ACTOR: Final = "u-7"
ACTION: Final = "connection.opened"
LIVE: Final = ("live",)
"""What tails follow."""
PAGE: Final = 100
START_S: Final = 60.0

Told = Callable[[Sequence[Any]], None]

encode = msgspec.json.Encoder().encode
decode: Final = msgspec.json.Decoder(NewEvent).decode
"""Peers' events are decoded by what decodes ours, to the same class but for what our log adds."""


class Link(ABC):
    """One connection, or one opened file."""

    @abstractmethod
    async def append(self, event: NewEvent) -> None:
        """Return once the event is durable."""

    @abstractmethod
    async def append_many(self, events: Sequence[NewEvent]) -> None:
        """Return once all are durable."""

    async def append_live(self, events: Sequence[NewEvent]) -> None:
        """Append what tails follow."""
        await self.append_many(events)

    async def places(self) -> list[Any]:
        """Return where a page may start, all over the topic; each side has its own kind."""
        raise NotImplementedError

    async def page(self, place: Any) -> Sequence[Any]:
        """Return a page of the topic, decoded."""
        raise NotImplementedError

    async def page_by_facets(self, place: Any) -> Sequence[Any]:
        """Return a page of what has both the actor and the action, decoded."""
        raise NotImplementedError

    async def replay(self) -> int:
        """Hand out the whole topic, decoded; return how many events that were."""
        raise NotImplementedError

    async def tail(self, ready: asyncio.Event, told: Told) -> None:
        """Tell of live events, decoded, until cancelled."""
        raise NotImplementedError

    @abstractmethod
    async def close(self) -> None:
        """Close."""


class Side(ABC):
    """One store and what it takes to run it.

    Attributes:
        name: In tables and JSON.
        durability: What an acknowledgement means.
        durable: Whether that is an fsync.
        finds: Whether events can be found by topic; a plain log appends faster and answers less.
        offers: Names of rows beyond appends: `page`, `facets`, `replay`, `tail`.
        most_events: Logs larger than this are left out.
    """

    name: str
    durability: ClassVar[str]
    durable: bool = True
    finds: bool = True
    over_socket: ClassVar[bool] = True
    offers: frozenset[str] = frozenset({"page", "facets", "replay", "tail"})
    most_events: ClassVar[int] = 10_000_000

    def __init__(self) -> None:
        self.known_places: list[Any] = []
        self.empty_bytes = 0
        self._said_before = 0
        self._directory: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def directory(self) -> Path:
        """Where its files are."""
        assert self._directory is not None
        return self._directory

    def prepare(self, directory: Path) -> None:
        """Make its directory; called once, before `start`."""
        self._directory = directory / self.name
        self._directory.mkdir(mode=0o700)

    def start(self) -> None:  # noqa: B027 - a file needs no server
        """Start the server on what `prepare` or an earlier run left."""

    @abstractmethod
    async def connect(self) -> Link:
        """Return a new connection."""

    def run(self, command: Sequence[str | Path], *, user: str | None = None, stop: int = signal.SIGTERM) -> None:
        """Start the server's process, to be ended by the signal `stop`."""
        self._stop_signal = stop
        # Its words are kept, for when it does not start.
        with self._log.open("ab") as words:
            self._said_before = words.tell()
            self._process = subprocess.Popen(
                [str(word) for word in command], stdout=words, stderr=words, user=user, cwd=self.directory
            )

    def stop(self) -> None:
        """End the server in its orderly way; only what was started here."""
        if self._process is not None:
            self._process.send_signal(self._stop_signal)
            self._process.wait(START_S)
            self._process = None

    def disk_bytes(self) -> int:
        """Return what its files take, in blocks on the disk, but for journals that it uses again and again."""
        files = (file for file in self.directory.rglob("*") if file.is_file())
        return sum(file.stat().st_blocks * 512 for file in files if "pg_wal" not in file.parts)

    def memory_mib(self) -> float:
        """Return the memory of the server's processes, shared pages counted once."""
        assert self._process is not None
        return sum(_pss_mib(pid) for pid in _family(self._process.pid))

    def words(self) -> str:
        """Return what the server said since its last start."""
        return self._log.read_bytes()[self._said_before :].decode(errors="replace")

    @property
    def _log(self) -> Path:
        return self.directory.parent / f"{self.name}.log"

    def check_alive(self) -> None:
        """Raise when the server is gone."""
        if self._process is not None and self._process.poll() is not None:
            raise RuntimeError(f"{self.name} ended with {self._process.returncode}:\n{self.words()[-2_000:]}")


def paths(topic: Sequence[str]) -> list[str]:
    """Return a topic's ancestors and itself as text, shortest first."""
    return ["/".join(topic[: depth + 1]) for depth in range(len(topic))]


def free_port() -> int:
    """Return a port of loopback that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def owner(directory: Path, user: str) -> str | None:
    """Give a directory to the user that a server must run as when we are root; None: we are not."""
    if os.geteuid() != 0:
        return None
    shutil.chown(directory, user)
    return user


def wait_until(side: Side, answers: Callable[[], bool]) -> None:
    """Wait for a server that was started."""
    until = time.monotonic() + START_S
    while not answers():
        side.check_alive()
        if time.monotonic() > until:
            raise RuntimeError(f"{side.name} does not answer:\n{side.words()[-2_000:]}")
        time.sleep(0.05)


def _family(root: int) -> list[int]:
    parents: dict[int, int] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(status.parent.name)] = int(fields[1])
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def _pss_mib(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:"))
