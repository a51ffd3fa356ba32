"""Components that go up and down, or open and close: which were so when, and for how long.

A state is the transitions themselves, so that it merges by putting them together. A component is known from its first
one on; planned maintenance, between two actions of its own, counts neither way.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

__all__ = ["DOWN", "PLANNED", "UNPLANNED", "UP", "Course", "Levels", "Transition", "Transitions"]

UP: Final = 1
DOWN: Final = 2
PLANNED: Final = 3
UNPLANNED: Final = 4


class Transition(NamedTuple):
    """One component's change.

    Attributes:
        ms: When.
        order: The event's index: orders what happens within a millisecond.
        kind: `UP`, `DOWN`, `PLANNED` or `UNPLANNED`.
        component: Which one, as JSON.
    """

    ms: int
    order: int
    kind: int
    component: str


class Transitions:
    """Some transitions, in any order."""

    __slots__ = ("found",)

    def __init__(self, found: Iterable[Transition] = ()) -> None:
        self.found = list(found)

    def add(self, values: Sequence[Transition]) -> None:
        """Take in transitions."""
        self.found += values

    def merge(self, other: Transitions) -> None:
        """Take in another state."""
        self.found += other.found

    def pack(self) -> Any:
        """See `State.pack`."""
        return [list(one) for one in self.found]

    @classmethod
    def unpack(cls, packed: Any) -> Transitions:
        """See `State.unpack`."""
        return cls([Transition(*one) for one in packed])


class Levels:
    """How many components are open, over time."""

    def __init__(self, transitions: Transitions) -> None:
        self._times: list[int] = []
        self._levels = [0]
        opened: set[str] = set()
        for one in sorted(transitions.found):
            if one.kind == UP:
                opened.add(one.component)
            else:
                opened.discard(one.component)
            self._times.append(one.ms)
            self._levels.append(len(opened))

    def before(self, ms: int) -> int:
        """Return how many are open right before a time."""
        return self._levels[bisect_left(self._times, ms)]


class _Component:
    """One component's time up and down, added up to each of its transitions."""

    def __init__(self, transitions: Sequence[Transition]) -> None:
        self.times = [one.ms for one in transitions]
        self.sums = [(0, 0)]
        self.states: list[int | None] = [None]
        state: int | None = None
        planned = False
        up = down = last = 0
        for one in transitions:
            counted = self.states[-1]
            up += (one.ms - last) * (counted == UP)
            down += (one.ms - last) * (counted == DOWN)
            last = one.ms
            if one.kind in (UP, DOWN):
                state = one.kind
            else:
                planned = one.kind == PLANNED
            self.sums.append((up, down))
            self.states.append(None if planned else state)

    def until(self, ms: int) -> tuple[int, int]:
        """Return milliseconds up and down before a time."""
        at = bisect_right(self.times, ms)
        up, down = self.sums[at]
        since = ms - self.times[at - 1] if at else 0
        return up + since * (self.states[at] == UP), down + since * (self.states[at] == DOWN)


class Course:
    """Time up and down of all components together."""

    def __init__(self, transitions: Transitions) -> None:
        by_component: dict[str, list[Transition]] = {}
        for one in sorted(transitions.found):
            by_component.setdefault(one.component, []).append(one)
        self._components = [_Component(found) for found in by_component.values()]

    def between(self, start_ms: int, end_ms: int) -> tuple[int, int]:
        """Return milliseconds up and down within `[start, end)`, added up over the components."""
        up = down = 0
        for component in self._components if start_ms < end_ms else ():
            before, after = component.until(start_ms), component.until(end_ms)
            up += after[0] - before[0]
            down += after[1] - before[1]
        return up, down
