"""The command line's long-lived processes, `audit serve` and `audit tail`, to be ended and started again."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from pathlib import Path
from typing import Final

__all__ = ["ServerProcess", "TailProcess", "free_port"]

_AUDIT: Final = (sys.executable, "-m", "audit")
_EPHEMERAL: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_REFUSED: Final = 5
_TERMINATED: Final = 143


def free_port(chance: random.Random) -> int:
    """Return a port that stays free while no server listens on it.

    Not one that the system hands out: a client that connects while the server is down could be given it for its own
    end, and then is connected to itself.
    """
    least = int(_EPHEMERAL.read_text().split()[0])
    while True:
        port = chance.randrange(least // 2, least)
        with socket.socket() as probe:
            # As the server does: what is left of earlier connections is in nobody's way.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("AUDIT_", "COLUMNS"))}


class ServerProcess:
    """`audit serve` of one store at one address."""

    def __init__(self, store: Path, port: int, log: Path) -> None:
        self.address = f"127.0.0.1:{port}"
        self.url = f"ws://{self.address}"
        self._store = store
        self._log = log
        self._process: Process

    async def start(self) -> None:
        options = ["--data", str(self._store), "--create", "--listen", self.address]
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *_AUDIT, "serve", *options, stdout=DEVNULL, stderr=log, env=_environment()
            )

    @property
    def is_alive(self) -> bool:
        """Whether it runs; if not, the test is over."""
        assert self._process.returncode is None, (self._process.returncode, self._log.read_bytes()[-2_000:])
        return True

    @property
    def cpu_ticks(self) -> int:
        """Processor time that it has used: how far its start has come, on a machine of whatever speed."""
        # What follows the command's name, which may hold anything but is in parentheses.
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    @property
    def accepts(self) -> bool:
        """Whether it listens."""
        host, _, port = self.address.rpartition(":")
        with socket.socket() as probe:
            return probe.connect_ex((host, int(port))) == 0

    async def end(self, by: signal.Signals) -> None:
        assert self.is_alive
        self._process.send_signal(by)
        expected = 0 if by is signal.SIGTERM else -by
        assert await self._process.wait() == expected, self._log.read_bytes()[-2_000:]

    async def stop(self) -> None:
        """End it if it runs, whatever it is doing."""
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


class TailProcess:
    """`audit tail -f` of a served log, with a cursor file: what all its runs print, put together."""

    def __init__(self, url: str, directory: Path) -> None:
        self._options = ["--url", url, "--follow", "--seek", "0", "--cursor-file", str(directory / "cursor")]
        self._output = directory / "output"
        self._log = directory / "tail.log"
        self._output.touch()
        self._read_bytes = 0
        self._lines = 0
        self._process: Process | None = None

    async def start(self) -> None:
        with self._output.open("ab") as output, self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *_AUDIT, "tail", *self._options, stdout=output, stderr=log, env=_environment()
            )

    def lines(self) -> int:
        """Return how many whole lines there are by now."""
        with self._output.open("rb") as output:
            output.seek(self._read_bytes)
            found = output.read()
        self._read_bytes += len(found)
        self._lines += found.count(b"\n")
        return self._lines

    @property
    def is_over(self) -> bool:
        """Whether it found no server when it began, and ended: only its first connection must succeed at once."""
        assert self._process is not None
        code = self._process.returncode
        assert code in (None, _REFUSED), (code, self._log.read_bytes()[-2_000:])
        return code is not None

    async def end(self) -> None:
        """Ask it to end in order, while it runs."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        assert await self._process.wait() == _TERMINATED, self._log.read_bytes()[-2_000:]

    async def stop(self) -> None:
        """End it if it runs, whatever it is doing."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    def output(self) -> bytes:
        assert b"Traceback" not in self._log.read_bytes()
        return self._output.read_bytes()
