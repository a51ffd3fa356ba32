"""The receipts of a call: of what it committed, and of what an earlier one did with the same idempotency key."""

from __future__ import annotations

from typing import Final

from audit.codec.events import event_index, event_value
from audit.codec.terms import Match
from audit.log.claims import Slots
from audit.log.queue import Receipts
from audit.log.recent import Snapshot, search_recent
from audit.model.errors import StoreCorrupt
from audit.model.event import Receipt
from audit.model.ids import MAX_VALUE, EventId, format_id
from audit.model.span import Span
from audit.storage.gather import Gather
from audit.storage.port import KnownClaim, Search, Storage

__all__ = ["old_receipts", "receipts_at"]

_EVERYTHING: Final = Match((), ())


def receipts_at(slots: Slots, numbered: Receipts) -> Receipts:
    """Return the receipts of a call, given those of its commit's new events."""
    if isinstance(slots, range):
        return numbered[slots.start : slots.stop]
    return [numbered[slot] if isinstance(slot, int) else slot for slot in slots]


def old_receipts(known: KnownClaim, snapshot: Snapshot, storage: Storage) -> Receipts:
    """Return the receipts of the consecutive events that an earlier call committed.

    Raises:
        StoreCorrupt: one of them is missing.
    """
    receipts: Receipts = []
    low, memory = known.first_id, snapshot.first_id
    while (left := known.length - len(receipts)) > 0:
        if low < memory:
            span = Span(low, min(memory, MAX_VALUE + 1))
            search = Search(_EVERYTHING, span, descending=False, limit=left, max_bytes=MAX_VALUE)
            events = storage.search(search, lambda: False).events
            # The rest is in memory, if it is anywhere.
            low = event_value(events[-1]) + 1 if events else memory
        else:
            gather = Gather(Span(low, MAX_VALUE + 1), descending=False, limit=left, max_bytes=MAX_VALUE)
            search_recent(snapshot, _EVERYTHING, Span(low, MAX_VALUE + 1), gather)
            events = gather.events
            if len(events) < left:
                raise StoreCorrupt(f"event {format_id(low)}", "is missing, though an idempotency key names it")
        receipts += [Receipt(EventId(format_id(event_value(e))), event_index(e)) for e in events]
    return receipts
