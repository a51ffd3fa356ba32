"""The failing disk of `shim/faildisk.c`: building it, telling it what to fail, and the ways in which it can."""

from __future__ import annotations

import errno
import mmap
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final, NamedTuple

import pytest

__all__ = ["MODES", "Control", "Mode", "build_shim", "shim_environment"]

_SOURCE: Final = Path(__file__).parent / "shim" / "faildisk.c"
_NAME_BYTES: Final = 64
_FIELDS: Final = ("calls", "fail_at", "until_told", "error", "cut", "kinds", "failed", "after", "kind")
_SIZE: Final = 8 * len(_FIELDS) + _NAME_BYTES
WRITE, SYNC, CREATE, OPEN, RENAME = (1 << bit for bit in range(5))
KINDS: Final = {WRITE: "write", SYNC: "fdatasync", CREATE: "open to write", OPEN: "open to read", RENAME: "rename"}
# A disk without space refuses what would take some.
_TAKING: Final = WRITE | SYNC | CREATE | RENAME


class Mode(NamedTuple):
    """A way in which a disk fails."""

    error: int
    kinds: int
    until_told: bool = False
    """Every further call fails as well, until it is told not to."""
    cut: bool = False
    """A write writes half, and fails when asked for the rest."""


MODES: Final = {
    "EIO once": Mode(errno.EIO, sum(KINDS)),
    "EIO until told": Mode(errno.EIO, sum(KINDS), until_told=True),
    "ENOSPC once": Mode(errno.ENOSPC, _TAKING),
    "ENOSPC until told": Mode(errno.ENOSPC, _TAKING, until_told=True),
    "EIO once, of what is not a write": Mode(errno.EIO, sum(KINDS) - WRITE - SYNC),
    "a short write, then ENOSPC": Mode(errno.ENOSPC, WRITE, cut=True),
    "a short write, then EIO until told": Mode(errno.EIO, WRITE, until_told=True, cut=True),
}


class Control:
    """What the shim is told, and tells: one file, mapped by both."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(_SIZE))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _SIZE)
        self._view = memoryview(self._map)
        self._fields = self._view[: 8 * len(_FIELDS)].cast("Q")

    def __getitem__(self, field: str) -> int:
        return self._fields[_FIELDS.index(field)]

    def __setitem__(self, field: str, value: int) -> None:
        self._fields[_FIELDS.index(field)] = value

    def arm(self, nth: int, mode: Mode) -> None:
        """Have the n-th call from now on fail."""
        self._view[:] = bytes(_SIZE)
        self["until_told"], self["error"], self["cut"], self["kinds"] = (
            mode.until_told,
            mode.error,
            mode.cut,
            mode.kinds,
        )
        self["fail_at"] = nth

    def clear(self) -> None:
        """Let every call do what it does."""
        self["fail_at"] = 0

    @property
    def first_failed(self) -> tuple[str, str]:
        """What kind of call failed first, and the name of its file."""
        name = bytes(self._view[-_NAME_BYTES:]).split(b"\0")[0]
        return KINDS[self["kind"]], name.decode()


def build_shim(where: Path) -> Path:
    """Compile the shim, or skip the test where that can't be done."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("a failing disk needs a C compiler, and there is no cc here: apt-get install gcc libc6-dev")
    built = where / "faildisk.so"
    options = ["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden"]
    made = subprocess.run(
        [compiler, *options, "-o", str(built), str(_SOURCE), "-ldl"], capture_output=True, text=True, check=False
    )
    if "stdio.h" in made.stderr or "dlfcn.h: No such file" in made.stderr:
        pytest.skip("a failing disk needs the C library's headers: apt-get install libc6-dev")
    assert made.returncode == 0, made.stderr
    return built


def shim_environment(shim: Path, under: Path, control: Path) -> dict[str, str]:
    """Return what a program's environment needs for its files under a directory to be on the failing disk."""
    preloaded = f"{shim}:{os.environ['LD_PRELOAD']}" if os.environ.get("LD_PRELOAD") else str(shim)
    return {"LD_PRELOAD": preloaded, "FAILDISK_UNDER": str(under), "FAILDISK_CONTROL": str(control)}
