"""Disk space, as the sequencer asks for it."""

from __future__ import annotations

__all__ = ["Room"]


class Room:
    """Space without end: for storage in memory. `app.directory` has a real one."""

    def check(self) -> None:
        """Return when there is space for appends.

        Raises:
            DiskFull: free space is below the watermark.
        """

    def release_reserve(self) -> None:
        """Give up the reserve, so that a full disk can be opened again."""

    def restore_reserve(self) -> None:
        """Set space aside again, if there is some."""
