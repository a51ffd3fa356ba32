"""The newest checkpoint, kept in a file outside the store, so that a store that was cut or rolled back is found out."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path
from typing import Final

from audit.log.durable import sync_directory
from audit.model.errors import InvalidParameter, Unavailable

__all__ = ["CheckpointFile"]

_log: Final = logging.getLogger("audit")
_PATIENCE_S: Final = 5.0


class CheckpointFile:
    """A file that holds one note, replaced as a whole, and never by one of fewer events. Any thread may write it."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._failed = False
        self._size = -1
        self._writing = threading.Lock()
        self._waiting = threading.Lock()
        self._next: tuple[int, str] | None = None
        self._thread: threading.Thread | None = None

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

    def write(self, size: int, note: str) -> None:
        """Keep a note. When that fails the log goes on, says so, and tries again with the next one."""
        with self._writing:
            if size > self._size:
                self._size = size
                self._replace(note)

    def write_soon(self, size: int, note: str) -> None:
        """Keep a note, in a thread that is there for it: a disk elsewhere that hangs must not hold up the writer."""
        with self._waiting:
            self._next = size, note
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="audit-checkpoint-file", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            with self._waiting:
                found, self._next = self._next, None
                if found is None:
                    self._thread = None
                    return
            self.write(*found)

    def close(self) -> None:
        """Wait for what is still to be written, for 5 s at most."""
        thread = self._thread
        if thread is not None:
            thread.join(_PATIENCE_S)
            if thread.is_alive():
                _log.error("the checkpoint file %s is not written after %g s: left behind", self.path, _PATIENCE_S)

    def _replace(self, note: str) -> None:
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
