"""The gate around a database handle: many inside at once, and closing waits for the last to leave.

LevelDB's close while another thread is in a call ends the process with a fault, so every call holds the gate.
"""

from __future__ import annotations

import threading
from types import TracebackType

from audit.model.errors import AuditError, StoreClosed

__all__ = ["Gate"]


class Gate:
    """A context manager to be inside of during each call; `shut` waits until nobody is."""

    def __init__(self) -> None:
        # Taken by itself where nobody waits, as each call does: the condition's own `with` takes twice as long.
        self._lock = threading.Lock()
        self._condition = threading.Condition(self._lock)
        self._inside = 0
        self._error: AuditError | None = None

    def __enter__(self) -> None:
        with self._lock:
            if self._error is not None:
                raise type(self._error)(*self._error.args)
            self._inside += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside and self._error is not None:
                self._condition.notify_all()

    def check(self) -> None:
        """Return while nobody closes; for those inside who could stay long."""
        if self._error is not None:
            raise type(self._error)(*self._error.args)

    def shut(self) -> bool:
        """Let nobody in any more and wait for those inside; return whether this was the first call."""
        with self._condition:
            if self._error is not None:
                return False
            self._error = StoreClosed("the store is closed")
            while self._inside:
                self._condition.wait()
            return True

    def abandon(self, error: AuditError) -> None:
        """Let nobody in any more, with this error, and wait for nobody: for a forked child, where they don't exist."""
        self._lock = threading.Lock()
        self._condition = threading.Condition(self._lock)
        self._error = error
