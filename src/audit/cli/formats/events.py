"""Writers of stored events, one for each format. Each writes as it is given events and keeps none of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Protocol

from audit.cli.formats import table
from audit.cli.options import Format
from audit.cli.terminal import console, person_at, write
from audit.codec import csvtext

__all__ = ["EventWriter", "default_format", "event_writer"]


class EventWriter(Protocol):
    """Prints events on stdout: any number of `write`, then one `close`."""

    def write(self, events: Sequence[bytes]) -> None:
        """Print stored events after those before; on return, they are on their way."""
        ...

    def close(self) -> None:
        """Print what comes after the last event."""
        ...


def default_format() -> Format:
    """Return the format for whoever reads stdout: a table for a person, JSON lines for a program."""
    return Format.TABLE if person_at(sys.stdout) else Format.JSONL


def event_writer(chosen: Format | None) -> EventWriter:
    """Return the writer of the chosen format, or of the default one."""
    match chosen or default_format():
        case Format.TABLE:
            return _Table()
        case Format.CSV:
            return _Csv()
        case Format.JSON:
            return _Array()
        case Format.JSONL:
            return _Lines()


class _Lines:
    """The stored bytes, one event a line: an event's JSON holds no line feed."""

    def write(self, events: Sequence[bytes]) -> None:
        write(b"".join([event + b"\n" for event in events]))

    def close(self) -> None:
        pass


class _Array:
    """One JSON array of the stored bytes, one event a line."""

    def __init__(self) -> None:
        self._before = b"["

    def write(self, events: Sequence[bytes]) -> None:
        for event in events:
            write(self._before + event)
            self._before = b",\n"

    def close(self) -> None:
        write(b"[]\n" if self._before == b"[" else b"]\n")


class _Csv:
    def __init__(self) -> None:
        write(csvtext.encode_rows([csvtext.EVENT_COLUMNS]))

    def write(self, events: Sequence[bytes]) -> None:
        write(csvtext.encode_events(events))

    def close(self) -> None:
        pass


class _Table:
    def __init__(self) -> None:
        self._console = console()
        self._header = True

    def write(self, events: Sequence[bytes]) -> None:
        if events:
            table.print_events(self._console, events, header=self._header)
            self._header = False

    def close(self) -> None:
        if self._header:
            table.print_events(self._console, (), header=True)
