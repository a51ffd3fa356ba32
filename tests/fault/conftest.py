"""Where stores of fault tests are: in memory, if the machine has room there, since they sync all the time."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a directory of its own is made in it
ENOUGH_BYTES: Final = 256 << 20


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """A directory for one test. None of the faults here is a power cut: what a disk has synced makes no difference."""
    if not os.access(SHARED_MEMORY, os.W_OK) or shutil.disk_usage(SHARED_MEMORY).free < ENOUGH_BYTES:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY) as path:
        yield Path(path)
