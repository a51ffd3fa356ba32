import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from audit.cli.cursorfile import CursorFile, whole
from audit.model.errors import InvalidParameter


class Interrupted(BaseException):
    """What the handler of a test raises."""


@pytest.fixture
def interrupting() -> Iterator[None]:
    def interrupt(number: int, frame: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGTERM, interrupt)
    yield
    signal.signal(signal.SIGTERM, before)


def test_cursor_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "cursor"
    assert CursorFile(path).cursor is None
    file = CursorFile(path)
    file.save("Abc-_9")
    file.save("Abd-_9")
    assert CursorFile(path).cursor == file.cursor == "Abd-_9"
    assert path.read_bytes() == b"Abd-_9\n"
    assert list(tmp_path.iterdir()) == [path]


def test_same_cursor_is_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "cursor"
    file = CursorFile(path)
    file.save("a")
    before = path.stat().st_ino
    file.save("a")
    assert path.stat().st_ino == before


def test_failed_save_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "cursor"
    file = CursorFile(path)
    file.save("a")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        file.save("b")
    assert file.cursor == "a"
    assert CursorFile(path).cursor == "a"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("text", [b"two words", b"\xff", b'{"cursor":"a"}', b"a\nb"])
def test_file_of_something_else_is_refused(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "cursor").write_bytes(text)
    with pytest.raises(InvalidParameter, match="holds no cursor"):
        CursorFile(tmp_path / "cursor")


@pytest.mark.usefixtures("interrupting")
def test_signal_waits_for_the_end_of_the_block() -> None:
    done = False

    def block() -> None:
        nonlocal done
        with whole():
            signal.raise_signal(signal.SIGTERM)
            done = True

    with pytest.raises(Interrupted):
        block()
    assert done


@pytest.mark.usefixtures("interrupting")
def test_second_signal_does_not_wait() -> None:
    done = False

    def block() -> None:
        nonlocal done
        with whole():
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)
            done = True

    with pytest.raises(Interrupted):
        block()
    assert not done


def test_handlers_are_as_before_afterwards() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with whole():
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] != before
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
