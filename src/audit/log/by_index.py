"""Events by their index. Storage finds them by id alone, so an index is found by halving the ids."""

from __future__ import annotations

from collections.abc import Callable

from audit.codec.events import event_value
from audit.log.handle import Handle
from audit.log.recent import Snapshot
from audit.model.errors import StoreCorrupt

__all__ = ["events_between", "id_at"]


def id_at(handle: Handle, snapshot: Snapshot, index: int) -> int:
    """Return the id of the event at an index, which is committed; blocks on the disk."""
    event = snapshot.event_at(index)
    if event is not None:
        return event_value(event)
    low, high = -1, snapshot.last_id
    while True:
        middle = (low + high) // 2
        run = handle.read(lambda storage, after=middle: storage.run_after(after))  # type: ignore[misc]
        if run is None or run.first_index > index:
            high = middle
        elif index < run.first_index + len(run.events):
            return event_value(run.events[index - run.first_index])
        else:
            low = event_value(run.events[-1])


def events_between(handle: Handle, snapshot: Callable[[], Snapshot], start: int, stop: int) -> list[bytes]:
    """Return the committed events from an index to before another; blocks on the disk.

    Raises:
        StoreCorrupt: a record is damaged or missing.
        Unavailable: the disk can't be read.
    """
    now = snapshot()
    found: list[bytes] = []
    last_id = id_at(handle, now, start) - 1 if start < stop else -1
    while start + len(found) < stop:
        index = start + len(found)
        event = snapshot().event_at(index)
        if event is not None:
            found.append(event)
            last_id = event_value(event)
            continue
        run = handle.read(lambda storage, after=last_id: storage.run_after(after))  # type: ignore[misc]
        if run is None or run.first_index != index:
            raise StoreCorrupt(f"the event at index {index}", "is missing")
        found += run.events[: stop - index]
        last_id = event_value(found[-1])
    return found
