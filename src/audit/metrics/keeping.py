"""Registered metrics as bytes: what is kept of each, and of each of its panes."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from audit.metrics.distinct import Distinct
from audit.metrics.histogram import Histogram
from audit.metrics.panes import GroupKey, Pane
from audit.metrics.plan import Plan
from audit.metrics.query import Metric
from audit.metrics.states import ExactSum, Extremes
from audit.metrics.timeline import Transitions
from audit.model.errors import StoreCorrupt

__all__ = ["Kept", "decode_kept", "decode_pane", "encode_kept", "encode_pane"]

_STATES: Final[dict[str, Any]] = {
    "sum": ExactSum,
    "avg": ExactSum,
    "min": Extremes,
    "max": Extremes,
    "quantiles": Histogram,
    "distinct": Distinct,
}


_Row = tuple[str | int | float | tuple[bool] | None, int, Any, list[tuple[int, int]], int | None]
_rows: Final = msgspec.msgpack.Decoder(list[_Row])


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What the store says of a registered metric.

    Attributes:
        metric: Its definition.
        size: Events of the log that are in its panes: the first ones.
        last_id: Id of the last of them, in hexadecimal; empty: there is none.
    """

    metric: Metric
    size: int = 0
    last_id: str = ""


def encode_kept(kept: Kept) -> bytes:
    """Return a metric as it is stored: JSON."""
    return msgspec.json.encode(kept)


def decode_kept(name: str, body: bytes) -> Kept:
    """Return a stored metric.

    Raises:
        StoreCorrupt: it can't be decoded.
    """
    try:
        return msgspec.json.decode(body, type=Kept)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StoreCorrupt(f"metric {name}", f"can't be decoded: {error}") from error


def encode_pane(groups: dict[GroupKey, Pane]) -> bytes:
    """Return a pane as it is stored: for each group its value, count, state and late events."""
    rows = [
        (
            [key[0]] if isinstance(key, tuple) else key,
            pane.count,
            None if pane.state is None else pane.state.pack(),
            sorted(pane.late.items()),
            pane.first_ms,
        )
        for key, pane in groups.items()
    ]
    return msgspec.msgpack.encode(rows)


def decode_pane(plan: Plan, name: str, body: bytes) -> dict[GroupKey, Pane]:
    """Return a stored pane.

    Raises:
        StoreCorrupt: it can't be decoded.
    """
    state = Transitions if plan.follows else ExactSum if plan.carries else _STATES.get(plan.measure)
    try:
        return {
            (key[0],) if isinstance(key, tuple) else key: Pane(
                None if state is None else state.unpack(packed), count, dict(late), first_ms
            )
            for key, count, packed, late, first_ms in _rows.decode(body)
        }
    except (msgspec.MsgspecError, AttributeError, TypeError, ValueError, IndexError) as error:
        raise StoreCorrupt(f"a pane of metric {name}", f"can't be decoded: {error}") from error
