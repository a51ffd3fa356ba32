"""The fork guard: what was opened before a fork is told so in the child, where its threads and locks don't exist."""

from __future__ import annotations

import os
import weakref
from typing import Final, Protocol

__all__ = ["abandon_after_fork"]


class Abandonable(Protocol):
    """Something a forked child must not use."""

    def abandon(self) -> None:
        """Refuse every call from now on. MUST NOT take a lock: its holder may not exist in this process."""
        ...


_guarded: Final[weakref.WeakSet[Abandonable]] = weakref.WeakSet()


def abandon_after_fork(thing: Abandonable) -> None:
    """Have `thing.abandon` called in every child forked from now on, while it lives."""
    _guarded.add(thing)


def _abandon_all() -> None:
    for thing in list(_guarded):
        thing.abandon()


os.register_at_fork(after_in_child=_abandon_all)
