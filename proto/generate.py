"""The schemas and the AsyncAPI document of the wire, from the structs that the code sends and takes: `make proto`.

The structs say which members there are and of what type; `_BOUNDS` adds what only the code that checks them knows.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from audit.metrics.pace import MAX_EVERY_MS
from audit.model.event import (
    MAX_CALL_EVENTS,
    MAX_CONTEXT_BYTES,
    MAX_CONTEXT_FIELDS,
    MAX_ERASED,
    MAX_KEY_BYTES,
    MAX_NAME_BYTES,
    MAX_REASON_BYTES,
    MAX_TARGETS,
    MAX_TOPICS,
)
from audit.model.ids import MAX_TIMESTAMP_MS
from audit.model.query import MAX_LIMIT, MAX_UNION
from audit.model.topic import MAX_SEGMENT_BYTES, MAX_SEGMENTS
from audit.protocol import limits
from audit.protocol.errors import WIRE_CODES
from audit.protocol.limits import MAX_CREDIT, MAX_ID_BYTES, PATH, SUBPROTOCOL, CloseCode
from audit.protocol.messages import WireError
from audit.protocol.methods import CLIENT_NOTIFICATIONS, METHODS, SERVER_NOTIFICATIONS

__all__ = ["HERE", "files"]

HERE: Final = Path(__file__).resolve().parent
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]


def _text(most: int, least: int = 1, **more: Any) -> Schema:
    # Lengths are of code points here and of UTF-8 bytes in the server: a schema lets some text pass that it refuses.
    return {"minLength": least, "maxLength": most, "description": f"{least}-{most} bytes of UTF-8.", **more}


_SEGMENT: Final = {"type": "string", **_text(MAX_SEGMENT_BYTES, pattern="^[^/\\u0000-\\u001f\\u007f-\\u009f]*$")}
_TOPIC: Final = {"items": _SEGMENT, "minItems": 1, "maxItems": MAX_SEGMENTS}
_EVENT_ID: Final = {"pattern": "^[0-7][0-9A-HJKMNP-TV-Z]{25}$"}
_ASKED_ID: Final = {"pattern": "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$"}
_MS: Final = {"minimum": 0, "maximum": MAX_TIMESTAMP_MS}
_COUNT: Final = {"minimum": 0}
_NAMED: Final = _text(MAX_NAME_BYTES)
_UNION: Final = {
    "items": {"type": "array", **_TOPIC, "minItems": 0},
    "minItems": 1,
    "maxItems": MAX_UNION,
    "description": "A union, in place of `topic`.",
}
_PARENT: Final = {**_TOPIC, "minItems": 0, "description": "A topic, with all nested below it; `[]` is everything."}
_LOW: Final = "the lower bound in both orders: an event id, an RFC 3339 time, or milliseconds since 1970"
_HIGH: Final = (
    "The upper bound in both orders: an event id, an RFC 3339 time, or milliseconds since 1970; absent: no end."
)
_INCLUSIVE: Final = {
    "description": "Which of the two bounds belong to the range. A time is every id of that millisecond."
}
_CURSOR: Final = {"description": "Opaque. From a page or notification of the same query; takes the near bound's place."}
_DURATION: Final = {"pattern": "^[0-9]{1,15}(ms|s|m|h|d|w)$"}
_NEXT: Final = {"description": "Opaque. Continues right after what it came with."}
_LIMIT: Final = {"minimum": 1, "maximum": MAX_LIMIT}
_HASH: Final = {"pattern": "^[A-Za-z0-9+/]{43}=$", "description": "32 bytes in base64."}
_PROOFS: Final = ("InclusionResult", "ConsistencyResult", "SelectionResult")
_WORDS: Final = [entry.code for entry in WIRE_CODES]

_BOUNDS: Final[dict[str, Schema]] = {
    "NewEvent.topics": {"items": {"type": "array", **_TOPIC}, "minItems": 1, "maxItems": MAX_TOPICS},
    "NewEvent.action": _NAMED,
    "NewEvent.occurred_at": {"format": "date-time"},
    "NewEvent.targets": {"maxItems": MAX_TARGETS},
    "NewEvent.context": {
        "additionalProperties": {"type": "string", **_text(MAX_CONTEXT_BYTES, 0)},
        "propertyNames": _text(MAX_CONTEXT_BYTES),
        "maxProperties": MAX_CONTEXT_FIELDS,
    },
    "NewEvent.idempotency_key": _text(MAX_KEY_BYTES),
    "Event.id": _EVENT_ID,
    "Event.index": _COUNT,
    "Event.topics": {"items": {"type": "array", **_TOPIC}, "minItems": 1, "maxItems": MAX_TOPICS},
    "Event.salt": {"pattern": "^[A-Za-z0-9_-]{22}$"},
    "Event.payload_hash": {"pattern": "^[A-Za-z0-9_-]{43}$"},
    "Event.occurred_at": {"format": "date-time"},
    "Event.targets": {"maxItems": MAX_TARGETS},
    "Event.context": {"maxProperties": MAX_CONTEXT_FIELDS},
    **{f"{kind}.{member}": _NAMED for kind in ("Actor", "Target") for member in ("type", "id", "name")},
    **{f"Filter.{member}": _text(MAX_NAME_BYTES, 0) for member in ("actor", "action", "target")},
    "Filter.request_id": _text(MAX_CONTEXT_BYTES, 0),
    "Receipt.id": _EVENT_ID,
    "Receipt.index": _COUNT,
    "AppendParams.events": {"minItems": 1, "maxItems": MAX_CALL_EVENTS},
    "AppendParams.idempotency_key": {
        **_text(MAX_KEY_BYTES),
        "description": "For the whole call, kept for 7 days; the events then have none of their own.",
    },
    "AppendResult.receipts": {"minItems": 1, "maxItems": MAX_CALL_EVENTS},
    "EraseParams.ids": {"items": {"type": "string", **_ASKED_ID}, "minItems": 1, "maxItems": MAX_ERASED},
    "EraseParams.reason": _text(MAX_REASON_BYTES),
    "EraseResult.erased": {"minimum": 0, "maximum": MAX_ERASED},
    "GetParams.id": _ASKED_ID,
    **{f"{kind}.topic": _PARENT for kind in ("ListParams", "SubscribeParams", "TopicsParams")},
    **{f"{kind}.topics": _UNION for kind in ("ListParams", "SubscribeParams")},
    **{f"{kind}.seek_end": {**_MS, "description": _HIGH} for kind in ("ListParams", "SubscribeParams")},
    **{f"{kind}.inclusive": _INCLUSIVE for kind in ("ListParams", "SubscribeParams")},
    **{f"{kind}.cursor": _CURSOR for kind in ("ListParams", "SubscribeParams", "TopicsParams")},
    **{f"{kind}.limit": _LIMIT for kind in ("ListParams", "TopicsParams")},
    "ListParams.seek": {**_MS, "description": f"{_LOW.capitalize()}; absent: the first event."},
    "SubscribeParams.seek": {**_MS, "description": f'`"now"`, or {_LOW}; absent: the first event.'},
    "SubscribeParams.limit": {"minimum": 1, "description": "Events after which the subscription ends; absent: never."},
    "SubscribeParams.credit": {"minimum": 0, "maximum": MAX_CREDIT},
    "CreditNote.events": {"minimum": 0, "maximum": MAX_CREDIT},
    **{f"{kind}.topic": {**_PARENT, "items": _SEGMENT} for kind in ("MetricQuery", "WatchParams", "MetricEntry")},
    **{f"{kind}.topics": _UNION for kind in ("MetricQuery", "WatchParams", "MetricEntry")},
    **{f"{kind}.{bound}": _MS for kind in ("MetricQuery", "WatchParams") for bound in ("seek", "seek_end")},
    **{
        f"{kind}.{member}": _DURATION
        for kind in ("MetricQuery", "WatchParams")
        for member in ("last", "window", "hop", "lateness")
    },
    "WatchParams.every": {"minimum": 0, "maximum": MAX_EVERY_MS},
    "WatchParams.cursor": _CURSOR,
    "Window.count": _COUNT,
    "ListResult.events": {"maxItems": MAX_LIMIT},
    "InclusionParams.id": _ASKED_ID,
    "InclusionResult.index": _COUNT,
    "InclusionResult.leaf_hash": _HASH,
    **{f"{kind}.hashes": {"items": {"type": "string", **_HASH}} for kind in _PROOFS},
    "ConsistencyParams.from": _COUNT,
    "ConsistencyParams.to": _COUNT,
    "SelectionParams.indexes": {"items": {"type": "integer", **_COUNT}, "minItems": 1, "maxItems": MAX_LIMIT},
    "SelectionParams.size": _COUNT,
    "BatchNote.events": {"minItems": 1},
    **{
        f"{kind}.cursor": _NEXT
        for kind in ("ListResult", "TopicsResult", *sorted(note.__name__ for note in SERVER_NOTIFICATIONS.values()))
    },
    "TopicResult.topic": _TOPIC,
    "TopicResult.events": {"minimum": 1},
    "TopicResult.first_id": _EVENT_ID,
    "TopicResult.last_id": _EVENT_ID,
    "TopicsResult.topics": {"maxItems": MAX_LIMIT},
    "InfoResult.protocol": {"const": SUBPROTOCOL},
    "StoreResult.size": {"minimum": 0, "description": "Events in the log."},
    "StoreResult.first_id": _EVENT_ID,
    "StoreResult.last_id": _EVENT_ID,
    "WireError.code": {"enum": [entry.number for entry in WIRE_CODES]},
    "WireErrorData.code": {"enum": _WORDS},
}

_ID: Final[Schema] = {
    "anyOf": [{"type": "integer"}, {"type": "string"}],
    "description": f"Chosen by the client, and not in use for another request in flight; at most {MAX_ID_BYTES} bytes.",
}


def files() -> dict[Path, str]:
    """Return what belongs into each generated file."""
    shapes = _shapes()
    frames = {"ClientFrame": _any_of(_client_frames()), "ServerFrame": _any_of(_server_frames())}
    found = {
        HERE / "schemas" / f"{name}.json": _json({"$schema": _DIALECT, "title": name, **_linked(shape, "{}.json")})
        for name, shape in (shapes | frames).items()
    }
    return found | {HERE / "asyncapi.json": _json(_asyncapi(shapes))}


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


# Schemas


def _shapes() -> dict[str, Schema]:
    """Return the schema of each struct, by name; they refer to each other by name alone."""
    kinds = {kind for method in METHODS.values() for kind in method} | {WireError}
    kinds |= {*CLIENT_NOTIFICATIONS.values(), *SERVER_NOTIFICATIONS.values()}
    ordered = sorted(kinds, key=lambda kind: kind.__name__)
    _, shapes = msgspec.json.schema_components(ordered, ref_template="{name}")
    unused = {
        place for place in _BOUNDS if place.partition(".")[2] not in shapes[place.partition(".")[0]]["properties"]
    }
    if unused:
        raise LookupError(f"there are no {sorted(unused)}")
    for name in sorted(shapes):
        _refine(name, shapes[name])
    return {name: shapes[name] for name in sorted(shapes)}


def _refine(name: str, shape: Schema) -> None:
    shape["description"], attributes = _documented(shape["description"])
    for member, schema in shape["properties"].items():
        bounded = _bounded(schema, _BOUNDS.get(f"{name}.{member}", {}))
        told = {"description": attributes[member]} if member in attributes else {}
        shape["properties"][member] = bounded | told
        if name == "Event":
            # What is unset is left out of an event, never null.
            shape["properties"][member] = _without_null(shape["properties"][member])


def _documented(text: str) -> tuple[str, dict[str, str]]:
    """Return a docstring's first part, and what it says of each attribute."""
    summary, _, rest = text.partition("\n\n    Attributes:\n")
    attributes = re.findall(r"^ {8}(\w+): (.+(?:\n {12}.+)*)$", rest, re.MULTILINE)
    return summary, {name: _plain(words) for name, words in attributes}


