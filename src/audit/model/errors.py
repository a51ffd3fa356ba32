"""Every error a caller can meet, as one tree.

    AuditError
    ├── InvalidParameter      a value outside its documented form or bound
    │   ├── TooLarge          an event or a call over its size
    │   ├── CursorInvalid     a cursor of another store, query or order
    │   └── CursorExpired     a cursor below what the log still keeps
    ├── NotFound              no event with this id
    ├── Conflict              one idempotency key, two different requests
    ├── Overloaded            the queue of appends is full, or a rate is exceeded
    ├── Unavailable           nothing was written; try again
    │   └── DiskFull          free space is below the watermark
    ├── OutcomeUnknown        the write failed midway; a retry needs an idempotency key
    ├── ClockSuspect          the clock jumped; the operator must accept it
    ├── Unauthorized          the server does not know who is asking
    ├── Forbidden             who is asking may not do this
    ├── ProtocolViolation     one side of a connection broke the wire's rules
    │   └── MethodNotFound    the server has no such method: it is older, or the name is wrong
    ├── ProofInvalid          a proof or a checkpoint does not show what it should
    │   ├── ProofMalformed    not of the form, or not as many hashes as such a proof has
    │   ├── WrongKey          not signed by the key that is trusted
    │   ├── WrongOrigin       the checkpoint is another log's
    │   ├── SignatureInvalid  the trusted key did not sign this
    │   └── TamperDetected    history is not what was signed
    │       ├── HashMismatch      an event, a tile or a root is not the one a checkpoint covers
    │       ├── HistoryForked     two checkpoints of one log that tell different histories
    │       ├── CheckpointBehind  it covers fewer events than one that was trusted before
    │       └── CheckpointAhead   it covers more events than there are, or its time is to come
    └── StoreError            about the store as a whole
        ├── StoreMissing      the path holds no store
        ├── StoreExists       the path already holds one
        ├── StoreLocked       another process has it open
        ├── StoreFormat       written by another version of the format
        ├── StoreCorrupt      a record is damaged or missing
        ├── BackupInvalid     a backup is damaged, cut short, or does not fit the one before
        ├── StoreClosed       closed, or being closed
        └── StoreForked       opened before a fork, used after it

`code` is stable and goes over the wire; `retryable` says whether the same call may succeed later.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "AuditError",
    "BackupInvalid",
    "CheckpointAhead",
    "CheckpointBehind",
    "ClockSuspect",
    "Conflict",
    "CursorExpired",
    "CursorInvalid",
    "DiskFull",
    "Forbidden",
    "HashMismatch",
    "HistoryForked",
    "InvalidParameter",
    "MethodNotFound",
    "NotFound",
    "OutcomeUnknown",
    "Overloaded",
    "ProofInvalid",
    "ProofMalformed",
    "ProtocolViolation",
    "SignatureInvalid",
    "StoreClosed",
    "StoreCorrupt",
    "StoreError",
    "StoreExists",
    "StoreForked",
    "StoreFormat",
    "StoreLocked",
    "StoreMissing",
    "TamperDetected",
    "TooLarge",
    "Unauthorized",
    "Unavailable",
    "WrongKey",
    "WrongOrigin",
]


class AuditError(Exception):
    """Base of every error raised on purpose by this package."""

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False


class InvalidParameter(AuditError, ValueError):
    """A value outside its documented form or bound; nothing was written.

    Attributes:
        parameter: Path of the parameter, such as ``events[3].topics[0][1]``.
        problem: What is wrong with it, naming the bound.
    """

    code: ClassVar[str] = "invalid_params"

    def __init__(self, parameter: str, problem: str) -> None:
        super().__init__(f"{parameter}: {problem}")
        self.parameter = parameter
        self.problem = problem

    def __reduce__(self) -> tuple[type[InvalidParameter], tuple[str, str]]:
        return type(self), (self.parameter, self.problem)

    def under(self, prefix: str) -> InvalidParameter:
        """Return the same error with its parameter's path placed under `prefix`."""
        return type(self)(f"{prefix}.{self.parameter}" if self.parameter else prefix, self.problem)


class TooLarge(InvalidParameter):
    """An event or a call over its size; nothing was written."""

    code: ClassVar[str] = "too_large"


class CursorInvalid(InvalidParameter):
    """A cursor that is damaged, or of another store, query or order."""

    code: ClassVar[str] = "cursor_invalid"


class CursorExpired(InvalidParameter):
    """A cursor that points below the first event the log still keeps."""

    code: ClassVar[str] = "cursor_expired"


class NotFound(AuditError, LookupError):
    """No event has this id."""

    code: ClassVar[str] = "not_found"


class Conflict(AuditError):
    """An idempotency key was used before, with a different request; nothing was written.

    Attributes:
        parameter: Path of the key, such as ``events[3].idempotency_key``.
        problem: What is wrong with it.
    """

    code: ClassVar[str] = "conflict"

    def __init__(self, parameter: str, problem: str) -> None:
        super().__init__(f"{parameter}: {problem}")
        self.parameter = parameter
        self.problem = problem

    def __reduce__(self) -> tuple[type[Conflict], tuple[str, str]]:
        return type(self), (self.parameter, self.problem)


class Overloaded(AuditError):
    """The queue of waiting appends is full, or too much was asked in too short a time; nothing was written.

    Attributes:
        retry_after_ms: When it is worth another try, in milliseconds from now; None: soon.
    """

    code: ClassVar[str] = "overloaded"
    retryable: ClassVar[bool] = True

    def __init__(self, message: str, retry_after_ms: int | None = None) -> None:
        super().__init__(message)
        self.retry_after_ms = retry_after_ms

    def __reduce__(self) -> tuple[type[Overloaded], tuple[str, int | None]]:
        return type(self), (str(self), self.retry_after_ms)


