"""What may be wrong around a store, looked at from outside: the parts, the machine, the directory. Changes nothing.

Each look gives a row: what was found, whether that is well, and if it is not, what to do.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from audit.app.directory import Directory
from audit.codec.events import event_value
from audit.log.clock import MAX_JUMP_MS, Clock, SystemClock
from audit.model.errors import (
    AuditError,
    StoreCorrupt,
    StoreExists,
    StoreFormat,
    StoreLocked,
    StoreMissing,
)
from audit.model.ids import RANDOM_BITS
from audit.storage.driver import driver_version
from audit.storage.options import StoreOptions
from audit.storage.port import Storage

__all__ = ["Look", "clock_look", "examine_machine", "examine_store"]

_MIB: Final = 1024 * 1024
_OPEN_FILES: Final = 1_024
"""LevelDB keeps up to a thousand tables open, beside which there are sockets."""
_OLDEST_MS: Final = 1_735_689_600_000
"""2025: a clock that says less was never set."""
_PARTS: Final = ("lz4", "msgspec", "xxhash")
_EXTRAS: Final = ("uvicorn", "starlette", "websockets", "uvloop")

_REMEDIES: Final[dict[type[AuditError], str]] = {
    StoreMissing: "audit init creates a store, audit restore makes one of a backup",
    StoreFormat: "use the version that the message names",
    StoreCorrupt: "audit fsck says what is damaged; restore a backup, for nothing repairs a store",
    StoreExists: "give the directory that holds the store",
}


class Look(NamedTuple):
    """One thing that was looked at.

    Attributes:
        name: What.
        found: What it is.
        well: Whether nothing needs to be done.
        remedy: What to do if not; may have advice otherwise, too.
    """

    name: str
    found: str
    well: bool = True
    remedy: str = ""


def examine_machine(clock: Clock | None = None) -> Iterator[Look]:
    """Look at what every store on this machine needs."""
    version = platform.python_version()
    yield Look("python", f"{version} ({sys.executable})")
    yield Look("audit", _version("audit-store") or "not installed as a package")
    yield Look("driver", driver_version())
    yield Look("parts", ", ".join([f"{name} {_version(name) or 'missing'}" for name in _PARTS]))
    extras = [f"{name} {found}" for name in _EXTRAS if (found := _version(name))]
    advice = "" if extras else "pip install 'audit-store[server,client]' adds them"
    yield Look("extras", ", ".join(extras) or "none", remedy=advice)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = soft == resource.RLIM_INFINITY
    yield Look(
        "open files",
        f"at most {'unlimited' if unlimited else soft} (could be raised to {hard})",
        unlimited or soft >= _OPEN_FILES,
        f"raise it to {_OPEN_FILES} or more: ulimit -n, or LimitNOFILE= of systemd; a server needs one a connection",
    )
    now = (clock or SystemClock()).wall_ms()
    yield Look("clock", f"{now} ms since 1970", now >= _OLDEST_MS, "set the clock: it was never set since the start")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def examine_store(
    path: str | os.PathLike[str], options: StoreOptions | None = None, clock: Clock | None = None
) -> Iterator[Look]:
    """Look at a store's directory, its disk, and, unless somebody has it open, at the store itself."""
    options = options or StoreOptions()
    directory = Directory(path, options)
    if not directory.path.is_dir():
        yield Look("directory", f"{directory.path} is not there", well=False, remedy=_REMEDIES[StoreMissing])
        return
    yield _directory(directory.path)
    yield from _disk(directory, options)
    yield from _files(directory)
    try:
        storage = directory.open()
    except StoreLocked as error:
        yield Look("holder", str(error), remedy="ask it with --url for more")
        return
    except AuditError as error:
        remedy = _REMEDIES.get(type(error), "look at the disk: its space, its health, its permissions")
        yield Look("store", str(error), well=False, remedy=remedy)
        return
    yield Look("holder", "nobody else has it open")
    try:
        yield from _store(storage, clock or SystemClock())
    except AuditError as error:
        yield Look("events", str(error), well=False, remedy=_REMEDIES[StoreCorrupt])
    finally:
        storage.close()


def _directory(path: Path) -> Look:
    writable = os.access(path, os.R_OK | os.W_OK | os.X_OK)
    return Look(
        "directory",
        f"{path}, {'readable and writable' if writable else 'not ours to read and write'}",
        writable,
        "run as the user who owns it, or change its permissions",
    )


def _disk(directory: Directory, options: StoreOptions) -> Iterator[Look]:
    found = os.statvfs(directory.path)
    free, watermark = found.f_bavail * found.f_frsize, options.min_free_bytes
    yield Look(
        "disk",
        f"{free // _MIB} MiB free; appends need {watermark // _MIB} MiB",
        free >= watermark,
        "free some space: appends are refused until then, reads go on",
    )
    if found.f_files:
        yield Look("inodes", f"{found.f_favail} free", found.f_favail > 0, "remove files: no new one can be made")
    size, wanted = directory.reserved_bytes, options.reserve_bytes
    room = free >= wanted + watermark
    if size == wanted:
        yield Look("reserve", f"{wanted // _MIB} MiB set aside, to open the store on a full disk")
    else:
        remedy = "is made when the store is opened next" if room else "free some space, then open the store once"
        yield Look("reserve", "none" if size is None else f"{size} bytes, not {wanted}", room, remedy)


def _files(directory: Directory) -> Iterator[Look]:
    sizes: list[int] = []
    for file in directory.log_path.glob("*"):
        try:
            sizes.append(file.stat().st_size)
        except OSError:
            # Gone since: whoever has the store open tidies up.
            continue
    yield Look("files", f"{len(sizes)} of {sum(sizes) // _MIB} MiB together")


def _store(storage: Storage, clock: Clock) -> Iterator[Look]:
    meta = storage.meta
    yield Look("store", f"{meta.store_id}, format {meta.format}")
    head = storage.load()
    size = head.first_index + sum(len(commit.events) for _, commit in head.commits)
    yield Look("events", f"{size}, of which {head.first_index} are sealed")
    last_id = event_value(head.commits[-1][1].events[-1]) if head.commits else head.last_sealed_id
    if size:
        yield clock_look(last_id, clock)


def clock_look(last_id: int, clock: Clock) -> Look:
    """Compare the clock with a log's newest event."""
    ahead = (last_id >> RANDOM_BITS) - clock.wall_ms()
    return Look(
        "newest event",
        f"{abs(ahead) / 1000:.1f} s {'ahead of' if ahead > 0 else 'behind'} the clock",
        ahead <= MAX_JUMP_MS,
        "set the clock right, or go on with --accept-clock: appends are refused until then",
    )
