"""The schemas of `proto/schemas`, for whoever has a frame to check."""

import json
from functools import cache
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

__all__ = ["HERE", "check", "validator"]

HERE: Final = Path(__file__).resolve().parents[1] / "proto" / "schemas"


@cache
def _schemas() -> dict[str, Any]:
    return {path.name: json.loads(path.read_text(encoding="utf-8")) for path in HERE.glob("*.json")}


@cache
def validator(name: str) -> Draft202012Validator:
    """Return what checks values against a schema: `Event`, `ClientFrame` …"""
    resources = [(key, Resource.from_contents(one, DRAFT202012)) for key, one in _schemas().items()]
    registry: Registry[Any] = Registry().with_resources(resources)
    return Draft202012Validator(_schemas()[f"{name}.json"], registry=registry)


@cache
def _result_of(method: str) -> str:
    """Return the name of a method's result, as the schema of all frames has it."""
    for frame in _schemas()["ServerFrame.json"]["anyOf"]:
        if frame["title"] == f"{method}.result":
            name: str = frame["properties"]["result"]["$ref"]
            return name.removesuffix(".json")
    raise LookupError(method)


def check(frame: dict[str, Any], method: str | None) -> None:
    """Check a frame that a server sent, and its result by the method that it answers.

    Raises:
        jsonschema.ValidationError: it is not as the schemas say.
    """
    validator("ServerFrame").validate(frame)
    if method is not None and "result" in frame:
        validator(_result_of(method)).validate(frame["result"])
