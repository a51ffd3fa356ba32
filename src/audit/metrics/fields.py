"""What a metric reads of an event: paths to values, and the few members they need, decoded and nothing else."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cached_property, lru_cache
from operator import attrgetter
from typing import Any, Final

import msgspec

from audit.model.errors import InvalidParameter
from audit.model.ids import value_of

__all__ = ["OCCURRED", "Columns", "Path", "parse_path", "recorded_ms", "time_ms"]

Path = tuple[str, ...]

_MAX_PATH_CHARS: Final = 256
_MAX_PARTS: Final = 16
_MEMBERS: Final = ("topics", "action", "occurred_at", "actor", "targets", "outcome", "context", "data")
OCCURRED: Final = ("occurred_at",)
_NUMBERS: Final = frozenset((int, float))
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


_OTHERS: Final = list[Any] | str | int | float | bool | None


def _attribute(name: str) -> str:
    """Return the attribute that holds a member of whatever name."""
    return "at_" + name.encode(errors="surrogatepass").hex()


def _is_place(part: str) -> bool:
    return part.isascii() and part.isdecimal()


def _fields(paths: Iterable[Path]) -> tuple[list[tuple[str, Any, Any]], dict[str, str]]:
    """Return the attributes that hold just what lies at some paths, and the members that they are named for."""
    inner: defaultdict[str, set[Path]] = defaultdict(set)
    for name, *rest in paths:
        inner[name].add(tuple(rest))
    fields: list[tuple[str, Any, Any]] = []
    for name, some in inner.items():
        if any(not path or _is_place(path[0]) for path in some):
            # All of it, or what may be a place in an array.
            fields.append((_attribute(name), Any, None))
            continue
        found, names = _fields(some)
        members = msgspec.defstruct("Members", found, rename=names, gc=False, frozen=True)
        # What is missing is as good as empty, so that most events can be taken in one way.
        fields.append((_attribute(name), members | _OTHERS, members()))
    return fields, {_attribute(name): name for name in inner}


@lru_cache(256)
def _decoder(paths: frozenset[Path]) -> msgspec.json.Decoder[Any]:
    """Return a decoder of an event that takes what lies at some paths; the rest is skipped, not decoded."""
    fields, names = _fields(paths - {OCCURRED})
    if OCCURRED in paths:
        fields.append((_attribute(*OCCURRED), datetime | None, None))
        names[_attribute(*OCCURRED)] = OCCURRED[0]
    return msgspec.json.Decoder(msgspec.defstruct("Row", fields, rename=names, gc=False))


class Columns:
    """Some stored events, and of each whatever a metric looks at; computed once for all metrics that look at it."""

    def __init__(self, events: Sequence[bytes], paths: frozenset[Path]) -> None:
        """Take events, and the paths that will be asked for."""
        self.events = events
        # One by one: joined, they would be copied to a place as large as all of them, which takes as long again.
        self._rows: list[Any] = list(map(_decoder(paths).decode, events)) if paths else []
        self._whole: Columns | None = None
        self._places: Sequence[int] = ()
        self._columns: dict[Path, list[Any]] = {}
        self._present: dict[Path, list[Any]] = {}
        self._tallies: dict[Path, Counter[Any]] = {}

    def pick(self, places: Sequence[int]) -> Columns:
        """Return those of some of the events."""
        picked = Columns([self.events[place] for place in places], frozenset())
        picked._whole, picked._places = self, places
        return picked

    @cached_property
    def recorded(self) -> list[int]:
        """Times of recording, in order."""
        return list(map(recorded_ms, self.events))

    @cached_property
    def occurred(self) -> list[int]:
        """When each happened: `occurred_at`, or else the time of recording."""
        return [
            ms if moment is None else max(0, time_ms(moment))
            for moment, ms in zip(self.column(OCCURRED), self.recorded, strict=True)
        ]

    def column(self, path: Path) -> list[Any]:
        """Return each event's value at a path: None where it leads nowhere."""
        found = self._columns.get(path)
        if found is None:
            whole = self._whole
            if whole is None:
                found = _column(self._rows, path)
            else:
                values = whole.column(path)
                found = [values[place] for place in self._places]
            self._columns[path] = found
        return found

    def numbers(self, path: Path) -> list[Any]:
        """Return the numbers at a path, in the order of their events; those of events that have none are left out."""
        found = self._present.get(path)
        if found is None:
            found = self.column(path)
            if not _NUMBERS.issuperset(map(type, found)):
                found = [value for value in found if type(value) is float or type(value) is int]
            self._present[path] = found
        return found

    def tally(self, path: Path) -> Counter[Any]:
        """Return how many events have each value at a path, all of which can be keys."""
        found = self._tallies.get(path)
        if found is None:
            found = self._tallies[path] = Counter(self.column(path))
        return found


def _column(rows: list[Any], path: Path) -> list[Any]:
    names = [_attribute(part) for part in path]
    if not any(map(_is_place, path)):
        try:
            return list(map(attrgetter(".".join(names)), rows))
        except AttributeError:
            # Some have no object at a step.
            pass
    values = rows
    for part, name in zip(path, names, strict=True):
        if _is_place(part):
            values = [_at(value, part, int(part)) for value in values]
        else:
            values = [value.get(part) if type(value) is dict else getattr(value, name, None) for value in values]
    return values


def _at(value: Any, part: str, place: int) -> Any:
    if type(value) is list:
        return value[place] if place < len(value) else None
    return value.get(part) if type(value) is dict else None


_EPOCH_DAY: Final = datetime(1970, 1, 1).toordinal()  # noqa: DTZ001 - only its day


def time_ms(moment: datetime) -> int:
    """Return the Unix milliseconds of a time in UTC, rounded down."""
    days = moment.toordinal() - _EPOCH_DAY
    seconds = ((days * 24 + moment.hour) * 60 + moment.minute) * 60 + moment.second
    return seconds * 1000 + moment.microsecond // 1000
