import json

from hypothesis import given
from hypothesis import strategies as st

from audit.cli.terminal import printable, printable_json


@given(st.text())
def test_printable_text_is_one_line_that_steers_no_terminal(text: str) -> None:
    assert printable(text).isprintable()


def test_printable_text_is_left_as_it_is() -> None:
    assert printable("Zürich 東京 [red]") == "Zürich 東京 [red]"


def test_escape_sequence_is_shown_and_not_obeyed() -> None:
    assert printable("\x1b[2J\u202eab\n") == "\\x1b[2J\\u202eab\\n"


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8"))))
def test_printable_json_means_the_same(value: dict[str, str]) -> None:
    shown = printable_json(json.dumps(value, ensure_ascii=False, indent=2))
    assert json.loads(shown) == value
    assert all(char.isprintable() or char == "\n" for char in shown)
