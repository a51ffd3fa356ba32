"""Each test runs with each driver; some read a log in memory, others one that is read from LevelDB."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final

import pytest

from audit import Audit
from audit.app.directory import Directory
from audit.storage.opening import create_store
from audit.testing import FakeClock, memory_audit
from audit.testing.logs import STORE_ID
from tests.acceptance.drivers import DRIVERS, Driver
from tests.stores import OPTIONS, TINY

# To start and stop a server takes a fifth of a second, so not each of them has both.
WAYS: Final = (
    ("in process", "memory"),
    ("in process", "leveldb"),
    ("by client", "memory"),
    ("by socket", "leveldb"),
)


@pytest.fixture(params=WAYS, ids=" on ".join)
def way(request: pytest.FixtureRequest) -> tuple[str, str]:
    found: tuple[str, str] = request.param
    return found


@pytest.fixture
def clock() -> FakeClock:
    """Stands still: what a test appends is of one millisecond until it turns the clock."""
    return FakeClock()


@pytest.fixture
async def log(way: tuple[str, str], tmp_path: Path, clock: FakeClock) -> AsyncIterator[Audit]:
    async with _opening(way[1], tmp_path / "store", clock) as log:
        yield log


def _opening(storage: str, path: Path, clock: FakeClock) -> AbstractAsyncContextManager[Audit]:
    if storage == "memory":
        return memory_audit(clock=clock)
    # Segments of a few events and room for a few in memory: nearly all is sealed, and read from the disk.
    create_store(Directory(path, OPTIONS).log_path, STORE_ID, TINY)
    return Audit.open(path, options=OPTIONS, clock=clock)


@pytest.fixture
async def driver(way: tuple[str, str], log: Audit) -> AsyncIterator[Driver]:
    async with DRIVERS[way[0]](log) as driver:
        yield driver
