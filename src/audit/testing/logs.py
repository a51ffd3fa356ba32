"""Open logs for tests: in memory, or on any storage, with a clock, disk space and a seed of the test's choice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from audit.app import Audit
from audit.codec.segments import Layout
from audit.log.clock import Clock
from audit.log.core import LogCore
from audit.log.room import Room
from audit.log.signing import Signing
from audit.log.sync import SyncAudit
from audit.storage.memory import Disk, MemoryStorage
from audit.storage.options import StoreOptions
from audit.storage.port import Storage
from audit.testing.clock import FakeClock

__all__ = ["STORE_ID", "log_on", "memory_audit", "memory_log"]

STORE_ID: Final = "01JD8Z5K3V9Q0T7W2X4Y6Z8A1B"
_DEFAULTS: Final = StoreOptions()
_LAYOUT: Final = Layout()
_UNSIGNED: Final = Signing()


def log_on(
    opener: Callable[[], Storage],
    *,
    clock: Clock | None = None,
    room: Room | None = None,
    options: StoreOptions = _DEFAULTS,
    accept_clock: bool = False,
    seed: int | None = None,
    signing: Signing = _UNSIGNED,
) -> SyncAudit:
    """Return an open log on the storage that `opener` opens; close it.

    Args:
        opener: Opens the storage, now and after a failed write.
        clock: Default: a `FakeClock` of its own.
        room: Disk space; default: always enough.
        options: Sizes.
        accept_clock: Go on though the newest event is far ahead of the clock.
        seed: Of the ids' random part.
        signing: How checkpoints are signed, and where they are kept; default: unsigned.
    """
    return SyncAudit(_core(opener, clock, room, options, accept_clock=accept_clock, seed=seed, signing=signing))


def memory_log(
    disk: Disk | None = None,
    *,
    layout: Layout = _LAYOUT,
    clock: Clock | None = None,
    room: Room | None = None,
    options: StoreOptions = _DEFAULTS,
    accept_clock: bool = False,
    seed: int | None = None,
    signing: Signing = _UNSIGNED,
) -> SyncAudit:
    """Return an open log in memory; close it.

    Args:
        disk: What outlives the log: give it again to open the same store again. Default: a new one.
        layout: Bounds of the segments of a new store.
        clock: As of `log_on`, like the others.
        room: See there.
        options: See there.
        accept_clock: See there.
        seed: See there.
        signing: See there.
    """
    return SyncAudit(
        _core(_opener(disk, layout), clock, room, options, accept_clock=accept_clock, seed=seed, signing=signing)
    )


def memory_audit(
    disk: Disk | None = None,
    *,
    layout: Layout = _LAYOUT,
    clock: Clock | None = None,
    room: Room | None = None,
    options: StoreOptions = _DEFAULTS,
    accept_clock: bool = False,
    seed: int | None = None,
    signing: Signing = _UNSIGNED,
) -> Audit:
    """Return an open log in memory, for an event loop; close it, or use `async with`. Arguments as of `memory_log`."""
    return Audit(
        _core(_opener(disk, layout), clock, room, options, accept_clock=accept_clock, seed=seed, signing=signing)
    )


def _opener(disk: Disk | None, layout: Layout) -> Callable[[], Storage]:
    kept = Disk(STORE_ID, layout) if disk is None else disk
    return lambda: MemoryStorage(kept)


def _core(
    opener: Callable[[], Storage],
    clock: Clock | None,
    room: Room | None,
    options: StoreOptions,
    *,
    accept_clock: bool,
    seed: int | None,
    signing: Signing,
) -> LogCore:
    return LogCore(
        opener, clock or FakeClock(), room or Room(), options, accept_clock=accept_clock, seed=seed, signing=signing
    )
