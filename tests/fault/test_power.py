"""The power is cut under a store that is appended to: everything acknowledged before is there, and calls are whole.

The store is on ext4, loop-mounted from a disk whose cache is volatile (disk.py): what no flush has brought to the
platter is gone, or there sector by sector, by chance. Each round goes on with the disk as the cut before left it.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from audit import AuditError
from audit.app.fsck import check_store
from audit.codec.events import event_id_text, event_index
from tests.fault.children import Child, started
from tests.fault.disk import DISK, unmount
from tests.fault.report import record, scaled, seeded
from tests.fault.test_kill import assert_acknowledged_are_there, assert_calls_are_whole, everything

CUTS: Final = scaled(10)
IMAGE_BYTES: Final = 64 << 20


class Machine:
    """One start of a machine, from its disk's image to the power cut."""

    def __init__(self, image: Path, disk: Child, store: Path) -> None:
        self.image = image
        self.store = store
        self._disk = disk

    def cut_under(self, appender: Child, chance: random.Random) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Cut the power under a process that appends; return what it had acknowledged, and what the disk tells.

        The image is then as the cut leaves it.
        """
        said = [appender.line() for _ in range(chance.randrange(1, 120))]
        reading = threading.Thread(target=lambda: said.extend(appender.lines()))
        reading.start()
        # At any of the writes and flushes of some commits, journal and tables included.
        order = {"cut": str(self.image), "after": chance.randrange(40), "seed": chance.getrandbits(32)}
        self._disk.tell(json.dumps(order))
        told = self._disk.line()
        appender.kill()
        reading.join()
        appender.wait()
        # Acknowledged later is acknowledged by a machine that is off.
        return [call for call in said if call["at_ns"] < told["at_ns"]], told


@contextmanager
def running(image: Path, *how: str) -> Iterator[Machine]:
    """Start a machine from an image, which is changed by a power cut only."""
    places = [image.with_name(name) for name in ("device", "files")]
    for place in places:
        place.mkdir(exist_ok=True)
    device, files = places
    with started("disk.py", image, device, *how) as disk:
        assert disk.line() == "mounted", "disk.py can't mount: see its error above"
        try:
            mounted = subprocess.run(
                ["mount", "-o", "loop", device / DISK, files], capture_output=True, text=True, check=False
            )
            if mounted.returncode:
                raise OSError(mounted.stderr.strip())
            try:
                yield Machine(image, disk, files / "data")
            finally:
                subprocess.run(["umount", files], check=True)
        finally:
            disk.wait()


def unmount_what_was_left() -> None:
    """Unmount file systems of tests that were killed: the disk beneath, which was served by the test, is gone."""
    for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        device, place, kind, *_ = line.split(" ")
        if not (device.startswith("/dev/loop") and kind == "ext4" and Path(place).name == "files"):
            continue
        backing = Path("/sys/block", Path(device).name, "loop", "backing_file")
        if not backing.exists() or Path(backing.read_text().strip().removesuffix(" (deleted)")).name != DISK:
            continue
        try:
            Path(place).with_name("device").joinpath(DISK).stat()
        except OSError:
            unmount(Path(place))


@pytest.fixture(scope="module")
def formatted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image of an empty ext4, where this machine can mount one."""
    missing = [tool for tool in ("mkfs.ext4", "mount", "umount", "losetup") if shutil.which(tool) is None]
    if os.geteuid() != 0:
        pytest.skip("power cuts need root, to mount file systems")
    if missing:
        pytest.skip(f"power cuts need {', '.join(missing)}")
    if not Path("/dev/fuse").exists() or not Path("/dev/loop-control").exists():
        pytest.skip("power cuts need /dev/fuse and /dev/loop-control, which a container may lack")
    unmount_what_was_left()
    image = tmp_path_factory.mktemp("power") / "image"
    with image.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    lazy_not = "lazy_itable_init=0,lazy_journal_init=0"
    subprocess.run(["mkfs.ext4", "-q", "-F", "-E", lazy_not, image], check=True)
    # Tried here, so that a test is skipped only where nothing can be mounted at all.
    with started("disk.py", image, image.parent) as disk:
        usable = disk.line() == "mounted"
        disk.wait()
    if not usable:
        pytest.skip("power cuts need to mount FUSE, which the kernel refuses here: see the error above")
    try:
        with running(image):
            pass
    except OSError as error:
        pytest.skip(f"power cuts need loop mounts of ext4, which are refused here: {error}")
    return image


