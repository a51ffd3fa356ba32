"""An append-only audit event log that lives inside a Python process and streams."""

from audit.app import Audit
from audit.log.reader import Page
from audit.log.recording import Recording
from audit.log.source import EventSource
from audit.log.sync import SyncAudit
from audit.log.tail import Batch, CaughtUp, End, FellBehind
from audit.log.tails import SyncTail, Tail
from audit.model.errors import (
    AuditError,
    ClockSuspect,
    Conflict,
    CursorExpired,
    CursorInvalid,
    DiskFull,
    InvalidParameter,
    NotFound,
    OutcomeUnknown,
    Overloaded,
    StoreClosed,
    StoreCorrupt,
    StoreError,
    StoreExists,
    StoreForked,
    StoreFormat,
    StoreLocked,
    StoreMissing,
    TooLarge,
    Unavailable,
)
from audit.model.event import Actor, Event, NewEvent, Receipt, Target
from audit.model.query import Filter
from audit.storage.options import StoreOptions

__all__ = [
    "Actor",
    "Audit",
    "AuditError",
    "Batch",
    "CaughtUp",
    "ClockSuspect",
    "Conflict",
    "CursorExpired",
    "CursorInvalid",
    "DiskFull",
    "End",
    "Event",
    "EventSource",
    "FellBehind",
    "Filter",
    "InvalidParameter",
    "NewEvent",
    "NotFound",
    "OutcomeUnknown",
    "Overloaded",
    "Page",
    "Receipt",
    "Recording",
    "StoreClosed",
    "StoreCorrupt",
    "StoreError",
    "StoreExists",
    "StoreForked",
    "StoreFormat",
    "StoreLocked",
    "StoreMissing",
    "StoreOptions",
    "SyncAudit",
    "SyncTail",
    "Tail",
    "Target",
    "TooLarge",
    "Unavailable",
]
