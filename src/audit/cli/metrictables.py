"""The tables `[metrics.NAME]` of a settings file: each a metric that the server registers when it starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from audit.metrics.plan import check_metric
from audit.metrics.query import Metric
from audit.model.errors import InvalidParameter
from audit.model.topic import parse_topic

__all__ = ["metrics_of"]


def metrics_of(place: str, tables: Any) -> list[Metric]:
    """Return the metrics of a file's tables.

    Args:
        place: How errors call where they are.
        tables: As TOML has them.

    Raises:
        InvalidParameter: one of them is out of form; its member is named.
    """
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise InvalidParameter(place, "must be tables: [metrics.NAME]")
    return [_metric(f"{place}.{name}", name, table) for name, table in tables.items()]


def _metric(place: str, name: str, table: Mapping[str, Any]) -> Metric:
    members = {"name": name} | dict(table)
    # Written as on a command line; an array of segments is taken as well.
    if isinstance(members.get("topic"), str):
        members["topic"] = parse_topic(members["topic"], f"{place}.topic")
    if isinstance(members.get("topics"), list):
        topics = [parse_topic(one, f"{place}.topics") if isinstance(one, str) else one for one in members["topics"]]
        members["topics"] = topics
    try:
        metric = msgspec.convert(members, Metric)
    except msgspec.ValidationError as error:
        problem, _, where = str(error).partition(" - at `$.")
        member = where.removesuffix("`")
        raise InvalidParameter(f"{place}.{member}" if member else place, problem[:1].lower() + problem[1:]) from error
    try:
        check_metric(metric)
    except InvalidParameter as error:
        raise type(error)(f"{place}.{error.parameter}", error.problem) from error
    return metric
