import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.codec.csvtext import EVENT_COLUMNS, encode_events, encode_rows, harmless

ID = "01JD8Z5K3V9Q0T7W2X4Y6Z8A1B"


def row_of(**members: object) -> dict[str, str]:
    """Return the CSV row of a stored event, by column."""
    event = {"id": ID, "index": 41, "topics": [["node", "connection"]], "salt": "q83vEjRWeJCrze8SNFZ4kA"} | members
    text = encode_events([json.dumps(event).encode()]).decode()
    (row,) = csv.reader(io.StringIO(text, newline=""))
    return dict(zip(EVENT_COLUMNS, row, strict=True))


def test_every_member_has_its_column() -> None:
    row = row_of(
        topics=[["node", "connection"], ["x"]],
        action="connection.opened",
        occurred_at="2026-11-21T10:00:00.120Z",
        actor={"type": "user", "id": "u-7", "name": "Ada"},
        targets=[{"type": "vault", "id": "v-1"}, {"type": "role", "id": "r"}],
        outcome="success",
        context={"ip": "10.0.0.1", "request_id": "r-9"},
        data={"a": 1.0},
    )
    assert row == {
        "index": "41",
        "id": ID,
        "recorded_at": "2024-11-22T03:38:06.843Z",
        "occurred_at": "2026-11-21T10:00:00.120Z",
        "topics": "node/connection x",
        "action": "connection.opened",
        "actor_type": "user",
        "actor_id": "u-7",
        "outcome": "success",
        "targets": "vault:v-1 role:r",
        "ip": "10.0.0.1",
        "request_id": "r-9",
        "data": '{"a": 1.0}',
        "payload_hash": "",
    }


def test_member_that_is_not_set_is_an_empty_cell() -> None:
    row = row_of()
    assert {name for name, cell in row.items() if cell} == {"index", "id", "recorded_at", "topics"}


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_text_that_a_spreadsheet_takes_for_a_formula_is_quoted(text: str) -> None:
    row = row_of(
        topics=[[text.strip()]],
        action=text,
        actor={"type": text, "id": text},
        targets=[{"type": text, "id": "x"}],
        context={"ip": text, "request_id": text},
        data=-1,
    )
    for column in ("topics", "action", "actor_type", "actor_id", "targets", "ip", "request_id"):
        assert row[column].startswith("'"), column
    assert row["data"] == "-1"


@given(st.lists(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=2), min_size=1))
def test_rows_read_back_as_written(rows: list[list[str]]) -> None:
    assert list(csv.reader(io.StringIO(encode_rows(rows).decode(), newline=""))) == rows


@given(st.text())
def test_harmless_text_loses_nothing(text: str) -> None:
    assert harmless(text) in (text, f"'{text}")
    assert harmless(text)[:1] not in {"=", "+", "-", "@"}
