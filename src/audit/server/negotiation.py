"""Which of the forms on offer a request wants, by its `Accept` header (RFC 9110, section 12.5.1)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from audit.server.problems import Problem

__all__ = ["accepted", "content_type"]


def accepted(scope: Mapping[str, Any], offers: Sequence[str]) -> str:
    """Return the media type to answer with.

    Args:
        scope: The request's ASGI scope.
        offers: Media types there are, the preferred one first: it is taken where the request leaves the choice.

    Raises:
        Problem: 406, none of them will do.
    """
    ranges = _ranges(_values(scope, b"accept"))
    if not ranges:
        return offers[0]
    weight, place = max((_weight(offer, ranges), -number) for number, offer in enumerate(offers))
    if weight <= 0:
        raise Problem(HTTPStatus.NOT_ACCEPTABLE, "not_acceptable", f"on offer: {', '.join(offers)}")
    return offers[-place]


def content_type(scope: Mapping[str, Any]) -> str:
    """Return the media type of a request's body, without its parameters; empty if it names none."""
    values = _values(scope, b"content-type")
    return values[0].split(";")[0].strip().lower() if len(values) == 1 else ""


def _values(scope: Mapping[str, Any], wanted: bytes) -> list[str]:
    headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
    return [value.decode("latin-1") for name, value in headers if name == wanted]


def _ranges(values: Iterable[str]) -> dict[str, float]:
    """Return the media ranges of a header and the weight of each."""
    found: dict[str, float] = {}
    for entry in ",".join(values).split(","):
        kind, *parameters = [part.strip() for part in entry.lower().split(";")]
        if not kind:
            continue
        weight = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                try:
                    weight = float(value)
                except ValueError:
                    weight = 0.0
        # Of several, say with different parameters, the most welcome counts.
        found[kind] = max(weight, found.get(kind, 0.0))
    return found


def _weight(offer: str, ranges: Mapping[str, float]) -> float:
    """Return the weight of an offer: the most specific range that covers it decides."""
    for kind in (offer, offer.split("/", maxsplit=1)[0] + "/*", "*/*"):
        if kind in ranges:
            return ranges[kind]
    return 0.0
