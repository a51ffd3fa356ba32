"""proto/ says what the code does: generated files are of today, tables name what there is, examples are valid."""

import gzip
import json
import re
from collections.abc import Iterator
from typing import Any, Final, get_args

import pytest
from jsonschema import Draft7Validator, Draft202012Validator, ValidationError

from audit.protocol.errors import WIRE_CODES
from audit.protocol.limits import CloseCode
from audit.protocol.messages import EndReason
from audit.protocol.methods import CLIENT_NOTIFICATIONS, METHODS, SERVER_NOTIFICATIONS
from proto.generate import HERE, files
from tests import vectors
from tests.docs.documents import ROOT
from tests.schemas import validator

_PAGE: Final = (HERE / "README.md").read_text(encoding="utf-8")
_BLOCK: Final = re.compile(r"^```json\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_UNSEEN: Final = {"not_found", "cursor_invalid", "conflict"}
"""What no schema can know."""


def test_generated_files_are_those_that_the_code_makes() -> None:
    for path, text in files().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is out of date: make proto"
    assert set((HERE / "schemas").iterdir()) == {path for path in files() if path.parent.name == "schemas"}


@pytest.mark.parametrize("path", sorted((HERE / "schemas").glob("*.json")), ids=lambda path: path.stem)
def test_schema_is_one(path: Any) -> None:
    schema = json.loads(path.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    for reference in _references(schema):
        assert (path.parent / reference).exists()


def test_asyncapi_document_is_one() -> None:
    with gzip.open(ROOT / "tests" / "data" / "asyncapi-3.0.0.json.gz") as file:
        schema = json.load(file)
    document = json.loads((HERE / "asyncapi.json").read_text(encoding="utf-8"))
    problems = [error.message for error in Draft7Validator(schema).iter_errors(document)]
    assert not problems
    for reference in _references(document):
        found = document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]


def test_asyncapi_document_has_every_operation() -> None:
    document = json.loads((HERE / "asyncapi.json").read_text(encoding="utf-8"))
    actions = {name: operation["action"] for name, operation in document["operations"].items()}
    asked = dict.fromkeys([*METHODS, *CLIENT_NOTIFICATIONS], "receive")
    assert actions == asked | dict.fromkeys(SERVER_NOTIFICATIONS, "send")


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, one in value.items():
            if key == "$ref":
                yield one
            else:
                yield from _references(one)
    elif isinstance(value, list):
        for one in value:
            yield from _references(one)


# Prose


def _section(title: str) -> str:
    return _PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_every_method_is_described() -> None:
    assert re.findall(r"^### `(.+)`$", _section("Requests"), re.MULTILINE) == [
        "server.info",
        "events.append",
        "events.erase",
        "events.get",
        "events.list",
        "topics.list",
        "events.subscribe",
        "subscription.cancel",
        "metrics.list",
        "metrics.get",
        "metrics.subscribe",
        "log.checkpoint",
        "log.inclusion",
        "log.consistency",
        "log.selection",
    ]
    assert set(re.findall(r"^### `(.+)`$", _section("Requests"), re.MULTILINE)) == set(METHODS)


def test_every_notification_is_described() -> None:
    assert set(re.findall(r"^\| `((?:events|metrics)\..+?)` \|", _section("Notifications"), re.MULTILINE)) == set(
        SERVER_NOTIFICATIONS
    )
    for name in CLIENT_NOTIFICATIONS:
        assert f"`{name}`" in _section("Credit")


def test_every_reason_is_described() -> None:
    table = _section("Notifications").partition("| `reason` |")[2]
    rows = re.findall(r"^\| (`.+?) \|", table, re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(get_args(EndReason))


def test_every_error_is_described() -> None:
    rows = re.findall(r"^\| −(\d+) \| `(\w+)` \| (yes|no) \|", _section("Errors"), re.MULTILINE)
    expected = [(str(-entry.number), entry.code, "yes" if entry.kind.retryable else "no") for entry in WIRE_CODES]
    assert rows == expected


def test_every_close_code_is_described() -> None:
    codes = {str(code) for name, code in vars(CloseCode).items() if name.isupper()}
    assert set(re.findall(r"^\| (\d+) \|", _section("Close codes"), re.MULTILINE)) == codes


def test_examples_are_frames_and_values_as_the_schemas_say() -> None:
    frames = [json.loads(line) for block in _BLOCK.findall(_PAGE) for line in block.splitlines()]
    assert len(frames) > 10
    bad = 0
    for frame in frames:
        if "jsonrpc" not in frame:
            validator("Event").validate(frame)
            continue
        asked = "method" in frame and frame["method"] not in SERVER_NOTIFICATIONS
        schema = validator("ClientFrame" if asked else "ServerFrame")
        try:
            schema.validate(frame)
        except ValidationError:
            # The one that is answered with an error.
            assert frame["params"] == {"topic": ["a/b"]}
            bad += 1
    assert bad == 1


# Vectors


def _exchanges(name: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield each request of a vector together with its answer."""
    steps = vectors.load(name)["steps"]
    for number, step in enumerate(steps):
        sent = step.get("send", {})
        if "id" in sent:
            yield (
                sent,
                next(
                    (
                        later["receive"]
                        for later in steps[number:]
                        if later.get("receive", {}).get("id", vectors) == sent["id"]
                    ),
                    {},
                ),
            )


def _filled(value: Any) -> Any:
    names = vectors.Names()
    names.ids = dict.fromkeys(range(20), "01KDVDNA00DHW93DTR98H6BCP3")
    names.captured = _AnyName()
    return vectors.expand(value, names)


class _AnyName(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "01KDVDNA00DHW93DTR98H6BCP3"


@pytest.mark.parametrize("name", vectors.names())
def test_what_a_vector_sends_with_success_is_as_the_schemas_say(name: str) -> None:
    for sent, answer in _exchanges(name):
        if "result" in answer:
            validator("ClientFrame").validate(_filled(sent))


def test_schemas_refuse_what_a_server_refuses() -> None:
    passed = set()
    for name in vectors.names():
        for sent, answer in _exchanges(name):
            error = answer.get("error", {}).get("data", {})
            if error and error["code"] not in _UNSEEN and validator("ClientFrame").is_valid(_filled(sent)):
                passed.add(error["parameter"] if isinstance(error["parameter"], str) else "data")
    # Sums, bytes that are no characters, depth, the form of times and ids, topics and events of the log's own, two that
    # exclude each other or need each other, how many windows there are, sizes that the log never had.
    assert passed == {
        *["events", "events[0]", "data", "events[0].topics[0]", "events[0].topics[0][0]", "events[0].occurred_at"],
        *["seek", "seek_end", "topics", "idempotency_key", "measure", "field", "window", "ids[0]"],
        *["from", "to", "indexes"],
    }
