"""Every option, path and value that is refused: one line that names it, exit code 2, and nothing printed or written."""

import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from audit.app import Audit
from audit.cli.program import run

Refused = Callable[..., str]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("refusals") / "store"
    Audit.init(path)
    return path


@pytest.fixture
def refused(
    store: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> Refused:
    """Run a command in this process; return its error."""

    def command(*arguments: str, stdin: bytes = b"") -> str:
        (tmp_path / "stdin").write_bytes(stdin)
        with (tmp_path / "stdin").open("rb") as file:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(file))
            assert run(["--data", str(store), *arguments]) == 2
        out, err = capfdbinary.readouterr()
        first, *more = err.decode().splitlines()
        assert out == b""
        assert first.startswith("error: ")
        assert all(line.startswith("hint: ") for line in more)
        with Audit.open_sync(store) as log:
            assert log.info().size == 0
        return first

    return command


@pytest.mark.parametrize(
    ("stdin", "problem"),
    [
        (b"", "standard input: is not JSON"),
        (b"{}", "standard input: Object missing required field `topics`"),
        (b'{"topics":[["a"]],"data":"\xff"}', "standard input: is not valid UTF-8"),
        (b'{"topics":[[]]}', "topics[0]"),
        (b'{"topics":[["a/b"]]}', "topics[0][0]"),
        (b'{"topics":[["audit","x"]]}', "topics[0]"),
        (b'{"topics":[["a"]],"occurred_at":"2026-11-21T10:00:00"}', "occurred_at"),
        (b'{"topics":[["a"]],"data":18446744073709551616}', "data"),
        (b'{"topics":[["a"]],"data":"' + b"x" * 70_000 + b'"}', "65536"),
        (b'{"topics":[["a"]],"data":"' + b"x" * 1_100_000 + b'"}', "standard input: is longer than"),
    ],
)
def test_bad_event_on_standard_input_is_named(refused: Refused, stdin: bytes, problem: str) -> None:
    assert problem in refused("append", "-", stdin=stdin)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ([], "--topic"),
        (["--topic", "a//b"], "--topic"),
        (["--topic", "audit/x"], "--topic"),
        (["--topic", "a", "--outcome", "bad"], "--outcome"),
        (["--topic", "a", "--action", "x" * 257], "--action"),
        (["--topic", "a", "--actor", "ada"], "--actor"),
        (["--topic", "a", "--target", "x" * 300 + ":1"], "--target"),
        (["--topic", "a", "--context", "x"], "--context"),
        (["--topic", "a", "--event-data", "{"], "--event-data"),
        (["--topic", "a", "--event-data", "18446744073709551616"], "--event-data"),
        (["--topic", "a", "--occurred-at", "2026-11-21T10:00:00"], "--occurred-at"),
        (["--topic", "a", "--idempotency-key", ""], "--idempotency-key"),
        (["--topic", "a", "-"], "-"),
        (["file"], "file"),
        (["--nope"], "--nope"),
    ],
)
def test_bad_option_of_append_is_named(refused: Refused, options: list[str], names: str) -> None:
    assert names in refused("append", *options)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["--limit", "0"], "--limit"),
        (["--limit", "1001"], "--limit"),
        (["--limit", "many"], "--limit"),
        (["--limit", "3", "--all"], "--limit"),
        (["--topic", "a//b"], "--topic"),
        (["--seek", "yesterday"], "--seek"),
        (["--seek-end", "-5"], "--seek-end"),
        (["--inclusive", "some"], "--inclusive"),
        (["--order", "up"], "--order"),
        (["--cursor", "nonsense"], "--cursor"),
        (["--outcome", "fine"], "--outcome"),
        (["--actor", "x" * 257], "--actor"),
        (["--format", "xml"], "--format"),
        (["argument"], "argument"),
    ],
)
def test_bad_option_of_list_is_named(refused: Refused, options: list[str], names: str) -> None:
    assert names in refused("list", *options)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["/nowhere/at.all"], "/nowhere/at.all: "),
        (["."], ".: "),
        (["--preset", "nothing", "-"], "--preset"),
        (["--preset", "cloudtrail", "--topic", "x", "-"], "--topic"),
        (["--topic", "a//b", "-"], "--topic"),
        ([], "FILE"),
    ],
)
def test_bad_option_of_ingest_is_named(refused: Refused, options: list[str], names: str) -> None:
    assert names in refused("ingest", *options, stdin=b"{}\n")


@pytest.mark.parametrize(
    ("command", "names"),
    [
        (["tail", "--lines", "1001"], "--lines"),
        (["tail", "--lines", "-1"], "--lines"),
        (["tail", "--seek", "soon"], "--seek"),
        (["tail", "--cursor", "nonsense"], "--cursor"),
        (["topics", "--depth", "0"], "--depth"),
        (["topics", "--topic", "a//b"], "--topic"),
        (["get", "nonsense"], "id: 'nonsense'"),
        (["get"], "ID"),
        (["nothing"], "nothing"),
    ],
)
def test_bad_option_of_other_commands_is_named(refused: Refused, command: list[str], names: str) -> None:
    assert names in refused(*command)