@pytest.fixture
def image(formatted: Path, tmp_path: Path) -> Path:
    """An empty disk."""
    return Path(shutil.copyfile(formatted, tmp_path / "image"))


class Left(NamedTuple):
    """What a cut has left: the events, and how many of those acknowledged are missing."""

    stored: list[bytes]
    lost: int


def left_by_cut(path: Path, said: list[dict[str, Any]]) -> Left:
    """Look at a store after a cut, whatever state it is in."""
    try:
        stored = everything(path) if path.exists() else []
    except AuditError as error:
        print(f"refused: {error!r}")  # noqa: T201 - says why nothing was found
        stored = []
    kept = {event_id_text(one).decode() for one in stored}
    return Left(stored, sum(event_id not in kept for call in said for event_id, _ in call["receipts"]))


def assert_sound(left: Left, path: Path, before: list[bytes], said: list[dict[str, Any]]) -> None:
    stored = left.stored
    assert left.lost == 0
    report = check_store(path)
    assert report.findings == []
    assert report.events == len(stored)
    assert stored[: len(before)] == before, "what was there before this round has changed"
    assert [event_index(one) for one in stored] == list(range(len(stored)))
    ids = [event_id_text(one) for one in stored]
    assert ids == sorted(set(ids))
    assert_acknowledged_are_there(said, stored)
    assert_calls_are_whole(stored)


@pytest.mark.timeout(300 * scaled(1))
def test_a_power_cut_loses_nothing_acknowledged_and_leaves_whole_calls(image: Path) -> None:
    chance = random.Random(seeded(5))
    acknowledged = lost = cached = survived = 0
    before: list[bytes] = []
    said: list[dict[str, Any]] = []
    for cut in range(CUTS + 1):
        with running(image) as machine:
            if cut:
                left = left_by_cut(machine.store, said)
                lost += left.lost
                assert_sound(left, machine.store, before, said)
                before = left.stored
            if cut == CUTS:
                break
            if cut % 50 == 49:
                # A new store before the disk is full.
                shutil.rmtree(machine.store)
                before = []
            with started("appender.py", machine.store, cut) as appender:
                said, told = machine.cut_under(appender, chance)
            acknowledged += sum(len(call["receipts"]) for call in said)
            cached += told["cached"]
            survived += told["survived"]
            print(f"cut {cut}: {len(said)} calls acknowledged; {told}")  # noqa: T201 - shown when a cut loses something
    # Without this the disk would be one that never loses anything.
    assert 0 < survived < cached
    record(
        fault="power cut",
        injected="ext4 on a disk that keeps what was flushed, of the rest sectors by chance; at any write or flush",
        tried=CUTS,
        acknowledged=acknowledged,
        lost=lost,
        repeated=len(before) - len({event_id_text(one) for one in before}),
        detected="receipts compared with the log after each cut; `audit fsck`",
    )


@pytest.mark.parametrize("sabotage", ["the store doesn't sync", "the disk lies about flushing"])
def test_a_cut_is_one_indeed(image: Path, sabotage: str) -> None:
    """What the test above would not find, if its power cuts were none."""
    store, disk = (["unsynced"], []) if sabotage == "the store doesn't sync" else ([], ["lying"])
    chance = random.Random(seeded(5))
    lost = 0
    for cut in range(3):
        with running(image, *disk) as machine, started("appender.py", machine.store, cut, *store) as appender:
            said, _ = machine.cut_under(appender, chance)
        try:
            with running(image) as machine:
                lost += left_by_cut(machine.store, said).lost
        except OSError:
            # Not even a file system any more.
            lost += sum(len(call["receipts"]) for call in said)
        if lost:
            return
    pytest.fail("nothing is lost")
