"""Windows as rows of CSV. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import UNSET

from audit.codec.csvtext import encode_rows, harmless
from audit.codec.texts import instant
from audit.metrics.query import Window

__all__ = ["WINDOW_COLUMNS", "encode_windows"]

WINDOW_COLUMNS: Final = ("start", "end", "group", "value", "count", "final")


def encode_windows(windows: Iterable[Window]) -> bytes:
    """Return windows as CSV rows under `WINDOW_COLUMNS`; what does not exist is empty, quantiles are JSON."""
    return encode_rows(
        (
            instant(window.start),
            instant(window.end),
            _cell(window.group),
            _cell(window.value),
            window.count,
            _cell(window.final),
        )
        for window in windows
    )


def _cell(value: object) -> object:
    if value is None or value is UNSET:
        return ""
    if isinstance(value, str):
        return harmless(value)
    return (
        value
        if isinstance(value, (int, float)) and not isinstance(value, bool)
        else msgspec.json.encode(value).decode()
    )
