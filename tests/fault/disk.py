"""A disk with a volatile cache, as a file to loop-mount: `disk.py IMAGE MOUNT_POINT [lying]`; as root, on Linux, only.

It speaks FUSE's protocol to the kernel, and serves one file, `disk`, so that each write and each flush of a file system
on it comes by here. A write stays in the cache; only a flush brings what came before it to the platter. At a power cut
each sector that is in the cache only has reached the platter or has not, by chance, whatever the order: all that a disk
may do that keeps what it has flushed.

A line on standard input, `{"cut": FILE, "after": N, "seed": N}`, cuts the power at the N-th write or flush from now,
between it and its answer; the platter is then in FILE. A line of JSON tells of it. Later writes go nowhere, as the
machine that makes them is off. With `"after": 0` the power is cut at once. A lying disk forgets to flush.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import random
import stat
import struct
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, Final

__all__ = ["DISK", "mount", "unmount"]

DISK: Final = "disk"
SECTOR: Final = 512
MOST_WRITTEN: Final = 128 * 1024

# linux/fuse.h, protocol 7.31: each request is a header, arguments of the operation, and data.
LOOKUP, FORGET, GETATTR, SETATTR, OPEN, READ, WRITE, STATFS, RELEASE, FSYNC, FLUSH, INIT, OPENDIR, BATCH_FORGET = (
    1, 2, 3, 4, 14, 15, 16, 17, 18, 20, 25, 26, 27, 42,
)  # fmt: skip
HEADER: Final = struct.Struct("<IIQQIIIHH")
ANSWER: Final = struct.Struct("<IiQ")
ATTRIBUTES: Final = struct.Struct("<QQQQQQIIIIIIIIII")
WRITE_ARGUMENTS: Final = 40
ROOT_NODE, DISK_NODE = 1, 2
FOREVER: Final = 1 << 30

_libc: Final = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: Path, kind: str, options: str) -> None:
    """Mount a file system.

    Raises:
        OSError: the kernel refuses.
    """
    if _libc.mount(source.encode(), os.fsencode(target), kind.encode(), 0, options.encode()):
        number = ctypes.get_errno()
        raise OSError(number, f"mount {kind}: {os.strerror(number)}")


def unmount(target: Path) -> None:
    """Take a mount away at once, whoever still uses it."""
    detach = 2
    _libc.umount2(os.fsencode(target), detach)


class Disk:
    """The platter, and the cache before it."""

    def __init__(self, image: bytes, *, lying: bool) -> None:
        self._lying = lying
        self.platter = bytearray(image)
        self._cached = bytearray(image)
        self._unflushed: set[int] = set()
        self._off = False
        self._until_cut = -1
        self._cut: dict[str, Any] = {}
        self.writes = self.flushes = 0
        self._lock = threading.Lock()

    def read(self, at: int, count: int) -> bytes:
        """Return what was written last."""
        with self._lock:
            return bytes(self._cached[at : at + count])

    def write(self, at: int, content: bytes) -> None:
        """Take a write into the cache."""
        with self._lock:
            self._cached[at : at + len(content)] = content
            self._unflushed.update(range(at // SECTOR, -(-(at + len(content)) // SECTOR)))
            self.writes += 1
            self._count_down()

    def flush(self) -> None:
        """Bring the cache to the platter."""
        with self._lock:
            # Half of the cuts at a flush come before it is done, half after.
            if self._until_cut == 1 and self._cut["seed"] % 2:
                self._count_down()
            if not self._off and not self._lying:
                for sector in self._unflushed:
                    self._write_back(sector)
                self._unflushed.clear()
            self.flushes += 1
            self._count_down()

    def cut(self, order: dict[str, Any]) -> None:
        """Cut the power, as a line says."""
        with self._lock:
            self._cut = order
            self._until_cut = order["after"]
            if not self._until_cut:
                self._cut_now()

    def _count_down(self) -> None:
        if self._until_cut > 0:
            self._until_cut -= 1
            if not self._until_cut:
                self._cut_now()

    def _cut_now(self) -> None:
        at_ns = time.monotonic_ns()
        self._until_cut = -1
        self._off = True
        chance = random.Random(self._cut["seed"])
        # From nothing of the cache to all of it.
        share = chance.choice((0.0, 0.1, 0.5, 0.9, 1.0))
        survived = [sector for sector in sorted(self._unflushed) if chance.random() < share]
        for sector in survived:
            self._write_back(sector)
        Path(self._cut["cut"]).write_bytes(self.platter)
        told = {
            "at_ns": at_ns,
            "writes": self.writes,
            "flushes": self.flushes,
            "cached": len(self._unflushed),
            "survived": len(survived),
        }
        os.write(1, f"{json.dumps(told)}\n".encode())

    def _write_back(self, sector: int) -> None:
        at = sector * SECTOR
        self.platter[at : at + SECTOR] = self._cached[at : at + SECTOR]


class Served:
    """Answers the kernel's requests."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk

    def attributes(self, node: int) -> bytes:
        """Return what `stat` says."""
        size = len(self.disk.platter)
        mode, size = (stat.S_IFDIR | 0o700, 0) if node == ROOT_NODE else (stat.S_IFREG | 0o600, size)
        return ATTRIBUTES.pack(node, size, size // SECTOR, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)

    def answer(self, operation: int, node: int, request: bytes) -> bytes | int | None:
        """Return the answer to a request; an error's number; None where the kernel expects no answer."""
        answered: bytes | int | None = errno.ENOSYS
        if operation == WRITE:
            _, at, size = struct.unpack_from("<QQI", request)
            self.disk.write(at, request[WRITE_ARGUMENTS : WRITE_ARGUMENTS + size])
            answered = struct.pack("<II", size, 0)
        elif operation == READ:
            _, at, size = struct.unpack_from("<QQI", request)
            answered = self.disk.read(at, size)
        elif operation == FSYNC:
            self.disk.flush()
            answered = b""
        elif operation in {FLUSH, RELEASE}:
            answered = b""
        elif operation == LOOKUP:
            known = struct.pack("<QQQQII", DISK_NODE, 0, FOREVER, FOREVER, 0, 0) + self.attributes(DISK_NODE)
            answered = known if request == DISK.encode() + b"\0" else errno.ENOENT
        elif operation in {GETATTR, SETATTR}:
            answered = struct.pack("<QII", FOREVER, 0, 0) + self.attributes(node)
        elif operation in {OPEN, OPENDIR}:
            answered = struct.pack("<QII", 0, 0, 0)
        elif operation == INIT:
            big_writes = 1 << 5
            told = struct.pack("<IIIIHHIIHH", 7, 31, MOST_WRITTEN, big_writes, 16, 12, MOST_WRITTEN, 1, 0, 0)
            answered = told + bytes(32)
        elif operation == STATFS:
            answered = struct.pack("<QQQQQIII", 0, 0, 0, 1, 1, 4096, 255, 4096) + bytes(28)
        elif operation in {FORGET, BATCH_FORGET}:
            answered = None
        return answered

    def serve(self, device: int) -> None:
        """Answer until the file system is unmounted."""
        while True:
            try:
                message = os.read(device, MOST_WRITTEN + 4096)
            except OSError as error:
                if error.errno in {errno.EINTR, errno.ENOENT, errno.EAGAIN}:
                    continue
                return
            _, operation, unique, node, *_ = HEADER.unpack_from(message)
            found = self.answer(operation, node, message[HEADER.size :])
            if found is None:
                continue
            failure, content = (-found, b"") if isinstance(found, int) else (0, found)
            try:
                os.write(device, ANSWER.pack(ANSWER.size + len(content), failure, unique) + content)
            except OSError as error:
                # Nobody waits for it any more: given up, or unmounted.
                if error.errno not in {errno.ENOENT, errno.ENODEV, errno.EPERM}:
                    raise


def answering(disk: Disk, device: int) -> None:
    """Serve, and end the process with the service: then the kernel fails what it waits for, instead of waiting on."""
    try:
        Served(disk).serve(device)
    except Exception:  # noqa: BLE001 - whatever it is, it is told and ends the process
        traceback.print_exc()
        os._exit(1)


def main(image: Path, target: Path, *, lying: bool) -> None:
    """Serve an image's content until standard input ends; the image itself stays as it is."""
    disk = Disk(image.read_bytes(), lying=lying)
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    mount("disk", target, "fuse", f"fd={device},rootmode=40000,user_id=0,group_id=0")
    threading.Thread(target=answering, args=(disk, device), daemon=True).start()
    os.write(1, b'"mounted"\n')
    for line in sys.stdin:
        disk.cut(json.loads(line))
    unmount(target)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), lying="lying" in sys.argv[3:])