def _plain(words: str) -> str:
    return re.sub(r"\s+", " ", words).replace("``", "`")


def _bounded(schema: Schema, bounds: Schema) -> Schema:
    """Return a member's schema with its bounds: they hold for those of its types that they can hold for."""
    branches = schema.get("anyOf")
    if branches is None or set(bounds) <= {"description"}:
        return schema | bounds
    numeric = "minimum" in bounds
    kept = [
        branch | bounds if branch != {"type": "null"} and numeric == (branch.get("type") == "integer") else branch
        for branch in branches
    ]
    return schema | {"anyOf": kept}


def _without_null(schema: Schema) -> Schema:
    branches = [branch for branch in schema.get("anyOf", []) if branch != {"type": "null"}]
    rest = {key: value for key, value in schema.items() if key not in {"anyOf", "default"}}
    return branches[0] | rest if branches else rest


def _linked(value: Any, template: str) -> Any:
    """Return a schema whose references follow a template."""
    if isinstance(value, dict):
        return {key: template.format(one) if key == "$ref" else _linked(one, template) for key, one in value.items()}
    return [_linked(one, template) for one in value] if isinstance(value, list) else value


# Frames


def _frame(required: list[str], **members: Schema) -> Schema:
    return {
        "type": "object",
        "properties": {"jsonrpc": {"const": "2.0"}, **members},
        "required": ["jsonrpc", *required],
    }


