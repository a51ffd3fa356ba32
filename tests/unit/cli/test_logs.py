import json
import logging
from collections.abc import Iterator

import pytest

from audit.cli.logs import configure_logs
from audit.cli.settings import LogFormat

LOG = logging.getLogger("audit.server")


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in ("uvicorn.error", "asyncio"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def failing() -> None:
    try:
        int("no number")
    except ValueError:
        LOG.exception("a request failed: %s", "x")


def test_json_has_one_object_a_line_traces_included(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("json", "info")
    LOG.info("serving", extra={"urls": ["ws://a"], "events": 3})
    failing()
    serving, failed = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert (serving["event"], serving["level"], serving["logger"]) == ("serving", "info", "audit.server")
    assert (serving["urls"], serving["events"]) == (["ws://a"], 3)
    assert serving["timestamp"].endswith("Z")
    assert failed["event"] == "a request failed: x"
    assert "ValueError: invalid literal" in failed["exception"]


def test_people_get_lines_and_traces_they_can_read(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("console", "info")
    LOG.info("serving", extra={"events": 3})
    failing()
    text = capsys.readouterr().err
    assert "[info     ] serving" in text
    assert "events=3" in text
    assert "\nValueError: invalid literal" in text
    assert "\x1b" not in text


def test_texts_of_others_do_not_steer_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("console", "info")
    LOG.warning("refused %s", "\x1b[2J\r\u202eevil", extra={"peer": "\x07"})
    text = capsys.readouterr().err
    assert "refused \\x1b[2J\\r\\u202eevil" in text
    assert not {"\x1b", "\r", "\u202e", "\x07"} & set(text)


@pytest.mark.parametrize("form", ["console", "json"])
def test_texts_of_others_make_no_lines_of_their_own(form: LogFormat, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(form, "info")
    forged = '\n2026-01-01 [info     ] all is well\r\n{"event":"all is well"}\u2028\x85\x0b\x0c'
    LOG.warning("refused %s", forged, extra={"peer": forged})
    text = capsys.readouterr().err
    assert len(text.splitlines()) == 1 == text.count("\n")


def test_what_is_below_the_level_is_left_out_and_libraries_say_only_what_is_amiss(
    capsys: pytest.CaptureFixture[str],
) -> None:
    library = logging.getLogger("uvicorn.error")
    configure_logs("json", "info")
    LOG.debug("a")
    library.info("Started server process")
    library.warning("b")
    configure_logs("json", "error")
    LOG.warning("c")
    library.warning("d")
    LOG.error("e")
    configure_logs("json", "debug")
    library.info("f")
    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == ["b", "e", "f"]
