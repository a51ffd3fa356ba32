"""Events in calls of bounded size, and what became of each: appended, there already, or refused.

A call is all or none, so the event it is refused for is taken out, and the rest goes in as smaller calls in the order
of the lines.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from audit.cli.ingest.lines import Line
from audit.cli.ingest.mapping import BadLine, Mapping
from audit.cli.store import AnyLog
from audit.model.errors import Conflict, InvalidParameter
from audit.model.event import MAX_CALL_EVENTS, NewEvent

__all__ = ["MAX_BYTES", "Entry", "Ingest", "Tally", "in_calls"]

MAX_BYTES: Final = 1024 * 1024
"""Encoded bytes that close a call. The last event may go beyond it, by a line at most: far below the log's 4 MiB."""

_EVENT_AT: Final = re.compile(r"events\[(\d+)\]\.?")
_encoder: Final = msgspec.json.Encoder()


class Entry(NamedTuple):
    """An event, and the number of the line it came from."""

    line: int
    event: NewEvent


@dataclass
class Tally:
    """What an ingest has done so far; added to after each call, so that it holds after an interruption too.

    Attributes:
        appended: Events that are new in the log.
        known: Events whose idempotency key the log had already.
        bad: Lines that are no event, and events that were refused.
    """

    appended: int = 0
    known: int = 0
    bad: int = 0


class Ingest:
    """One run over the lines of one source.

    Attributes:
        tally: What is done.
        stopped: A strict run met a bad line: everything before it is in the log, and nothing after it.
    """

    def __init__(
        self, log: AnyLog, mapping: Mapping, on_bad: Callable[[int, str], None], *, strict: bool = False
    ) -> None:
        self.tally = Tally()
        self.stopped = False
        self._log = log
        self._mapping = mapping
        self._on_bad = on_bad
        self._strict = strict

    def run(self, lines: Iterable[Line]) -> None:
        """Append the events of `lines`, in order; lines are read as they are needed.

        Raises:
            AuditError: the log refused a call for another reason than one of its events.
        """
        # Of a strict run's bad lines only the first counts, and an event before it may yet be refused.
        last: list[tuple[int, str]] = []
        for call in in_calls(self._entries(lines, last)):
            self._append(call)
            if self.stopped:
                return
        for number, problem in last:
            self._refuse(number, problem)

    def _entries(self, lines: Iterable[Line], last: list[tuple[int, str]]) -> Iterator[Entry]:
        for line in lines:
            problem = line.problem
            if problem is None:
                try:
                    yield Entry(line.number, self._mapping(line))
                    continue
                except BadLine as error:
                    problem = str(error)
            if self._strict:
                last.append((line.number, problem))
                return
            self._refuse(line.number, problem)

    def _append(self, call: list[Entry]) -> None:
        todo = [call]
        while todo and not self.stopped:
            now = todo.pop()
            if not now:
                continue
            before = self._log.info().size
            try:
                receipts = self._log.append_many([entry.event for entry in now])
            except (Conflict, InvalidParameter) as error:
                at, problem = _place(error)
                if at is None or at >= len(now):
                    raise
                # In halves: were every event refused, taking them out one by one would cost the square of the call.
                middle = (at + 1 + len(now)) // 2
                todo += [now[middle:], now[at + 1 : middle]]
                self._append(now[:at])
                if not self.stopped:
                    self._refuse(now[at].line, problem)
                continue
            # What others append meanwhile comes after that size, too: an index below it is an older event's.
            fresh = len({receipt.index for receipt in receipts if receipt.index >= before})
            self.tally.appended += fresh
            self.tally.known += len(now) - fresh

    def _refuse(self, number: int, problem: str) -> None:
        self.tally.bad += 1
        self._on_bad(number, problem)
        self.stopped = self._strict


def in_calls(
    entries: Iterable[Entry], max_events: int = MAX_CALL_EVENTS, max_bytes: int = MAX_BYTES
) -> Iterator[list[Entry]]:
    """Yield the entries in lists of bounded count and encoded size, none of them empty."""
    call: list[Entry] = []
    size = 0
    for entry in entries:
        call.append(entry)
        size += len(_encoder.encode(entry.event))
        if len(call) == max_events or size >= max_bytes:
            yield call
            call, size = [], 0
    if call:
        yield call


def _place(error: Conflict | InvalidParameter) -> tuple[int | None, str]:
    """Return the position of the event an error is about, and what is wrong with it."""
    match = _EVENT_AT.match(str(getattr(error, "parameter", "")))
    if match is None:
        return None, str(error)
    return int(match[1]), str(error).replace(match[0], "", 1).removeprefix(": ")
