"""A list of erasures, as `audit list --topic audit/erased --all` prints it, applied to a store restored from before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from audit.codec.erasing import erased_ids
from audit.codec.events import decode_event
from audit.log.clock import SystemClock
from audit.log.core import LogCore, StoreInfo
from audit.log.room import Room
from audit.model.errors import InvalidParameter, NotFound
from audit.model.event import Event
from audit.model.ids import recorded_at
from audit.storage.opening import open_store
from audit.storage.options import StoreOptions

__all__ = ["apply_erasures", "read_erasures"]


def read_erasures(path: Path) -> list[Event]:
    """Return the events of a file of JSON lines, each of which records an erasure.

    Raises:
        InvalidParameter: the file can't be read, or a line is none.
    """
    try:
        return list(_records(path))
    except OSError as error:
        raise InvalidParameter("erasures", f"can't read {path}: {error.strerror or error}") from error


def _records(path: Path) -> Iterator[Event]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                event = decode_event(line)
                ids = erased_ids(event)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise InvalidParameter("erasures", f"{path}: line {number} is no event: {error}") from error
            if not ids:
                raise InvalidParameter("erasures", f"{path}: line {number} records no erasure: no topic audit/erased")
            yield event


def apply_erasures(log_path: Path, erasures: list[Event], options: StoreOptions) -> StoreInfo:
    """Erase what a store has of the events that some erasures name, for the reasons of that time. Blocks.

    Each is recorded anew, by an event of this log: what comes after a backup is not the same log any more.
    """
    core = LogCore(lambda: open_store(log_path, options), SystemClock(), Room(), options, accept_clock=True)
    try:
        for event in erasures:
            ids = [one for one in erased_ids(event) if _is_there(core, one)]
            if ids:
                core.erase(ids, event.data["reason"], event.actor, event.occurred_at or recorded_at(event.id))
        return core.info()
    finally:
        core.close()


def _is_there(core: LogCore, event_id: str) -> bool:
    try:
        core.reader.get(event_id)
    except NotFound:
        # It came after the backup.
        return False
    return True
