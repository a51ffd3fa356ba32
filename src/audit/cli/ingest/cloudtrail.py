"""AWS CloudTrail records as events, one JSON object a line: topic `aws/SERVICE/EVENTNAME`, the record itself as data.

What the bounds on an event can't hold (a text over its length, a 33rd resource) is left out of the index fields only:
`data` keeps the whole record.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Final, cast

import msgspec

from audit.cli.ingest.lines import Line
from audit.cli.ingest.mapping import BadLine, decode_object
from audit.model.event import MAX_CONTEXT_BYTES, MAX_NAME_BYTES, MAX_TARGETS, Actor, NewEvent, Outcome, Target

__all__ = ["outcome_of", "to_event"]

_ID_FIELDS: Final = ("arn", "principalId", "invokedBy", "accountId")
_CONTEXT_FIELDS: Final = {
    "ip": "sourceIPAddress",
    "user_agent": "userAgent",
    "request_id": "requestID",
    "region": "awsRegion",
}


def to_event(line: Line) -> NewEvent:
    """Return the event of a line that is a CloudTrail record; its idempotency key is the record's `eventID`.

    Raises:
        BadLine: no JSON object, or one without the fields every record has.
    """
    record = decode_object(line.text)
    service = _required(record, "eventSource").removesuffix(".amazonaws.com")
    name = _required(record, "eventName")
    return NewEvent(
        topics=[("aws", service, name)],
        action=f"{service}.{name}",
        occurred_at=_time(_required(record, "eventTime")),
        actor=_actor(record.get("userIdentity")),
        targets=list(islice(_targets(record.get("resources")), MAX_TARGETS)),
        outcome=outcome_of(record.get("errorCode")),
        context={
            ours: value
            for ours, theirs in _CONTEXT_FIELDS.items()
            if (value := _text(record.get(theirs), MAX_CONTEXT_BYTES)) is not None
        },
        data=record,
        idempotency_key=_required(record, "eventID"),
    )


def outcome_of(error_code: object) -> Outcome:
    """Return the outcome that a record's `errorCode` stands for; a record without one is of a success."""
    if not error_code:
        return "success"
    code = str(error_code)
    return "denied" if code.startswith("AccessDenied") or code.endswith("UnauthorizedOperation") else "failure"


def _actor(identity: object) -> Actor:
    fields = cast("dict[str, object]", identity) if isinstance(identity, dict) else {}
    ids = (_text(fields.get(field), MAX_NAME_BYTES) for field in _ID_FIELDS)
    return Actor(
        type=_text(fields.get("type"), MAX_NAME_BYTES) or "unknown",
        id=next(filter(None, ids), "unknown"),
        name=_text(fields.get("userName"), MAX_NAME_BYTES),
    )


def _targets(resources: object) -> Iterator[Target]:
    seen = set[str]()
    for resource in resources if isinstance(resources, list) else ():
        fields = resource if isinstance(resource, dict) else {}
        arn = _text(fields.get("ARN"), MAX_NAME_BYTES)
        if arn is not None and arn not in seen:
            seen.add(arn)
            yield Target(type=_text(fields.get("type"), MAX_NAME_BYTES) or "resource", id=arn)


def _required(record: dict[str, object], field: str) -> str:
    value = record.get(field)
    if not isinstance(value, str) or not value:
        raise BadLine(f"{field}: every CloudTrail record has one, a text; got {value!r:.40}")
    return value


def _time(text: str) -> datetime:
    try:
        time = msgspec.convert(text, datetime)
    except msgspec.ValidationError as error:
        raise BadLine(f"eventTime: {text!r:.40} is no RFC 3339 time") from error
    if time.utcoffset() is None:
        raise BadLine(f"eventTime: needs a time zone, got {text!r:.40}")
    return time


def _text(value: object, max_bytes: int) -> str | None:
    """Return a text that fits an event's field, or nothing."""
    return value if isinstance(value, str) and value and len(value.encode()) <= max_bytes else None
