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
    BackupInvalid,
    ClockSuspect,
    Conflict,
    CursorExpired,
    CursorInvalid,
    DiskFull,
    Forbidden,
    InvalidParameter,
    MethodNotFound,
    NotFound,
    OutcomeUnknown,
    Overloaded,
    ProtocolViolation,
    StoreClosed,
    StoreCorrupt,
    StoreError,
    StoreExists,
    StoreForked,
    StoreFormat,
    StoreLocked,
    StoreMissing,
    TooLarge,
    Unauthorized,
    Unavailable,
)
from audit.model.event import Actor, Event, NewEvent, Receipt, Target
from audit.model.query import Filter
from audit.storage.options import StoreOptions

__all__ = [
    "Actor",
    "Audit",
    "AuditError",
    "BackupInvalid",
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
    "Forbidden",
    "InvalidParameter",
    "MethodNotFound",
    "NewEvent",
    "NotFound",
    "OutcomeUnknown",
    "Overloaded",
    "Page",
    "ProtocolViolation",
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
    "Unauthorized",
    "Unavailable",
]
