"""The newest checkpoint, kept in a file outside the store, so that a store that was cut or rolled back is found out."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final

from audit.log.durable import sync_directory
from audit.model.errors import InvalidParameter, Unavailable

__all__ = ["CheckpointFile"]

_log: Final = logging.getLogger("audit")


class CheckpointFile:
    """A file that holds one note, replaced as a whole. Who calls `write` does so one at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._failed = False

    def read(self) -> str | None:
        """Return the note; None: there is no file yet.

        Raises:
            Unavailable: it can't be read: then nobody can tell whether the store is whole.
            InvalidParameter: its directory is missing, or it is no text.
        """
        if not self.path.parent.is_dir():
            raise InvalidParameter("checkpoint_file", f"there is no directory {self.path.parent}")
        try:
            return self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except UnicodeDecodeError as error:
            raise InvalidParameter("checkpoint_file", f"{self.path} is no checkpoint: {error}") from error
        except OSError as error:
            raise Unavailable(f"can't read the checkpoint file {self.path}: {error.strerror or error}") from error

    def write(self, note: str) -> None:
        """Keep a note. When that fails the log goes on, says so, and tries again with the next one."""
        beside = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        try:
            with beside.open("w", encoding="utf-8") as file:
                file.write(note)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self.path)
            sync_directory(self.path.parent)
        except OSError as error:
            if not self._failed:
                _log.error("the checkpoint file %s can't be written: %s", self.path, error.strerror or error)
            self._failed = True
            beside.unlink(missing_ok=True)
        else:
            if self._failed:
                _log.warning("the checkpoint file %s is written again", self.path)
            self._failed = False
