"""Metrics that every log which is served has."""

from __future__ import annotations

from typing import Final

from audit.metrics.query import Metric

__all__ = ["EVENTS"]

EVENTS: Final = Metric(
    name="audit.events",
    measure="rate",
    group_by="topics.0.0",
    help="Events a second, by the first segment of their first topic.",
)