class Unavailable(AuditError):
    """The store can't serve this now; nothing was written."""

    code: ClassVar[str] = "unavailable"
    retryable: ClassVar[bool] = True


class DiskFull(Unavailable):
    """Free disk space is below the watermark: appends are refused, reads go on."""


class OutcomeUnknown(AuditError):
    """The write failed midway: the events may or may not have been committed.

    Retry with the same idempotency key to find out without a duplicate.
    """

    code: ClassVar[str] = "outcome_unknown"
    retryable: ClassVar[bool] = True


class ClockSuspect(AuditError):
    """The clock is more than an hour away from where it should be: appends are refused until it is accepted."""

    code: ClassVar[str] = "clock_suspect"


class Unauthorized(AuditError):
    """The server does not know who is asking, or no longer."""

    code: ClassVar[str] = "unauthorized"


class Forbidden(AuditError):
    """Who is asking may not do this."""

    code: ClassVar[str] = "forbidden"


class ProtocolViolation(AuditError):
    """One side of a connection sent what the wire does not allow."""

    code: ClassVar[str] = "invalid_request"


class MethodNotFound(ProtocolViolation):
    """The server has no such method: it is older than the client, or the name is wrong."""

    code: ClassVar[str] = "method_not_found"


class ProofInvalid(AuditError):
    """A proof or a checkpoint does not show what it should; what it was to vouch for must not be trusted.

    Attributes:
        subject: What was checked, such as ``event 41`` or ``checkpoint of size 100``.
        problem: What is wrong with it.
    """

    code: ClassVar[str] = "proof_invalid"

    def __init__(self, subject: str, problem: str) -> None:
        super().__init__(f"{subject}: {problem}")
        self.subject = subject
        self.problem = problem

    def __reduce__(self) -> tuple[type[ProofInvalid], tuple[str, str]]:
        return type(self), (self.subject, self.problem)


class ProofMalformed(ProofInvalid):
    """A proof, checkpoint, key or tile is not of its form, or a proof has not as many hashes as it should."""

    code: ClassVar[str] = "proof_malformed"


class WrongKey(ProofInvalid):
    """A checkpoint bears no signature by the key that is trusted."""

    code: ClassVar[str] = "wrong_key"


class WrongOrigin(ProofInvalid):
    """A checkpoint is another log's."""

    code: ClassVar[str] = "wrong_origin"


class SignatureInvalid(ProofInvalid):
    """A signature bears the trusted key's name, but the key did not sign this text."""

    code: ClassVar[str] = "signature_invalid"


class TamperDetected(ProofInvalid):
    """What is there is not what was signed: history was changed, cut off or replaced."""

    code: ClassVar[str] = "tamper_detected"


class HashMismatch(TamperDetected):
    """An event, a tile or a root is not the one that a checkpoint covers."""

    code: ClassVar[str] = "hash_mismatch"


class HistoryForked(TamperDetected):
    """Two checkpoints of one log tell different histories."""

    code: ClassVar[str] = "history_forked"


class CheckpointBehind(TamperDetected):
    """A checkpoint covers fewer events than one that was trusted before: the log was rolled back."""

    code: ClassVar[str] = "checkpoint_behind"


class CheckpointAhead(TamperDetected):
    """A checkpoint covers more events than there are, or its time is still to come."""

    code: ClassVar[str] = "checkpoint_ahead"


class StoreError(AuditError):
    """Base of the errors about a store as a whole."""

    code: ClassVar[str] = "store"


class StoreMissing(StoreError):
    """The path holds no store; creating one is its own step."""

    code: ClassVar[str] = "store_missing"


class StoreExists(StoreError):
    """The path already holds a store."""

    code: ClassVar[str] = "store_exists"


class StoreLocked(StoreError):
    """Another process, or another part of this one, has the store open."""

    code: ClassVar[str] = "store_locked"


class StoreFormat(StoreError):
    """The store was written in a format this version does not read."""

    code: ClassVar[str] = "store_format"


class StoreCorrupt(StoreError):
    """A record is damaged or missing.

    Attributes:
        record: The record's kind and place, such as ``segment 01JD…``.
    """

    code: ClassVar[str] = "store_corrupt"

    def __init__(self, record: str, problem: str) -> None:
        super().__init__(f"{record}: {problem}")
        self.record = record
        self.problem = problem

    def __reduce__(self) -> tuple[type[StoreCorrupt], tuple[str, str]]:
        return type(self), (self.record, self.problem)


class BackupInvalid(StoreError):
    """A backup is damaged, cut short, of another store, or does not go on where the one before ends.

    Attributes:
        file: The backup's name.
        place: Where in it, such as ``block 3 at byte 81920``.
        problem: What is wrong there.
    """

    code: ClassVar[str] = "backup_invalid"

    def __init__(self, file: str, place: str, problem: str) -> None:
        super().__init__(f"{file}: {place}: {problem}")
        self.file = file
        self.place = place
        self.problem = problem

    def __reduce__(self) -> tuple[type[BackupInvalid], tuple[str, str, str]]:
        return type(self), (self.file, self.place, self.problem)


class StoreClosed(StoreError):
    """The store is closed or being closed; nothing was written."""

    code: ClassVar[str] = "store_closed"


class StoreForked(StoreError):
    """The store was opened before a fork; the child must open nothing of it."""

    code: ClassVar[str] = "store_forked"