def _request(method: str, params: type[Any], *, notification: bool = False) -> Schema:
    """Return the schema of a frame from a client, which has no other members."""
    wanted = ["params"] if msgspec.json.schema_components([params])[1][params.__name__]["required"] else []
    members: dict[str, Schema] = {} if notification else {"id": _ID}
    members |= {"method": {"const": method}, "params": {"$ref": params.__name__}}
    return {
        **_frame([*[name for name in members if name != "params"], *wanted], **members),
        "additionalProperties": False,
    }


def _result(result: type[Any]) -> Schema:
    return _frame(["id", "result"], id=_ID, result={"$ref": result.__name__})


def _failure() -> Schema:
    nobody = {"type": "null"}
    told = {**_ID, "anyOf": [*_ID["anyOf"], nobody], "description": "null when the request's own can't be told."}
    return _frame(["id", "error"], id=told, error={"$ref": "WireError"})


def _note(method: str, params: type[Any]) -> Schema:
    return _frame(["method", "params"], method={"const": method}, params={"$ref": params.__name__})


def _client_frames() -> dict[str, Schema]:
    """Return the schema of each frame that a client may send, by its name."""
    requests = {name: _request(name, method.params) for name, method in METHODS.items()}
    notes = {name: _request(name, kind, notification=True) for name, kind in CLIENT_NOTIFICATIONS.items()}
    return requests | notes


