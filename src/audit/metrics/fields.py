"""What a metric reads of an event: paths to values, and the few members they need, decoded and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cached_property, lru_cache
from operator import attrgetter
from typing import Any, Final

import msgspec

from audit.codec.events import join_events
from audit.model.errors import InvalidParameter
from audit.model.ids import value_of

__all__ = ["Columns", "Path", "decode_rows", "parse_path", "recorded_ms", "time_ms"]

Path = tuple[str, ...]

_MAX_PATH_CHARS: Final = 256
_MAX_PARTS: Final = 16
_MEMBERS: Final = ("topics", "action", "occurred_at", "actor", "targets", "outcome", "context", "data")
_TIME: Final = slice(7, 17)
"""Of an id's text, the characters that tell its time."""


def parse_path(text: object, parameter: str) -> Path:
    """Return the parts of a path such as `data.duration_ms` or `targets.0.id`.

    Raises:
        InvalidParameter: it is no text of 1-256 characters, has an empty part or over 16, or begins with no member.
    """
    if not isinstance(text, str) or not 1 <= len(text) <= _MAX_PATH_CHARS:
        raise InvalidParameter(parameter, f"must be a path of 1-{_MAX_PATH_CHARS} characters, got {text!r:.60}")
    parts = tuple(text.split("."))
    if not all(parts) or len(parts) > _MAX_PARTS:
        raise InvalidParameter(parameter, f"must have 1-{_MAX_PARTS} parts with dots between, got {text!r:.60}")
    if parts[0] not in _MEMBERS:
        raise InvalidParameter(parameter, f"must begin with one of {', '.join(_MEMBERS)}, got {text!r:.60}")
    return parts


def recorded_ms(event: bytes) -> int:
    """Return the time of recording of a stored event."""
    return value_of(event[_TIME])


@lru_cache(256)
def _decoder(members: frozenset[str]) -> msgspec.json.Decoder[list[Any]]:
    """Return a decoder of events that looks at some members only; the others are skipped, not decoded."""
    types: dict[str, Any] = {"occurred_at": datetime | None}
    fields = [(name, types.get(name, Any), None) for name in _MEMBERS if name in members]
    return msgspec.json.Decoder(list[msgspec.defstruct("Row", fields, gc=False)])  # type: ignore[misc]


def decode_rows(events: Sequence[bytes], members: frozenset[str]) -> list[Any]:
    """Return some members of each stored event, as attributes; None where it has none."""
    return _decoder(members).decode(join_events(events))


class Columns:
    """Some stored events, and of each whatever a metric looks at; computed once for all metrics that look at it."""

    def __init__(self, events: Sequence[bytes], members: frozenset[str], rows: list[Any] | None = None) -> None:
        """Take events, and the members that will be asked for; or rows that have these already."""
        self.events = events
        self.rows: list[Any] = decode_rows(events, members) if rows is None and members else rows or []
        self._columns: dict[Path, list[Any]] = {}

    @cached_property
    def recorded(self) -> list[int]:
        """Times of recording, in order."""
        return list(map(recorded_ms, self.events))

    @cached_property
    def occurred(self) -> list[int]:
        """When each happened: `occurred_at`, or else the time of recording."""
        return [
            ms if row.occurred_at is None else max(0, time_ms(row.occurred_at))
            for row, ms in zip(self.rows, self.recorded, strict=True)
        ]

    def column(self, path: Path) -> list[Any]:
        """Return each event's value at a path: None where it leads nowhere."""
        found = self._columns.get(path)
        if found is None:
            found = self._columns[path] = _column(self.rows, path)
        return found


def _column(rows: list[Any], path: Path) -> list[Any]:
    top, *rest = path
    values = list(map(attrgetter(top), rows))
    if not rest:
        return values
    if len(rest) == 1 and not rest[0].isdecimal():
        name = rest[0]
        return [value.get(name) if type(value) is dict else None for value in values]
    return [_walk(value, rest) for value in values]


def _walk(value: Any, parts: Sequence[str]) -> Any:
    for part in parts:
        if type(value) is dict:
            value = value.get(part)
        elif type(value) is list and part.isascii() and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


_EPOCH_DAY: Final = datetime(1970, 1, 1).toordinal()  # noqa: DTZ001 - only its day


def time_ms(moment: datetime) -> int:
    """Return the Unix milliseconds of a time in UTC, rounded down."""
    days = moment.toordinal() - _EPOCH_DAY
    seconds = ((days * 24 + moment.hour) * 60 + moment.minute) * 60 + moment.second
    return seconds * 1000 + moment.microsecond // 1000
