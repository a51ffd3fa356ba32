"""A full disk: the reserve lets a store be opened that LevelDB alone could not. On a small file system of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from audit import Audit, NewEvent, StoreOptions, Unavailable
from tests.stores import copy_store

MIB = 1024 * 1024
OPTIONS = StoreOptions(write_buffer_bytes=4 * MIB, reserve_bytes=6 * MIB, min_free_bytes=0)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 32 MiB, where mounting one is allowed."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", str(tmp_path)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"mounting a tmpfs is not allowed here: {mounted.stderr.decode().strip()}")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


def fill_up(disk: Path) -> None:
    """Take every free byte of a file system."""
    free = os.statvfs(disk)
    with (disk / "others").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize)


@pytest.mark.parametrize("reserved", [True, False])
def test_a_killed_store_on_a_full_disk_opens_with_its_reserve_and_not_without(
    small_disk: Path, *, reserved: bool
) -> None:
    path = small_disk / "store"
    with Audit.open_sync(small_disk / "killed", create=True, options=OPTIONS) as log:
        # Less than a write buffer: all of it is in LevelDB's log, and opening must write it to a table.
        receipts = [log.append(NewEvent(topics=[("a",)], data=os.urandom(4_000).hex())) for _ in range(100)]
        copy_store(small_disk / "killed", path)
    shutil.rmtree(small_disk / "killed")
    if not reserved:
        (path / "reserve").unlink()
    fill_up(small_disk)
    if not reserved:
        with pytest.raises(Unavailable, match="No space left"):
            Audit.open_sync(path, options=OPTIONS)
        return
    with Audit.open_sync(path, options=OPTIONS) as log:
        assert [event.id for event in log.list(limit=1000).events] == [receipt.id for receipt in receipts]
        assert not (path / "reserve").exists()
        (small_disk / "others").unlink()
        assert log.append(NewEvent(topics=[("a",)])).index == 100
    with Audit.open_sync(path, options=OPTIONS) as log:
        assert (path / "reserve").stat().st_size == 6 * MIB
        assert log.info().size == 101