def _server_frames() -> dict[str, Schema]:
    """Return the schema of each frame that a server may send, by its name."""
    results = {f"{name}.result": _result(method.result) for name, method in METHODS.items()}
    notes = {name: _note(name, kind) for name, kind in SERVER_NOTIFICATIONS.items()}
    return results | {"error": _failure()} | notes


def _any_of(frames: dict[str, Schema]) -> Schema:
    return {"anyOf": [{"title": name, **frame} for name, frame in frames.items()]}


# AsyncAPI


def _asyncapi(shapes: dict[str, Schema]) -> dict[str, Any]:
    """Return the AsyncAPI 3 document, told from the server's side."""
    link = "#/components/schemas/{}"
    frames = _client_frames() | _server_frames()
    kinds = {f"{name}.result": method.result for name, method in METHODS.items()} | {"error": WireError}
    kinds |= {name: method.params for name, method in METHODS.items()} | CLIENT_NOTIFICATIONS | SERVER_NOTIFICATIONS
    messages = {
        name: {
            "name": name,
            "summary": shapes[kinds[name].__name__]["description"],
            **({"correlationId": {"location": "$message.payload#/id"}} if "id" in frame["properties"] else {}),
            "payload": _linked(frame, link),
        }
        for name, frame in frames.items()
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": SUBPROTOCOL,
            "version": "1.0.0",
            "description": (
                "The wire of an audit log: JSON-RPC 2.0 in text frames of one WebSocket, with notifications that "
                "stream events under credit. proto/README.md is normative; this document is generated."
            ),
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {"local": {"host": "127.0.0.1:8440", "protocol": "ws", "description": "As it listens by default."}},
        "channels": {
            "rpc": {
                "address": PATH,
                "description": "Each text frame is one message.",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
                "bindings": {"ws": {"method": "GET", "headers": _handshake(), "bindingVersion": "0.1.0"}},
                "x-close-codes": _close_codes(),
            }
        },
        "operations": _operations(),
        "components": {"messages": messages, "schemas": _linked(shapes, link)},
    }


def _handshake() -> Schema:
    return {"type": "object", "properties": {"Sec-WebSocket-Protocol": {"const": SUBPROTOCOL}}}


def _close_codes() -> dict[str, str]:
    codes = {name.lower(): code for name, code in vars(limits.CloseCode).items() if name.isupper()}
    assert CloseCode.BAD_FRAME in codes.values()  # noqa: S101 - the class is read by its names
    return {str(code): name for name, code in sorted(codes.items(), key=lambda row: row[1])}


def _operations() -> dict[str, Any]:
    channel = {"$ref": "#/channels/rpc"}

    def message(name: str) -> dict[str, str]:
        return {"$ref": f"#/channels/rpc/messages/{name}"}

    found: dict[str, Any] = {}
    for name in METHODS:
        reply = {"channel": channel, "messages": [message(f"{name}.result"), message("error")]}
        found[name] = {"action": "receive", "channel": channel, "messages": [message(name)], "reply": reply}
    for name in CLIENT_NOTIFICATIONS:
        found[name] = {"action": "receive", "channel": channel, "messages": [message(name)]}
    for name in SERVER_NOTIFICATIONS:
        found[name] = {"action": "send", "channel": channel, "messages": [message(name)]}
    return found


def main() -> None:
    """Write the files, and remove schemas that no struct has any more."""
    wanted = files()
    for path in (HERE / "schemas").glob("*.json"):
        if path not in wanted:
            path.unlink()
    for path, text in wanted.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    sys.stdout.write(f"{len(wanted)} files written\n")


if __name__ == "__main__":
    main()
