"""Values that are no events (a receipt, a topic's count, a store), in the same four formats."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from audit.cli.options import Format
from audit.cli.terminal import printable, write
from audit.codec import csvtext

__all__ = ["print_record", "print_rows"]

Row = Mapping[str, object]


def print_record(chosen: Format, record: Row) -> None:
    """Print one value: as a table, a line for each of its fields."""
    if chosen is Format.TABLE:
        width = max(map(len, record))
        lines = [f"{name:<{width}}  {printable(_text(value))}\n" for name, value in record.items()]
        write("".join(lines).encode(errors="backslashreplace"))
    elif chosen is Format.JSON:
        write(msgspec.json.encode(record) + b"\n")
    else:
        print_rows(chosen, tuple(record), [record])


def print_rows(chosen: Format, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Print any number of values, as they come: a JSON array, JSON lines, or CSV.

    Args:
        chosen: Any format but the table, which is each command's own.
        columns: The names that each row has, in their order.
        rows: The values.
    """
    if chosen is Format.CSV:
        write(csvtext.encode_rows([columns]))
        for row in rows:
            write(csvtext.encode_rows([[_cell(row[name]) for name in columns]]))
    elif chosen is Format.JSONL:
        for row in rows:
            write(msgspec.json.encode(row) + b"\n")
    else:
        before = b"["
        for row in rows:
            write(before + msgspec.json.encode(row))
            before = b",\n"
        write(b"[]\n" if before == b"[" else b"]\n")


def _text(value: object) -> str:
    return "-" if value is None else str(value)


def _cell(value: object) -> object:
    if value is None:
        return ""
    return csvtext.harmless(value) if isinstance(value, str) else value
